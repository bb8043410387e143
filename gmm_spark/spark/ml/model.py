"""A fitted mixture as a pyspark.ml model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pyspark.ml import Model
from pyspark.ml.util import DefaultParamsReader, MLReadable, MLReader, MLWritable, MLWriter
from pyspark.sql import SparkSession

from gmm_spark.em.summary import Summary, fields_of, summary_from
from gmm_spark.errors import DataError, ModelError, quoted
from gmm_spark.mixture.alignment import align
from gmm_spark.mixture.has_mixture import HasMixture
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.spark.ml import model_files
from gmm_spark.spark.ml.params import ColumnParams, set_defaults
from gmm_spark.spark.scoring.draw import sample
from gmm_spark.spark.scoring.posterior import ScoreColumns, with_posterior
from gmm_spark.spark.table.frames import as_frame
from gmm_spark.spark.table.names import Names
from gmm_spark.statistics import kernel
from gmm_spark.statistics.survey import LARGEST
from gmm_spark.store.model_directory import StoredModel

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pyspark.sql import DataFrame

    from gmm_spark.mixture.noise import Noise
    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.spark.table.columns import Features


class GaussianMixtureModel(HasMixture, Model, ColumnParams, MLReadable["GaussianMixtureModel"], MLWritable):
    """A fitted Gaussian mixture: components by descending weight, ties by mean.

    Args:
        parameters: the mixture, in the units of the data.
        features: d feature names.
        summary: how the fit went; None for a model made from arrays.
    """

    def __init__(self, parameters: Parameters, features: tuple[str, ...] = (), summary: Summary | None = None) -> None:
        super().__init__()
        set_defaults(self)
        self.parameters = parameters
        self.features = features or tuple(f"x{i}" for i in range(parameters.d))
        self._summary = summary

    @classmethod
    def fromArrays(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        covarianceType: Family = "full",
        noise: Noise | None = None,
    ) -> GaussianMixtureModel:
        """Return a model of arrays of shape (k,), (k, d) and (k, d, d), without reordering the components.

        The diag and spherical families also accept (k, d) variances. The weights and the noise weight sum to 1.

        Raises:
            ParametersError: the arrays are not a Gaussian mixture.
        """
        return cls(Parameters(weights, means, covariances, covarianceType, noise))

    @property
    def noiseWeight(self) -> float:
        """The mixing weight of the noise component; 0 without one."""
        return 0.0 if self.parameters.noise is None else self.parameters.noise.weight

    @property
    def hasSummary(self) -> bool:
        """Whether this model comes from a fit."""
        return self._summary is not None

    @property
    def summary(self) -> Summary:
        """How the fit went.

        Raises:
            ModelError: the model was made from arrays.
        """
        if self._summary is None:
            raise ModelError("summary", got="a model made from arrays", expected="a fitted one", do="Fit it first.")
        return self._summary

    def predict(self, value: ArrayLike) -> int:
        """Return the most probable component of one row (d,); -1 for the noise."""
        return int(kernel.most_probable(self.predictProbability(value)[None], self.parameters)[0])

    def predictProbability(self, value: ArrayLike) -> FloatArray:
        """Return the posteriors (k,) of one row (d,); with a noise component (k + 1,), the noise last."""
        posterior, _ = kernel.posteriors(_row_of(value, self.parameters.d), self.parameters)
        return np.asarray(posterior[0])

    def sample(self, n: int, seed: int = 0, spark: SparkSession | None = None) -> DataFrame:
        """Return n random rows from the mixture: the feature columns, and `component`, -1 for the noise.

        The same seed gives the same rows on any number of partitions.
        """
        names = self.getOrDefault("inputCols") if self.isDefined("inputCols") else None
        session = spark or SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
        return sample(session, self.parameters, n, seed, names or self.getOrDefault("featuresCol"))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        dataset = as_frame(dataset)
        names = ScoreColumns(*(self.getOrDefault(f"{name}Col") for name in ("prediction", "probability", "logDensity")))
        return with_posterior(dataset, self.parameters, features_in(self, dataset), names)

    def alignedTo(self, reference: GaussianMixtureModel) -> GaussianMixtureModel:
        """Return this model with its components in the order of the matching components of the reference.

        The matching is defined in `gmm_spark.mixture.alignment`; components without a match follow, by weight.

        Raises:
            ModelError: the reference is no model, or has other features, or more components than this model.
        """
        if not isinstance(reference, GaussianMixtureModel):
            got = f"a {type(reference).__name__}"
            raise ModelError("the model to align to", got=got, expected="a GaussianMixtureModel", do="Load or fit it.")
        if self.features != reference.features:
            raise ModelError(
                "the model to align to",
                got=f"the features {quoted(reference.features)}",
                expected=f"the features of this model, {quoted(self.features)}",
                do="Align to a model of the same features in the same order.",
            )
        parameters = align(self.parameters, reference.parameters)
        return self._copyValues(GaussianMixtureModel(parameters, self.features, self._summary))

    def write(self) -> MLWriter:
        """Return the writer of a model directory."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[GaussianMixtureModel]:
        """Return the reader of a model directory."""
        return _Reader()


def stored_model(model: GaussianMixtureModel) -> StoredModel:
    """Return the content of the directory of a model."""
    return StoredModel(model.parameters, model.features, fields_of(model.summary) if model.hasSummary else {})


def features_in(model: GaussianMixtureModel, dataset: DataFrame) -> Features:
    """Find a model's feature columns in a table, before any Spark job.

    Raises:
        SchemaError: a column is missing or has no numbers.
        ModelError: the schema shows another number of features, or they are in another order than the model's.
    """
    names = Names.of(dataset)
    features = model._features(names)  # noqa: SLF001 - of this package
    if features.size not in (None, model.parameters.d):
        raise ModelError(
            "feature columns" if features.kind == "columns" else f"column {features.columns[0]!r}",
            got=f"{features.size} {'columns' if features.kind == 'columns' else 'numbers, as its metadata says'}",
            expected=f"the model's {model.parameters.d} features {quoted(model.features)}",
            do="Name the columns that the model was fitted on.",
            options=("inputCols" if features.kind == "columns" else "featuresCol",),
        )
    keys, model_keys = ([names.case_key(name) for name in columns] for columns in (features.columns, model.features))
    if model.hasSummary and keys != model_keys and sorted(keys) == sorted(model_keys):
        raise ModelError(
            "feature columns",
            got=f"the model's features in another order, {quoted(features.columns)}",
            expected=quoted(model.features),
            do="Name them in the order of the model: features are matched by position.",
            options=("inputCols",),
        )
    return features


def _row_of(value: ArrayLike, d: int) -> FloatArray:
    """Return one row as (1, d) float64.

    Raises:
        DataError: another length, or values that are unusable in a score, too.
    """
    try:
        row = np.asarray(value, dtype=np.float64).reshape(1, -1)
    except (TypeError, ValueError) as error:
        raise _bad_row(str(error), d) from error
    if row.shape[1] != d:
        raise _bad_row(f"{row.shape[1]} values", d)
    if not (np.abs(row) <= LARGEST).all():
        raise _bad_row(str(row[0].tolist()), d)
    return row


def _bad_row(got: str, d: int) -> DataError:
    return DataError("the row", got=got, expected=f"{d} finite numbers, at most 1e150", do="Mend it, or leave it out.")


class _Writer(MLWriter):
    def __init__(self, model: GaussianMixtureModel) -> None:
        super().__init__()
        self._model = model

    def save(self, path: str) -> None:
        model_files.save(
            self.sparkSession, self._model, stored_model(self._model), path, overwrite=self.shouldOverwrite
        )


class _Reader(MLReader[GaussianMixtureModel]):
    def load(self, path: str) -> GaussianMixtureModel:
        metadata, stored = model_files.load(self.sparkSession, path)
        summary = summary_from(dict(stored.summary)) if stored.summary else None
        model = GaussianMixtureModel(stored.parameters, stored.features, summary)
        try:
            model._resetUid(metadata["uid"])  # noqa: SLF001 - pyspark.ml's own idiom
            DefaultParamsReader.getAndSetParams(model, metadata)
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # metadata is untrusted
            raise ModelError(
                f"model directory {path}",
                got=f"metadata with invalid params ({type(error).__name__}: {error})",
                expected="a model that gmm_spark wrote",
                do="Restore it from a copy, or fit it again.",
            ) from error
        return model
