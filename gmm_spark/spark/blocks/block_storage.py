"""Where the blocks are stored while a fit runs: in files on the executors' local disks, or by Spark."""

from __future__ import annotations

import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from pyspark import StorageLevel

from gmm_spark.spark.blocks import block_files, pack
from gmm_spark.spark.blocks.agreement import ExpectedTotals
from gmm_spark.spark.blocks.expectation import DistributedExpectation
from gmm_spark.spark.session import encrypts_files, send_to_tasks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.spark.table.prepare import Table

_LEVEL = StorageLevel.MEMORY_AND_DISK


@contextmanager
def pack_table(
    table: Table, packing: pack.Packing, turns: Mapping[Family, FloatArray] | None = None
) -> Iterator[DistributedExpectation]:
    """Pack a table and give the engine over its blocks, which are stored until the end of the context.

    Args:
        table: the surveyed table.
        packing: how its rows become blocks.
        turns: (d, d) from the blocks' coordinates to those of a family, where they differ.
    """
    rows, surveyed, limits = table.rows, table.surveyed, packing.limits
    size = surveyed.counted * table.layout.d * 8
    fit = uuid.uuid4().hex if size >= limits.least_filed_bytes and not encrypts_files(rows.sparkSession) else None
    tasks = min(surveyed.partitions, max(limits.least_tasks, size // limits.task_bytes))
    with ExitStack() as until_the_end:

        def store(file_owner: str | None, only: frozenset[int] | None) -> DataFrame:
            part = replace(packing, file_owner=file_owner, only=only)
            blocks = pack.pack(rows, until_the_end.enter_context(send_to_tasks(rows.sparkSession, part)))
            blocks = (blocks.coalesce(tasks) if tasks < surveyed.partitions else blocks).persist(_LEVEL)
            until_the_end.callback(blocks.unpersist)
            return blocks

        blocks = store(fit, None)
        check = ExpectedTotals.of(table, packing).check
        yield DistributedExpectation(blocks, tasks, packing.precision, partial(store, None), check, turns or {}, limits)
        if fit:  # after an error the files stay until the executors end, as all their scratch files do
            blocks.select("partition").mapInArrow(partial(_remove_files, fit), "nothing int").toArrow()


def _remove_files(fit: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for _ in batches:
        block_files.remove(fit)
    yield from ()
