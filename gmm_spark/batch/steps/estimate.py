"""Fit a mixture by the options of a job: the estimator, the earlier models it starts from, and checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gmm_spark.batch.files.locate import locate
from gmm_spark.batch.publish.target import check_no_overlap
from gmm_spark.em.convergence import Outcome
from gmm_spark.errors import ModelError, NotConvergedError, quoted
from gmm_spark.spark.ml.estimator import GaussianMixture
from gmm_spark.spark.ml.model import GaussianMixtureModel
from gmm_spark.spark.table.names import Names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.batch.files.locate import Location
    from gmm_spark.batch.options.jobs import FitConfig
    from gmm_spark.batch.options.sections import EstimationConfig, FeaturesConfig, MixtureConfig
    from gmm_spark.em.summary import Summary


def estimator(
    columns: FeaturesConfig,
    how: EstimationConfig,
    **own: Any,  # noqa: ANN401 - params of the estimator
) -> GaussianMixture:
    """Return the estimator that the options describe.

    Args:
        columns: the columns that the mixture describes.
        how: how it is fitted.
        own: further params.
    """
    names = list(columns.columns) if columns.columns else None
    optional = {"inputCols": names, "featuresCol": columns.column, "weightCol": columns.weight, **own}
    return GaussianMixture(
        maxIter=how.max_iter,
        tol=how.tol,
        seed=how.seed,
        initMode=how.init_mode,
        starts=how.starts,
        acceleration=how.acceleration,
        covarianceFloor=how.covariance_floor,
        covariancePrior=how.covariance_prior,
        minComponentWeight=how.min_component_weight,
        noise=how.noise,
        precision=how.precision,
        handleInvalid="error" if how.invalid == "fail" else "skip",
        **{name: value for name, value in optional.items() if value is not None},
    )


def check_convergence(how: EstimationConfig, summary: Summary) -> None:
    """Refuse a fit that did not converge, if the options require convergence.

    Raises:
        NotConvergedError: the fit did not converge, and `fit.require_convergence` is set.
    """
    if how.require_convergence and summary.outcome != "converged":
        raise NotConvergedError(
            "the fit",
            got=f"{summary.outcome} after {summary.numPasses} passes",
            expected="converged, as fit.require_convergence asks",
            do=summary.message,
            options=Outcome(summary.outcome).options,
        )


def fit_table(config: FitConfig, rows: DataFrame, checkpoints: str) -> GaussianMixtureModel:
    """Fit by the options, from an earlier model and with the component numbers of one if they name them.

    Args:
        config: the options.
        rows: the input.
        checkpoints: folder of the checkpoints; the last one stays, because the model is not published yet.

    Raises:
        ModelError: an earlier model is missing or damaged, or does not fit the options.
        GmmSparkError: as `GaussianMixture.fit`.
    """
    start, mixture = config.start, config.mixture
    params = {
        "k": mixture.k,
        "covarianceType": mixture.family,
        "maxInvalidFraction": config.quality.max_invalid_fraction,
        "checkpointDir": checkpoints,
        "checkpointSeconds": config.fit.checkpoint_seconds,
        "keepLastCheckpoint": True,
        "resume": config.fit.resume,
    }
    mixture_estimator = estimator(config.features, config.fit, **params)
    reference = _earlier(start.align_to, "start.align_to", config.features, rows)
    if reference is not None:
        _check_numbers(reference, str(start.align_to), mixture)
    initial = _earlier(start.model, "start.model", config.features, rows)
    if initial is not None:
        _check_start(initial, str(start.model), config)
        mixture_estimator.setInitialModel(initial)
    model = mixture_estimator.fit(rows)
    return model if reference is None else model.alignedTo(reference)


def check_earlier_models(spark: SparkSession, config: FitConfig, output: Location) -> None:
    """Refuse an output inside an earlier model, or around one, which it would remove.

    The output may be the earlier model itself, which is read before it is replaced, or have it as one of its runs.

    Raises:
        OutputError: the output is inside or around an earlier model.
        ModelError: the filesystem of a model cannot be reached.
    """
    for path in filter(None, (config.start.model, config.start.align_to)):
        model = locate(spark, path, ModelError)
        here, there = output.address(), model.address()
        if here == there or (config.output.mode == "runs" and there[: len(here)] == here):
            continue
        check_no_overlap(output, [model])


def _earlier(path: str | None, option: str, columns: FeaturesConfig, rows: DataFrame) -> GaussianMixtureModel | None:
    """Return the model at a path; None without a path.

    Args:
        path: a model directory.
        option: the option that names it, for the error.
        columns: the features of the fit.
        rows: the input, with those columns.

    Raises:
        ModelError: the model is missing or damaged, or has other features.
    """
    if path is None:
        return None
    model = GaussianMixtureModel.load(path)
    if columns.columns is not None and not _same(Names.of(rows), model.features, columns.columns):
        raise ModelError(
            f"{option} {path}",
            got=f"a model of the features {quoted(model.features)}",
            expected=f"a model of {quoted(columns.columns)}, as in features.columns",
            do="Name a model of the same features in the same order, or unset the option.",
        )
    return model


def _same(table: Names, features: Sequence[str], wanted: Sequence[str]) -> bool:
    """Say whether two lists name the same columns in the same order, also in another spelling."""
    names = [table.find(name).name for name in wanted]
    return list(map(table.case_key, features)) == list(map(table.case_key, names))


def _check_start(model: GaussianMixtureModel, path: str, config: FitConfig) -> None:
    """Refuse to start from a model of another kind than the options ask for.

    Raises:
        ModelError: k, the family, or the use of a noise component differs.
    """
    start, noise = model.parameters, model.parameters.noise is not None
    wanted = config.mixture
    if (start.k, start.family, noise) != (wanted.k, wanted.family, config.fit.noise):
        raise ModelError(
            f"start.model {path}",
            got=_mixture(start.k, start.family, noise=noise),
            expected=f"{_mixture(wanted.k, wanted.family, noise=config.fit.noise)}, as mixture.k, mixture.family and "
            "fit.noise say",
            do=f"Set mixture.k={start.k}, mixture.family={start.family} and fit.noise={str(noise).lower()}, or name "
            "another model.",
        )


def _mixture(k: int, family: str, *, noise: bool) -> str:
    return f"{k} components, {family}, {'with' if noise else 'without'} noise component"


def _check_numbers(model: GaussianMixtureModel, path: str, mixture: MixtureConfig) -> None:
    """Refuse a reference with more components than the fit, before the fit, which may take long.

    Raises:
        ModelError: the reference has more components than `mixture.k`.
    """
    if model.parameters.k > mixture.k:
        raise ModelError(
            f"start.align_to {path}",
            got=f"{model.parameters.k} components",
            expected=f"at most {mixture.k}, the value of mixture.k",
            do="Fit at least that number of components, or unset start.align_to.",
        )
