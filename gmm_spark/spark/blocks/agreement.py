"""Checks that the blocks have the rows of the survey: an input may change between two reads.

Coordinates, sample size and criteria come from the survey, statistics from the blocks that are packed after it. Both
give the total weight and the mean of the rows, so a difference above rounding means that the rows differ.
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

# Relative to the weight, and to the size of a coordinate. float32 blocks round each value by a relative 6e-8.
_ALLOWED = {"float64": 1e-9, "float32": 1e-6}
# Sums of rows have a relative rounding error of a few u = 1.1e-16; an offset or a near dependence magnifies it.
_ROUNDING = 1e3 * 1.1e-16


@dataclass(frozen=True, eq=False)
class ExpectedTotals:
    """The totals that the survey predicts for the blocks.

    Args:
        rows: the number of usable rows.
        weight: their total weight.
        mean: (d,) their weighted mean in the coordinates of the blocks.
        allowed: (d,) the largest difference of a mean that rounding explains.
        names: d feature names.
        counts: whether every row has the weight 1, so that the total weight is exact.
    """

    rows: int
    weight: float
    mean: FloatArray
    allowed: FloatArray
    names: tuple[str, ...]
    counts: bool

    @staticmethod
    def of(table: Table, packing: Packing) -> ExpectedTotals:
        """Return the totals that the survey of a table predicts for its packing."""
        survey, frame = table.surveyed, packing.coordinates
        mean, deviations = frame.rows(survey.mean[None])[:, 0], np.sqrt(survey.variances)
        size = np.abs(mean) + frame.largest_terms(deviations)
        terms = frame.largest_terms(np.abs(survey.mean) + deviations)
        allowed = _ALLOWED[packing.precision] * np.maximum(1, size) + _ROUNDING * terms
        return ExpectedTotals(survey.rows, survey.weight, mean, allowed, table.names, counts=not table.layout.weighted)

    def check(self, total: FloatArray) -> None:
        """Refuse blocks whose rows are not those of the survey.

        Args:
            total: (1 + d or more,) the weight of all rows, and the weighted sums of their coordinates.

        Raises:
            InputError: the rows differ.
        """
        weight, d = float(total[0]), len(self.mean)
        if abs(weight - self.weight) > (0.0 if self.counts else _ALLOWED["float64"] * self.weight):
            unit = "rows" if self.counts else "as their total weight"
            raise _other_rows(f"{weight:.17g} {unit}", f"{self.weight:.17g} {unit}")
        differences = np.abs(total[1 : 1 + d] / weight - self.mean) / self.allowed
        if not differences.max() <= 1:
            worst = int(differences.argmax())
            got = (
                f"a mean of {self.names[worst]!r} that is {differences[worst] * self.allowed[worst]:.3g} deviations off"
            )
            raise _other_rows(got, f"the mean of {self.rows} rows, as in the first read")


def read_total(blocks: DataFrame, d: int) -> FloatArray:
    """Return the (1 + d,) weight and sums of coordinates over all blocks, held-out rows included, from their totals."""
    totals = partials(blocks.select("total"), partial(_total_of_task, d), _add)
    return np.frombuffer(_add([sums for sums in totals.values() if sums is not None])[0], dtype="<f8")


def _add(totals: list[list[bytes]]) -> list[bytes]:
    return [np.sum([np.frombuffer(total, dtype="<f8") for (total,) in totals], axis=0).tobytes()]


def _total_of_task(d: int, batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, list[bytes]]]:
    total = np.zeros(1 + d)
    for batch in batches:
        for value in batch.column(0):
            total += np.frombuffer(value.as_buffer(), dtype="<f8", count=1 + d)
    yield task_partition(), [total.tobytes()]


def _other_rows(got: str, expected: str) -> InputError:
    return InputError(
        "the second read of the input",
        got=got,
        expected=expected,
        do="The input changed between two reads, or gives other rows each time: write it to a table that does not "
        "change, and fit that.",
    )
