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
        sums: (k, F) sums of w_n r_nk times the features of the layout; (k + 1, F) with a noise, which is the last row.
        total: (F',) sums of w_n times the features of `total_layout`, over all rows: the same in every pass.
        centers: (k, d) the origin of each component's features; usually 0.
        layout: the features that are summed.
        rows: the number of rows of weight above 0.
        lowest: the reservoir of the rows of least log-density, see `least_likely`; None if they are not gathered, as
            in the linear layout, where the log-densities would cost as much as everything else.
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
        kept: int = least_likely.SIZE,
        *,
        noise: bool = False,
    ) -> Moments:
        """Return the statistics of no rows.

        Args:
            centers: (k, d).
            layout: the features that are summed.
            kept: the number of least likely rows to gather.
            noise: whether the mixture has a noise component.
        """
        k, d = centers.shape[0] + noise, centers.shape[1]
        lowest = least_likely.empty_reservoir(d, kept) if kept and layout != "linear" else None
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
        """Log-likelihood per unit of weight, in nats; NaN without rows."""
        return self.log_likelihood / self.weight if self.weight else float("nan")

    @property
    def mass(self) -> FloatArray:
        """(k,) N_k, the weight of the rows of each component: sum_n w_n r_nk."""
        return self._component_sums[:, 0]

    @property
    def noise_mass(self) -> float:
        """The weight of the rows of the noise component; 0 without one."""
        return float(self.sums[len(self.centers) :, 0].sum())

    @property
    def _component_sums(self) -> FloatArray:
        """(k, F) the sums of the components, without the noise."""
        return self.sums[: len(self.centers)]

    def means(self, fallback: FloatArray) -> FloatArray:
        """Return (k, d) means of the components; those of the fallback for components without mass."""
        d = self.centers.shape[1]
        mass = self.mass[:, None]
        offsets = self._component_sums[:, 1 : d + 1] / np.where(mass > 0, mass, 1)
        return np.where(mass > 0, self.centers + offsets, fallback)

    def covariances(self, fallback: FloatArray) -> FloatArray:
        """Return (k, d, d) second central moments, as far as the layout has them.

        quadratic: all; diagonal: the diagonals; linear: the pooled matrix, once per component. Components
        without mass get those of the fallback.
        """
        d = self.centers.shape[1]
        if self.layout == "diagonal":
            return Variances(self.variances(Matrices(fallback).variances)).matrices
        mass = np.where(self.mass > 0, self.mass, 1)[:, None]
        offsets, second = self._component_sums[:, 1 : d + 1] / mass, self._component_sums[:, d + 1 :] / mass
        if self.layout == "linear":
            between = np.einsum("k,ki,kj->ij", self.mass, offsets, offsets)
            pooled = (symmetric(self.total[None, d + 1 :], d)[0] - between) / self.weight
            return np.repeat(pooled[None], len(mass), axis=0)
        central = symmetric(second, d) - offsets[:, :, None] * offsets[:, None, :]
        return np.where(self.mass[:, None, None] > 0, central, fallback)

    def variances(self, fallback: FloatArray) -> FloatArray:
        """Return (k, d) second central moments of each coordinate, in the quadratic or the diagonal layout.

        Components without mass get those of the fallback.
        """
        d = self.centers.shape[1]
        mass = np.where(self.mass > 0, self.mass, 1)[:, None]
        places = d + 1 + squares_in(d, self.layout)
        offsets, second = self._component_sums[:, 1 : d + 1] / mass, self._component_sums[:, places] / mass
        return np.where(self.mass[:, None] > 0, second - offsets**2, fallback)

    def spread(self, fallback: Spread) -> Spread:
        """Return the second central moments in the form of the fallback, and its own for components without mass."""
        if isinstance(fallback, Variances):
            return Variances(self.variances(fallback.values))
        return Matrices(self.covariances(fallback.values))

    @property
    def data_spread(self) -> Spread:
        """The covariance of all rows: the variances alone in the diagonal layout."""
        d = self.centers.shape[1]
        mean, second = self.total[1 : d + 1] / self.weight, self.total[None, d + 1 :]
        if self.layout == "diagonal":
            return Variances(second / self.weight - mean**2)
        return Matrices(symmetric(second, d) / self.weight - np.outer(mean, mean))

    @property
    def imbalance(self) -> float:
        """The relative difference between the sums of all components and those of all rows: rounding, or a fault.

        Checks sum_k pi_k (Sigma_k + mu_k mu_k') = S2 / N, the identity of an M-step without constraint and floor, on
        the sums before any division, and likewise the means and the weight. Layouts without second moments, or with
        squares alone, are checked on the sums that they have. The difference is relative to the largest term, because
        the sums about the means of a start far from all rows are large and differ by little.
        """
        parts, whole = self._sums_about_origin()
        terms = float(self.mass @ (self.centers**2).max(axis=1))
        size = max(self.weight, float(np.abs(whole).max()), terms, float(np.finfo(np.float64).tiny))
        return float(np.abs(parts - whole).max() / size)

    def _sums_about_origin(self) -> tuple[FloatArray, FloatArray]:
        """Return the sums about the origin, added over the components, and the same sums over all rows."""
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
        """Return the numbers as little-endian float64, to send them to the driver."""
        lowest = np.empty(0) if self.lowest is None else self.lowest.ravel()
        head = np.array([self.log_likelihood, self.rows])
        return np.concatenate([head, self.total, self.sums.ravel(), lowest]).astype("<f8").tobytes()

    @staticmethod
    def from_bytes(data: bytes | memoryview, zero: Moments) -> Moments:
        """Return the statistics that `to_bytes` wrote, in the shapes of `zero`."""
        ends = np.cumsum([2, zero.total.size, zero.sums.size])
        head, total, sums, lowest = np.split(np.frombuffer(data, dtype="<f8"), ends)
        reservoir = None if zero.lowest is None else lowest.reshape(zero.lowest.shape)
        return Moments(
            float(head[0]), sums.reshape(zero.sums.shape), total, zero.centers, zero.layout, int(head[1]), reservoir
        )


def sum_in_order(partials: Iterable[Moments], zero: Moments) -> Moments:
    """Return the sum of the partials, added in their order: the same order gives the same bits."""
    return reduce(Moments.__add__, partials, zero)
