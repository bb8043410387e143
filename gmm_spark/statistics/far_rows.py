"""Is the scale of the data that of most rows, or that of a few far ones?

A variance has no bound on what one row does to it: a row at 1e6 standard deviations among a thousand makes the others a
point, in coordinates and in units of the floor. So the survey brings a few rows along, chosen by a hash: where the
variance of a feature is a thousand times that of the middle 90 % of them, the scale is taken from the rows within a
hundred of those standard deviations about the median, by one more read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics.hashing import row_hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

# Distinct rows in the sample: of 1 % far rows more than 5 % of this many are far once in ten thousand samples.
SIZE = 128
# With a floor of 1e-6 of the variance, a variance a thousand times too large makes the floor a thirtieth of a standard
# deviation of most rows; lognormal data of sigma 2 has a ratio of 43, one row in a thousand at 1e4 deviations 1e5.
_INFLATED = 1e3
_WITHIN = 100.0  # standard deviations of the middle rows
_MIDDLE = (0.05, 0.95)
_MIDDLE_RANGE = 3.29  # standard deviations of a normal between these quantiles
_SEED = 0x42554C4B


@dataclass(frozen=True, eq=False)
class Bounds:
    """What is far: outside of these bounds in any feature.

    Args:
        low: (d,) least values that are not.
        high: (d,) largest values that are not.
        middle: (d,) medians.
        unit: (d,) standard deviations, by the middle 90 % of the rows; infinite where they are all equal.
    """

    low: FloatArray
    high: FloatArray
    middle: FloatArray
    unit: FloatArray

    def contain(self, x: FloatArray) -> NDArray[np.bool_]:
        """Return which of the (d, n) rows are within."""
        return np.asarray(((x >= self.low[:, None]) & (x <= self.high[:, None])).all(axis=0))


def empty_sample(d: int) -> FloatArray:
    """Return the sample of no rows."""
    return np.empty((0, 1 + d))


def draw_sample(x: FloatArray) -> FloatArray:
    """Return (m, 1 + d): the distinct ones of the (d, n) rows with the least hashes, each after its hash in [0, 1).

    Of many rows one in n is hashed, and its hash is divided by as many: hashing all would cost as much as the
    rest of a survey, and an order of magnitude is all that is asked of the sample.
    """
    step = max(1, x.shape[1] // (4 * SIZE))
    x = x[:, ::step]
    keys = (row_hashes(x, _SEED) >> np.uint64(11)) * (2.0**-53 / step)
    least, places = np.unique(keys, return_index=True)  # copies of a row have its hash
    return np.concatenate([least[None, :SIZE], x[:, places[:SIZE]]]).T


def merge_samples(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the sample of the rows of both."""
    if not (len(one) and len(other)):
        return one if len(one) else other
    rows = np.concatenate([one, other])
    return np.asarray(rows[np.unique(rows[:, 0], return_index=True)[1][:SIZE]])


def find_bounds(rows: FloatArray, variances: FloatArray) -> Bounds | None:
    """Return what is far in a table whose variances are those of far rows; None where they are not.

    Args:
        rows: (m, 1 + d) the sample.
        variances: (d,) of all rows.
    """
    x = rows[:, 1:]
    if len(x) < SIZE // 4:  # of so few rows none is far by the scale of the others
        return None
    low, middle, high = np.quantile(x, (_MIDDLE[0], 0.5, _MIDDLE[1]), axis=0)
    width = np.where(high > low, high - low, np.ptp(x, axis=0))
    unit = width / _MIDDLE_RANGE
    inflated = (unit > 0) & (variances > _INFLATED * unit**2)
    if not inflated.any():
        return None
    unit = np.where(inflated, unit, np.inf)
    return Bounds(middle - _WITHIN * unit, middle + _WITHIN * unit, middle, unit)
