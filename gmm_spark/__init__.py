"""Gaussian mixtures by EM on Apache Spark."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gmm_spark.version import __version__

if TYPE_CHECKING:
    from gmm_spark.fit import FittedMixture, fit
    from gmm_spark.spark.ml.estimator import GaussianMixture
    from gmm_spark.spark.ml.evaluator import MeanLogLikelihoodEvaluator
    from gmm_spark.spark.ml.model import GaussianMixtureModel
    from gmm_spark.spark.ml.select import ModelSelection, select

__all__ = [
    "FittedMixture",
    "GaussianMixture",
    "GaussianMixtureModel",
    "MeanLogLikelihoodEvaluator",
    "ModelSelection",
    "__version__",
    "fit",
    "select",
]

# Where each name is: imported on demand, for `fit` needs numpy alone, a job sets numpy's threads before it imports
# numpy, and the rest needs pyspark.
_HOMES = {
    "FittedMixture": "fit",
    "GaussianMixture": "spark.ml.estimator",
    "GaussianMixtureModel": "spark.ml.model",
    "MeanLogLikelihoodEvaluator": "spark.ml.evaluator",
    "ModelSelection": "spark.ml.select",
    "select": "spark.ml.select",
}


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a class or a function
    if name == "fit":  # a package that can be called, as it is once something has imported it
        return import_module("gmm_spark.fit")
    if name in _HOMES:
        return getattr(import_module(f"gmm_spark.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
