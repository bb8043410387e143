"""The first pass: how many rows, how many of them unusable and why, their mean and covariance, and those of most."""

from __future__ import annotations

from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.limits import LIMITS, Limits
from gmm_spark.spark.partials import partials
from gmm_spark.spark.table.rows import RowLayout, Rows, decode
from gmm_spark.spark.worker import task_partition
from gmm_spark.statistics.survey import REASONS, Survey, surveyed_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from gmm_spark.statistics import far_rows


def survey(rows: DataFrame, layout: RowLayout, *, products: bool = True, limits: Limits = LIMITS) -> Survey:
    """Return what the rows are, by one read; where a few far ones have most of the variance, by another one.

    Partitions are merged in their order.

    Args:
        rows: features and weights.
        layout: what the columns mean.
        products: sum the products of features; else their squares alone, O(d) in time and memory.
        limits: what comes to the driver as it is.
    """
    return surveyed_by(partial(_read, rows, layout, Survey.zero(layout.d, products=products), limits))


def _read(rows: DataFrame, layout: RowLayout, zero: Survey, limits: Limits, bounds: far_rows.Bounds | None) -> Survey:
    """Read all rows once and return what those within the bounds are.

    Where a survey is large the executors merge runs of partitions first: the driver must not grow with their number.
    """
    run = limits.survey_run if zero.scatter.nbytes > limits.survey_bytes else 1
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
    valid = rows.valid() if bounds is None else rows.valid().where(bounds.contain)
    surveyed = Survey.of(valid.x, valid.weights, products=products)
    reasons = np.bincount(rows.reasons, minlength=len(REASONS)).astype(np.float64)
    return replace(surveyed, counts=np.array([surveyed.rows, *reasons[1:]]))


def _survey_task(
    layout: RowLayout, zero: Survey, bounds: far_rows.Bounds | None, batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[int, list[bytes]]]:
    surveyed = zero
    for batch in batches:
        surveyed += of_rows(decode(batch.columns, layout), bounds, products=zero.scatter.ndim > 1)
    if surveyed.counts.any():
        yield task_partition(), _to_bytes(replace(surveyed, partitions=1))
