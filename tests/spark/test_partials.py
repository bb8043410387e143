"""Partial results come to the driver in the order of their partitions, and calls in tasks in the order of the calls."""

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


def named(unread: int | None, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, list[bytes] | None]]:
    """Yield the number of the task's partition as its partial result; None for one that can't be read."""
    for _ in batches:
        yield task_partition(), None if task_partition() == unread else [b"%d" % task_partition()]


def joined(sums: list[list[bytes]]) -> list[bytes]:
    """Return a sum that shows the order of what was added."""
    return [b"".join(each for (each,) in sums)]


@pytest.mark.parametrize("run", [1, 2, 3, 100])
def test_partials_are_added_in_the_order_of_the_partitions(spark: SparkSession, run: int) -> None:
    """By the driver, or first by tasks in runs of n partitions: the order is the same."""
    found = partials(spark.range(0, PARTITIONS, 1, PARTITIONS), partial(named, None), joined, run)
    assert list(found) == list(range(-(-PARTITIONS // run)))
    assert joined([sums for sums in found.values() if sums is not None]) == [b"0123456"]


@pytest.mark.parametrize(("run", "missing"), [(1, 4), (3, 1)])
def test_a_run_without_one_of_its_partitions_is_missing(spark: SparkSession, run: int, missing: int) -> None:
    """The others are there."""
    found = partials(spark.range(0, PARTITIONS, 1, PARTITIONS), partial(named, 4), joined, run)
    assert [number for number, sums in found.items() if sums is None] == [missing]


@pytest.mark.parametrize("tasks", [1, 3, 100])
def test_calls_in_tasks_return_in_their_order(spark: SparkSession, tasks: int) -> None:
    """In fewer tasks than calls, and in one each."""
    calls = [(number, 3) for number in range(PARTITIONS)]
    with send_to_tasks(spark, sub) as function:
        assert call_in_tasks(spark, function, calls, tasks) == [sub(*call) for call in calls]
