"""The summary of a table that one read computes (counts, mean, scatter, range), in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import DataError
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.noise import Noise
from gmm_spark.mixture.parameters import ALIGNED
from gmm_spark.statistics import far_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray

_STARTING_WEIGHT = 0.05  # of a noise
# Up to this many features their products cost next to nothing, and show columns that hold the same values.
_FEW_FEATURES = 64
# Squares are summed: of a larger magnitude the square overflows, of a smaller total weight it underflows.
LARGEST, LEAST_WEIGHT = 1e150, 1e-140
_TINY = float(np.finfo(np.float64).tiny)


@dataclass(frozen=True, eq=False)
class Survey:
    """Counts, mean, and scatter about the mean; surveys are merged pairwise, never as sums about the origin.

    Chan, Golub and LeVeque, Algorithms for computing the sample variance, Amer. Statist. 37(3), 1983.

    Args:
        counts: the number of rows per reason, in the order of `REASONS`.
        weight: total weight of the usable rows.
        mean: (d,) weighted mean.
        scatter: (d, d) sum of w (x - mean)(x - mean)', or its (d,) diagonal alone.
        squares: sum of w^2.
        range: (2, d) least and largest values of rows with a weight above 0.
        sample: a few of these rows, see `far_rows`.
        counted: the number of rows with a weight above 0; the others are in no block and no sample.
        partitions: the number of partitions with rows; set after all are merged.
        bounds: the bounds outside which rows are far, if a few far rows inflate a variance; set after a second read.
        within: the survey of the rows within the bounds, from that second read.
    """

    counts: FloatArray
    weight: float
    mean: FloatArray
    scatter: FloatArray
    squares: float
    range: FloatArray
    sample: FloatArray
    counted: int = 0
    partitions: int = 0
    bounds: far_rows.Bounds | None = None
    within: Survey | None = None

    @staticmethod
    def zero(d: int, *, products: bool = True) -> Survey:
        """Return the survey of no rows, for the products of features or for their squares alone."""
        least = np.array([[np.inf], [-np.inf]]).repeat(d, axis=1)
        scatter = np.zeros((d, d) if products else d)
        return Survey(np.zeros(len(REASONS)), 0.0, np.zeros(d), scatter, 0.0, least, far_rows.empty_sample(d))

    @staticmethod
    def of(x: FloatArray, weights: FloatArray | None = None, *, products: bool = True) -> Survey:
        """Return the survey of (d, n) usable rows with (n,) weights, or with weights of 1."""
        d, n = x.shape
        counts = np.array([float(n)] + [0.0] * (len(REASONS) - 1))
        w = np.ones(n) if weights is None else weights
        total = float(w.sum())
        if total <= 0:
            return replace(Survey.zero(d, products=products), counts=counts)
        centre = x[:, :1]
        offset = (x - centre) @ w / total
        centred = x - (centre + offset[:, None])
        scatter = (centred * w) @ centred.T if products else centred**2 @ w
        counted = x if w.all() else x[:, w > 0]
        limits, sample = np.stack([counted.min(axis=1), counted.max(axis=1)]), far_rows.draw_sample(counted)
        squares = float(w @ w)
        return Survey(counts, total, centre[:, 0] + offset, scatter, squares, limits, sample, counted.shape[1])

    def __add__(self, other: Survey) -> Survey:
        weight = self.weight + other.weight
        share = other.weight / weight if weight > 0 else 0.0
        offset = other.mean - self.mean if self.weight > 0 else np.zeros_like(self.mean)
        products = np.outer(offset, offset) if self.scatter.ndim > 1 else offset**2
        between = products * self.weight * share
        return Survey(
            self.counts + other.counts,
            weight,
            self.mean + offset * share if self.weight > 0 else other.mean,
            self.scatter + other.scatter + between,
            self.squares + other.squares,
            np.stack([np.minimum(self.range[0], other.range[0]), np.maximum(self.range[1], other.range[1])]),
            far_rows.merge_samples(self.sample, other.sample),
            self.counted + other.counted,
        )

    @property
    def rows(self) -> int:
        """The number of usable rows, rows of weight 0 included."""
        return int(self.counts[0])

    @property
    def invalid(self) -> dict[str, int]:
        """The number of unusable rows per reason, counts of zero included."""
        return {reason: int(count) for reason, count in zip(REASONS[1:], self.counts[1:], strict=True)}

    @property
    def covariance(self) -> FloatArray:
        """(d, d) covariance or (d,) variances, with the total weight as divisor."""
        return self.scatter / self.weight

    @property
    def variances(self) -> FloatArray:
        """(d,) variances, with the total weight as divisor; 0 without rows."""
        scatter = self.scatter if self.scatter.ndim == 1 else np.diagonal(self.scatter)
        return np.asarray(scatter / max(self.weight, _TINY))

    @property
    def effective_rows(self) -> float:
        """The effective number of rows (Kish, Survey Sampling, 1965), which is `rows` if all weights are 1."""
        return self.weight * (self.weight / self.squares)

    @property
    def reference(self) -> Survey:
        """The survey that gives the scale of the data: `within` if far rows inflate a variance, else this one."""
        return self.within or self

    @property
    def passes(self) -> int:
        """The number of reads of the table."""
        return 1 if self.within is None else 2

    def frame(self, family: Family, names: tuple[str, ...]) -> Coordinates:
        """Return the coordinates in which EM runs, from `reference`, or from all rows if that raises DataError.

        Args:
            family: of the mixture.
            names: d feature names, for the error.

        Raises:
            DataError: constant or dependent columns, or values whose squares overflow.
        """
        reference = self.reference
        try:
            return coordinates.coordinates_for(family, reference.mean, reference.covariance, names)
        except DataError:
            if reference is self:
                raise
            return coordinates.coordinates_for(family, self.mean, self.covariance, names)

    def noise(self, frame: Coordinates) -> Noise:
        """Return a noise component over the range of all rows, in these coordinates, with a starting weight."""
        return Noise(_STARTING_WEIGHT, self.range).rescaled(frame.log_determinant)

    def mean_square(self, frame: Coordinates) -> float:
        """Return the mean of |z|^2 over all rows: d, but more if `within` gave the coordinates."""
        if self.within is None:
            return float(len(self.mean))
        if self.scatter.ndim == 1:
            spread = float((self.covariance / frame.data_variances).sum())
        else:
            spread = float(np.trace(frame.inverse @ self.covariance @ frame.inverse.T))
        return spread + float((frame.rows(self.mean[None]) ** 2).sum())

    def to_bytes(self) -> bytes:
        """Return the numbers as little-endian float64."""
        head = [self.weight, self.squares, self.counted]
        parts = (self.counts, head, self.mean, self.scatter.ravel(), self.range.ravel(), self.sample.ravel())
        return np.concatenate(parts).astype("<f8").tobytes()

    @staticmethod
    def from_bytes(data: bytes | memoryview, zero: Survey) -> Survey:
        """Return the survey that `to_bytes` wrote, in the shapes of `zero`."""
        d = len(zero.mean)
        ends = np.cumsum([len(REASONS), 3, d, zero.scatter.size, 2 * d])
        counts, head, mean, scatter, limits, sample = np.split(np.frombuffer(data, dtype="<f8"), ends)
        arrays = limits.reshape(2, d), sample.reshape(-1, 1 + d)
        return Survey(
            counts, float(head[0]), mean, scatter.reshape(zero.scatter.shape), float(head[1]), *arrays, int(head[2])
        )


# The code of a reason is its index in this list; 0 is a usable row.
REASONS = ("ok", "null", "wrong_length", "nan", "infinite", "bad_weight")


def needs_products(families: Iterable[Family], d: int) -> bool:
    """Return whether to survey products of features: for families that need them, and for warnings if d is small."""
    return d <= _FEW_FEATURES or not ALIGNED.issuperset(families)


def surveyed_by(read: Callable[[far_rows.Bounds | None], Survey]) -> Survey:
    """Return the survey of a table; if a few far rows inflate a variance, with one more read of the other rows.

    Args:
        read: surveys the rows within the bounds, or all rows for None, by one read.
    """
    surveyed = read(None)
    bounds = far_rows.find_bounds(surveyed.sample, surveyed.variances)
    return surveyed if bounds is None else replace(surveyed, bounds=bounds, within=read(bounds))
