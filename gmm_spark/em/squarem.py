"""SQUAREM: squared extrapolation of EM steps, guarded for free by the pass that measures them.

Varadhan and Roland, Simple and globally convergent methods for accelerating the convergence of any EM
algorithm, Scand. J. Statist. 35, 2008, scheme S3. With r = t1 - t0 and v = (t2 - t1) - r the next
point is t0 - 2 a r + a^2 v, a = -|r| / |v|, an affine combination of t0, t1, t2.

It is formed in a space where any affine combination is feasible: log-ratios of the weights, means, and
Cholesky factors with the logarithm on the diagonal; of diagonal covariances that is the logarithm of the standard
deviations alone. A diagonal matrix stays diagonal there, a multiple of a matrix a multiple of it, equal ones equal: so
every covariance family stays itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from gmm_spark.errors import ParametersError
from gmm_spark.mixture.parameters import FloatArray, Parameters
from gmm_spark.mixture.spread import Matrices, Spread, Variances

if TYPE_CHECKING:
    from gmm_spark.mixture.coordinates import Coordinates

_SMALLEST_WEIGHT = 1e-12


@dataclass(frozen=True)
class Extrapolation:
    """The extrapolated parameters and the step length |a| that led there.

    Args:
        parameters: the new point.
        stretch: |r| / |v|; EM's linear rate of convergence is about 1 - 1 / stretch.
        limited: whether the stretch was cut to the limit.
    """

    parameters: Parameters
    stretch: float
    limited: bool


def extrapolate(steps: tuple[Parameters, Parameters, Parameters], frame: Coordinates, limit: float) -> Extrapolation:
    """Return the SQUAREM point of three successive EM iterates.

    Args:
        steps: t0, t1 = EM(t0), t2 = EM(t1), in coordinates z.
        frame: the coordinates z; Cholesky factors are taken in the user's units, where the family holds.
        limit: the largest |a|, at least 1; at 1 the result is t2, as it is where the new point overflows.
    """
    space = _Logarithms() if all(isinstance(step.spread, Variances) for step in steps) else _Factors(frame)
    t0, t1, t2 = (_vector(step, space) for step in steps)
    r, v = t1 - t0, t2 - 2 * t1 + t0
    norm_v = float(np.linalg.norm(v))
    stretch = max(1.0, float(np.linalg.norm(r)) / norm_v) if norm_v > 0 else 1.0
    a = min(stretch, limit)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            reached = _parameters(t0 + 2 * a * r + a * a * v, steps[2], space)
    except ParametersError:
        reached = steps[2]
    return Extrapolation(reached, stretch, limited=stretch > limit)


class _Space(Protocol):
    """Where covariances are numbers of which any are feasible."""

    def numbers(self, spread: Spread) -> FloatArray:
        """Return (k, .) numbers of k covariances."""
        ...

    def spread(self, numbers: FloatArray, d: int) -> Spread:
        """Return the covariances of such numbers."""
        ...


@dataclass(frozen=True)
class _Factors:
    """Cholesky factors in the user's axes, each in units of the data's own standard deviation.

    Args:
        frame: the coordinates z.
    """

    frame: Coordinates

    def numbers(self, spread: Spread) -> FloatArray:
        """Return (k, d (d + 1) / 2) lower triangles."""
        turned = self.frame.factor / self.frame.data_deviations[:, None]
        factors = np.linalg.cholesky(turned @ spread.matrices @ turned.T)
        i, j = np.tril_indices(factors.shape[1])
        lower = factors[:, i, j]
        lower[:, i == j] = np.log(lower[:, i == j])
        return np.asarray(lower)

    def spread(self, numbers: FloatArray, d: int) -> Spread:
        """Return the covariances in coordinates z."""
        i, j = np.tril_indices(d)
        factors = np.zeros((len(numbers), d, d))
        factors[:, i, j] = numbers
        factors[:, range(d), range(d)] = np.exp(np.einsum("kii->ki", factors))
        scaled = self.frame.data_deviations[:, None] * factors
        back = self.frame.inverse @ scaled
        return Matrices(back @ back.transpose(0, 2, 1))


class _Logarithms:
    """Logarithms of standard deviations; a change of units moves all alike, and no extrapolation."""

    def numbers(self, spread: Spread) -> FloatArray:
        """Return (k, d) log sigma."""
        return np.asarray(0.5 * np.log(spread.variances))

    def spread(self, numbers: FloatArray, d: int) -> Spread:  # noqa: ARG002 - of the numbers' own shape
        """Return the variances."""
        return Variances(np.exp(2 * numbers))


def _vector(parameters: Parameters, space: _Space) -> FloatArray:
    weights = parameters.weights if parameters.noise is None else np.append(parameters.weights, parameters.noise.weight)
    log_weights = np.log(np.maximum(weights, _SMALLEST_WEIGHT))
    parts = log_weights - log_weights.mean(), parameters.means.ravel(), space.numbers(parameters.spread).ravel()
    return np.concatenate(parts)


def _parameters(vector: FloatArray, like: Parameters, space: _Space) -> Parameters:
    k, d, rows = like.k, like.d, like.k_with_noise
    log_weights, means, lower = np.split(vector, [rows, rows + k * d])
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    spread = space.spread(lower.reshape(k, -1), d)
    noise = None if like.noise is None else like.noise.with_weight(weights[k])
    return Parameters(weights[:k], means.reshape(k, d), spread, like.family, noise)
