"""The random sample of rows that a search reads: which rows are in it, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics.hashing import mix_bits, row_hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray


def inclusion(z: FloatArray, share: float, square: float | None = None) -> FloatArray:
    """Return the chance of each of the (d, n) rows to be sampled, where so large a share of all rows is.

    Half of the sample is uniform and half proportional to |z|^2, whose mean is d, or `square`: a rare cluster away
    from the others is found in a sample that would hold none of its rows. A row then counts 1 / chance: every mean over
    the sample is that over all rows, and as no chance is below share / 2, no less certain than by half as many uniform
    rows (Bachem, Lucic and Krause, Scalable k-means clustering via lightweight coresets, KDD 2018; for mixtures
    Lucic et al., J. Mach. Learn. Res. 18, 2018).
    """
    d, n = z.shape
    if share >= 1:
        return np.ones(n)
    return np.asarray(np.minimum(1.0, share * (0.5 + np.einsum("dn,dn->n", z, z) / (2 * (square or d)))))


def order_of(keys: NDArray[np.uint64], z: FloatArray, weights: FloatArray) -> NDArray[np.intp]:
    """Return the random order of sampled rows: by their hashes, hashed once more.

    A row is in the sample where its hash is low, and the lowest are not like the others. So the order does not depend
    on where the rows were.

    Args:
        keys: (m,) of the rows.
        z: (m, d) their coordinates.
        weights: (m,) their weights.
    """
    return in_order(mix_bits(keys), z, weights)


def in_order(keys: NDArray[np.uint64], rows: FloatArray, weights: FloatArray) -> NDArray[np.intp]:
    """Return the order of the keys; rows of one key, which copies of a row may have, go by what they are."""
    order = np.argsort(keys)
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    tied = np.flatnonzero(np.r_[False, same] | np.r_[same, False])
    if tied.size:
        own = order[tied]
        order[tied] = own[np.lexsort((weights[own], *rows[own].T, keys[own]))]
    return order


def row_keys(x: FloatArray, seed: int, batch: int = 0, partition: int = 0) -> NDArray[np.uint64]:
    """Return a pseudo-random 64-bit key for each of the (d, n) rows: a hash of the row, not its place.

    So the sample depends on the seed and the rows only. Copies of a row within a batch get keys of
    their own (from its number, that of its partition, and their rank), or a repeated row would be sampled with all its
    copies or with none.
    """
    keys = row_hashes(x, seed)
    order = np.argsort(keys, kind="stable")
    new = np.concatenate([[True], keys[order][1:] != keys[order][:-1]]) if len(keys) else np.zeros(0, dtype=np.bool_)
    if not new.all():
        place = np.arange(len(keys))
        rank = (place - np.maximum.accumulate(np.where(new, place, 0))).astype(np.uint64)
        salt = mix_bits(rank + (np.uint64(batch) << np.uint64(20)) + (np.uint64(partition) << np.uint64(40)))
        keys[order] = np.where(new, keys[order], mix_bits(keys[order] ^ salt))
    return keys
