"""The affine change of coordinates z = G^-1 (x - m) in which EM runs, and parameters to and fro.

Quadratic features are exact only where the data is near the origin and of unit scale: an offset of
1e5 standard deviations with a condition of 1e8 costs 130 nats in a log-density, whitened 3e-10.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmm_spark.errors import DataError
from gmm_spark.parameters import Family, FloatArray, Parameters

# A correlation matrix whose smallest eigenvalue is below this has linearly dependent columns: the
# survey's own rounding error is of this size.
DEPENDENT = 1e-13
# A column takes part in a dependence if its coefficient, of a vector of length 1, is above this.
_INVOLVED = 1e-3


@dataclass(frozen=True, eq=False)
class Coordinates:
    """z = inverse (x - center), x = center + factor z.

    Args:
        center: (d,) m, in the units of the data.
        factor: (d, d) G, lower triangular.
        inverse: (d, d) the inverse of G.
    """

    center: FloatArray
    factor: FloatArray
    inverse: FloatArray

    @property
    def log_determinant(self) -> float:
        """log |det G|: log p_x(x) = log p_z(z) - log |det G|."""
        return float(np.log(np.abs(np.diagonal(self.factor))).sum())

    def rows(self, x: FloatArray) -> FloatArray:
        """Return (d, n) feature-major coordinates of the (n, d) rows x."""
        return self.inverse @ (x - self.center).T

    def inward(self, parameters: Parameters) -> Parameters:
        """Return the parameters of z where x has the given ones."""
        means = (parameters.means - self.center) @ self.inverse.T
        covariances = self.inverse @ parameters.covariances @ self.inverse.T
        return Parameters(parameters.weights, means, _symmetric(covariances), parameters.family)

    def outward(self, parameters: Parameters) -> Parameters:
        """Return the parameters of x = m + G z where z has the given ones."""
        means = self.center + parameters.means @ self.factor.T
        covariances = self.factor @ parameters.covariances @ self.factor.T
        return Parameters(parameters.weights, means, _symmetric(covariances), parameters.family)


def suited(family: Family, mean: FloatArray, covariance: FloatArray, names: tuple[str, ...]) -> Coordinates:
    """Return the coordinates EM runs in for this family.

    full and tied are unchanged by any affine map, so the data is whitened; diag and spherical are
    changed by one that mixes features, so each feature is only scaled.

    Args:
        family: the covariance family.
        mean: (d,) mean of the data.
        covariance: (d, d) covariance of the data.
        names: d feature names, for the error.

    Raises:
        DataError: a constant column, columns that are linearly dependent, or values whose squares
            overflow; the columns are named.
    """
    scale = _scale(mean, covariance, names)
    identity = np.eye(len(scale))
    factor = identity if family in ("diag", "spherical") else _correlation_factor(covariance, scale, names)
    return Coordinates(mean, scale[:, None] * factor, np.linalg.solve(factor, identity) / scale)


def _scale(mean: FloatArray, covariance: FloatArray, names: tuple[str, ...]) -> FloatArray:
    variance = np.diagonal(covariance)
    if not np.isfinite(covariance).all():
        bad = [name for name, v in zip(names, variance, strict=True) if not np.isfinite(v)] or list(names)
        raise DataError(
            f"columns {bad}", got="values whose squares overflow", expected="magnitudes below 1e150", do="Rescale them."
        )
    constant = variance <= (4 * np.finfo(np.float64).eps * np.abs(mean)) ** 2
    if constant.any():
        raise DataError(
            f"columns {[n for n, c in zip(names, constant, strict=True) if c]}",
            got="the same value in every row",
            expected="columns that vary",
            do="Leave constant columns out of the features.",
        )
    return np.asarray(np.sqrt(variance))


def _correlation_factor(covariance: FloatArray, scale: FloatArray, names: tuple[str, ...]) -> FloatArray:
    correlation = covariance / scale[:, None] / scale
    values, vectors = np.linalg.eigh(_symmetric(correlation))
    if values[0] < DEPENDENT * len(scale):
        involved = np.abs(vectors[:, 0]) > _INVOLVED
        raise DataError(
            f"columns {[n for n, c in zip(names, involved, strict=True) if c]}",
            got="linearly dependent values (duplicate columns, or fewer distinct rows than features)",
            expected="columns none of which follows from the others",
            do="Leave one of them out, give more rows, or use the diag family.",
        )
    return np.asarray(np.linalg.cholesky(_symmetric(correlation)), dtype=np.float64)


def _symmetric(matrices: FloatArray) -> FloatArray:
    return (matrices + np.swapaxes(matrices, -1, -2)) / 2
