"""What a person gave to `gmm_spark.fit`, checked: errors say which, what was got, what was expected, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.errors import ConfigurationError, DataError
from gmm_spark.fit.rows_in_memory import Table
from gmm_spark.mixture.parameters import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.options import Options

_LARGEST = 1e150  # squares of larger magnitudes overflow: they are as unusable as an infinity
_LEAST_WEIGHT = 1e-140  # the square of a smaller total is no number


def rows_of(x: ArrayLike, d: int | None = None) -> FloatArray:
    """Return x as (n, d) float64.

    Raises:
        DataError: it has another shape, or is no array of numbers.
    """
    expected = "numbers of shape (n, d): a row per observation" if d is None else f"numbers of shape (n, {d})"
    try:
        rows = np.asarray(x, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("x", got=str(error), expected=expected, do="Leave out columns that hold no numbers.") from error
    rows = rows[:, None] if rows.ndim == 1 and d in (None, 1) else rows
    if rows.ndim != 2 or rows.shape[1] == 0 or d not in (None, rows.shape[1]):  # noqa: PLR2004 - n and d
        raise DataError("x", got=f"shape {rows.shape}", expected=expected, do="Reshape it, or select its columns.")
    return rows


def table_of(x: ArrayLike, weights: ArrayLike | None) -> Table:
    """Return the rows of a weight above 0.

    Raises:
        DataError: there are none, or some can't be used.
    """
    rows = rows_of(x)
    bad = np.flatnonzero(~(np.abs(rows) <= _LARGEST).all(axis=1))
    if bad.size:
        raise DataError(
            "x",
            got=f"{bad.size} of {len(rows)} rows with NaN, an infinity or a value above 1e150, the first in row "
            f"{bad[0]}",
            expected="finite values in every row",
            do="Leave these rows out, or mend them: x[np.isfinite(x).all(axis=1)].",
        )
    own = None if weights is None else _weights_of(weights, len(rows))
    if own is not None:
        rows, own = (rows, own) if own.all() else (rows[own > 0], own[own > 0])
    if not len(rows) or (own is not None and own.sum() < _LEAST_WEIGHT):
        raise DataError(
            "weights" if len(rows) else "x",
            got=f"{len(rows)} rows of a weight above 0, {0.0 if own is None else own.sum():.3g} in all",
            expected=f"at least one row, and weights of at least {_LEAST_WEIGHT:g} in all",
            do="Check how the rows were selected.",
        )
    return Table(rows, own)


def _weights_of(weights: ArrayLike, n: int) -> FloatArray:
    """Return weights as (n,) float64.

    Raises:
        DataError: they have another shape, or some can't be used.
    """
    expected = f"{n} finite numbers of at least 0, one for each row"
    try:
        own = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError("weights", got=str(error), expected=expected, do="Give numbers.") from error
    if own.shape != (n,):
        raise DataError("weights", got=f"shape {own.shape}", expected=expected, do="Give one for each row of x.")
    bad = np.flatnonzero(~((own >= 0) & (own <= _LARGEST)))
    if bad.size:
        got = f"{bad.size} that are negative, NaN or infinite, the first {own[bad[0]]:g} in row {bad[0]}"
        raise DataError("weights", got=got, expected=expected, do="Mend them, or leave these rows out.")
    return own


def checked_initial(initial: Parameters | None, d: int, options: Options) -> Parameters | None:
    """Return the initial mixture if it fits the rows and the options.

    Raises:
        ConfigurationError: it does not.
    """
    if initial is None:
        return None
    given = initial.k, initial.d, initial.family, initial.noise is not None
    wanted = options.k, d, options.family, options.noise
    if given != wanted:
        raise ConfigurationError(
            "initial mixture",
            got="k = {}, d = {}, covarianceType = {}, noise = {}".format(*given),
            expected="k = {}, d = {}, covarianceType = {}, noise = {}".format(*wanted),
            do="Set k, covarianceType and noise to the mixture's, and give the features that it was fitted on.",
        )
    return initial


def checked_options(options: Options) -> Options:
    """Return the options.

    Raises:
        ConfigurationError: one is out of its range.
    """
    auto = "auto, or a finite number of at least 0"
    _check("k", options.k, "a whole number of at least 1", ok=_is_whole(options.k, 1))
    _check("covarianceType", options.family, f"one of {', '.join(FAMILIES)}", ok=options.family in FAMILIES)
    _check("maxIter", options.max_iter, "a whole number of at least 0", ok=_is_whole(options.max_iter, 0))
    _check("starts", options.starts, "a whole number of at least 1", ok=_is_whole(options.starts, 1))
    _check("seed", options.seed, "a whole number of at least 0", ok=_is_whole(options.seed, 0))
    _check("tol", options.tol, "a finite number of at least 0", ok=_is_measure(options.tol))
    _check("covarianceFloor", options.floor, "a finite number of at least 0", ok=_is_measure(options.floor))
    _check("covariancePrior", options.prior, auto, ok=options.prior == "auto" or _is_measure(options.prior))
    _check("minComponentWeight", options.least, auto, ok=options.least == "auto" or _is_measure(options.least))
    for name, value, words in (
        ("initMode", options.init_mode, ("k-means++", "random")),
        ("acceleration", options.acceleration, ("squarem", "none")),
        ("precision", options.precision, ("float64", "float32")),
    ):
        _check(name, value, f"one of {', '.join(words)}", ok=value in words)
    return options


def _check(name: str, value: object, expected: str, *, ok: bool) -> None:
    if not ok:
        raise ConfigurationError(name, got=repr(value), expected=expected, do="Set it to such a value.")


def _is_whole(value: Any, least: int) -> bool:  # noqa: ANN401 - whatever the caller gave
    return bool(isinstance(value, int | np.integer) and not isinstance(value, bool) and value >= least)


def _is_measure(value: Any) -> bool:  # noqa: ANN401 - whatever the caller gave
    return bool(isinstance(value, int | float | np.number) and 0 <= value < np.inf)
