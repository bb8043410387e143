"""The pyspark.ml face: an estimator and a model that follow `pyspark.ml.clustering.GaussianMixture`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyspark import keyword_only
from pyspark.ml import Estimator
from pyspark.ml.util import (
    DefaultParamsReader,
    DefaultParamsWriter,
    MLReadable,
    MLReader,
    MLWritable,
    MLWriter,
)

from gmm_spark.options import CheckpointOptions, Options, errors_name_params, options_from_params, options_of
from gmm_spark.spark.fit.checkpoint_store import Checkpoints
from gmm_spark.spark.fit.train import train
from gmm_spark.spark.ml import model_files
from gmm_spark.spark.ml.model import GaussianMixtureModel, stored_model
from gmm_spark.spark.ml.params import FitParams, set_defaults
from gmm_spark.spark.session import workers_explained
from gmm_spark.spark.table.frames import at_rest
from gmm_spark.spark.table.names import Names
from gmm_spark.store.model_directory import decode_model, encode_model

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark.em.summary import Summary
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.spark.table.columns import Features


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
        covariancePrior: float | str = "auto",
        minComponentWeight: float | str = "auto",
        noise: bool = False,
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
        set_defaults(self)
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
        df = at_rest(dataset, "fit")
        own = self.copy()  # as it is now: another thread may set params meanwhile
        with errors_name_params(), workers_explained(df.sparkSession):
            trained = train(df, *request_of(own, df), own._initial, checkpoints_of(own))  # noqa: SLF001 - a copy of itself
        return model_of(own, trained.parameters, trained.features, trained.summary)


def request_of(mixture: GaussianMixture, df: DataFrame) -> tuple[Features, str | None, Options]:
    """Return the feature columns, the weight column as the table spells it, and the options of a fit to a table."""
    table = Names.of(df)
    weight = table.find(mixture.getOrDefault("weightCol")).name if mixture.isDefined("weightCol") else None
    options = options_from_params({each.param: mixture.getOrDefault(each.param) for each in options_of(Options)})
    return mixture._features(table), weight, options  # noqa: SLF001 - pyspark.ml's idiom


def checkpoints_of(mixture: GaussianMixture) -> Checkpoints | None:
    """Return the checkpoints that the params of an estimator ask for."""
    if not mixture.isDefined("checkpointDir"):
        return None
    return Checkpoints(**{each.name: mixture.getOrDefault(each.param) for each in options_of(CheckpointOptions)})


def model_of(
    mixture: GaussianMixture, parameters: Parameters, features: tuple[str, ...], summary: Summary
) -> GaussianMixtureModel:
    """Return a model with the columns of an estimator, its inputs as the table spelt them."""
    model = mixture._copyValues(GaussianMixtureModel(parameters, features, summary))  # noqa: SLF001 - pyspark.ml's idiom
    if mixture.isDefined("inputCols"):
        model.set(model.inputCols, list(features))
    return model


class _EstimatorWriter(MLWriter):
    def __init__(self, mixture: GaussianMixture) -> None:
        super().__init__()
        self._mixture = mixture

    def save(self, path: str) -> None:
        initial = self._mixture._initial  # noqa: SLF001
        extra = {"initial_model": encode_model(stored_model(GaussianMixtureModel(initial)))} if initial else None
        with model_files.saving(self.sparkSession, path, overwrite=self.shouldOverwrite):
            DefaultParamsWriter.saveMetadata(self._mixture, path, self.sparkSession, extra)


class _EstimatorReader(MLReader[GaussianMixture]):
    def load(self, path: str) -> GaussianMixture:
        metadata = model_files.estimator_metadata(self.sparkSession, path)
        mixture = GaussianMixture()
        mixture._resetUid(metadata["uid"])  # noqa: SLF001 - pyspark.ml's own idiom
        DefaultParamsReader.getAndSetParams(mixture, metadata)
        if initial := metadata.get("initial_model"):
            mixture._initial = decode_model(initial[0], initial[1], path).parameters  # noqa: SLF001
        return mixture
