"""Log-densities and sums by two matrix products over all components at once: the fast path.

    L = Theta Phi        sums += R Phi'

Phi, (F, n), holds the quadratic features of a tile of rows. Here they are ordered by the distance e - i of
the two coordinates in z_i z_e, so that each distance is one product of two runs of contiguous memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics.block import scratch
from gmm_spark.statistics.layouts import feature_count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from gmm_spark.mixture.coordinates import Layout
    from gmm_spark.mixture.parameters import FloatArray

# Rows of a tile. No power of two: rows of Phi in the same cache set halved the speed of the second product.
_WIDTH, _MOST_WIDTH = 768, 8128
# All features of a tile are kept for the second product up to this many bytes, else they are built a second time:
# at d = 32, K = 32 keeping 3.4 MB was as fast, at d = 64 keeping 13 MB a tenth slower.
_KEPT_BYTES = 4 << 20
# OpenBLAS skips its packing, which costs as much as the arithmetic of few components, for products of at most 1e6
# multiplications (and, with a transposed factor, at most 1,024 results). Cutting both products to that size took
# (d, K) = (16, 16) from 0.43 to 0.56 of dgemm and (16, 64) from 0.68 to 0.75. Other BLAS lose a per cent or two.
_UNPACKED, _UNPACKED_RESULTS = 1_000_000, 1024
_LEAST_COLUMNS, _LEAST_FEATURES = 128, 16
_MANY = 32  # from this many components on packing pays in the first product
_CHUNK = 384  # features built at once: with 768 rows 2.4 MB
_JOINT_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class _Chunk:
    """A run of features: how to build it, where it stands in Phi, its part of Theta.

    Args:
        runs: (i, distance, count, row): count products z_i z_(i + distance), their first row in Phi.
        rows: which rows of Phi its products read, the ones and coordinates among them in the first chunk.
        columns: which columns of Theta and the sums these are.
    """

    runs: tuple[tuple[int, int, int, int], ...]
    rows: slice
    columns: slice

    @property
    def count(self) -> int:
        """The number of features."""
        return int(self.rows.stop - self.rows.start)


class ProductEngine:
    """Joint log-densities and sums of one tile of rows after the other.

    Args:
        theta: (k, F) natural parameters in the layout.
        d: coordinates of a row.
        layout: which features.
        dtype: float64 or float32: of the features and the products. The sums over tiles are float64.
    """

    def __init__(self, theta: FloatArray, d: int, layout: Layout, dtype: np.dtype[np.floating]) -> None:
        k, count = theta.shape
        self.width, self.dtype = _width(k, count), dtype
        self._d, self._kept = d, dtype.itemsize * count * self.width <= _KEPT_BYTES
        size = count if self._kept and k > _MANY else int(np.clip(_UNPACKED // (256 * k), _CHUNK // 2, _CHUNK))
        self._order = _by_distance(d, layout)
        self._chunks = tuple(_chunks(d, layout, size, kept=self._kept))
        ordered = np.maximum(theta[:, self._order], np.finfo(dtype).min / 4).astype(dtype)
        self._thetas = [np.ascontiguousarray(ordered[:, chunk.columns]) for chunk in self._chunks]
        self._phi = scratch(max(chunk.rows.stop for chunk in self._chunks) * self.width, dtype)
        self._joint, self._part = scratch(k * self.width, dtype), scratch(k * self.width, dtype)
        self._product, self._sums = np.empty((k, count), dtype), np.zeros((k, count))

    def joint(self, z: FloatArray) -> FloatArray:
        """Return the joint log-densities (k, n) of a tile (d, n), in scratch."""
        n, k = z.shape[1], len(self._sums)
        joint, part = (flat[: k * n].reshape(k, n) for flat in (self._joint, self._part))
        self._phi[:n] = 1
        self._phi[n : (self._d + 1) * n].reshape(z.shape)[:] = z
        for chunk, theta in zip(self._chunks, self._thetas, strict=True):
            self._fill(chunk, n)
            first = chunk is self._chunks[0]
            _columnwise(theta, self._rows(chunk, n), joint if first else part)
            if not first:
                np.add(joint, part, out=joint)
        return joint

    def add(self, shares: FloatArray, z: FloatArray) -> None:
        """Add the sums of the tile that `joint` was last called for, with these weighted responsibilities (k, n)."""
        n = z.shape[1]
        for chunk in reversed(self._chunks):
            if not self._kept and chunk is not self._chunks[-1]:
                self._fill(chunk, n)
            _featurewise(shares, self._rows(chunk, n), self._product[:, chunk.columns])
        self._sums += self._product

    @property
    def sums(self) -> FloatArray:
        """(k, F) the sums over all tiles so far, in the order of the layout."""
        sums = np.empty_like(self._sums)
        sums[:, self._order] = self._sums
        return sums

    def _rows(self, chunk: _Chunk, n: int) -> FloatArray:
        return self._phi[chunk.rows.start * n : chunk.rows.stop * n].reshape(-1, n)

    def _fill(self, chunk: _Chunk, n: int) -> None:
        phi = self._phi
        for i, distance, count, row in chunk.runs:
            one, other, place, size = (1 + i) * n, (1 + i + distance) * n, row * n, count * n
            np.multiply(phi[one : one + size], phi[other : other + size], out=phi[place : place + size])


def _columnwise(theta: FloatArray, phi: FloatArray, out: FloatArray) -> None:
    """Write theta @ phi."""
    n, step = phi.shape[1], _UNPACKED // theta.size
    if step >= n or step < _LEAST_COLUMNS:
        np.matmul(theta, phi, out=out)
        return
    step = ceil(n / ceil(n / step) / 8) * 8
    for low in range(0, n, step):
        np.matmul(theta, phi[:, low : low + step], out=out[:, low : low + step])


def _featurewise(shares: FloatArray, phi: FloatArray, out: FloatArray) -> None:
    """Write shares @ phi.T."""
    count, step = len(phi), _UNPACKED_RESULTS // len(shares)
    if step >= count or step < _LEAST_FEATURES:
        np.matmul(shares, phi.T, out=out)
        return
    for low in range(0, count, step):
        np.matmul(shares, phi[low : low + step].T, out=out[:, low : low + step])


def _width(k: int, count: int) -> int:
    """Return how many rows a tile has: more where a row is little work, fewer where it has very many components."""
    width = _WIDTH if k * count > _UNPACKED_RESULTS else min(_UNPACKED // (k * count), _MOST_WIDTH)
    width = max(128, min(width, _JOINT_BYTES // (8 * k))) // 64 * 64
    return width - 64 if width % 512 == 0 else width


def _distances(d: int, layout: Layout) -> int:
    return {"quadratic": d, "diagonal": 1, "linear": 0}[layout]


def _by_distance(d: int, layout: Layout) -> NDArray[np.intp]:
    """Return the place in the layout of each feature in the order of this module."""
    if layout != "quadratic":
        return np.arange(feature_count(d, layout))
    i, e = np.triu_indices(d)
    return np.concatenate([np.arange(d + 1), d + 1 + np.lexsort((i, e - i))])


def _chunks(d: int, layout: Layout, size: int, *, kept: bool) -> Iterator[_Chunk]:
    """Cut the products into chunks of at most n; each takes the place of the one before unless kept."""
    pending = [(0, distance, d - distance) for distance in range(_distances(d, layout))]
    start = row = d + 1
    low, low_row = 0, 0
    while True:
        runs, room = [], size
        while pending and room:
            i, distance, count = pending.pop(0)
            taken = min(count, room)
            runs.append((i, distance, taken, row + size - room))
            room -= taken
            if taken < count:
                pending.insert(0, (i + taken, distance, count - taken))
        start += size - room
        yield _Chunk(tuple(runs), slice(low_row, row + size - room), slice(low, start))
        if not pending:
            return
        low, row = start, row + (size - room if kept else 0)
        low_row = row
