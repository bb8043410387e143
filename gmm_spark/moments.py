"""The sufficient statistics of one E-step: a commutative monoid under addition.

The quadratic features of a row z are [1, z_1 ... z_d, z_i z_j (i <= j)], F = 1 + d + d(d+1)/2 of them.
Summed with the responsibilities as weights they are the mass, first and second moments of a component.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.parameters import FloatArray

if TYPE_CHECKING:
    from collections.abc import Iterable


def feature_count(d: int) -> int:
    """Return F, the number of quadratic features of d features."""
    return 1 + d + d * (d + 1) // 2


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows; adding two gives the sums over both sets of rows.

    Args:
        weight: sum of the row weights.
        log_likelihood: sum of w_n log p(z_n), in nats.
        sums: (k, F) sums of w_n r_nk times the quadratic features.
    """

    weight: float
    log_likelihood: float
    sums: FloatArray

    @staticmethod
    def zero(k: int, d: int) -> Moments:
        """Return the statistics of no rows at all."""
        return Moments(0.0, 0.0, np.zeros((k, feature_count(d))))

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.weight + other.weight, self.log_likelihood + other.log_likelihood, self.sums + other.sums
        )

    @property
    def d(self) -> int:
        """The number of features, from F = (d + 1)(d + 2) / 2."""
        return int(round((np.sqrt(8 * self.sums.shape[1] + 1) - 3) / 2))

    @property
    def mass(self) -> FloatArray:
        """(k,) N_k, the weight that falls to each component."""
        return self.sums[:, 0]

    @property
    def first(self) -> FloatArray:
        """(k, d) sums of w r z."""
        return self.sums[:, 1 : self.d + 1]

    @property
    def second(self) -> FloatArray:
        """(k, d, d) sums of w r z z'."""
        d = self.d
        matrices = np.empty((self.sums.shape[0], d, d))
        i, j = np.triu_indices(d)
        matrices[:, i, j] = self.sums[:, d + 1 :]
        matrices[:, j, i] = self.sums[:, d + 1 :]
        return matrices

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit of weight, in nats."""
        return self.log_likelihood / self.weight

    def to_bytes(self) -> bytes:
        """Return the sums as little-endian float64, for the wire."""
        head = np.array([self.weight, self.log_likelihood])
        return np.concatenate([head, self.sums.ravel()]).astype("<f8").tobytes()

    @staticmethod
    def from_bytes(data: bytes | memoryview, k: int) -> Moments:
        """Read what `to_bytes` wrote for k components."""
        values = np.frombuffer(data, dtype="<f8")
        return Moments(float(values[0]), float(values[1]), values[2:].reshape(k, -1))


def total(partials: Iterable[Moments], zero: Moments) -> Moments:
    """Return the sum in the order given: the same order gives the same bits."""
    return reduce(Moments.__add__, partials, zero)
