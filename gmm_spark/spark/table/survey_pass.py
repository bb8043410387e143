"""The first pass: the number of rows, the unusable ones by reason, mean and covariance, with and without far rows."""

from __future__ import annotations

from dataclasses import replace
from functools import partial, reduce
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.limits import LIMITS, Limits
from gmm_spark.spark.partials import partials
from gmm_spark.spark.table.rows import DecodedRows, RowLayout, decode
from gmm_spark.spark.worker import task_partition
from gmm_spark.statistics.survey import REASONS, Survey, surveyed_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from gmm_spark.statistics import far_rows


def survey(rows: DataFrame, layout: RowLayout, *, products: bool = True, limits: Limits = LIMITS) -> Survey:
    """Return the survey of the rows: one read, and a second one where a few far rows have most of the variance.

    Partitions are merged in their order.

    Args:
        rows: features and weights.
        layout: the meaning of the columns.
        products: sum the products of features; else their squares alone, O(d) in time and memory.
        limits: of the surveys that the driver merges itself.
    """
    return surveyed_by(partial(_read, rows, layout, Survey.zero(layout.d, products=products), limits))


def _read(rows: DataFrame, layout: RowLayout, zero: Survey, limits: Limits, bounds: far_rows.Bounds | None) -> Survey:
    """Read all rows once and return the survey of the rows within the bounds.

    Large surveys are first merged in groups of partitions by the executors, to bound the driver's memory.
    """
    group_size = limits.survey_run if zero.scatter.nbytes > limits.survey_bytes else 1
    results = partials(rows, partial(_survey_task, layout, zero, bounds), partial(_add, zero), group_size)
    return _merge(zero, [sums for sums in results.values() if sums is not None])


def _merge(zero: Survey, sums: list[list[bytes]]) -> Survey:
    merged = reduce(Survey.__add__, (Survey.from_bytes(data, zero) for data, _ in sums), zero)
    return replace(merged, partitions=sum(int.from_bytes(partitions, "little") for _, partitions in sums))


def _add(zero: Survey, sums: list[list[bytes]]) -> list[bytes]:
    return _to_bytes(_merge(zero, sums))


def _to_bytes(surveyed: Survey) -> list[bytes]:
    return [surveyed.to_bytes(), surveyed.partitions.to_bytes(8, "little")]


def survey_batch(rows: DecodedRows, bounds: far_rows.Bounds | None = None, *, products: bool = True) -> Survey:
    """Return the survey of one batch; with bounds, of its rows within them."""
    valid = rows.valid() if bounds is None else rows.valid().where(bounds.contain)
    surveyed = Survey.of(valid.x, valid.weights, products=products)
    reasons = np.bincount(rows.reasons, minlength=len(REASONS)).astype(np.float64)
    return replace(surveyed, counts=np.array([surveyed.rows, *reasons[1:]]))


def _survey_task(
    layout: RowLayout, zero: Survey, bounds: far_rows.Bounds | None, batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[int, list[bytes]]]:
    surveyed = zero
    for batch in batches:
        surveyed += survey_batch(decode(batch.columns, layout), bounds, products=zero.scatter.ndim > 1)
    if surveyed.counts.any():
        yield task_partition(), _to_bytes(replace(surveyed, partitions=1))
