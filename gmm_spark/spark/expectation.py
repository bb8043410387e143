"""One distributed E-step: kept blocks and candidates to sufficient statistics."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING

import pyarrow as pa

from gmm_spark.kernel import accumulate
from gmm_spark.moments import Moments, total
from gmm_spark.spark.blocks import read_blocks
from gmm_spark.spark.session import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.parameters import Parameters
    from gmm_spark.spark.session import Shipped

_SCHEMA = pa.schema([("partition", pa.int32()), ("moments", pa.list_(pa.binary()))])
_DDL = "partition int, moments array<binary>"


@dataclass(frozen=True)
class DistributedExpectation:
    """The `Expectation` over blocks on a cluster.

    Each partition's statistics come back once, whatever failed or ran twice, and are added in the order
    of the partitions: the same blocks give the same bits on any number of executors.

    Args:
        blocks: what `blocks.pack` made.
    """

    blocks: DataFrame

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows: one read of the blocks."""
        columns = self.blocks.select("partition", "rows", "z", "weights")
        with shipped(self.blocks.sparkSession, tuple(candidates)) as parcel:
            table = columns.mapInArrow(partial(_sum_partition, parcel), _DDL).toArrow()
        partials = sorted(zip(*(column.to_pylist() for column in table.columns), strict=True), key=itemgetter(0))
        return tuple(
            total(
                (Moments.from_bytes(own[c], candidate.k) for _, own in partials), Moments.zero(candidate.k, candidate.d)
            )
            for c, candidate in enumerate(candidates)
        )


def _sum_partition(
    parcel: Shipped[tuple[Parameters, ...]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    candidates = parcel.value
    numbered = (each for batch in batches for each in read_blocks(batch))
    for partition, group in groupby(numbered, key=itemgetter(0)):
        moments = accumulate((block for _, block in group), candidates)
        yield pa.RecordBatch.from_pydict(
            {"partition": [partition], "moments": [[each.to_bytes() for each in moments]]}, schema=_SCHEMA
        )
