"""One distributed E-step: kept blocks and candidates to sufficient statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as f

from gmm_spark.em import check_balance
from gmm_spark.kernel import accumulate, zero_moments
from gmm_spark.moments import Moments, added
from gmm_spark.spark.blocks import read_blocks
from gmm_spark.spark.session import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.kernel import Block
    from gmm_spark.parameters import Parameters
    from gmm_spark.spark.session import Shipped

_SCHEMA = pa.schema([("partition", pa.int32()), ("moments", pa.list_(pa.binary()))])
_DDL = "partition int, moments array<binary>"


# More bytes of partial statistics than this are added by tasks first: the driver must not grow with the partitions.
_DRIVER_BYTES = 64 << 20


class Sums(Protocol):
    """What a read of the blocks adds up; it travels to the tasks."""

    def zeros(self) -> tuple[Moments, ...]:
        """Return the statistics of no rows."""
        ...

    def over(self, blocks: Iterable[tuple[int, Block]]) -> tuple[Moments, ...]:
        """Return the statistics of the blocks, each given with the fold of its rows."""
        ...


@dataclass(frozen=True, eq=False)
class OverAll:
    """The statistics of some mixtures over all rows.

    Args:
        candidates: the mixtures, in the coordinates of the blocks.
    """

    candidates: tuple[Parameters, ...]

    def zeros(self) -> tuple[Moments, ...]:
        """Return the statistics of no rows."""
        return zero_moments(self.candidates)

    def over(self, blocks: Iterable[tuple[int, Block]]) -> tuple[Moments, ...]:
        """Return the statistics of the blocks."""
        return accumulate((block for _, block in blocks), self.candidates)


@dataclass(frozen=True)
class DistributedExpectation:
    """The `Expectation` over blocks on a cluster.

    Each partition's statistics come back once, whatever failed or ran twice, and are added in the order
    of the partitions: the same blocks give the same bits on any number of executors.

    Args:
        blocks: what `blocks.pack` made.
        partitions: how many partitions have blocks.
    """

    blocks: DataFrame
    partitions: int

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows: one read of the blocks."""
        return self.read(OverAll(tuple(candidates)))

    def read(self, sums: Sums) -> tuple[Moments, ...]:
        """Return what `sums` adds up: one read of the blocks."""
        columns = self.blocks.select("partition", "rows", "z", "weights", "total", "fold")
        zeros = sums.zeros()
        with shipped(self.blocks.sparkSession, sums) as parcel:
            partials = columns.mapInArrow(partial(_sum_partition, parcel), _DDL)
            if self.partitions * sum(len(zero.to_bytes()) for zero in zeros) > _DRIVER_BYTES:
                partials = _grouped(partials, parcel, self.partitions)
            table = partials.toArrow()
        return _added(table, zeros)


def _grouped(partials: DataFrame, parcel: Shipped[Sums], partitions: int) -> DataFrame:
    """Add runs of consecutive partitions on the executors, about as many as a run is long."""
    run = f.floor(f.col("partition") / math.isqrt(partitions)).alias("run")

    def add_group(table: pa.Table) -> pa.Table:
        return _table(pc.min(table.column("partition")).as_py(), _added(table, parcel.value.zeros()))

    return partials.groupBy(run).applyInArrow(add_group, _DDL)


def _added(table: pa.Table, zeros: tuple[Moments, ...]) -> tuple[Moments, ...]:
    columns = (table.column(name).to_pylist() for name in ("partition", "moments"))
    rows = sorted(zip(*columns, strict=True), key=itemgetter(0))
    return tuple(added((Moments.from_bytes(own[c], zero) for _, own in rows), zero) for c, zero in enumerate(zeros))


def _table(partition: int, moments: Iterable[Moments]) -> pa.Table:
    values = [[each.to_bytes() for each in moments]]
    return pa.Table.from_pydict({"partition": [partition], "moments": values}, schema=_SCHEMA)


def _sum_partition(parcel: Shipped[Sums], batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    sums = parcel.value
    numbered = (each for batch in batches for each in read_blocks(batch))
    for partition, group in groupby(numbered, key=itemgetter(0)):
        moments = sums.over((fold, block) for _, fold, block in group)
        for each in moments:
            check_balance(each, f"partition {partition}")
        yield from _table(partition, moments).to_batches()
