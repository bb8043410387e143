"""Tests whether a few far rows inflate the variances, and finds the bounds of the other rows.

A single row can make a variance arbitrarily large: one row in a thousand at 1e6 standard deviations shrinks the others
to a point, in coordinates and compared with the floor. So the survey gathers a few rows, sampled by a hash. If the
variance of a feature is a thousand times that of the middle 90 % of the sample, one more read computes the scale from
the rows within a hundred standard deviations (of the middle rows) of the median.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.statistics.hashing import row_hashes

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray

# Distinct rows in the sample. If 1 % of all rows are far, more than 5 % of the sample is far once in 10,000 samples.
SIZE = 128
# With a floor of 1e-6 of the variance, a variance a thousand times too large makes the floor 1/30 of a standard
# deviation of most rows. Lognormal data of sigma 2 has a ratio of 43, one row in a thousand at 1e4 deviations 1e5.
_INFLATED = 1e3
_WITHIN = 100.0  # standard deviations of the middle rows
_MIDDLE = (0.05, 0.95)
_MIDDLE_RANGE = 3.29  # distance of these quantiles of a normal, in standard deviations
_SEED = 0x42554C4B


@dataclass(frozen=True, eq=False)
class Bounds:
    """The bounds of the rows that are not far: a row outside them in any feature is far.

    Args:
        low: (d,) the least values within the bounds.
        high: (d,) the largest values within the bounds.
        middle: (d,) medians.
        unit: (d,) standard deviations of the middle 90 % of the sample; infinite if the variance is not inflated.
    """

    low: FloatArray
    high: FloatArray
    middle: FloatArray
    unit: FloatArray

    def contain(self, x: FloatArray) -> NDArray[np.bool_]:
        """Return (n,) which of the (d, n) rows are within the bounds."""
        return np.asarray(((x >= self.low[:, None]) & (x <= self.high[:, None])).all(axis=0))


def empty_sample(d: int) -> FloatArray:
    """Return the sample of no rows."""
    return np.empty((0, 1 + d))


def draw_sample(x: FloatArray) -> FloatArray:
    """Return (m, 1 + d): the distinct rows with the least hashes of (d, n) rows, each after its hash in [0, 1).

    Only one row in `step` is hashed, and its hash is divided by `step`: hashing all rows would cost as much as the
    rest of a survey, and the sample only has to show an order of magnitude.
    """
    step = max(1, x.shape[1] // (4 * SIZE))
    x = x[:, ::step]
    keys = (row_hashes(x, _SEED) >> np.uint64(11)) * (2.0**-53 / step)
    least, places = np.unique(keys, return_index=True)  # copies of a row have the same hash
    return np.concatenate([least[None, :SIZE], x[:, places[:SIZE]]]).T


def merge_samples(one: FloatArray, other: FloatArray) -> FloatArray:
    """Return the sample of the rows of both samples."""
    if not (len(one) and len(other)):
        return one if len(one) else other
    rows = np.concatenate([one, other])
    return np.asarray(rows[np.unique(rows[:, 0], return_index=True)[1][:SIZE]])


def find_bounds(rows: FloatArray, variances: FloatArray) -> Bounds | None:
    """Return the bounds of the rows that are not far, or None if far rows do not inflate the variances.

    Args:
        rows: (m, 1 + d) the sample.
        variances: (d,) the variances of all rows.
    """
    x = rows[:, 1:]
    if len(x) < SIZE // 4:  # too few rows to give a scale
        return None
    low, middle, high = np.quantile(x, (_MIDDLE[0], 0.5, _MIDDLE[1]), axis=0)
    width = np.where(high > low, high - low, np.ptp(x, axis=0))
    unit = width / _MIDDLE_RANGE
    inflated = (unit > 0) & (variances > _INFLATED * unit**2)
    if not inflated.any():
        return None
    unit = np.where(inflated, unit, np.inf)
    return Bounds(middle - _WITHIN * unit, middle + _WITHIN * unit, middle, unit)
