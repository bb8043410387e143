"""Log-densities and sums by two matrix products over all components at once: the fast path.

    L = Theta Phi        sums += R Phi'

Phi, (F, n), contains the quadratic features of a tile of rows. This module orders them by the distance e - i
of the coordinates in z_i z_e, so that each distance is one product of two runs of contiguous memory.
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

# Rows of a tile. Not a power of two: rows of Phi in the same cache set halved the speed of the second product.
_WIDTH, _MOST_WIDTH = 768, 8128
_LEAST_FEATURES = 16
_MANY = 32  # from this number of components on packing makes the first product faster
_JOINT_BYTES = 1 << 20


@dataclass(frozen=True)
class Sizes:
    """The sizes of the blocks of both products; they change the sums only by rounding.

    OpenBLAS skips its packing for products of at most 1e6 multiplications (and, with a transposed factor, at most 1,024
    results). With few components packing costs as much as the arithmetic. Blocks of that size run at 0.56 of dgemm
    instead of 0.43 at (d, K) = (16, 16), and at 0.75 instead of 0.68 at (16, 64). Other BLAS lose 1 to 2 %.

    Args:
        stored_bytes: up to this size the features of a tile stay in memory for the second product, else they are
            computed twice: storing 3.4 MB at d = 32, K = 32 was as fast, storing 13 MB at d = 64 a tenth slower.
        chunk: the number of features computed at once: 2.4 MB with 768 rows.
        unpacked: the multiplications of a product that BLAS does not pack.
        unpacked_results: the results of a product with a transposed factor that BLAS does not pack.
        least_columns: the least number of columns of a block; with fewer the product is not cut.
    """

    stored_bytes: int = 4 << 20
    chunk: int = 384
    unpacked: int = 1_000_000
    unpacked_results: int = 1024
    least_columns: int = 128


_SIZES = Sizes()


@dataclass(frozen=True, eq=False)
class _Chunk:
    """A run of features: how to compute it, its place in Phi, and its part of Theta.

    Args:
        runs: (i, distance, count, row): count products z_i z_(i + distance), their first row in Phi.
        rows: the rows of Phi that the products with it read; in the first chunk also the ones and the coordinates.
        columns: the columns of Theta and of the sums.
    """

    runs: tuple[tuple[int, int, int, int], ...]
    rows: slice
    columns: slice

    @property
    def count(self) -> int:
        """The number of features."""
        return int(self.rows.stop - self.rows.start)


class ProductEngine:
    """Computes joint log-densities and sums of rows, tile by tile.

    Args:
        theta: (k, F) natural parameters in the layout.
        d: the number of coordinates of a row.
        layout: the features.
        dtype: of the features and the products, float64 or float32. The sums over tiles are float64.
        sizes: of the blocks of the products.
    """

    def __init__(
        self, theta: FloatArray, d: int, layout: Layout, dtype: np.dtype[np.floating], sizes: Sizes = _SIZES
    ) -> None:
        k, count = theta.shape
        self.width, self.dtype = _width(k, count, sizes), dtype
        self._d, self._is_stored, self._sizes = d, dtype.itemsize * count * self.width <= sizes.stored_bytes, sizes
        chunk = int(np.clip(sizes.unpacked // (256 * k), sizes.chunk // 2, sizes.chunk))
        size = count if self._is_stored and k > _MANY else chunk
        self._order = _by_distance(d, layout)
        self._chunks = tuple(_chunks(d, layout, size, is_stored=self._is_stored))
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
            _columnwise(theta, self._rows(chunk, n), joint if first else part, self._sizes)
            if not first:
                np.add(joint, part, out=joint)
        return joint

    def add(self, shares: FloatArray, z: FloatArray) -> None:
        """Add the sums of the tile of the last call of `joint`, with weighted responsibilities (k, n)."""
        n = z.shape[1]
        for chunk in reversed(self._chunks):
            if not self._is_stored and chunk is not self._chunks[-1]:
                self._fill(chunk, n)
            _featurewise(shares, self._rows(chunk, n), self._product[:, chunk.columns], self._sizes)
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


def _columnwise(theta: FloatArray, phi: FloatArray, out: FloatArray, sizes: Sizes) -> None:
    """Write theta @ phi, computed in blocks of columns."""
    n, step = phi.shape[1], sizes.unpacked // theta.size
    if step >= n or step < sizes.least_columns:
        np.matmul(theta, phi, out=out)
        return
    step = ceil(n / ceil(n / step) / 8) * 8
    for low in range(0, n, step):
        np.matmul(theta, phi[:, low : low + step], out=out[:, low : low + step])


def _featurewise(shares: FloatArray, phi: FloatArray, out: FloatArray, sizes: Sizes) -> None:
    """Write shares @ phi.T, computed in blocks of features."""
    count, step = len(phi), sizes.unpacked_results // len(shares)
    if step >= count or step < _LEAST_FEATURES:
        np.matmul(shares, phi.T, out=out)
        return
    for low in range(0, count, step):
        np.matmul(shares, phi[low : low + step].T, out=out[:, low : low + step])


def _width(k: int, count: int, sizes: Sizes) -> int:
    """Return the number of rows of a tile: more if a row is little work, fewer if there are very many components."""
    small = k * count <= sizes.unpacked_results
    width = min(sizes.unpacked // (k * count), _MOST_WIDTH) if small else _WIDTH
    width = max(128, min(width, _JOINT_BYTES // (8 * k))) // 64 * 64
    return width - 64 if width % 512 == 0 else width


def _distances(d: int, layout: Layout) -> int:
    return {"quadratic": d, "diagonal": 1, "linear": 0}[layout]


def _by_distance(d: int, layout: Layout) -> NDArray[np.intp]:
    """Return (F,) the index in the layout of each feature in the order of this module."""
    if layout != "quadratic":
        return np.arange(feature_count(d, layout))
    i, e = np.triu_indices(d)
    return np.concatenate([np.arange(d + 1), d + 1 + np.lexsort((i, e - i))])


def _chunks(d: int, layout: Layout, size: int, *, is_stored: bool) -> Iterator[_Chunk]:
    """Cut the products into chunks of at most `size`; a chunk overwrites the one before unless all are stored."""
    pending = [(0, distance, d - distance) for distance in range(_distances(d, layout))]
    start = row = d + 1
    low, low_row = 0, 0
    while True:
        runs, room = [], size
        while pending and room:
            i, distance, count = pending.pop(0)
            part = min(count, room)
            runs.append((i, distance, part, row + size - room))
            room -= part
            if part < count:
                pending.insert(0, (i + part, distance, count - part))
        start += size - room
        yield _Chunk(tuple(runs), slice(low_row, row + size - room), slice(low, start))
        if not pending:
            return
        low, row = start, row + (size - room if is_stored else 0)
        low_row = row
