"""The rows that a mixture explains worst: a small reservoir that travels with the statistics.

Each row is [log p(z), z_1 .. z_d]; a reservoir holds the least few of them in lexicographic order. Ties
in the density are broken by the coordinates, so the least of a union of rows are the least of the
parts' least, however the rows were divided: merging is a commutative monoid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

# As many components as can be reseeded at once; 8 rows are a few per cent of the sums that they travel with.
SIZE = 8
# A bound that is a little too high costs less than one that is sharpened with every row.
_MOST_NEW = 4


def empty_reservoir(d: int, size: int = SIZE) -> FloatArray:
    """Return the (size, 1 + d) reservoir of no rows: places not taken are infinite."""
    return np.full((size, 1 + d), np.inf)


def merge_reservoirs(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the reservoir of the rows of both, which are of one size."""
    rows = np.concatenate([one, other])
    order = np.argsort(rows[:, 0], kind="stable")
    density = rows[order, 0]
    if (density[1:] == density[:-1]).any():
        order = np.lexsort(rows.T[::-1])
    return np.asarray(rows[order[: len(one)]])


def distinct_points(reservoir: FloatArray) -> FloatArray:
    """Return (m, d) the coordinates of its distinct rows, the least likely first."""
    rows = reservoir[np.isfinite(reservoir[:, 0]), 1:]
    _, first = np.unique(rows, axis=0, return_index=True)
    return np.asarray(rows[np.sort(first)])


class Reservoir:
    """A reservoir being filled, tile by tile; private to its task.

    Almost every tile costs one look for its least density.
    """

    def __init__(self, d: int, size: int = SIZE) -> None:
        self._kept, self._size = empty_reservoir(d, size), size
        self._bound = np.inf
        self._new: list[FloatArray] = []
        self._count = 0

    @property
    def rows(self) -> FloatArray:
        """(size, 1 + d) the least of all rows that were offered."""
        self._settle()
        return self._kept

    def offer(self, log_density: FloatArray, z: FloatArray, weights: FloatArray | None) -> None:
        """Take what is least of the tile's rows.

        Args:
            log_density: (n,) log p of the rows.
            z: (d, n) their coordinates.
            weights: (n,) row weights; a row of weight 0 is none. None where all are 1.
        """
        if not log_density.size or log_density[log_density.argmin()] > self._bound:
            return
        below = log_density <= self._bound
        low = np.flatnonzero(below if weights is None else below & (weights > 0))
        if low.size > self._size:  # in the first tile, and where a value is repeated
            values = log_density[low]
            low = low[values <= np.partition(values, self._size - 1)[self._size - 1]]
        self._new.append(np.concatenate([log_density[None, low], z[:, low]]))
        self._count += low.size
        if self._count > _MOST_NEW * self._size or self._bound == np.inf:
            self._settle()

    def _settle(self) -> None:
        if self._new:
            rows = np.concatenate(self._new, axis=1) + 0.0  # there is one zero, not two
            self._kept = merge_reservoirs(self._kept, rows[:, _least(rows, self._size)].T)
            self._bound, self._count = float(self._kept[-1, 0]), 0
            self._new.clear()


def _least(keys: FloatArray, wanted: int) -> NDArray[np.intp]:
    """Return the places of n lexicographically least columns, in no order, in linear time."""
    undecided = np.arange(keys.shape[1])
    chosen: list[NDArray[np.intp]] = []
    for key in keys:
        if len(undecided) <= wanted:
            break
        values = key[undecided]
        bound = np.partition(values, wanted - 1)[wanted - 1]
        chosen.append(undecided[values < bound])
        wanted -= len(chosen[-1])
        undecided = undecided[values == bound]
    return np.concatenate([*chosen, undecided[:wanted]])
