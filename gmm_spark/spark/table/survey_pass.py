"""The first pass: how many rows, how many of them unusable and why, their mean and covariance, and those of most."""

from __future__ import annotations

from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture.parameters import ALIGNED
from gmm_spark.spark.partials import partials
from gmm_spark.spark.table.rows import Layout, Rows, decode
from gmm_spark.spark.worker import task_partition
from gmm_spark.statistics import far_rows
from gmm_spark.statistics.survey import REASONS, Survey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family

# Scatters larger than this are merged by the executors, this many partitions at a time.
_WIDE_BYTES, _RUN = 8 << 10, 64
# Up to this many features their products cost next to nothing, and show columns that hold the same values.
_FEW_FEATURES = 64


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
    bounds = far_rows.find_bounds(surveyed.sample, surveyed.variances)
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
    run = _RUN if zero.scatter.nbytes > _WIDE_BYTES else 1
    read = partials(rows, partial(_survey_task, layout, zero, bounds), partial(_add, zero), run)
    return _merged(zero, [sums for sums in read.values() if sums is not None])


def _merged(zero: Survey, sums: list[list[bytes]]) -> Survey:
    merged = reduce(Survey.__add__, (Survey.from_bytes(data, zero) for data, _ in sums), zero)
    return replace(merged, partitions=sum(int.from_bytes(partitions, "little") for _, partitions in sums))


def _add(zero: Survey, sums: list[list[bytes]]) -> list[bytes]:
    return _to_bytes(_merged(zero, sums))


def _to_bytes(surveyed: Survey) -> list[bytes]:
    return [surveyed.to_bytes(), surveyed.partitions.to_bytes(8, "little")]


def of_rows(rows: Rows, bounds: far_rows.Bounds | None = None, *, products: bool = True) -> Survey:
    """Return the survey of one batch, of its rows within the bounds if there are any."""
    counts = np.bincount(rows.reasons, minlength=len(REASONS)).astype(np.float64)
    valid = rows.valid() if bounds is None else rows.valid().where(bounds.contain)
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
    limits, few = np.stack([counted.min(axis=1), counted.max(axis=1)]), far_rows.draw_sample(counted)
    squares = float(weights @ weights)
    return Survey(counts, total, centre[:, 0] + offset, scatter, squares, limits, few, counted.shape[1])


def _survey_task(
    layout: Layout, zero: Survey, bounds: far_rows.Bounds | None, batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[int, list[bytes]]]:
    surveyed = zero
    for batch in batches:
        surveyed += of_rows(decode(batch.columns, layout), bounds, products=zero.scatter.ndim > 1)
    if surveyed.counts.any():
        yield task_partition(), _to_bytes(replace(surveyed, partitions=1))
