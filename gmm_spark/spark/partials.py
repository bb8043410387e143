"""Partitions to partial results, which are added in the order of the partitions.

Each comes back once, whatever failed or ran twice: the same partitions give the same bits on any number of executors.
Where they are large, tasks add runs of n partitions first: the driver must not grow with the number of partitions.
"""

from __future__ import annotations

from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as f

from gmm_spark.spark.arrow_types import one_row, spark_schema
from gmm_spark.spark.worker import settle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pyspark.sql import Column, DataFrame

# The sums of each partition or run of them, as bytes, by its number, in order; None where its rows can't be read.
Partials: TypeAlias = "dict[int, list[bytes] | None]"
# From the batches of a task to its partitions, by number: one task may have several.
Map: TypeAlias = "Callable[[Iterable[pa.RecordBatch]], Iterable[tuple[int, list[bytes] | None]]]"
# Partials in the order of their partitions to their sum.
Add: TypeAlias = "Callable[[list[list[bytes]]], list[bytes]]"

_SCHEMA = pa.schema([("partition", pa.int32()), ("sums", pa.list_(pa.binary()))])
_TYPE = spark_schema(_SCHEMA)


def partials(rows: DataFrame, of_task: Map, add: Add, run: int = 1) -> Partials:
    """Return the partial result of each partition, or of each run of n partitions added by a task.

    Args:
        rows: what the tasks read.
        of_task: from the rows of a task to its partial results; travels to the tasks, as does
        add: the sum of partial results, which are given in the order of the partitions.
        run: n.
    """
    mapped = rows.mapInArrow(partial(_mapped, of_task), _TYPE)
    if run > 1:

        def add_run(table: pa.Table) -> pa.Table:
            number = pc.min(table.column("partition")).as_py() // run
            own = list(_by_number(table).values())
            known = [each for each in own if each is not None]
            return pa.Table.from_batches([_row(number, add(known) if len(known) == len(own) else None)])

        mapped = mapped.groupBy(run_of(f.col("partition"), run).alias("run")).applyInArrow(add_run, _TYPE)
    return _by_number(mapped.toArrow())


def run_of(partition: Column, run: int) -> Column:
    """Return the number of the run that a partition is in."""
    return f.floor(partition / run)


def _mapped(of_task: Map, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    settle()
    for number, sums in of_task(batches):
        yield _row(number, sums)


def _row(number: int, sums: list[bytes] | None) -> pa.RecordBatch:
    return one_row(_SCHEMA, {"partition": number, "sums": sums})


def _by_number(table: pa.Table) -> Partials:
    columns = (column.to_pylist() for column in table.columns)
    return dict(sorted(zip(*columns, strict=True), key=itemgetter(0)))
