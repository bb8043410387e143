"""A random sample of the rows, and what a search in it looks for."""

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
        covariance: (d, d) covariance of all the rows in the user's units; (d,) variances where families need no more.
    """

    z: FloatArray
    weights: FloatArray
    covariance: FloatArray

    @property
    def effective_rows(self) -> float:
        """How many rows of equal weight would be as good: Kish, Survey Sampling, 1965."""
        return float(self.weights.sum() ** 2 / (self.weights**2).sum())

    @cached_property
    def spacing(self) -> FloatArray:
        """(n,) the squared distance of each row to the nearest few of some others: large where rows are far apart.

        Byers and Raftery, Nearest-neighbor clutter removal for estimating features in spatial point processes, J. Amer.
        Statist. Assoc. 93, 1998.
        """
        some = self.head(_SPACING_ROWS).z
        nearest = min(_NEIGHBOURS, some.shape[1] - 1)
        squares, found = (some**2).sum(axis=0), np.empty(self.z.shape[1])
        for low in range(0, len(found), _SPACING_ROWS):
            own = self.z[:, low : low + _SPACING_ROWS]
            distances = (own**2).sum(axis=0)[:, None] + squares - 2 * own.T @ some
            found[low : low + _SPACING_ROWS] = np.partition(distances, nearest, axis=1)[:, nearest]
        return found

    def head(self, rows: int) -> Sample:
        """Return the first rows: themselves a random sample."""
        return Sample(self.z[:, :rows], self.weights[:rows], self.covariance)


@dataclass(frozen=True)
class Plan:
    """What to look for.

    Args:
        k: number of components.
        family: covariance family.
        starts: number of k-means++ partitions to draw; "random" draws rows as means instead.
        seed: decides everything.
        floor: the least variance of a component, relative to the data's.
        tol: nats per unit of weight to which the survivors are run on the sample.
        uniform: draw the first centres uniformly instead of by k-means++.
        noise: a uniform component beside the others, in the coordinates of the sample; None where there is none.
        prior: pseudo-rows of the data's covariance in each component's, per row; see `gmm_spark.mixture.prior`.
        least: how many rows of mean weight, of all of the table, a sound component holds at least.
        ample: how many make it more than small; see `Maximiser`.
        rows: how many the table has; 0 where they are the sample.
        thoroughness: the share of this search in the work of all that share the machine: it ranks the starts on
            fewer rows, and of those on a small sample fewer are run to their end.
        moves: the most splits and mergers of components that are made, one after the other.
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
        """Return the plan for n rows that stand for all of the table: a component holds its share of them."""
        share = rows / max(self.rows, 1)
        return replace(self, least=self.least * share, ample=self.ample * share, rows=rows)

    def maximiser(self, frame: Coordinates, rows: int) -> Maximiser:
        """Return the M-step that looks for it, in these coordinates, in n rows of the table.

        There a component holds the same share at least, and no fewer than d + 1 rows, of which a covariance can be.
        """
        share = min(1.0, rows / self.rows) if self.rows else 1.0
        least = max(self.least * share, min(self.least, len(frame.center) + 1.0))
        return Maximiser(frame, self.floor, self.prior, least, self.ample * share)
