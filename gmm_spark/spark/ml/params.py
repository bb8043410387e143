"""The params of the pyspark.ml classes: `gmm_spark.options` defines the name, default, help and check of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.ml.param import Param, Params
from pyspark.ml.param.shared import HasInputCols

from gmm_spark.options import BY_PARAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from gmm_spark.spark.table.columns import Features
    from gmm_spark.spark.table.names import Names

P = TypeVar("P", bound=type)


@dataclass(frozen=True)
class _Checked:
    """Checks and converts the value of a param; not a closure, because estimators and models are pickled."""

    name: str

    def __call__(self, value: Any) -> Any:  # noqa: ANN401 - any value of the caller
        return BY_PARAM[self.name].checked(value, f"param {self.name}")


def param(name: str, doc: str = "") -> Param[Any]:
    """Return a param for a class body; its help is `doc`, or the help of its option."""
    return Param(Params._dummy(), name, doc or BY_PARAM[name].doc, _Checked(name))  # noqa: SLF001 - pyspark.ml's idiom


def set_defaults(instance: Params) -> None:
    """Set the defaults of an instance's params to those of their options."""
    defaults = {param.name: BY_PARAM[param.name].default for param in instance.params}
    instance._setDefault(**{name: value for name, value in defaults.items() if value is not None})  # noqa: SLF001 - as above


def accessors(cls: P) -> P:
    """Add methods `getName` and `setName` for each param of a class, as pyspark.ml has them."""
    for name in [name for name in dir(cls) if isinstance(getattr(cls, name), Param)]:
        getter, setter = f"get{name[0].upper()}{name[1:]}", f"set{name[0].upper()}{name[1:]}"
        if not hasattr(cls, getter):
            setattr(cls, getter, _getter(name, getter))
        if not hasattr(cls, setter):
            setattr(cls, setter, _setter(name, setter))
    return cls


def _getter(name: str, method: str) -> Callable[[Any], Any]:
    def get(self: Any) -> Any:  # noqa: ANN401
        return self.getOrDefault(name)

    get.__name__, get.__doc__ = method, f"Return the value of {name} or its default."
    return get


def _setter(name: str, method: str) -> Callable[[Any, Any], Any]:
    def set_(self: Any, value: Any) -> Any:  # noqa: ANN401
        return self._set(**{name: value})

    set_.__name__, set_.__doc__ = method, f"Set {name} and return self."
    return set_


@accessors
class ColumnParams(HasInputCols):
    """The column params that estimator and model share."""

    featuresCol = param("featuresCol")
    inputCols = param("inputCols")
    predictionCol = param("predictionCol")
    probabilityCol = param("probabilityCol")
    logDensityCol = param("logDensityCol")

    def _features(self, table: Names) -> Features:
        from gmm_spark.spark.table.columns import Features  # noqa: PLC0415 - params are defined without a session

        names = self.getOrDefault("inputCols") if self.isDefined("inputCols") else None
        return Features.of(table, input_cols=names, features_col=self.getOrDefault("featuresCol"))


@accessors
class FitParams(ColumnParams):
    """The params of the estimator alone."""

    k = param("k")
    covarianceType = param("covarianceType")
    weightCol = param("weightCol")
    maxIter = param("maxIter")
    tol = param("tol")
    seed = param("seed")
    initMode = param("initMode")
    starts = param("starts")
    acceleration = param("acceleration")
    covarianceFloor = param("covarianceFloor")
    covariancePrior = param("covariancePrior")
    minComponentWeight = param("minComponentWeight")
    noise = param("noise")
    precision = param("precision")
    handleInvalid = param("handleInvalid")
    maxInvalidFraction = param("maxInvalidFraction")
    checkpointDir = param("checkpointDir")
    checkpointSeconds = param("checkpointSeconds")
    resume = param("resume")
    keepLastCheckpoint = param("keepLastCheckpoint")
