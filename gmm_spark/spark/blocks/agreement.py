"""Whether the rows that are read again are those of the survey: an input may change between two reads.

Coordinates, sample size and criteria come from the survey, statistics from the blocks that are packed after it. Their
weights and sums are the same numbers by two ways, so a difference above rounding is one of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import InputError
from gmm_spark.spark.partials import partials
from gmm_spark.spark.worker import task_partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa
    from pyspark.sql import DataFrame

    from gmm_spark.mixture.parameters import FloatArray
    from gmm_spark.spark.blocks.pack import Packing
    from gmm_spark.spark.table.prepare import Table

# Relative to the weight, and to the size of a coordinate. Blocks of float32 round each value to 6e-8 of itself.
_ALLOWED = {"float64": 1e-9, "float32": 1e-6}
# Sums of rows round by some u = 1.1e-16 of what is summed, which an offset or a near dependence magnifies.
_ROUNDING = 1e3 * 1.1e-16


@dataclass(frozen=True, eq=False)
class Surveyed:
    """What the survey expects of the blocks.

    Args:
        rows: the number of usable rows.
        weight: their total weight.
        mean: (d,) their mean in the coordinates of the blocks.
        allowed: (d,) how far another mean may be by rounding.
        names: d feature names.
        counts: whether each row weighs 1, so that the weight is exact.
    """

    rows: int
    weight: float
    mean: FloatArray
    allowed: FloatArray
    names: tuple[str, ...]
    counts: bool

    @staticmethod
    def of(table: Table, packing: Packing) -> Surveyed:
        """Return what the survey of a table expects of its packing."""
        seen, frame = table.surveyed, packing.coordinates
        mean, deviations = frame.rows(seen.mean[None])[:, 0], np.sqrt(seen.variances)
        size = np.abs(mean) + frame.largest_terms(deviations)
        terms = frame.largest_terms(np.abs(seen.mean) + deviations)
        allowed = _ALLOWED[packing.precision] * np.maximum(1, size) + _ROUNDING * terms
        return Surveyed(seen.rows, seen.weight, mean, allowed, table.names, counts=not table.layout.weighted)

    def check(self, total: FloatArray) -> None:
        """Refuse blocks of other rows.

        Args:
            total: (1 + d or more,) the weight of all rows, and the weighted sums of their coordinates.

        Raises:
            InputError: they are of other rows.
        """
        weight, d = float(total[0]), len(self.mean)
        if abs(weight - self.weight) > (0.0 if self.counts else _ALLOWED["float64"] * self.weight):
            what = "rows" if self.counts else "as their total weight"
            raise _other_rows(f"{weight:.17g} {what}", f"{self.weight:.17g} {what}")
        off = np.abs(total[1 : 1 + d] / weight - self.mean) / self.allowed
        if not off.max() <= 1:
            worst = int(off.argmax())
            got = f"a mean of {self.names[worst]!r} that is {off[worst] * self.allowed[worst]:.3g} deviations off"
            raise _other_rows(got, f"the mean of {self.rows} rows, as in the first read")


def read_total(blocks: DataFrame, d: int) -> FloatArray:
    """Return the (1 + d,) weight and sums of coordinates over all blocks, held-out rows too: one read of their sums."""
    read = partials(blocks.select("total"), partial(_heads, d), _added)
    return np.frombuffer(_added([sums for sums in read.values() if sums is not None])[0], dtype="<f8")


def _added(totals: list[list[bytes]]) -> list[bytes]:
    return [np.sum([np.frombuffer(each, dtype="<f8") for (each,) in totals], axis=0).tobytes()]


def _heads(d: int, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, list[bytes]]]:
    total = np.zeros(1 + d)
    for batch in batches:
        for each in batch.column(0):
            total += np.frombuffer(each.as_buffer(), dtype="<f8", count=1 + d)
    yield task_partition(), [total.tobytes()]


def _other_rows(got: str, expected: str) -> InputError:
    return InputError(
        "the second read of the input",
        got=got,
        expected=expected,
        do="The input changed between two reads, or gives other rows each time: write it to a table that stays as it "
        "is, and fit that.",
    )
