"""One distributed E-step: kept blocks and candidates to sufficient statistics."""

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
from gmm_spark.spark.blocks.pack import READ, read_blocks, sums_of
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
    """Return how many bytes of partial statistics may come to the driver in one pass."""
    most, limit = limits.statistics_bytes, result_limit(spark)
    return min(most, limit // 4) if limit else most


@dataclass
class DistributedExpectation:
    """The `Expectation` over blocks on a cluster.

    Each partition's statistics come back once, whatever failed or ran twice, and are added in the order
    of the partitions: the same blocks give the same bits on any number of executors.

    Args:
        blocks: what `blocks.pack` made.
        partitions: how many partitions have blocks.
        precision: of the products, where their bound allows it.
        packed_anew: makes the blocks of some partitions, or of all, for Spark to keep, where those in the executors'
            files are not where the tasks run.
        check: refuses (1 + d or more,) sums of all rows that are not those of the survey.
        turns: (d, d) from the blocks' coordinates to those of a family, where they differ.
        limits: what the driver and the function of a pass may hold.
        full: the reads of all rows so far.
        partial: the reads of parts of the rows, each counted by its share.
        repeated: the reads of the rows to pack them again, each counted by its share.
    """

    blocks: DataFrame
    partitions: int
    precision: Precision
    packed_anew: Callable[[frozenset[int] | None], DataFrame]
    check: Callable[[FloatArray], None]
    turns: Mapping[Family, FloatArray] = field(default_factory=dict)
    limits: Limits = LIMITS
    full: int = field(default=0, init=False)
    partial: float = field(default=0.0, init=False)
    repeated: float = field(default=0.0, init=False)
    _selected: DataFrame | None = field(default=None, init=False)
    _moved: tuple[frozenset[int], DataFrame] | None = field(default=None, init=False)

    @property
    def passes(self) -> int:
        """Full reads of the data so far; reads of parts add up to some."""
        return self.full + math.ceil(self.partial) + math.ceil(self.repeated)

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows: one read of the blocks."""
        return self.read([Request(each) for each in candidates])

    def read(
        self, requests: Sequence[Request], *, one_in: int = 1, kept: int | None = None, together: int | None = None
    ) -> tuple[Moments, ...]:
        """Return the statistics of each request: one read of the blocks. The arguments are those of a `Reading`.

        Raises:
            InputError: the rows are not those of the survey.
        """
        reading = Reading(tuple(requests), one_in, kept, self.precision, self.turns, together)
        moments = self._measured(reading)
        if one_in == 1:
            self.full += 1
        elif moments[0].rows:  # the part has blocks
            self.partial += 1 / one_in
        if reading.is_of_all_rows:
            self.check(moments[0].total)
        return moments

    def _measured(self, reading: Reading) -> tuple[Moments, ...]:
        zeros = reading.zeros()
        size = self.partitions * sum(len(zero.to_bytes()) for zero in zeros)
        run = 1 if size <= driver_bytes(self.blocks.sparkSession, self.limits) else math.isqrt(self.partitions)
        with send_with_plan(self.blocks.sparkSession, reading, self.limits.carried_bytes) as parcel:
            found = self._partials(parcel, run)
            if missing := {number for number, sums in found.items() if sums is None}:
                _log.info("%d of %d files are missing: their rows are packed again", len(missing), len(found))
                found = self._completed(found, missing, parcel, run)
        return _added(zeros, [sums for sums in found.values() if sums is not None])

    def _partials(self, parcel: TaskValue[Reading], run: int) -> Partials:
        # Selected once: each step of a plan costs a pass over few rows some milliseconds.
        self._selected = self._selected or self.blocks.select(*READ)
        return _summed(self._selected, parcel, run)

    def _completed(self, found: Partials, missing: set[int], parcel: TaskValue[Reading], run: int) -> Partials:
        """Return the statistics with those of the runs of partitions that are missing, from blocks that Spark keeps.

        Partitions are what they were as long as Spark plans the read of the rows as before, as their sums show; else
        all rows are packed again.
        """
        wanted = frozenset(chain.from_iterable(range(number * run, (number + 1) * run) for number in missing))
        known, moved = self._moved or (frozenset[int](), None)
        if moved is None or not wanted <= known:
            wanted |= known
            moved = self.packed_anew(wanted)
            self.repeated += min(1.0, len(wanted) / self.partitions)
            if sums_of(moved, wanted) != sums_of(self.blocks, wanted):
                self.blocks, self._selected, self._moved = self.packed_anew(None), None, None
                self.repeated += 1
                return self._partials(parcel, run)
            self._moved = wanted, moved
        rest = moved.where(group_of(f.col("partition"), run).isin(missing)).select(*READ)
        return found | _summed(rest, parcel, run)


def _summed(selected: DataFrame, parcel: TaskValue[Reading], run: int) -> Partials:
    return partials(selected, partial(_sum_task, parcel), partial(_add_run, parcel), run)


def _add_run(parcel: TaskValue[Reading], sums: list[list[bytes]]) -> list[bytes]:
    return [each.to_bytes() for each in _added(parcel.value.zeros(), sums)]


def _added(zeros: tuple[Moments, ...], sums: list[list[bytes]]) -> tuple[Moments, ...]:
    return tuple(
        sum_in_order((Moments.from_bytes(each[c], zero) for each in sums), zero) for c, zero in enumerate(zeros)
    )


def _sum_task(
    parcel: TaskValue[Reading], batches: Iterable[pa.RecordBatch]
) -> Iterator[tuple[int, list[bytes] | None]]:
    numbered = (each for batch in batches for each in read_blocks(batch))
    for partition, group in groupby(numbered, key=itemgetter(0)):
        moments = _sums(parcel.value, group)
        for each in moments or ():
            check_balance(each, f"partition {partition}", parcel.value.precision)
        yield partition, None if moments is None else [each.to_bytes() for each in moments]


def _sums(reading: Reading, group: Iterable[tuple[int, int, Block | None]]) -> tuple[Moments, ...] | None:
    try:
        return reading.over((fold, _present(block)) for _, fold, block in group)
    except _MissingError:
        return None


class _MissingError(Exception):
    """A file is not on this machine; never leaves a task."""


def _present(block: Block | None) -> Block:
    if block is None:
        raise _MissingError
    return block
