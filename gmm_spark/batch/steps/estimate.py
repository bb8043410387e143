"""From the options of a job to an estimator, and what a fitted model must be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gmm_spark.em.convergence import Outcome
from gmm_spark.errors import NotConvergedError
from gmm_spark.spark.ml.estimator import GaussianMixture

if TYPE_CHECKING:
    from gmm_spark.batch.options.sections import EstimationConfig, FeaturesConfig
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
    given = {"inputCols": names, "featuresCol": columns.column, "weightCol": columns.weight, **own}
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
        **{name: value for name, value in given.items() if value is not None},
    )


def check_convergence(how: EstimationConfig, summary: Summary) -> None:
    """Refuse a model that did not converge, if the options ask for that.

    Raises:
        NotConvergedError: they do, and it did not.
    """
    if how.require_convergence and summary.outcome != "converged":
        raise NotConvergedError(
            "the fit",
            got=f"{summary.outcome} after {summary.numPasses} passes",
            expected="converged, as fit.require_convergence asks",
            do=summary.message,
            options=Outcome(summary.outcome).options,
        )
