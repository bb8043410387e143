"""Pseudo-random numbers per row: a hash of its values, which does not depend on where the row is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

NO_FOLD = -1
_FOLD_SALT = 0x464F4C44  # makes folds independent of the sampling of rows


@dataclass(frozen=True)
class Folds:
    """The folds of a cross-validation: the hash of a row decides, so that all copies of a row are in one fold.

    Args:
        count: the number of folds; each is held out once.
        share: the share of the rows that are in a fold; the others are never held out.
        seed: of the hash.
    """

    count: int
    share: float
    seed: int

    def assign(self, x: FloatArray) -> NDArray[np.intp]:
        """Return (n,) the fold of each of the (d, n) rows, or -1 if it is in no fold."""
        uniform = row_hashes(x, self.seed ^ _FOLD_SALT) / 2.0**64
        return np.where(uniform < self.share, uniform * (self.count / self.share), NO_FOLD).astype(np.intp)


def row_hashes(x: FloatArray, seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit hash of each of the (d, n) rows."""
    bits = np.ascontiguousarray(x + 0.0).view(np.uint64)
    multipliers = np.random.default_rng([seed, len(bits)]).integers(0, 2**64, len(bits), dtype=np.uint64) | np.uint64(1)
    keys = np.zeros(x.shape[1], dtype=np.uint64)
    for values, multiplier in zip(bits, multipliers, strict=True):
        keys += (values ^ (values >> np.uint64(32))) * multiplier
    return mix_bits(keys)


def mix_bits(keys: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return splitmix64's finaliser of the keys (Steele, Lea and Flood, OOPSLA 2014)."""
    keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return keys ^ (keys >> np.uint64(31))
