"""Gaussian mixtures by EM on Apache Spark."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gmm_spark.version import __version__

if TYPE_CHECKING:
    from gmm_spark.spark.ml.estimator import GaussianMixture
    from gmm_spark.spark.ml.evaluator import MeanLogLikelihoodEvaluator
    from gmm_spark.spark.ml.model import GaussianMixtureModel

__all__ = ["GaussianMixture", "GaussianMixtureModel", "MeanLogLikelihoodEvaluator", "__version__"]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:  # noqa: ANN401 - the core imports without pyspark, the estimator on demand
    if name in __all__:
        from gmm_spark.spark.ml import estimator, evaluator  # noqa: PLC0415

        return getattr(evaluator if name.endswith("Evaluator") else estimator, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
