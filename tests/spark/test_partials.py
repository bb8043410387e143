"""Partial results are in the order of their partitions, and results of calls in tasks in the order of the calls."""

from __future__ import annotations

from functools import partial
from operator import sub
from typing import TYPE_CHECKING

import pytest

from gmm_spark.spark.partials import partials
from gmm_spark.spark.session import send_to_tasks
from gmm_spark.spark.tasks import call_in_tasks
from gmm_spark.spark.worker import task_partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import SparkSession

PARTITIONS = 7


def partition_number(unread: int | None, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, list[bytes] | None]]:
    """Yield the number of the task's partition as its partial result; None for the partition `unread`."""
    for _ in batches:
        yield task_partition(), None if task_partition() == unread else [b"%d" % task_partition()]


def join(sums: list[list[bytes]]) -> list[bytes]:
    """Return a sum that shows the order of its terms."""
    return [b"".join(term for (term,) in sums)]


@pytest.mark.parametrize("group_size", [1, 2, 3, 100])
def test_partials_are_added_in_the_order_of_the_partitions(spark: SparkSession, group_size: int) -> None:
    """The driver alone, or tasks with groups of n partitions, add in the same order."""
    results = partials(spark.range(0, PARTITIONS, 1, PARTITIONS), partial(partition_number, None), join, group_size)
    assert list(results) == list(range(-(-PARTITIONS // group_size)))
    assert join([sums for sums in results.values() if sums is not None]) == [b"0123456"]


@pytest.mark.parametrize(("group_size", "missing"), [(1, 4), (3, 1)])
def test_a_group_with_a_missing_partition_is_missing(spark: SparkSession, group_size: int, missing: int) -> None:
    """Only the group of that partition has no sum."""
    results = partials(spark.range(0, PARTITIONS, 1, PARTITIONS), partial(partition_number, 4), join, group_size)
    assert [number for number, sums in results.items() if sums is None] == [missing]


@pytest.mark.parametrize("tasks", [1, 3, 100])
def test_calls_in_tasks_return_in_their_order(spark: SparkSession, tasks: int) -> None:
    """The order holds for fewer tasks than calls, and for one task per call."""
    calls = [(number, 3) for number in range(PARTITIONS)]
    with send_to_tasks(spark, sub) as function:
        assert call_in_tasks(spark, function, calls, tasks) == [sub(*call) for call in calls]
