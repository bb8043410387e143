"""The sufficient statistics of one E-step: a commutative monoid under addition."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture.spread import Matrices, Spread, Variances
from gmm_spark.statistics import least_likely
from gmm_spark.statistics.layouts import feature_count, squares_in, symmetric, total_layout

if TYPE_CHECKING:
    from collections.abc import Iterable

    from gmm_spark.mixture.coordinates import Layout
    from gmm_spark.mixture.parameters import FloatArray


@dataclass(frozen=True, eq=False)
class Moments:
    """Sums over rows; adding two gives the sums over both sets of rows.

    Args:
        log_likelihood: sum of w_n log p(z_n), in nats.
        sums: (k, F) sums of w_n r_nk times the features of the layout; (k + 1, F) where the last are those of a noise.
        total: (F',) sums of w_n times the features of `total_layout`, over all rows: the same in every pass.
        centers: (k, d) points that the features of each component are taken about; usually 0.
        layout: which features.
        rows: the number of rows of weight above 0.
        lowest: the rows of least log-density, as `reservoir` keeps them; None where they are not gathered: in the
            linear layout, in which a row's density would cost as much as all else.
    """

    log_likelihood: float
    sums: FloatArray
    total: FloatArray
    centers: FloatArray
    layout: Layout = "quadratic"
    rows: int = 0
    lowest: FloatArray | None = None

    @staticmethod
    def zero(
        centers: FloatArray,
        layout: Layout = "quadratic",
        reservoir_size: int = least_likely.SIZE,
        *,
        noise: bool = False,
    ) -> Moments:
        """Return the statistics of no rows at all.

        Args:
            centers: (k, d).
            layout: which features.
            reservoir_size: the number of least likely rows to gather.
            noise: whether there is a noise too.
        """
        k, d = centers.shape[0] + noise, centers.shape[1]
        lowest = least_likely.empty_reservoir(d, reservoir_size) if reservoir_size and layout != "linear" else None
        sums, total = np.zeros((k, feature_count(d, layout))), np.zeros(feature_count(d, total_layout(layout)))
        return Moments(0.0, sums, total, centers, layout, 0, lowest)

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.log_likelihood + other.log_likelihood,
            self.sums + other.sums,
            self.total + other.total,
            self.centers,
            self.layout,
            self.rows + other.rows,
            None
            if self.lowest is None or other.lowest is None
            else least_likely.merge_reservoirs(self.lowest, other.lowest),
        )

    @property
    def weight(self) -> float:
        """The sum of the row weights."""
        return float(self.total[0])

    @property
    def row_weight(self) -> float:
        """The mean weight of a row."""
        return self.weight / max(self.rows, 1)

    @property
    def mean_log_likelihood(self) -> float:
        """Log-likelihood per unit of weight, in nats; NaN of no rows."""
        return self.log_likelihood / self.weight if self.weight else float("nan")

    @property
    def mass(self) -> FloatArray:
        """(k,) N_k, the weight that falls to each component."""
        return self._own[:, 0]

    @property
    def noise_mass(self) -> float:
        """The weight that falls to the noise; 0 where there is none."""
        return float(self.sums[len(self.centers) :, 0].sum())

    @property
    def _own(self) -> FloatArray:
        """(k, F) the sums without those of the noise."""
        return self.sums[: len(self.centers)]

    def means(self, fallback: FloatArray) -> FloatArray:
        """Return (k, d) means of the components; the fallback's where there is no mass."""
        d = self.centers.shape[1]
        mass = self.mass[:, None]
        offsets = self._own[:, 1 : d + 1] / np.where(mass > 0, mass, 1)
        return np.where(mass > 0, self.centers + offsets, fallback)

    def covariances(self, fallback: FloatArray) -> FloatArray:
        """Return (k, d, d) second central moments as far as the layout knows them.

        quadratic: all; diagonal: the diagonals; linear: the pooled one, for each component. The
        fallback's where there is no mass.
        """
        d = self.centers.shape[1]
        if self.layout == "diagonal":
            return Variances(self.variances(Matrices(fallback).variances)).matrices
        mass = np.where(self.mass > 0, self.mass, 1)[:, None]
        offsets, second = self._own[:, 1 : d + 1] / mass, self._own[:, d + 1 :] / mass
        if self.layout == "linear":
            between = np.einsum("k,ki,kj->ij", self.mass, offsets, offsets)
            pooled = (symmetric(self.total[None, d + 1 :], d)[0] - between) / self.weight
            return np.repeat(pooled[None], len(mass), axis=0)
        central = symmetric(second, d) - offsets[:, :, None] * offsets[:, None, :]
        return np.where(self.mass[:, None, None] > 0, central, fallback)

    def variances(self, fallback: FloatArray) -> FloatArray:
        """Return (k, d) second central moments of each coordinate, in the quadratic or the diagonal layout.

        The fallback's where there is no mass.
        """
        d = self.centers.shape[1]
        mass = np.where(self.mass > 0, self.mass, 1)[:, None]
        places = d + 1 + squares_in(d, self.layout)
        offsets, second = self._own[:, 1 : d + 1] / mass, self._own[:, places] / mass
        return np.where(self.mass[:, None] > 0, second - offsets**2, fallback)

    def spread(self, fallback: Spread) -> Spread:
        """Return the second central moments in the form of the fallback, which is that where there is no mass."""
        if isinstance(fallback, Variances):
            return Variances(self.variances(fallback.values))
        return Matrices(self.covariances(fallback.values))

    @property
    def data_spread(self) -> Spread:
        """The covariance of all the rows, as far as their sums hold it."""
        d = self.centers.shape[1]
        mean, second = self.total[1 : d + 1] / self.weight, self.total[None, d + 1 :]
        if self.layout == "diagonal":
            return Variances(second / self.weight - mean**2)
        return Matrices(symmetric(second, d) / self.weight - np.outer(mean, mean))

    @property
    def imbalance(self) -> float:
        """How far the components' sums are from those of all rows, relative: rounding, or a fault.

        The identity sum_k pi_k (Sigma_k + mu_k mu_k') = S2 / N of an M-step without constraint and floor, in the sums
        that it is made of, before any division; and the same of the means and of the weight. A layout that has no
        second moments, or only squares, is held to what it has. Relative to the largest term: of a start far from all
        rows, sums about its means are large and differ by little.
        """
        parts, whole = self._shared()
        terms = float(self.mass @ (self.centers**2).max(axis=1))
        size = max(self.weight, float(np.abs(whole).max()), terms, float(np.finfo(np.float64).tiny))
        return float(np.abs(parts - whole).max() / size)

    def _shared(self) -> tuple[FloatArray, FloatArray]:
        """Return the components' sums about the origin, added up, and the same sums of all rows."""
        d = self.centers.shape[1]
        mass, first, second = np.split(self.sums, [1, 1 + d], axis=1)
        centers = np.zeros_like(first)
        centers[: len(self.centers)] = self.centers
        moved = first + mass * centers
        axes = np.arange(d)
        i, j = (axes, axes) if self.layout == "diagonal" else np.triu_indices(d)
        if self.layout == "linear":
            i, j = axes[:0], axes[:0]
        squares = second + first[:, i] * centers[:, j] + centers[:, i] * moved[:, j]
        return np.concatenate([mass, moved, squares], axis=1).sum(axis=0), self.total[: 1 + d + len(i)]

    def to_bytes(self) -> bytes:
        """Return the numbers as little-endian float64, for the wire."""
        lowest = np.empty(0) if self.lowest is None else self.lowest.ravel()
        head = np.array([self.log_likelihood, self.rows])
        return np.concatenate([head, self.total, self.sums.ravel(), lowest]).astype("<f8").tobytes()

    @staticmethod
    def from_bytes(data: bytes | memoryview, zero: Moments) -> Moments:
        """Read what `to_bytes` wrote of statistics like `zero`."""
        ends = np.cumsum([2, zero.total.size, zero.sums.size])
        head, total, sums, lowest = np.split(np.frombuffer(data, dtype="<f8"), ends)
        reservoir = None if zero.lowest is None else lowest.reshape(zero.lowest.shape)
        return Moments(
            float(head[0]), sums.reshape(zero.sums.shape), total, zero.centers, zero.layout, int(head[1]), reservoir
        )


def sum_in_order(partials: Iterable[Moments], zero: Moments) -> Moments:
    """Return the sum in the order given: the same order gives the same bits."""
    return reduce(Moments.__add__, partials, zero)
