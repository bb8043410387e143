"""The affine coordinates z = G^-1 (x - m) in which EM runs, and the conversion of parameters between x and z.

Quadratic features are exact only if the data is near the origin and of unit scale: with an offset of 1e5
standard deviations and a condition of 1e8 a log-density is wrong by 130 nats; after whitening by 3e-10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from gmm_spark.errors import DataError, quoted
from gmm_spark.mixture import redundancy
from gmm_spark.mixture.parameters import ALIGNED, Family, FloatArray, Parameters, diagonal_form
from gmm_spark.mixture.spread import Matrices, Spread, Variances

Layout: TypeAlias = Literal["quadratic", "diagonal", "linear"]  # the features of a row that are summed, see `layouts`
_ROUNDING = 64 * float(np.finfo(np.float64).eps)


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

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """All arrays that define the coordinates."""
        return self.center, self.factor, self.inverse

    @property
    def data_deviations(self) -> FloatArray:
        """(d,) the standard deviations of the data: those of x if z has the identity as its covariance."""
        return np.asarray(np.sqrt((self.factor**2).sum(axis=1)))

    @property
    def data_variances(self) -> FloatArray:
        """(d,) the variances of the data."""
        return np.asarray((self.factor**2).sum(axis=1))

    @property
    def totals(self) -> Layout:
        """The layout of the sums over all rows that the families of these coordinates need."""
        return "quadratic"

    def spread_type(self, family: Family) -> type[Spread]:  # noqa: ARG002 - `Scaled` uses it
        """Return the class that stores the covariances of a family in these coordinates."""
        return Matrices

    def rows(self, x: FloatArray) -> FloatArray:
        """Return (d, n) feature-major coordinates of the (n, d) rows x."""
        return self.inverse @ (x - self.center).T

    def largest_terms(self, sizes: FloatArray) -> FloatArray:
        """Return (d,) bounds of the terms that add up to each coordinate, for |x_i| up to (d,) sizes."""
        return np.asarray(np.abs(self.inverse) @ sizes)

    def points(self, z: FloatArray) -> FloatArray:
        """Return (m, d) the points x of (m, d) points z."""
        return self.center + z @ self.factor.T

    def rounded_points(self, z: FloatArray) -> FloatArray:
        """Return the points x for display: values that differ from 0 by rounding alone are 0."""
        x = self.points(z)
        return np.where(np.abs(x) <= _ROUNDING * (np.abs(self.center) + self.data_deviations), 0.0, x)

    def inward(self, parameters: Parameters) -> Parameters:
        """Return the parameters of z from those of x."""
        means = (parameters.means - self.center) @ self.inverse.T
        return self._placed(parameters, means, parameters.spread.transformed(self.inverse), self.log_determinant)

    def outward(self, parameters: Parameters) -> Parameters:
        """Return the parameters of x = m + G z from those of z."""
        spread = parameters.spread.transformed(self.factor)
        return self._placed(parameters, self.points(parameters.means), spread, -self.log_determinant)

    @staticmethod
    def _placed(parameters: Parameters, means: FloatArray, spread: Spread, log_determinant: float) -> Parameters:
        """Return the mixture with these means and spread, in units whose volumes are e^log_determinant smaller."""
        noise = None if parameters.noise is None else parameters.noise.rescaled(log_determinant)
        return Parameters(parameters.weights, means, spread, parameters.family, noise)

    def user_variances(self, spread: Spread) -> FloatArray:
        """Return (k, d) the variances of the user's features from these covariances of z."""
        turns = self.factor, spread.matrices, self.factor
        return np.asarray(np.einsum("ie,kef,if->ki", *turns, optimize=True))

    def of_user_variances(self, variances: FloatArray) -> Spread:
        """Return the covariances of z for uncorrelated user's features with these (k, d) variances."""
        turns = self.inverse, variances, self.inverse
        return diagonal_form(np.einsum("ie,ke,fe->kif", *turns, optimize=True))


@dataclass(frozen=True, eq=False, init=False)
class Scaled(Coordinates):
    """z = (x - center) / scale: no feature is mixed with another, so a diagonal covariance stays diagonal.

    Args:
        center: (d,) m, in the units of the data.
        scale: (d,) the diagonal of G.
    """

    scale: FloatArray

    def __init__(self, center: FloatArray, scale: FloatArray) -> None:
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "scale", scale)

    @property  # type: ignore[misc] # a property in place of the parent's frozen field
    def factor(self) -> FloatArray:
        """(d, d) G, computed on demand."""
        return np.diag(self.scale)

    @property  # type: ignore[misc] # as above
    def inverse(self) -> FloatArray:
        """(d, d) the inverse of G, computed on demand."""
        return np.diag(1 / self.scale)

    @property
    def log_determinant(self) -> float:
        """log |det G|."""
        return float(np.log(np.abs(self.scale)).sum())

    @property
    def arrays(self) -> tuple[FloatArray, ...]:
        """All arrays that define the coordinates."""
        return self.center, self.scale

    @property
    def data_deviations(self) -> FloatArray:
        """(d,) the standard deviations of the data."""
        return self.scale

    @property
    def data_variances(self) -> FloatArray:
        """(d,) the variances of the data."""
        return self.scale**2

    @property
    def totals(self) -> Layout:
        """The layout of the sums over all rows that the families of these coordinates need."""
        return "diagonal"

    def spread_type(self, family: Family) -> type[Spread]:
        """Return the class that stores the covariances of a family in these coordinates."""
        return Variances if family in ALIGNED else Matrices

    def rows(self, x: FloatArray) -> FloatArray:
        """Return (d, n) feature-major coordinates of the (n, d) rows x."""
        z = np.ascontiguousarray((x - self.center).T)
        z /= self.scale[:, None]
        return z

    def largest_terms(self, sizes: FloatArray) -> FloatArray:
        """Return (d,) bounds of each coordinate, for |x_i| up to (d,) sizes."""
        return sizes / self.scale

    def points(self, z: FloatArray) -> FloatArray:
        """Return (m, d) the points x of (m, d) points z."""
        return self.center + z * self.scale

    def inward(self, parameters: Parameters) -> Parameters:
        """Return the parameters of z from those of x."""
        means = (parameters.means - self.center) / self.scale
        return self._placed(parameters, means, parameters.spread.scaled(1 / self.scale), self.log_determinant)

    def outward(self, parameters: Parameters) -> Parameters:
        """Return the parameters of x from those of z."""
        spread = parameters.spread.scaled(self.scale)
        return self._placed(parameters, self.points(parameters.means), spread, -self.log_determinant)

    def user_variances(self, spread: Spread) -> FloatArray:
        """Return (k, d) the variances of the user's features from these covariances of z."""
        return spread.variances * self.data_variances

    def of_user_variances(self, variances: FloatArray) -> Spread:
        """Return the covariances of z for uncorrelated user's features with these (k, d) variances."""
        return Variances(variances / self.data_variances)


def coordinates_for(family: Family, mean: FloatArray, covariance: FloatArray, names: tuple[str, ...]) -> Coordinates:
    """Return the coordinates in which EM runs for this family.

    full and tied stay the same family under any affine map, so the data is whitened. The other
    families do not if a map mixes features, so each feature is only scaled.

    Args:
        family: the covariance family.
        mean: (d,) mean of the data.
        covariance: (d, d) covariance of the data; (d,) variances are enough for the diagonal families.
        names: d feature names, for the error.

    Raises:
        DataError: constant or linearly dependent columns (then `got` is a `RedundantColumns`), or values whose
            squares overflow.
    """
    scale, constant = _scale(mean, covariance, names)
    mixed = family not in ALIGNED
    if constant.any():
        raise redundancy.redundancy_error(covariance, constant, names, mixed=mixed)
    if not mixed:
        return Scaled(mean, scale)
    correlation = _symmetric(covariance / scale[:, None] / scale)
    if np.linalg.eigvalsh(correlation)[0] < redundancy.DEPENDENT * len(scale):
        raise redundancy.redundancy_error(covariance, constant, names, mixed=mixed)
    factor = np.asarray(np.linalg.cholesky(correlation), dtype=np.float64)
    return Coordinates(mean, scale[:, None] * factor, np.linalg.solve(factor, np.eye(len(scale))) / scale)


def _scale(
    mean: FloatArray, covariance: FloatArray, names: tuple[str, ...]
) -> tuple[FloatArray, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return the (d,) standard deviations, and (d,) which columns are constant up to rounding."""
    variance = covariance if covariance.ndim == 1 else np.diagonal(covariance)
    if not np.isfinite(covariance).all():
        bad = [name for name, v in zip(names, variance, strict=True) if not np.isfinite(v)] or list(names)
        raise DataError(
            f"columns {quoted(bad)}",
            got="values whose squares overflow",
            expected="magnitudes below 1e150",
            do="Rescale them.",
        )
    constant = variance <= (4 * np.finfo(np.float64).eps * np.abs(mean)) ** 2
    return np.asarray(np.sqrt(variance)), np.asarray(constant)


def _symmetric(matrices: FloatArray) -> FloatArray:
    return (matrices + np.swapaxes(matrices, -1, -2)) / 2
