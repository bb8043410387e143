"""The M-step: sufficient statistics to the parameters that maximise the expected log-likelihood, less the penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import ParametersError
from gmm_spark.mixture import families, prior
from gmm_spark.mixture.parameters import ALIGNED, Parameters

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.mixture.spread import Spread
    from gmm_spark.statistics.moments import Moments

_NOISE = 16 * float(np.finfo(np.float64).eps)
# The share of the rows from which on the noise has them all, up to rounding.
_ALL = 1 - 1e-12
# Nats for each row that a small component lacks. By chance such a component gains up to one (rows of one normal or t
# distribution, four families); an outlier group of breast cancer, tied, 0.8; a cluster of d + 1 to 4 (d + 1) rows, six
# deviations from a larger one, 2.8 and more.
_CHARGE = 2.0


@dataclass(frozen=True, eq=False)
class Maximiser:
    """The M-step of one family in coordinates z.

    Args:
        frame: the coordinates z.
        floor: the least variance in units of the data's variance; 0 switches it off.
        prior: the pseudo-rows of the data's covariance in each component's, per row; see `gmm_spark.mixture.prior`.
        least: how many rows of mean weight a sound component holds at least.
        ample: how many make it more than small, see `charge`; at most `least` where all that are sound count alike.
    """

    frame: Coordinates
    floor: float
    prior: float = 0.0
    least: float = 0.0
    ample: float = 0.0

    def __call__(self, at: Parameters, moments: Moments) -> tuple[Parameters, int]:
        """Return the maximiser of the expected log-likelihood less the penalty, and how many covariances were floored.

        A component without rows keeps its mean and covariance at weight 0; under a penalty it gets the data's.

        Raises:
            ParametersError: a covariance is singular; the floor, if any, did not prevent it. Or the noise has all rows.
        """
        self._check_noise(at, moments)
        spread, floored = self._spread(at, moments)
        singular = self._singular(spread, at, moments)
        if singular.any():
            raise ParametersError(
                f"covariances of components {np.flatnonzero(singular).tolist()}",
                got="a variance of 0, up to rounding",
                expected="rows that spread in every direction",
                do="Use fewer components, or a covariance floor above 0.",
                options=("k", "covariance_floor"),
            )
        means = moments.means(at.means)
        total = moments.mass.sum() + moments.noise_mass
        noise = None if at.noise is None else at.noise.with_weight(moments.noise_mass / total)
        return Parameters(moments.mass / total, means, spread, at.family, noise), floored

    @staticmethod
    def _check_noise(at: Parameters, moments: Moments) -> None:
        if at.noise is not None and moments.noise_mass >= _ALL * (moments.mass.sum() + moments.noise_mass):
            raise ParametersError(
                "noise component",
                got="all rows: the uniform density of the box that holds them is higher than that of any component",
                expected="clusters that are denser than the box",
                do="Standardise the features, use a family with a variance of each feature (diag, full), or no noise.",
            )

    def of_one(self, family: Family, mean: FloatArray, covariance: FloatArray) -> Parameters:
        """Return the mixture of one component, in coordinates z, that is the maximiser for rows of these moments.

        Args:
            family: the covariance family.
            mean: (d,) of the rows, in the user's units.
            covariance: (d, d), or (d,) variances, in the user's units.
        """
        if family in ALIGNED and covariance.ndim == 2:  # noqa: PLR2004 - with what the family has not
            covariance = np.diagonal(covariance)
        alone = self.frame.inward(Parameters(np.ones(1), mean[None], covariance[None], family))
        shrunk = prior.shrunk(family, alone.spread, alone.weights, self.prior)  # of weight 1
        spread, _ = families.constrain(family, shrunk, alone.weights, self.frame, self.floor)
        return Parameters(alone.weights, alone.means, spread, family)

    def penalty(self, at: Parameters) -> float:
        """Return what the covariances cost, in nats per unit of weight."""
        return prior.penalty(at, self.prior)

    def lacking(self, moments: Moments) -> FloatArray:
        """Return the share of the least rows that each of the (k,) components lacks: 0 where it is sound."""
        least = self.least * moments.row_weight
        return np.maximum(0.0, 1 - moments.mass / least) if least > 0 else np.zeros(len(moments.mass))

    def charge(self, moments: Moments) -> float:
        """Return what counts against a mixture's small components among others, in nats per unit of weight.

        A search finds the outliers, and the chance patterns of a few rows: a small component must gain more than these
        do. One that is a cluster gains that many times over.
        """
        if self.ample <= self.least:
            return 0.0
        missing = np.maximum(0.0, self.ample - moments.mass / moments.row_weight).sum()
        return float(_CHARGE * missing * moments.row_weight / moments.weight)

    def thin(self, moments: Moments) -> NDArray[np.bool_]:
        """Return which of the (k,) components hold too few rows to be sound."""
        return np.asarray(self.lacking(moments) > 0)

    def singular(self, at: Parameters, moments: Moments) -> NDArray[np.bool_]:
        """Return which of the (k,) covariances have a variance that is only what rounding left of a difference of sums.

        None where there is a floor.
        """
        return self._singular(self._spread(at, moments)[0], at, moments)

    def _singular(self, spread: Spread, at: Parameters, moments: Moments) -> NDArray[np.bool_]:
        if self.floor > 0:
            return np.zeros(at.k, dtype=np.bool_)
        offsets = moments.means(at.means) - moments.centers
        noise = _NOISE * (spread.variances.sum(axis=1) + (offsets**2).sum(axis=1))
        return np.asarray(spread.least_variances <= noise)

    def floored(self, parameters: Parameters) -> Parameters:
        """Return the parameters with their covariances raised to the floor."""
        spread, _ = families.constrain(parameters.family, parameters.spread, parameters.weights, self.frame, self.floor)
        return parameters.replaced(spread=spread)

    def _spread(self, at: Parameters, moments: Moments) -> tuple[Spread, int]:
        pseudo = self.prior * (moments.mass.sum() + moments.noise_mass)
        central = prior.shrunk(at.family, moments.spread(at.spread), moments.mass, pseudo)
        return families.constrain(at.family, central, moments.mass, self.frame, self.floor)
