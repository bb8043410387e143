"""The least likely rows under a mixture: a small reservoir that is part of the statistics.

Each row is [log p(z), z_1 .. z_d]; a reservoir contains the first few in lexicographic order. The
coordinates break ties in the density, so the reservoir of all rows follows from the reservoirs of any
partition of the rows: merging is a commutative monoid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

# The largest number of components that are reseeded at once; 8 rows are a few per cent of the bytes of the sums.
SIZE = 8
# New rows are merged after this number times the size: a slightly high bound costs less than frequent merges.
_MOST_NEW = 4


def empty_reservoir(d: int, size: int = SIZE) -> FloatArray:
    """Return the (size, 1 + d) reservoir of no rows: empty places are infinite."""
    return np.full((size, 1 + d), np.inf)


def merge_reservoirs(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the reservoir of the rows of two reservoirs of the same size."""
    rows = np.concatenate([one, other])
    order = np.argsort(rows[:, 0], kind="stable")
    density = rows[order, 0]
    if (density[1:] == density[:-1]).any():
        order = np.lexsort(rows.T[::-1])
    return np.asarray(rows[order[: len(one)]])


def distinct_points(reservoir: FloatArray) -> FloatArray:
    """Return (m, d) the coordinates of the distinct rows of a reservoir, the least likely first."""
    rows = reservoir[np.isfinite(reservoir[:, 0]), 1:]
    _, first = np.unique(rows, axis=0, return_index=True)
    return np.asarray(rows[np.sort(first)])


class Reservoir:
    """Fills a reservoir, tile by tile; private to its task.

    Almost every tile costs only the search for its least density.
    """

    def __init__(self, d: int, size: int = SIZE) -> None:
        self._merged, self._size = empty_reservoir(d, size), size
        self._bound = np.inf
        self._new: list[FloatArray] = []
        self._count = 0

    @property
    def rows(self) -> FloatArray:
        """(size, 1 + d) the least likely of all rows offered so far."""
        self._settle()
        return self._merged

    def offer(self, log_density: FloatArray, z: FloatArray, weights: FloatArray | None) -> None:
        """Add the least likely rows of a tile.

        Args:
            log_density: (n,) log p of the rows.
            z: (d, n) their coordinates.
            weights: (n,) row weights, or None if all are 1; rows of weight 0 are ignored.
        """
        if not log_density.size or log_density[log_density.argmin()] > self._bound:
            return
        below = log_density <= self._bound
        low = np.flatnonzero(below if weights is None else below & (weights > 0))
        if low.size > self._size:  # in the first tile, and if values are repeated
            values = log_density[low]
            low = low[values <= np.partition(values, self._size - 1)[self._size - 1]]
        self._new.append(np.concatenate([log_density[None, low], z[:, low]]))
        self._count += low.size
        if self._count > _MOST_NEW * self._size or self._bound == np.inf:
            self._settle()

    def _settle(self) -> None:
        if self._new:
            rows = np.concatenate(self._new, axis=1) + 0.0  # turns -0.0 into 0.0
            self._merged = merge_reservoirs(self._merged, rows[:, _least(rows, self._size)].T)
            self._bound, self._count = float(self._merged[-1, 0]), 0
            self._new.clear()


def _least(keys: FloatArray, wanted: int) -> NDArray[np.intp]:
    """Return the indices of the `wanted` lexicographically least columns, in any order, in linear time."""
    undecided = np.arange(keys.shape[1])
    least: list[NDArray[np.intp]] = []
    for key in keys:
        if len(undecided) <= wanted:
            break
        values = key[undecided]
        bound = np.partition(values, wanted - 1)[wanted - 1]
        least.append(undecided[values < bound])
        wanted -= len(least[-1])
        undecided = undecided[values == bound]
    return np.concatenate([*least, undecided[:wanted]])
