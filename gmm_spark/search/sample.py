"""A random sample of the rows, and the plan of a search in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.em.m_step import Maximiser

if TYPE_CHECKING:
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.noise import Noise
    from gmm_spark.mixture.parameters import Family, FloatArray

_NEIGHBOURS, _SPACING_ROWS = 10, 2048


@dataclass(frozen=True, eq=False)
class Sample:
    """A random sample of the rows, in random order.

    Args:
        z: (d, n) rows in coordinates z.
        weights: (n,) row weights.
        covariance: (d, d) covariance of all rows in the user's units; (d,) variances if the family needs no more.
    """

    z: FloatArray
    weights: FloatArray
    covariance: FloatArray

    @property
    def effective_rows(self) -> float:
        """The number of rows of equal weight that would be as good: Kish, Survey Sampling, 1965."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    @cached_property
    def spacing(self) -> FloatArray:
        """(n,) squared distances of rows to their tenth neighbours among the first rows: large where rows are sparse.

        Byers and Raftery, Nearest-neighbor clutter removal for estimating features in spatial point processes, J. Amer.
        Statist. Assoc. 93, 1998.
        """
        some = self.head(_SPACING_ROWS).z
        nearest = min(_NEIGHBOURS, some.shape[1] - 1)
        squares, spacing = (some**2).sum(axis=0), np.empty(self.z.shape[1])
        for low in range(0, len(spacing), _SPACING_ROWS):
            rows = self.z[:, low : low + _SPACING_ROWS]
            distances = (rows**2).sum(axis=0)[:, None] + squares - 2 * rows.T @ some
            spacing[low : low + _SPACING_ROWS] = np.partition(distances, nearest, axis=1)[:, nearest]
        return spacing

    def head(self, rows: int) -> Sample:
        """Return the first rows, which are a random sample too."""
        return Sample(self.z[:, :rows], self.weights[:rows], self.covariance)


@dataclass(frozen=True)
class Plan:
    """What to look for.

    Args:
        k: number of components.
        family: covariance family.
        starts: number of k-means++ partitions to draw.
        seed: of all random choices of the search.
        floor: the least variance of a component, relative to the data's.
        tol: the tol of long runs on the sample, in nats per unit of weight.
        uniform: draw random rows as centres instead of by k-means++.
        noise: a uniform component beside the others, in the coordinates of the sample; None for no noise.
        prior: pseudo-rows of the data's covariance in each component's, per row; see `gmm_spark.mixture.prior`.
        least: how many rows of the whole table, of mean weight, a sound component holds at least.
        ample: how many it holds to be charged nothing; see `Maximiser`.
        rows: the number of rows of the table; 0 where the table is the sample.
        thoroughness: the share of the work of a full search, for searches that share a machine: below 1 it ranks the
            starts on fewer rows, and on a small sample runs fewer of them to their end.
        moves: the most splits and mergers of components, one after the other.
    """

    k: int
    family: Family
    starts: int
    seed: int
    floor: float
    tol: float
    uniform: bool = False
    noise: Noise | None = None
    prior: float = 0.0
    least: float = 0.0
    ample: float = 0.0
    rows: int = 0
    thoroughness: float = 1.0
    moves: int = 10

    def by_share(self, rows: int) -> Plan:
        """Return the plan for n rows that represent the whole table: the least rows of a component shrink alike."""
        share = rows / max(self.rows, 1)
        return replace(self, least=self.least * share, ample=self.ample * share, rows=rows)

    def maximiser(self, frame: Coordinates, rows: int) -> Maximiser:
        """Return the M-step of the plan, in these coordinates, for n rows of the table.

        A component needs at least the same share of these rows, and d + 1 rows, but no more than `least`.
        """
        share = min(1.0, rows / self.rows) if self.rows else 1.0
        least = max(self.least * share, min(self.least, len(frame.center) + 1.0))
        return Maximiser(frame, self.floor, self.prior, least, self.ample * share)
