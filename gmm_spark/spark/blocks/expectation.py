"""One distributed E-step: kept blocks and candidates to sufficient statistics."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Protocol
from zlib import crc32

from pyspark.sql import functions as f

from gmm_spark.spark.blocks.pack import READ, read_blocks, sums_of
from gmm_spark.spark.partials import partials, run_of
from gmm_spark.spark.session import carried, result_limit
from gmm_spark.statistics import least_likely
from gmm_spark.statistics.kernel import accumulate, check_balance, zero_moments
from gmm_spark.statistics.moments import Moments, sum_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.spark.partials import Partials
    from gmm_spark.spark.session import Shipped
    from gmm_spark.statistics.block import Block
    from gmm_spark.statistics.engines import Precision

_log = logging.getLogger("gmm_spark")

# More bytes of partial statistics than this are added by tasks first: the driver must not grow with the partitions.
# Nor may they near the limit that Spark sets to what a job brings to the driver.
_DRIVER_BYTES = 64 << 20


def driver_bytes(spark: SparkSession) -> int:
    """Return how many bytes of partial statistics may come to the driver in one pass."""
    limit = result_limit(spark)
    return min(_DRIVER_BYTES, limit // 4) if limit else _DRIVER_BYTES


class Sums(Protocol):
    """What a read of the blocks adds up; it travels to the tasks."""

    @property
    def precision(self) -> Precision:
        """Of the products, where their bound allows it."""
        ...

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
        precision: of the products, where their bound allows it.
        kept: how many rows of least density to return with each.
    """

    candidates: tuple[Parameters, ...]
    precision: Precision = "float64"
    kept: int = least_likely.SIZE

    def zeros(self) -> tuple[Moments, ...]:
        """Return the statistics of no rows."""
        return zero_moments(self.candidates, self.kept)

    def over(self, blocks: Iterable[tuple[int, Block]]) -> tuple[Moments, ...]:
        """Return the statistics of the blocks."""
        return accumulate(
            (block for _, block in blocks), self.candidates, precision=self.precision, reservoir_size=self.kept
        )


@dataclass(frozen=True, eq=False)
class OverPart:
    """The statistics over about one in n blocks: a hash of a block decides, so a smaller part is in a larger one.

    Args:
        all: the statistics.
        one_in: a power of two.
    """

    all: Sums
    one_in: int

    @property
    def precision(self) -> Precision:
        """Of the products, where their bound allows it."""
        return self.all.precision

    def zeros(self) -> tuple[Moments, ...]:
        """Return the statistics of no rows."""
        return self.all.zeros()

    def over(self, blocks: Iterable[tuple[int, Block]]) -> tuple[Moments, ...]:
        """Return the statistics of the blocks that are in the part; of the others only their sums are read."""
        return self.all.over(each for each in blocks if not crc32(each[1].total.tobytes()) % self.one_in)


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
        repeated: the reads of the rows for that, each counted by its share.
    """

    blocks: DataFrame
    partitions: int
    precision: Precision
    packed_anew: Callable[[frozenset[int] | None], DataFrame]
    check: Callable[[FloatArray], None]
    repeated: float = 0.0
    _selected: DataFrame | None = field(default=None, init=False)
    _moved: tuple[frozenset[int], DataFrame] | None = field(default=None, init=False)

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows: one read of the blocks."""
        return self.read(OverAll(tuple(candidates), self.precision))

    def read(self, sums: Sums) -> tuple[Moments, ...]:
        """Return what `sums` adds up: one read of the blocks.

        Raises:
            InputError: the rows are not those of the survey.
        """
        zeros = sums.zeros()
        size = self.partitions * sum(len(zero.to_bytes()) for zero in zeros)
        run = 1 if size <= driver_bytes(self.blocks.sparkSession) else math.isqrt(self.partitions)
        with carried(self.blocks.sparkSession, sums) as parcel:
            found = self._partials(parcel, run)
            if missing := {number for number, sums in found.items() if sums is None}:
                _log.info("%d of %d files are missing: their rows are packed again", len(missing), len(found))
                found = self._completed(found, missing, parcel, run)
        moments = _added(zeros, [sums for sums in found.values() if sums is not None])
        if isinstance(sums, OverAll):
            self.check(moments[0].total)
        return moments

    def _partials(self, parcel: Shipped[Sums], run: int) -> Partials:
        # Selected once: each step of a plan costs a pass over few rows some milliseconds.
        self._selected = self._selected or self.blocks.select(*READ)
        return _summed(self._selected, parcel, run)

    def _completed(self, found: Partials, missing: set[int], parcel: Shipped[Sums], run: int) -> Partials:
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
        rest = moved.where(run_of(f.col("partition"), run).isin(missing)).select(*READ)
        return found | _summed(rest, parcel, run)


def _summed(selected: DataFrame, parcel: Shipped[Sums], run: int) -> Partials:
    return partials(selected, partial(_sum_task, parcel), partial(_add_run, parcel), run)


def _add_run(parcel: Shipped[Sums], sums: list[list[bytes]]) -> list[bytes]:
    return [each.to_bytes() for each in _added(parcel.value.zeros(), sums)]


def _added(zeros: tuple[Moments, ...], sums: list[list[bytes]]) -> tuple[Moments, ...]:
    return tuple(
        sum_in_order((Moments.from_bytes(each[c], zero) for each in sums), zero) for c, zero in enumerate(zeros)
    )


def _sum_task(parcel: Shipped[Sums], batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, list[bytes] | None]]:
    numbered = (each for batch in batches for each in read_blocks(batch))
    for partition, group in groupby(numbered, key=itemgetter(0)):
        moments = _sums(parcel.value, group)
        for each in moments or ():
            check_balance(each, f"partition {partition}", parcel.value.precision)
        yield partition, None if moments is None else [each.to_bytes() for each in moments]


def _sums(sums: Sums, group: Iterable[tuple[int, int, Block | None]]) -> tuple[Moments, ...] | None:
    try:
        return sums.over((fold, _present(block)) for _, fold, block in group)
    except _MissingError:
        return None


class _MissingError(Exception):
    """A file is not on this machine; never leaves a task."""


def _present(block: Block | None) -> Block:
    if block is None:
        raise _MissingError
    return block
