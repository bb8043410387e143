"""The summary of a table that one read computes (counts, mean, scatter, range), in numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics import far_rows

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

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
