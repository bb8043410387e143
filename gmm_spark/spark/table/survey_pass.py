"""The first pass: how many rows, how many of them unusable and why, their mean and covariance, and those of most."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import TaskContext
from pyspark.sql import functions as f

from gmm_spark.mixture.parameters import ALIGNED
from gmm_spark.spark.table import far_rows
from gmm_spark.spark.table.rows import REASONS, Layout, Rows, decode
from gmm_spark.spark.worker import settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyspark.sql import DataFrame

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray

_SCHEMA = pa.schema([("partition", pa.int32()), ("partitions", pa.int32()), ("survey", pa.binary())])
_DDL = "partition int, partitions int, survey binary"
# Scatters larger than this are merged by the executors, this many partitions at a time.
_WIDE_BYTES, _RUN = 8 << 10, 64
_TINY = float(np.finfo(np.float64).tiny)
# Up to this many features their products cost next to nothing, and show columns that hold the same values.
_FEW_FEATURES = 64


@dataclass(frozen=True, eq=False)
class Survey:
    """Counts, mean and scatter about it; two are merged pairwise, never as sums about the origin.

    Chan, Golub and LeVeque, Algorithms for computing the sample variance, Amer. Statist. 37(3), 1983.

    Args:
        counts: rows by reason, in the order of `REASONS`.
        weight: total weight of the usable rows.
        mean: (d,) weighted mean.
        scatter: (d, d) sum of w (x - mean)(x - mean)'; its (d,) diagonal where that is all that is asked.
        squares: sum of w^2.
        range: (2, d) least and largest values of rows with a weight above 0.
        sample: a few of these rows, as `bulk` keeps them.
        counted: how many rows have a weight above 0: the others are in no block and no sample.
        partitions: how many partitions had rows; known once all are merged.
        bounds: what makes a row far, where a few far rows have most of the variance; known after a second read.
        within: the survey of the other rows then.
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
        """Return the survey of no rows, with room for the products of features or for their squares alone."""
        least = np.array([[np.inf], [-np.inf]]).repeat(d, axis=1)
        scatter = np.zeros((d, d) if products else d)
        return Survey(np.zeros(len(REASONS)), 0.0, np.zeros(d), scatter, 0.0, least, far_rows.nothing(d))

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
            far_rows.merged(self.sample, other.sample),
            self.counted + other.counted,
        )

    @property
    def rows(self) -> int:
        """The number of usable rows, those of weight 0 too."""
        return int(self.counts[0])

    @property
    def invalid(self) -> dict[str, int]:
        """Unusable rows by reason, zero counts too."""
        return {reason: int(count) for reason, count in zip(REASONS[1:], self.counts[1:], strict=True)}

    @property
    def covariance(self) -> FloatArray:
        """(d, d) covariance or (d,) variances, divisor the total weight."""
        return self.scatter / self.weight

    @property
    def variances(self) -> FloatArray:
        """(d,) variances, divisor the total weight; 0 of no rows."""
        scatter = self.scatter if self.scatter.ndim == 1 else np.diagonal(self.scatter)
        return np.asarray(scatter / max(self.weight, _TINY))

    @property
    def effective_rows(self) -> float:
        """How many rows of equal weight would be as good: Kish, Survey Sampling, 1965; `rows` where all weigh 1."""
        return self.weight * (self.weight / self.squares)

    @property
    def reference(self) -> Survey:
        """The rows whose mean and covariance are the scale of the data: all, but for a few far ones that inflate it."""
        return self.within or self

    @property
    def passes(self) -> int:
        """The reads that it took."""
        return 1 if self.within is None else 2

    def to_bytes(self) -> bytes:
        """Return the numbers as little-endian float64."""
        head = [self.weight, self.squares, self.counted]
        parts = (self.counts, head, self.mean, self.scatter.ravel(), self.range.ravel(), self.sample.ravel())
        return np.concatenate(parts).astype("<f8").tobytes()

    @staticmethod
    def from_bytes(data: bytes | memoryview, zero: Survey) -> Survey:
        """Read what `to_bytes` wrote of a survey like `zero`."""
        d = len(zero.mean)
        ends = np.cumsum([len(REASONS), 3, d, zero.scatter.size, 2 * d])
        counts, head, mean, scatter, limits, few = np.split(np.frombuffer(data, dtype="<f8"), ends)
        own = limits.reshape(2, d), few.reshape(-1, 1 + d)
        return Survey(
            counts, float(head[0]), mean, scatter.reshape(zero.scatter.shape), float(head[1]), *own, int(head[2])
        )


def needs_products(families: Iterable[Family], d: int) -> bool:
    """Return whether to survey products of features: for families that need them, and of few features for warnings."""
    return d <= _FEW_FEATURES or not ALIGNED.issuperset(families)


def survey(rows: DataFrame, layout: Layout, *, products: bool = True) -> Survey:
    """Return what the rows are, by one read; where a few far ones have most of the variance, by another one.

    Partitions are merged in their order.

    Args:
        rows: features and weights.
        layout: what the columns mean.
        products: sum the products of features; else their squares alone, O(d) in time and memory.
    """
    zero = Survey.zero(layout.d, products=products)
    surveyed = _read(rows, layout, zero, None)
    bounds = far_rows.bounds(surveyed.sample, surveyed.variances)
    if bounds is None:
        return surveyed
    return replace(surveyed, bounds=bounds, within=_read(rows, layout, zero, bounds))


def mean_square(surveyed: Survey, frame: Coordinates) -> float:
    """Return the mean of |z|^2 over all rows: d, but where a few far ones are no part of the scale."""
    if surveyed.within is None:
        return float(len(surveyed.mean))
    if surveyed.scatter.ndim == 1:
        spread = float((surveyed.covariance / frame.data_variances).sum())
    else:
        spread = float(np.trace(frame.inverse @ surveyed.covariance @ frame.inverse.T))
    return spread + float((frame.rows(surveyed.mean[None]) ** 2).sum())


def _read(rows: DataFrame, layout: Layout, zero: Survey, bounds: far_rows.Bounds | None) -> Survey:
    """Read all rows once and return what those within the bounds are.

    Where a survey is large the executors merge runs of partitions first: the driver must not grow with their number.
    """
    partials = rows.mapInArrow(partial(_survey_partition, layout, zero, bounds), _DDL)
    if zero.scatter.nbytes > _WIDE_BYTES:

        def merge_run(table: pa.Table) -> pa.Table:
            return _table(pc.min(table.column("partition")).as_py(), _merged(table, zero))

        run = f.floor(f.col("partition") / _RUN).alias("run")
        partials = partials.groupBy(run).applyInArrow(merge_run, _DDL)
    return _merged(partials.toArrow(), zero)


def _merged(table: pa.Table, zero: Survey) -> Survey:
    ordered = sorted(zip(*(table.column(name).to_pylist() for name in _SCHEMA.names), strict=True))
    merged = reduce(Survey.__add__, (Survey.from_bytes(data, zero) for _, _, data in ordered), zero)
    return replace(merged, partitions=sum(partitions for _, partitions, _ in ordered))


def _table(partition: int, surveyed: Survey) -> pa.Table:
    values = {"partition": [partition], "partitions": [surveyed.partitions], "survey": [surveyed.to_bytes()]}
    return pa.Table.from_pydict(values, schema=_SCHEMA)


def of_rows(rows: Rows, bounds: far_rows.Bounds | None = None, *, products: bool = True) -> Survey:
    """Return the survey of one batch, of its rows within the bounds if there are any."""
    counts = np.bincount(rows.reasons, minlength=len(REASONS)).astype(np.float64)
    valid = rows.valid() if bounds is None else rows.valid().where(bounds.hold)
    counts[0] = valid.x.shape[1]
    x = valid.x
    d, n = x.shape
    weights = np.ones(n) if valid.weights is None else valid.weights
    total = float(weights.sum())
    if total <= 0:
        return replace(Survey.zero(d, products=products), counts=counts)
    centre = x[:, :1]
    offset = (x - centre) @ weights / total
    centred = x - (centre + offset[:, None])
    scatter = (centred * weights) @ centred.T if products else centred**2 @ weights
    counted = valid.counted().x
    limits, few = np.stack([counted.min(axis=1), counted.max(axis=1)]), far_rows.sample(counted)
    squares = float(weights @ weights)
    return Survey(counts, total, centre[:, 0] + offset, scatter, squares, limits, few, counted.shape[1])


def _survey_partition(
    layout: Layout, zero: Survey, bounds: far_rows.Bounds | None, batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    settle()
    surveyed = zero
    for batch in batches:
        surveyed += of_rows(decode(batch.columns, layout), bounds, products=zero.scatter.ndim > 1)
    if surveyed.counts.any():
        yield from _table(task_partition(), replace(surveyed, partitions=1)).to_batches()


def task_partition() -> int:
    """Return the number of the partition that this task works on."""
    context = TaskContext.get()
    return 0 if context is None else context.partitionId()
