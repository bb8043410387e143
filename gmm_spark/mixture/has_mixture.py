"""The arrays of a mixture, as every object that has one shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray, Parameters


class HasMixture:
    """An object with a mixture in the units of the data."""

    parameters: Parameters

    @property
    def weights(self) -> FloatArray:
        """(k,) mixing weights."""
        return self.parameters.weights

    @property
    def means(self) -> FloatArray:
        """(k, d) means."""
        return self.parameters.means

    @property
    def covariances(self) -> FloatArray:
        """(k, d, d) covariances of any family; for diag and spherical computed on demand from (k, d) `variances`."""
        return self.parameters.covariances

    @property
    def variances(self) -> FloatArray:
        """(k, d) variances: the diagonals of the covariances."""
        return self.parameters.spread.variances
