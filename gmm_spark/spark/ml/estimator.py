"""The pyspark.ml estimator, with the interface of `pyspark.ml.clustering.GaussianMixture`."""

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

from gmm_spark.errors import ConfigurationError
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.options import CheckpointOptions, Options, errors_name_params, options_from_params, options_of
from gmm_spark.spark.fit.checkpoint_store import Checkpoints
from gmm_spark.spark.fit.train import train
from gmm_spark.spark.ml import model_files
from gmm_spark.spark.ml.model import GaussianMixtureModel, stored_model
from gmm_spark.spark.ml.params import FitParams, set_defaults
from gmm_spark.spark.session import explain_worker_errors
from gmm_spark.spark.table.frames import static_frame
from gmm_spark.spark.table.names import Names
from gmm_spark.store.model_directory import decode_model, encode_model

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from gmm_spark.em.summary import Summary
    from gmm_spark.spark.table.columns import Features


class GaussianMixture(Estimator["GaussianMixtureModel"], FitParams, MLReadable["GaussianMixture"], MLWritable):
    """Fits a Gaussian mixture by EM; `explainParams()` describes each param.

    Raises, on fit:
        ConfigurationError: a param is out of its range.
        SchemaError: a missing column or a column without numbers; before any Spark job.
        DataError: unusable rows, no rows, constant or dependent columns, too few distinct rows.
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
        """Set params by keyword; a param that is None is not changed."""
        return self._set(**self._input_kwargs)

    def setInitialModel(self, model: GaussianMixtureModel) -> GaussianMixture:
        """Start EM from this model on all rows, without a sample and without a search for a start.

        Raises:
            ConfigurationError: it is no model.
        """
        initial = getattr(model, "parameters", None)
        if not isinstance(initial, Parameters):
            raise ConfigurationError(
                "initial model",
                got=f"a {type(model).__name__}",
                expected="a GaussianMixtureModel",
                do="Give what fit, load or fromArrays returned; without one an estimator searches for a start.",
            )
        self._initial = initial
        return self

    def copy(self, extra: dict[Any, Any] | None = None) -> GaussianMixture:
        """Return a copy with the extra params and the same initial model."""
        copied = super().copy(extra)
        copied._initial = self._initial  # noqa: SLF001
        return copied

    def write(self) -> MLWriter:
        """Return the writer of the params and the initial model."""
        return _EstimatorWriter(self)

    @classmethod
    def read(cls) -> MLReader[GaussianMixture]:
        """Return the reader of the files that `write` writes."""
        return _EstimatorReader()

    def _fit(self, dataset: DataFrame) -> GaussianMixtureModel:
        df = static_frame(dataset, "fit")
        mixture = self.copy()  # another thread may set params during the fit
        with errors_name_params(), explain_worker_errors(df.sparkSession):
            trained = train(df, *request_of(mixture, df), mixture._initial, checkpoints_of(mixture))  # noqa: SLF001 - a copy of itself
        return model_of(mixture, trained.parameters, trained.features, trained.summary)


def request_of(mixture: GaussianMixture, df: DataFrame) -> tuple[Features, str | None, Options]:
    """Return the feature columns, the weight column in the table's spelling, and the options of a fit to a table."""
    table = Names.of(df)
    weight = table.find(mixture.getOrDefault("weightCol")).name if mixture.isDefined("weightCol") else None
    options = options_from_params({option.param: mixture.getOrDefault(option.param) for option in options_of(Options)})
    return mixture._features(table), weight, options  # noqa: SLF001 - pyspark.ml's idiom


def checkpoints_of(mixture: GaussianMixture) -> Checkpoints | None:
    """Return the checkpoint settings in the params of an estimator; None without a folder."""
    if not mixture.isDefined("checkpointDir"):
        return None
    return Checkpoints(**{option.name: mixture.getOrDefault(option.param) for option in options_of(CheckpointOptions)})


def model_of(
    mixture: GaussianMixture, parameters: Parameters, features: tuple[str, ...], summary: Summary
) -> GaussianMixtureModel:
    """Return a model with the column params of an estimator, and inputCols in the table's spelling."""
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
