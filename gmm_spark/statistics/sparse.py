"""Sums over only the rows of each component: the second product of a pass if components are far apart.

In many dimensions most rows belong to one component, and almost all responsibilities R are 0. Pairs (row, component)
with r of at most `NOTHING` are left out. That changes no sum by more than NOTHING d W, far below rounding, because
in whitened coordinates a row of weight w is at most sqrt(W / w) from the origin, W the weight of all rows.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics.block import scratch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

NOTHING = 1e-32
# Used from this number of features on, if at most this share of the pairs counts.
LEAST_FEATURES, MOST_SHARE = 24, 1 / 8
# The first rows of a tile decide whether to list its pairs; a wrong decision costs only time.
_FIRST_ROWS = 64


class SparseSums:
    """Sums w r [1, z] [1, z]' for each component over the pairs that count, tile by tile.

    Args:
        k: the number of components.
        d: the number of coordinates of a row.
        width: the largest number of rows in a tile.
        dtype: of the products, float64 or float32. The sums over tiles are float64.
    """

    def __init__(self, k: int, d: int, width: int, dtype: np.dtype[np.floating]) -> None:
        most = int(MOST_SHARE * k * width)
        self._tile, self._rows, self._scaled = (scratch((d + 1) * size, dtype) for size in (width, most, most))
        self._products, self._squares = np.empty((k, d + 1, d + 1), dtype), np.zeros((k, d + 1, d + 1))

    def add(self, shares: FloatArray, z: FloatArray, weights: FloatArray | None) -> bool:
        """Add the sums of a tile if few of its pairs count; return whether they were added.

        Args:
            shares: (k, n) weighted responsibilities w r.
            z: (d, n) the rows.
            weights: (n,) w, or None if all are 1.
        """
        nothing = np.full(z.shape[1], NOTHING) if weights is None else NOTHING * weights
        if not _few(int(np.count_nonzero(shares[:, :_FIRST_ROWS] > nothing[:_FIRST_ROWS])), shares[:, :_FIRST_ROWS]):
            return False
        pairs = np.flatnonzero(shares > nothing)
        if not _few(len(pairs), shares):
            return False
        self._sum(pairs, shares, z)
        self._squares += self._products
        return True

    def _sum(self, pairs: NDArray[np.intp], shares: FloatArray, z: FloatArray) -> None:
        """Write the sums of a tile; pairs: flat indices into the shares, sorted, so component by component."""
        (k, n), size = shares.shape, len(z) + 1
        tile, rows, scaled = (
            flat[: size * count].reshape(size, count)
            for flat, count in ((self._tile, n), (self._rows, len(pairs)), (self._scaled, len(pairs)))
        )
        tile[0], tile[1:] = 1, z
        np.take(tile, pairs % n, axis=1, out=rows, mode="clip")  # the default mode buffers the output
        np.multiply(rows, shares.reshape(-1).take(pairs), out=scaled)
        bounds = np.searchsorted(pairs, np.arange(k + 1) * n).tolist()
        for product, (low, high) in zip(self._products, pairwise(bounds), strict=True):
            np.matmul(scaled[:, low:high], rows[:, low:high].T, out=product)

    @property
    def sums(self) -> FloatArray:
        """(k, F) the sums over the tiles added, in the quadratic layout."""
        i, j = np.triu_indices(self._squares.shape[1])
        return np.asarray(self._squares[:, i, j])


def _few(count: int, shares: FloatArray) -> bool:
    return count <= MOST_SHARE * shares.size
