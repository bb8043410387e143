"""The blocks of rows that the E-step reads, and the scratch memory of the hot code."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics import layouts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.mixture.coordinates import Layout
    from gmm_spark.mixture.parameters import FloatArray

_LINE = 64  # bytes of a cache line; large numpy arrays start 16 bytes into one, which costs 2 to 4 % of a pass


@dataclass(frozen=True, eq=False)
class Block:
    """A block of rows in coordinates z.

    Args:
        z: (d, n) feature-major coordinates, float64, or float32 with half the bytes and an error of about
            6e-8 sqrt(kappa) times the Mahalanobis distance in a log-density.
        weights: (n,) row weights, or None if all are 1.
        precomputed_total: (F,) the sums over the rows in one layout, or None.
    """

    z: FloatArray
    weights: FloatArray | None = None
    precomputed_total: FloatArray | None = None

    @property
    def rows(self) -> int:
        """The number of rows of weight above 0."""
        return int(self.z.shape[1] if self.weights is None else np.count_nonzero(self.weights))

    @property
    def total(self) -> FloatArray:
        """(F,) the precomputed sums over the rows, or else those of the quadratic features."""
        return self.total_in("quadratic") if self.precomputed_total is None else self.precomputed_total

    def total_in(self, layout: Layout) -> FloatArray:
        """Return the (F,) sums of w times the features of the layout (quadratic or diagonal) over all rows."""
        if layout not in self._totals:
            total = layouts.convert_total(self.precomputed_total, len(self.z), layout)
            self._totals[layout] = layouts.sum_features(self.z, self.weights, layout) if total is None else total
        return self._totals[layout]

    @cached_property
    def _totals(self) -> dict[Layout, FloatArray]:
        return {}


def tiles(block: Block, width: int) -> Iterator[tuple[FloatArray, FloatArray | None]]:
    """Yield the rows in tiles of at most `width`: (d, n) coordinates, and (n,) weights or None."""
    for low in range(0, block.z.shape[1], width):
        rows = slice(low, low + width)
        yield block.z[:, rows], None if block.weights is None else block.weights[rows]


def scratch(count: int, dtype: np.dtype[np.floating]) -> FloatArray:
    """Return (count,) uninitialised numbers that start on a cache line."""
    memory = np.empty(count * dtype.itemsize + _LINE, np.uint8)
    start = -memory.ctypes.data % _LINE
    return memory[start : start + count * dtype.itemsize].view(dtype)
