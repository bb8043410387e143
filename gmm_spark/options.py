"""What a fit is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark import em
from gmm_spark.mixture import prior

if TYPE_CHECKING:
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family
    from gmm_spark.mixture.prior import Prior
    from gmm_spark.statistics import engines

# Times d + 1, the fewest rows that could carry a covariance; but no more than half an equal share of all rows. Of 36
# labelled fits 2 to 5 mended one, in which an outlier group of 68 rows was a component, and 8 cost two small clusters.
_AMPLE = 4.0
# Times d + 1, the fewest that are never a cluster, whatever they gain: outliers. A covariance of its own in all
# directions fits fewer than twice as many by chance (digits, 61 features: thousands of nats, and half the ARI).
_LEAST, _LEAST_FULL = 1.0, 2.0


@dataclass(frozen=True)
class Options:
    """What a fit is asked for; the fields mean what the params of `GaussianMixture` say."""

    k: int
    family: Family = "full"
    max_iter: int = 100
    tol: float = 1e-4
    seed: int = 0
    init_mode: str = "k-means++"
    starts: int = 20
    acceleration: em.Acceleration = "squarem"
    floor: float = 1e-6
    prior: Prior = "auto"
    least: Prior = "auto"
    noise: bool = False
    skip_invalid: bool = False
    max_invalid_fraction: float = 1.0
    precision: engines.Precision = "float64"

    def prior_share(self, effective_rows: float) -> float:
        """Return the pseudo-rows of the data's covariance in each component's, per row of n at mean weight."""
        return prior.share_of(self.prior, effective_rows)

    def least_rows(self, d: int, rows: int) -> tuple[float, float]:
        """Return how many of n rows, of mean weight, a sound component of d features holds at least, and an ample one.

        Between the two it is charged for what it lacks. Where a number is asked for, all above it are alike.
        """
        if self.least != "auto":
            return self.least, 0.0
        share, least = rows / (2 * self.k), _LEAST_FULL if self.family == "full" else _LEAST
        return min(least * (d + 1), share), min(_AMPLE * (d + 1), share)

    def maximiser(self, frame: Coordinates, rows: int, effective_rows: float) -> em.Maximiser:
        """Return the M-step in these coordinates, for n rows, as good as `effective_rows` of equal weight."""
        share = self.prior_share(effective_rows)
        return em.Maximiser(frame, self.floor, share, *self.least_rows(len(frame.center), rows))
