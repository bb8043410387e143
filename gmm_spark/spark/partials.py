"""Partial results of partitions, added in the order of the partitions.

Each partition counts once even if its task fails or runs twice: the same bits on any number of executors. Where the
results are large, tasks first add groups of n partitions, so that the driver's memory does not grow with their number.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as f

from gmm_spark.spark.arrow_types import one_row, spark_schema
from gmm_spark.spark.worker import speed_up_worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import Column, DataFrame

# The sums of each partition or group, as bytes, by its number, in order; None where its rows can't be read.
Partials: TypeAlias = "dict[int, list[bytes] | None]"
# From the batches of a task to the sums of its partitions, by number: one task may have several partitions.
Map: TypeAlias = "Callable[[Iterable[pa.RecordBatch]], Iterable[tuple[int, list[bytes] | None]]]"
# From partial results, in the order of their partitions, to their sum.
Add: TypeAlias = "Callable[[list[list[bytes]]], list[bytes]]"

_SCHEMA = pa.schema([("partition", pa.int32()), ("sums", pa.list_(pa.binary()))])
_TYPE = spark_schema(_SCHEMA)


def partials(rows: DataFrame, map_task: Map, add: Add, group_size: int = 1) -> Partials:
    """Return the partial result of each partition, or of each group of n partitions, added by a task.

    Args:
        rows: what the tasks read.
        map_task: from the rows of a task to its partial results; sent to the tasks.
        add: the sum of partial results in the order of their partitions; sent to the tasks.
        group_size: n.
    """
    mapped = rows.mapInArrow(partial(_map_batches, map_task), _TYPE)
    if group_size > 1:

        def add_group(table: pa.Table) -> pa.Table:
            number = pc.min(table.column("partition")).as_py() // group_size
            results = list(_by_number(table).values())
            sums = [result for result in results if result is not None]
            return pa.Table.from_batches([_row(number, add(sums) if len(sums) == len(results) else None)])

        groups = mapped.groupBy(group_of(f.col("partition"), group_size).alias("group"))
        mapped = groups.applyInArrow(add_group, _TYPE)
    return _by_number(mapped.toArrow())


def group_of(partition: Column, group_size: int) -> Column:
    """Return the number of the group of n partitions that a partition is in."""
    return f.floor(partition / group_size)


def _map_batches(map_task: Map, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    speed_up_worker()
    for number, sums in map_task(batches):
        yield _row(number, sums)


def _row(number: int, sums: list[bytes] | None) -> pa.RecordBatch:
    return one_row(_SCHEMA, {"partition": number, "sums": sums})


def _by_number(table: pa.Table) -> Partials:
    columns = (column.to_pylist() for column in table.columns)
    return dict(sorted(zip(*columns, strict=True), key=itemgetter(0)))
