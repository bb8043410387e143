"""Numpy rows from Arrow batches, each with the reason why it can't be used, if any."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gmm_spark.statistics.survey import LARGEST, REASONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

_OK, _NULL, _WRONG_LENGTH, _NAN, _INFINITE, _BAD_WEIGHT = range(len(REASONS))


@dataclass(frozen=True)
class RowLayout:
    """The meaning of the columns of a batch.

    Args:
        d: the number of features.
        array: whether the features are one list column, not d columns.
        weighted: whether a weight column follows the features.
    """

    d: int
    array: bool
    weighted: bool


@dataclass(frozen=True, eq=False)
class DecodedRows:
    """Decoded rows of a batch, valid or not.

    Args:
        x: (d, n) values, feature-major; NaN for a missing value.
        weights: (n,), or None if all are 1.
        reasons: (n,) indices into `REASONS`.
    """

    x: FloatArray
    weights: FloatArray | None
    reasons: np.ndarray[Any, np.dtype[np.int8]]

    def valid(self) -> DecodedRows:
        """Return the usable rows; the same object if all are usable."""
        return self if not self.reasons.any() else self._select(self.reasons == _OK)

    def with_weight(self) -> DecodedRows:
        """Return the rows with a weight above 0; the same object if all have one."""
        return self if self.weights is None or self.weights.all() else self._select(self.weights > 0)

    def where(self, wanted: Callable[[FloatArray], NDArray[np.bool_]]) -> DecodedRows:
        """Return the rows for whose (d, n) values the function is true."""
        return self._select(wanted(self.x))

    def _select(self, chosen: NDArray[np.bool_]) -> DecodedRows:
        return DecodedRows(
            self.x[:, chosen], None if self.weights is None else self.weights[chosen], self.reasons[chosen]
        )


def decode(columns: list[pa.Array], layout: RowLayout) -> DecodedRows:
    """Return the rows of Arrow columns: the features, then the weight if there is one."""
    read = _from_list if layout.array else _from_columns
    x, reasons = read(columns, layout.d)
    _mark(reasons, np.asarray(np.isnan(x).any(axis=0)), _NAN)
    _mark(reasons, np.asarray((np.abs(x) > LARGEST).any(axis=0)), _INFINITE)
    if not layout.weighted:
        return DecodedRows(x, None, reasons)
    weights = columns[-1].to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    _mark(reasons, ~((weights >= 0) & (weights <= LARGEST)), _BAD_WEIGHT)
    return DecodedRows(x, weights, reasons)


def row_faults(columns: list[pa.Array], layout: RowLayout) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Return (reasons, n): whether each row has each fault; `decode` returns the first fault only."""
    n = len(columns[0])
    faults = np.zeros((len(REASONS), n), dtype=np.bool_)
    if layout.array:
        lengths = pc.list_value_length(columns[0])
        faults[_NULL] = _nulls(columns[0])
        faults[_WRONG_LENGTH] = lengths.fill_null(layout.d).to_numpy(zero_copy_only=False) != layout.d
        rows = np.repeat(np.arange(n), lengths.fill_null(0).to_numpy(zero_copy_only=False))
        _mark_cells(faults, columns[0].flatten(), rows)
    else:
        for values in columns[: layout.d]:
            _mark_cells(faults, values, np.arange(n))
    if layout.weighted:
        weights = columns[-1].to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        faults[_BAD_WEIGHT] = ~((weights >= 0) & (weights <= LARGEST))
    return faults


def _mark_cells(faults: np.ndarray[Any, np.dtype[np.bool_]], values: pa.Array, rows: np.ndarray[Any, Any]) -> None:
    """Mark the rows that have a cell without a usable number."""
    missing = _nulls(values)
    x = values.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    for reason, cells in ((_NULL, missing), (_NAN, np.isnan(x) & ~missing), (_INFINITE, np.abs(x) > LARGEST)):
        faults[reason, rows[cells]] = True


def _from_columns(columns: list[pa.Array], d: int) -> tuple[FloatArray, np.ndarray[Any, np.dtype[np.int8]]]:
    x = np.empty((d, len(columns[0])))
    reasons = np.zeros(x.shape[1], dtype=np.int8)
    for i, values in enumerate(columns[:d]):
        x[i] = values.to_numpy(zero_copy_only=False)
        if values.null_count:
            _mark(reasons, _nulls(values), _NULL)
    return x, reasons


def _from_list(columns: list[pa.Array], d: int) -> tuple[FloatArray, np.ndarray[Any, np.dtype[np.int8]]]:
    lists = columns[0]
    n = len(lists)
    reasons = np.zeros(n, dtype=np.int8)
    missing = _nulls(lists)
    _mark(reasons, missing, _NULL)
    lengths = pc.list_value_length(lists).fill_null(d).to_numpy(zero_copy_only=False)
    _mark(reasons, lengths != d, _WRONG_LENGTH)
    fits = ~missing & (lengths == d)
    values = (lists if fits.all() else lists.filter(pa.array(fits))).flatten()
    x = np.full((d, n), np.nan)
    x[:, fits] = values.to_numpy(zero_copy_only=False).reshape(-1, d).T
    if values.null_count:
        holes = np.zeros(n, dtype=np.bool_)
        holes[fits] = _nulls(values).reshape(-1, d).any(axis=1)
        _mark(reasons, holes, _NULL)
    return x, reasons


def _nulls(values: pa.Array) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(values.is_null().to_numpy(zero_copy_only=False))


def _mark(reasons: np.ndarray[Any, np.dtype[np.int8]], bad: np.ndarray[Any, np.dtype[np.bool_]], code: int) -> None:
    reasons[bad & (reasons == _OK)] = code
