"""The params of the pyspark.ml face: each defined once, with its type, check and help."""

from __future__ import annotations

import inspect
import math
import operator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from pyspark.ml.param import Param, Params, TypeConverters
from pyspark.ml.param.shared import HasInputCols

from gmm_spark.errors import ConfigurationError
from gmm_spark.mixture.parameters import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gmm_spark.spark.table.columns import Features
    from gmm_spark.spark.table.names import Names

P = TypeVar("P", bound=type)

COLUMN_DEFAULTS = {
    "featuresCol": "features",
    "predictionCol": "prediction",
    "probabilityCol": "probability",
    "logDensityCol": "log_density",
}


@dataclass(frozen=True)
class _Checked:
    """Converts a param's value and checks it; not a closure, because estimators and models are pickled."""

    name: str
    convert: Callable[[Any], Any]
    ok: Callable[[Any], bool]
    expected: str

    def __call__(self, value: Any) -> Any:  # noqa: ANN401 - a param's value is whatever the caller gave
        try:
            converted = self.convert(value)
            accepted = self.ok(converted)
        except (TypeError, ValueError):
            accepted = False
        if not accepted:
            raise ConfigurationError(
                f"param {self.name}", got=repr(value), expected=self.expected, do="Set it to such a value."
            )
        return converted


def _is_measure(value: float) -> bool:
    return 0 <= value < math.inf


def _is_fraction(value: float) -> bool:
    return 0 <= value <= 1


def _is_anything(_: object) -> bool:
    return True


def _at_least(name: str, least: int) -> Callable[[Any], Any]:
    return _Checked(name, TypeConverters.toInt, partial(operator.le, least), f"a whole number of at least {least}")


def _not_negative(name: str) -> Callable[[Any], Any]:
    return _Checked(name, TypeConverters.toFloat, _is_measure, "a finite number of at least 0")


def _rows_or_auto(name: str) -> Callable[[Any], Any]:
    return _Checked(name, _auto_or_float, _is_auto_or_measure, "auto, or a finite number of at least 0")


def _auto_or_float(value: Any) -> float | str:  # noqa: ANN401 - a param's value is whatever the caller gave
    return "auto" if value == "auto" else TypeConverters.toFloat(value)


def _is_auto_or_measure(value: float | str) -> bool:
    return isinstance(value, str) or _is_measure(value)


def _fraction(name: str) -> Callable[[Any], Any]:
    return _Checked(name, TypeConverters.toFloat, _is_fraction, "a number from 0 to 1")


def _one_of(name: str, values: Iterable[str]) -> Callable[[Any], Any]:
    allowed = tuple(values)
    return _Checked(name, TypeConverters.toString, allowed.__contains__, f"one of {', '.join(allowed)}")


def param(name: str, doc: str, converter: Callable[[Any], Any]) -> Param[Any]:
    """Return a param of a class that is being defined."""
    return Param(Params._dummy(), name, doc, converter)  # noqa: SLF001 - pyspark.ml's own idiom


def accessors(cls: P) -> P:
    """Give a class `getName` and `setName` for each of its own params, as pyspark.ml writes them by hand."""
    for name in [name for name, value in vars(cls).items() if isinstance(value, Param)]:
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


def constructor_defaults(cls: type) -> dict[str, Any]:
    """Return the defaults of a class's params: those of its constructor, where they are defined."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    return {
        name: each.default for name, each in signature.parameters.items() if name != "self" and each.default is not None
    }


@accessors
class ColumnParams(HasInputCols):
    """The columns that estimator and model share."""

    featuresCol = param("featuresCol", "the array or vector column of features", TypeConverters.toString)
    inputCols = param("inputCols", "numeric feature columns, used instead of featuresCol", TypeConverters.toListString)
    predictionCol = param("predictionCol", "output: the most probable component, int", TypeConverters.toString)
    probabilityCol = param("probabilityCol", "output: P(Z = k | x), array<double>", TypeConverters.toString)
    logDensityCol = param("logDensityCol", "output: log p(x) in nats, double", TypeConverters.toString)

    def _features(self, table: Names) -> Features:
        from gmm_spark.spark.table.columns import Features  # noqa: PLC0415 - params are defined without a session

        names = self.getOrDefault("inputCols") if self.isDefined("inputCols") else None
        return Features.of(table, input_cols=names, features_col=self.getOrDefault("featuresCol"))


@accessors
class FitParams(ColumnParams):
    """The params of the estimator alone."""

    k = param("k", "number of components, at least 1", _at_least("k", 1))
    covarianceType = param(
        "covarianceType", f"covariance family: {', '.join(FAMILIES)}", _one_of("covarianceType", FAMILIES)
    )
    weightCol = param("weightCol", "row weights, finite and at least 0; unset: 1 each", TypeConverters.toString)
    maxIter = param("maxIter", "most EM steps on all rows", _at_least("maxIter", 0))
    tol = param(
        "tol", "stop when less than this is to be gained, in nats per row; 0: run maxIter steps", _not_negative("tol")
    )
    seed = param(
        "seed", "decides the sample and the starts", _Checked("seed", TypeConverters.toInt, _is_anything, "an int")
    )
    initMode = param("initMode", "k-means++ or random", _one_of("initMode", ("k-means++", "random")))
    starts = param("starts", "short EM runs on a sample, the best of which are continued", _at_least("starts", 1))
    acceleration = param("acceleration", "squarem, or none for plain EM", _one_of("acceleration", ("squarem", "none")))
    covarianceFloor = param(
        "covarianceFloor",
        "least variance of a component where the data has unit variance; 0: no floor",
        _not_negative("covarianceFloor"),
    )
    covariancePrior = param(
        "covariancePrior",
        "pseudo-rows of the data's covariance in each component's, so that none collapses; auto: 2 / sqrt(rows); "
        "0: maximum likelihood",
        _rows_or_auto("covariancePrior"),
    )
    minComponentWeight = param(
        "minComponentWeight",
        "rows of mean weight that a component holds at least, where any start leads to that; auto: 4 (features + 1), "
        "at most rows / (2 k); 0: none",
        _rows_or_auto("minComponentWeight"),
    )
    noise = param(
        "noise", "a uniform component for rows that belong to no cluster: prediction -1", TypeConverters.toBoolean
    )
    precision = param(
        "precision",
        "float64; or float32: blocks of half the size, and products in float32 where they err by less than 1e-3 nats",
        _one_of("precision", ("float64", "float32")),
    )
    checkpointDir = param(
        "checkpointDir", "folder for the progress of this fit alone; unset: it is not kept", TypeConverters.toString
    )
    checkpointSeconds = param(
        "checkpointSeconds",
        "least seconds between two checkpoints; 0: one after every pass",
        _not_negative("checkpointSeconds"),
    )
    keepLastCheckpoint = param(
        "keepLastCheckpoint", "leave the last checkpoint when the fit has ended", TypeConverters.toBoolean
    )
    resume = param(
        "resume",
        "a fit that was broken off: auto goes on where it can, require refuses to start again, never starts again",
        _one_of("resume", ("auto", "never", "require")),
    )
    handleInvalid = param(
        "handleInvalid",
        "error: refuse a table with unusable rows; skip: leave them out and count them",
        _one_of("handleInvalid", ("error", "skip")),
    )
    maxInvalidFraction = param(
        "maxInvalidFraction",
        "with handleInvalid=skip: refuse a table with a larger share of unusable rows",
        _fraction("maxInvalidFraction"),
    )
