"""Where the blocks are while a fit runs: kept by Spark, and copied to the executors' own disks."""

from __future__ import annotations

import uuid
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pyspark import StorageLevel

from gmm_spark.spark import blocks, copies
from gmm_spark.spark.expectation import DistributedExpectation
from gmm_spark.spark.session import shipped, small_batches

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from gmm_spark.spark.preparing import Table

# A Python task costs about 20 ms: a pass over many small partitions reads several of them in one task. The number
# does not depend on the cores, for the statistics are added in the order of the tasks.
_LEAST_TASKS, _TASK_BYTES = 32, 32 << 20
# Smaller tables than this are moved to Python as fast as their copies would be found.
_LEAST_COPIED = 16 << 20


@contextmanager
def packed(table: Table, packing: blocks.Packing) -> Iterator[DistributedExpectation]:
    """Give the engine over the table's blocks, which Spark keeps until the end."""
    rows, surveyed = table.rows, table.surveyed
    size = surveyed.rows * table.layout.d * 8
    fit = uuid.uuid4().hex if size >= _LEAST_COPIED else None
    with small_batches(rows.sparkSession), shipped(rows.sparkSession, replace(packing, copies=fit)) as parcel:
        tasks = min(surveyed.partitions, max(_LEAST_TASKS, size // _TASK_BYTES))
        made = blocks.pack(rows, parcel)
        kept = (made.coalesce(tasks) if tasks < surveyed.partitions else made).persist(StorageLevel.MEMORY_AND_DISK)
        index = kept.select(*blocks.COPIED).persist(StorageLevel.MEMORY_AND_DISK) if fit else None
        try:
            yield DistributedExpectation(kept, tasks, index, packing.precision)
            if index and fit:  # after an error they stay until the executors end, as all their scratch files do
                index.mapInArrow(partial(_remove_copies, fit), "nothing int").toArrow()
        finally:
            kept.unpersist()
            if index:
                index.unpersist()


def _remove_copies(fit: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        copies.remove(fit)
    yield from ()
