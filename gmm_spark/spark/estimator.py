"""The pyspark.ml face: an estimator and a model that follow `pyspark.ml.clustering.GaussianMixture`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark import keyword_only
from pyspark.ml import Estimator, Model
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)
from pyspark.sql import SparkSession

from gmm_spark import kernel
from gmm_spark.errors import ModelError
from gmm_spark.model import StoredModel, decode, encode
from gmm_spark.parameters import Parameters
from gmm_spark.spark import storage
from gmm_spark.spark.checkpoints import asked_for
from gmm_spark.spark.params import COLUMN_DEFAULTS, ColumnParams, FitParams, constructor_defaults
from gmm_spark.spark.posterior import ScoreColumns, with_posterior
from gmm_spark.spark.preparing import Options
from gmm_spark.spark.sampling import sample
from gmm_spark.spark.summary import Summary
from gmm_spark.spark.training import train

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from pyspark.sql import DataFrame

    from gmm_spark.parameters import Family, FloatArray
    from gmm_spark.spark.columns import Features


class GaussianMixture(Estimator["GaussianMixtureModel"], FitParams, MLReadable["GaussianMixture"], MLWritable):
    """Fits a Gaussian mixture by EM; see `FitParams` for what each param means.

    Raises, on fit:
        ConfigurationError: a param out of its range.
        SchemaError: a missing column or one without numbers; before any Spark job.
        DataError: rows that can't be used, no rows, constant or dependent columns, too few distinct rows.
    """

    _input_kwargs: dict[str, Any]  # set by keyword_only

    @keyword_only
    def __init__(
        self,
        *,
        k: int = 2,
        covarianceType: str = "full",
        featuresCol: str = "features",
        inputCols: list[str] | None = None,
        weightCol: str | None = None,
        maxIter: int = 100,
        tol: float = 1e-4,
        seed: int = 0,
        initMode: str = "k-means++",
        starts: int = 20,
        acceleration: str = "squarem",
        covarianceFloor: float = 1e-6,
        predictionCol: str = "prediction",
        probabilityCol: str = "probability",
        logDensityCol: str = "log_density",
        handleInvalid: str = "error",
        maxInvalidFraction: float = 1.0,
        precision: str = "float64",
        checkpointDir: str | None = None,
        checkpointSeconds: float = 30.0,
        keepLastCheckpoint: bool = False,
        resume: str = "auto",
    ) -> None:
        super().__init__()
        self._setDefault(**constructor_defaults(GaussianMixture))
        self._initial: Parameters | None = None
        self.setParams(**self._input_kwargs)

    @keyword_only
    def setParams(self, **kwargs: Any) -> GaussianMixture:  # noqa: ANN401
        """Set any of the params by keyword; None leaves one as it is."""
        return self._set(**self._input_kwargs)

    def setInitialModel(self, model: GaussianMixtureModel) -> GaussianMixture:
        """Start EM from this model, on all the rows: no sampling and no other start."""
        self._initial = model.parameters
        return self

    def copy(self, extra: dict[Any, Any] | None = None) -> GaussianMixture:
        """Return a copy with these params and the same initial model."""
        copied = super().copy(extra)
        copied._initial = self._initial  # noqa: SLF001
        return copied

    def write(self) -> MLWriter:
        """Return the writer of the params and the initial model."""
        return _EstimatorWriter(self)

    @classmethod
    def read(cls) -> MLReader[GaussianMixture]:
        """Return the reader of what `write` wrote."""
        return _EstimatorReader()

    def _fit(self, dataset: DataFrame) -> GaussianMixtureModel:
        features = self._features(dataset.schema)
        weight = self.getOrDefault("weightCol") if self.isDefined("weightCol") else None
        trained = train(dataset, features, weight, self._options(), self._initial, asked_for(self))
        model = GaussianMixtureModel(trained.parameters, trained.features, trained.summary)
        return self._copyValues(model)

    def _options(self) -> Options:
        value = self.getOrDefault
        return Options(
            k=value("k"),
            family=value("covarianceType"),
            max_iter=value("maxIter"),
            tol=value("tol"),
            seed=value("seed") % 2**63,
            init_mode=value("initMode"),
            starts=value("starts"),
            acceleration=value("acceleration"),
            floor=value("covarianceFloor"),
            skip_invalid=value("handleInvalid") == "skip",
            max_invalid_fraction=value("maxInvalidFraction"),
            precision=value("precision"),
        )


class GaussianMixtureModel(Model, ColumnParams, MLReadable["GaussianMixtureModel"], MLWritable):
    """A fitted Gaussian mixture: components in the order of falling weight, ties by mean.

    Args:
        parameters: the mixture, in the units of the data.
        features: d names.
        summary: how the fit went; None for a model made from arrays.
    """

    def __init__(self, parameters: Parameters, features: tuple[str, ...] = (), summary: Summary | None = None) -> None:
        super().__init__()
        self._setDefault(**COLUMN_DEFAULTS)
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
    ) -> GaussianMixtureModel:
        """Return a model of these arrays: (k,), (k, d), (k, d, d), in the order given.

        Raises:
            ParametersError: they are no Gaussian mixture.
        """
        return cls(Parameters(weights, means, covariances, covarianceType))  # type: ignore[arg-type] # it makes arrays of them

    @property
    def weights(self) -> FloatArray:
        """(k,) mixing weights."""
        return self.parameters.weights

    @property
    def means(self) -> FloatArray:
        """(k, d) means."""
        return self.parameters.means

    @property
    def covariances(self) -> FloatArray:
        """(k, d, d) covariances, whatever the family."""
        return self.parameters.covariances

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
        """Return the most probable component of one row (d,)."""
        return int(self.predictProbability(value).argmax())

    def predictProbability(self, value: ArrayLike) -> FloatArray:
        """Return the posterior (k,) of one row (d,)."""
        posterior, _ = kernel.posteriors(np.asarray(value, dtype=np.float64).reshape(1, -1), self.parameters)
        return np.asarray(posterior[0])

    def sample(self, n: int, seed: int = 0, spark: SparkSession | None = None) -> DataFrame:
        """Return n rows drawn from the mixture: the feature columns, and `component`.

        The same seed gives the same rows on any number of partitions.
        """
        names = self.getOrDefault("inputCols") if self.isDefined("inputCols") else None
        session = spark or SparkSession.getActiveSession() or SparkSession.builder.getOrCreate()
        return sample(session, self.parameters, n, seed, names or self.getOrDefault("featuresCol"))

    def score_columns(self) -> ScoreColumns:
        """Return the names of the columns that `transform` appends."""
        return ScoreColumns(*(self.getOrDefault(f"{name}Col") for name in ("prediction", "probability", "logDensity")))

    def _transform(self, dataset: DataFrame) -> DataFrame:
        return with_posterior(dataset, self.parameters, self.features_in(dataset), self.score_columns())

    def features_in(self, dataset: DataFrame) -> Features:
        """Return this model's feature columns in a table, before any Spark job.

        Raises:
            SchemaError: they are not there, hold no numbers, or are not d.
        """
        found = self._features(dataset.schema)
        if found.kind == "columns" and len(found.columns) != self.parameters.d:
            raise ModelError(
                "inputCols",
                got=f"{len(found.columns)} columns",
                expected=f"the model's {self.parameters.d} features {list(self.features)}",
                do="Name the columns that the model was fitted on.",
            )
        return found

    def write(self) -> MLWriter:
        """Return the writer of the model directory."""
        return _Writer(self)

    @classmethod
    def read(cls) -> MLReader[GaussianMixtureModel]:
        """Return the reader of a model directory."""
        return _Reader()

    def stored(self) -> StoredModel:
        """Return what a model directory holds."""
        return StoredModel(self.parameters, self.features, self._summary.to_dict() if self._summary else {})


class _EstimatorWriter(MLWriter):
    def __init__(self, mixture: GaussianMixture) -> None:
        super().__init__()
        self._mixture = mixture

    def saveImpl(self, path: str) -> None:
        initial = self._mixture._initial  # noqa: SLF001
        extra = {"initial_model": encode(GaussianMixtureModel(initial).stored())} if initial else None
        DefaultParamsWriter.saveMetadata(self._mixture, path, self.sparkSession, extra)


class _EstimatorReader(MLReader[GaussianMixture]):
    def load(self, path: str) -> GaussianMixture:
        metadata = DefaultParamsReader.loadMetadata(path, self.sparkSession)
        mixture = GaussianMixture()
        mixture._resetUid(metadata["uid"])  # noqa: SLF001 - pyspark.ml's own idiom
        DefaultParamsReader.getAndSetParams(mixture, metadata)
        if initial := metadata.get("initial_model"):
            mixture._initial = decode(initial[0], initial[1], path).parameters  # noqa: SLF001
        return mixture


class _Writer(MLWriter):
    def __init__(self, model: GaussianMixtureModel) -> None:
        super().__init__()
        self._model = model

    def save(self, path: str) -> None:
        storage.save(self.sparkSession, self._model, self._model.stored(), path, overwrite=self.shouldOverwrite)


class _Reader(MLReader[GaussianMixtureModel]):
    def load(self, path: str) -> GaussianMixtureModel:
        metadata, stored = storage.load(self.sparkSession, path)
        summary = Summary.from_dict(dict(stored.summary)) if stored.summary else None
        model = GaussianMixtureModel(stored.parameters, stored.features, summary)
        try:
            model._resetUid(metadata["uid"])  # noqa: SLF001 - pyspark.ml's own idiom
            DefaultParamsReader.getAndSetParams(model, metadata)
        except (KeyError, TypeError, ValueError, AttributeError) as error:  # nobody vouches for a stranger's metadata
            raise ModelError(
                f"model directory {path}",
                got=f"metadata with params that are none ({type(error).__name__}: {error})",
                expected="a model as gmm_spark wrote it",
                do="Restore it from a copy, or fit it again.",
            ) from error
        return model
