"""The affine change of coordinates z = G^-1 (x - m) in which EM runs, and parameters to and fro.

Quadratic features are exact only where the data is near the origin and of unit scale: an offset of
1e5 standard deviations with a condition of 1e8 costs 130 nats in a log-density, whitened 3e-10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from gmm_spark import redundancy
from gmm_spark.errors import DataError, quoted
from gmm_spark.parameters import Family, FloatArray, Parameters


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
        DataError: constant or linearly dependent columns, and then its `got` is a `Redundant` with all that are to
            be left out; or values whose squares overflow.
    """
    mixed = family not in ("diag", "spherical")
    scale, constant = _scale(mean, covariance, names)
    factor = np.eye(len(scale))
    if mixed and not constant.any():
        correlation = _symmetric(covariance / scale[:, None] / scale)
        if np.linalg.eigvalsh(correlation)[0] < redundancy.DEPENDENT * len(scale):
            raise redundancy.refused(covariance, constant, names, mixed=mixed)
        factor = np.asarray(np.linalg.cholesky(correlation), dtype=np.float64)
    if constant.any():
        raise redundancy.refused(covariance, constant, names, mixed=mixed)
    return Coordinates(mean, scale[:, None] * factor, np.linalg.solve(factor, np.eye(len(scale))) / scale)


def _scale(
    mean: FloatArray, covariance: FloatArray, names: tuple[str, ...]
) -> tuple[FloatArray, np.ndarray[Any, np.dtype[np.bool_]]]:
    """Return the (d,) standard deviations, and which columns are constant but for rounding."""
    variance = np.diagonal(covariance)
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
