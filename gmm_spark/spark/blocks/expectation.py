"""One distributed E-step: sufficient statistics of candidates from the stored blocks."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING

from pyspark.sql import functions as f

from gmm_spark.limits import LIMITS, Limits
from gmm_spark.spark.blocks.pack import READ, block_sums, read_blocks
from gmm_spark.spark.partials import group_of, partials
from gmm_spark.spark.session import result_limit, send_with_plan
from gmm_spark.statistics.kernel import check_balance
from gmm_spark.statistics.moments import Moments, sum_in_order
from gmm_spark.statistics.reading import Reading, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
    from gmm_spark.spark.partials import Partials
    from gmm_spark.spark.session import TaskValue
    from gmm_spark.statistics.block import Block
    from gmm_spark.statistics.engines import Precision

_log = logging.getLogger("gmm_spark")


def driver_bytes(spark: SparkSession, limits: Limits = LIMITS) -> int:
    """Return how many bytes of partial statistics a pass may bring to the driver."""
    most, limit = limits.statistics_bytes, result_limit(spark)
    return min(most, limit // 4) if limit else most


@dataclass
class DistributedExpectation:
    """The `Expectation` over blocks on a cluster.

    Each partition counts once even if its task fails or runs twice, and the statistics are added in the order of the
    partitions: the same blocks give the same bits on any number of executors.

    Args:
        blocks: the rows that `blocks.pack` returns, one per block.
        partitions: the number of partitions of the blocks.
        precision: of the products, where their error bound allows it.
        repack: packs the rows of some partitions, or of all, again, and Spark stores the blocks; for tasks that run on
            a machine without the files.
        check: refuses (1 + d or more,) sums of all rows that are not those of the survey.
        turns: (d, d) from the blocks' coordinates to those of a family, where they differ.
        limits: of the memory of the driver and the size of a task's function.
        full_reads: the reads of all rows so far.
        part_reads: the reads of parts of the rows, each counted by its share.
        repacking_reads: the reads of the rows to pack them again, each counted by its share.
    """

    blocks: DataFrame
    partitions: int
    precision: Precision
    repack: Callable[[frozenset[int] | None], DataFrame]
    check: Callable[[FloatArray], None]
    turns: Mapping[Family, FloatArray] = field(default_factory=dict)
    limits: Limits = LIMITS
    full_reads: int = field(default=0, init=False)
    part_reads: float = field(default=0.0, init=False)
    repacking_reads: float = field(default=0.0, init=False)
    _selected: DataFrame | None = field(default=None, init=False)
    _repacked: tuple[frozenset[int], DataFrame] | None = field(default=None, init=False)

    @property
    def passes(self) -> int:
        """Full reads of the data so far; reads of parts are added by their shares, rounded up."""
        return self.full_reads + math.ceil(self.part_reads) + math.ceil(self.repacking_reads)

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows: one read of the blocks."""
        return self.read([Request(candidate) for candidate in candidates])

    def read(
        self, requests: Sequence[Request], *, one_in: int = 1, kept: int | None = None, together: int | None = None
    ) -> tuple[Moments, ...]:
        """Return the statistics of each request: one read of the blocks. The arguments are those of a `Reading`.

        Raises:
            InputError: the rows are not those of the survey.
        """
        reading = Reading(tuple(requests), one_in, kept, self.precision, self.turns, together)
        moments = self._measure(reading)
        if one_in == 1:
            self.full_reads += 1
        elif moments[0].rows:  # the part has blocks
            self.part_reads += 1 / one_in
        if reading.is_of_all_rows:
            self.check(moments[0].total)
        return moments

    def _measure(self, reading: Reading) -> tuple[Moments, ...]:
        zeros = reading.zeros()
        size = self.partitions * sum(len(zero.to_bytes()) for zero in zeros)
        group_size = 1 if size <= driver_bytes(self.blocks.sparkSession, self.limits) else math.isqrt(self.partitions)
        with send_with_plan(self.blocks.sparkSession, reading, self.limits.carried_bytes) as sent:
            results = self._partials(sent, group_size)
            if missing := {number for number, sums in results.items() if sums is None}:
                _log.info("%d of %d files are missing: their rows are packed again", len(missing), len(results))
                results = self._complete(results, missing, sent, group_size)
        return _add(zeros, [sums for sums in results.values() if sums is not None])

    def _partials(self, reading: TaskValue[Reading], group_size: int) -> Partials:
        # Selected once: each step of a plan adds some milliseconds to a pass.
        self._selected = self._selected or self.blocks.select(*READ)
        return _sum_blocks(self._selected, reading, group_size)

    def _complete(self, results: Partials, missing: set[int], reading: TaskValue[Reading], group_size: int) -> Partials:
        """Return the statistics with those of the missing groups of partitions, from blocks that are packed again.

        Equal block sums show that the partitions have the same rows as before; if Spark has planned the read in
        another way they differ, and all rows are packed again.
        """
        wanted = frozenset(
            chain.from_iterable(range(number * group_size, (number + 1) * group_size) for number in missing)
        )
        available, repacked = self._repacked or (frozenset[int](), None)
        if repacked is None or not wanted <= available:
            wanted |= available
            repacked = self.repack(wanted)
            self.repacking_reads += min(1.0, len(wanted) / self.partitions)
            if block_sums(repacked, wanted) != block_sums(self.blocks, wanted):
                self.blocks, self._selected, self._repacked = self.repack(None), None, None
                self.repacking_reads += 1
                return self._partials(reading, group_size)
            self._repacked = wanted, repacked
        rest = repacked.where(group_of(f.col("partition"), group_size).isin(missing)).select(*READ)
        return results | _sum_blocks(rest, reading, group_size)


def _sum_blocks(selected: DataFrame, reading: TaskValue[Reading], group_size: int) -> Partials:
    return partials(selected, partial(_sum_task, reading), partial(_add_group, reading), group_size)


def _add_group(reading: TaskValue[Reading], sums: list[list[bytes]]) -> list[bytes]:
    return [moments.to_bytes() for moments in _add(reading.value.zeros(), sums)]


def _add(zeros: tuple[Moments, ...], sums: list[list[bytes]]) -> tuple[Moments, ...]:
    return tuple(
        sum_in_order((Moments.from_bytes(result[c], zero) for result in sums), zero) for c, zero in enumerate(zeros)
    )


def _sum_task(
    reading: TaskValue[Reading], batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[int, list[bytes] | None]]:
    numbered = (block for batch in batches for block in read_blocks(batch))
    for partition, group in groupby(numbered, key=itemgetter(0)):
        moments = _statistics(reading.value, group)
        for each in moments or ():
            check_balance(each, f"partition {partition}", reading.value.precision)
        yield partition, None if moments is None else [each.to_bytes() for each in moments]


def _statistics(reading: Reading, group: Iterable[tuple[int, int, Block | None]]) -> tuple[Moments, ...] | None:
    try:
        return reading.over((fold, _require(block)) for _, fold, block in group)
    except _MissingError:
        return None


class _MissingError(Exception):
    """A file is not on this machine; caught in the task that raises it."""


def _require(block: Block | None) -> Block:
    if block is None:
        raise _MissingError
    return block
