"""The checks of the arguments of `gmm_spark.fit`: an error names the argument, what it got and expected, what to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import DataError
from gmm_spark.fit.rows_in_memory import ArrayTable
from gmm_spark.statistics.survey import LARGEST, LEAST_WEIGHT

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gmm_spark.mixture.parameters import FloatArray


def rows_of(x: ArrayLike, d: int | None = None) -> FloatArray:
    """Return x as (n, d) float64.

    Raises:
        DataError: x has another shape, or is no array of numbers.
    """
    expected = "numbers of shape (n, d), one row per observation" if d is None else f"numbers of shape (n, {d})"
    try:
        rows = _numbers(x)
    except (TypeError, ValueError) as error:
        raise DataError("x", got=str(error), expected=expected, do="Leave out columns without numbers.") from error
    rows = rows[:, None] if rows.ndim == 1 and d in (None, 1) else rows
    if rows.ndim != 2 or rows.shape[1] == 0 or d not in (None, rows.shape[1]):  # noqa: PLR2004 - n and d
        raise DataError("x", got=f"shape {rows.shape}", expected=expected, do="Reshape it, or select its columns.")
    return rows


def usable_rows(x: ArrayLike, d: int | None = None) -> FloatArray:
    """Return x as (n, d) float64, for a fit or a posterior.

    Raises:
        DataError: x has another shape, is no array of numbers, or some rows can't be used.
    """
    rows = rows_of(x, d)
    bad = np.flatnonzero(~(np.abs(rows) <= LARGEST).all(axis=1))
    if bad.size:
        raise DataError(
            "x",
            got=f"{bad.size} of {len(rows)} rows with NaN, an infinity or a value above 1e150, the first in row "
            f"{bad[0]}",
            expected="finite values in every row",
            do="Leave these rows out, or correct them: x[np.isfinite(x).all(axis=1)].",
        )
    return rows


def table_of(x: ArrayLike, weights: ArrayLike | None) -> ArrayTable:
    """Return the rows with a weight above 0.

    Raises:
        DataError: there are no such rows, or some rows can't be used.
    """
    rows = usable_rows(x)
    values = None if weights is None else _weights_of(weights, len(rows))
    if values is not None:
        rows, values = (rows, values) if values.all() else (rows[values > 0], values[values > 0])
    if not len(rows) or (values is not None and values.sum() < LEAST_WEIGHT):
        raise DataError(
            "weights" if len(rows) else "x",
            got=f"{len(rows)} rows with a weight above 0, {0.0 if values is None else values.sum():.3g} in all",
            expected=f"at least one row, and weights of at least {LEAST_WEIGHT:g} in all",
            do="Check how the rows were selected.",
        )
    return ArrayTable(rows, values)


def _numbers(values: ArrayLike) -> FloatArray:
    """Return float64; what a mask hides is missing, and so NaN.

    Raises:
        TypeError: not all are real numbers.
        ValueError: as TypeError, or rows of several lengths.
    """
    array = np.asarray(values)
    if array.dtype.kind == "c":
        raise TypeError("complex numbers")
    array = array.astype(np.float64, copy=False)
    return np.where(np.ma.getmaskarray(values), np.nan, array) if isinstance(values, np.ma.MaskedArray) else array


def _weights_of(weights: ArrayLike, n: int) -> FloatArray:
    """Return weights as (n,) float64.

    Raises:
        DataError: the weights have another shape, or some can't be used.
    """
    expected = f"{n} finite numbers of at least 0, one per row"
    try:
        values = _numbers(weights)
    except (TypeError, ValueError) as error:
        raise DataError("weights", got=str(error), expected=expected, do="Give numbers.") from error
    if values.shape != (n,):
        raise DataError("weights", got=f"shape {values.shape}", expected=expected, do="Give one weight per row of x.")
    bad = np.flatnonzero(~((values >= 0) & (values <= LARGEST)))
    if bad.size:
        got = f"{bad.size} that are negative, NaN or infinite, the first {values[bad[0]]:g} in row {bad[0]}"
        raise DataError("weights", got=got, expected=expected, do="Correct them, or leave these rows out.")
    return values
