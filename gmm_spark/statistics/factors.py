"""Log-densities by a triangular factor of each component's precision: exact, and fast if there are few components."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture.spread import Variances
from gmm_spark.statistics.block import scratch
from gmm_spark.statistics.layouts import feature_count, log_weights

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.mixture.coordinates import Layout
    from gmm_spark.mixture.parameters import FloatArray, Parameters

# The least log-density: a row whose squared distances overflow is equally far from all components.
_LOG_LEAST = -1e290
_WIDTH = 768  # rows of a tile: 384 and 1,536 were slower
# The zeros of a triangular factor are skipped in strips: two strips need 3/4 of the flops of a full product, four 5/8.
_STRIPS, _WIDE = 4, 64


@dataclass(frozen=True, eq=False)
class TriangularFactors:
    """Log-densities by |A_k (x - mu_k)|^2, A_k = chol(S_k)^-1.

    Args:
        inverses: (k, d, d) A_k.
        means: (k, d) mu_k.
        constants: (k,) log pi_k plus the log-density at the mean.
    """

    inverses: FloatArray
    means: FloatArray
    constants: FloatArray

    @staticmethod
    def of(candidates: Sequence[Parameters]) -> TriangularFactors:
        """Return the factors of all components of mixtures with the same d."""
        factors = np.linalg.cholesky(np.concatenate([candidate.covariances for candidate in candidates]))
        log_determinants = np.log(np.einsum("kii->ki", factors)).sum(axis=1)
        return TriangularFactors(*_with_noise(candidates, np.linalg.inv(factors), log_determinants))

    def log_joint(self, x: FloatArray, joint: FloatArray, scratch: tuple[FloatArray, FloatArray]) -> None:
        """Write the joint log-densities (k, n) of rows (d, n); scratch: two arrays of shape (d, n)."""
        centred, whitened = scratch
        for k, inverse in enumerate(self.inverses):
            np.matmul(inverse, np.subtract(x, self.means[k][:, None], out=centred), out=whitened)
            np.multiply(whitened, whitened, out=whitened)
            np.sum(whitened, axis=0, out=joint[k])
        _from_squares(joint, self.constants)


@dataclass(frozen=True, eq=False)
class Deviations:
    """Log-densities by |(x - mu_k) / sigma_k|^2 for diagonal covariances.

    Args:
        inverses: (k, d) 1 / sigma_k.
        means: (k, d) mu_k.
        constants: (k,) log pi_k plus the log-density at the mean.
    """

    inverses: FloatArray
    means: FloatArray
    constants: FloatArray

    @staticmethod
    def of(candidates: Sequence[Parameters]) -> Deviations:
        """Return the deviations of all components of mixtures with the same d and diagonal covariances."""
        variances = np.concatenate([candidate.spread.variances for candidate in candidates])
        return Deviations(*_with_noise(candidates, 1 / np.sqrt(variances), 0.5 * np.log(variances).sum(axis=1)))

    def log_joint(self, x: FloatArray, joint: FloatArray, scratch: tuple[FloatArray, FloatArray]) -> None:
        """Write the joint log-densities (k, n) of rows (d, n); scratch: two arrays of shape (d, n)."""
        centred, _ = scratch
        for k, inverse in enumerate(self.inverses):
            np.subtract(x, self.means[k][:, None], out=centred)
            np.multiply(centred, inverse[:, None], out=centred)
            np.multiply(centred, centred, out=centred)
            np.sum(centred, axis=0, out=joint[k])
        _from_squares(joint, self.constants)


def _from_squares(joint: FloatArray, constants: FloatArray) -> None:
    """Turn squared distances (k, n) into joint log-densities, in place."""
    joint *= -0.5
    np.fmax(joint, _LOG_LEAST, out=joint)
    joint += constants[:, None]


def _with_noise(
    candidates: Sequence[Parameters], inverses: FloatArray, log_deviations: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return inverse factors, means and constants of all components; the noise of a mixture follows its components.

    A noise is a component with an inverse factor of 0, so that its density is the same everywhere.

    Args:
        candidates: mixtures with the same d.
        inverses: of the factors of their covariances, without the noises.
        log_deviations: half their log-determinants.
    """
    means = np.concatenate([candidate.means for candidate in candidates])
    logs = np.concatenate([log_weights(candidate) for candidate in candidates])
    constants = logs - 0.5 * candidates[0].d * np.log(2 * np.pi) - log_deviations
    ends = np.cumsum([candidate.k for candidate in candidates])
    noises = [(end, c.noise) for end, c in zip(ends.tolist(), candidates, strict=True) if c.noise is not None]
    if not noises:
        return inverses, means, constants
    places = [end for end, _ in noises]
    return (
        np.insert(inverses, places, 0.0, axis=0),
        np.insert(means, places, 0.0, axis=0),
        np.insert(constants, places, [noise.log_joint for _, noise in noises]),
    )


def factors_of(candidates: Sequence[Parameters]) -> TriangularFactors | Deviations:
    """Return the factors of mixtures with the same d: deviations if all covariances are variances, else triangular."""
    diagonal = all(isinstance(candidate.spread, Variances) for candidate in candidates)
    return (Deviations if diagonal else TriangularFactors).of(candidates)


class FactorEngine:
    """Joint log-densities by triangular factors, sums by one symmetric product per component; both about the origin.

    3 d^2 flops per row and component; the quadratic features need 2 d^2, but must first be computed.

    Args:
        candidates: mixtures with the same d.
        dtype: of the products, float64 or float32. The sums over tiles are float64.
    """

    def __init__(self, candidates: Sequence[Parameters], dtype: np.dtype[np.floating]) -> None:
        factors = TriangularFactors.of(candidates)
        k, d = factors.means.shape
        self.width, self.dtype = _WIDTH, dtype
        self._constants, self._strips = (
            factors.constants,
            [_strips(*factor, dtype) for factor in zip(factors.inverses, factors.means, strict=True)],
        )
        self._joint, self._squares = scratch(k * _WIDTH, dtype), np.zeros((k, d + 1, d + 1))
        self._rows, self._other = scratch((d + 1) * _WIDTH, dtype), scratch((d + 1) * _WIDTH, dtype)
        self._square = np.empty((d + 1, d + 1), dtype)

    def joint(self, z: FloatArray) -> FloatArray:
        """Return the joint log-densities (k, n) of a tile (d, n), in scratch."""
        d, n = z.shape
        rows, other = self._views(n)
        joint = self._joint[: len(self._strips) * n].reshape(-1, n)
        rows[0], rows[1:] = 1, z
        whitened = other[:d]
        for strips, constant, log_density in zip(self._strips, self._constants, joint, strict=True):
            for low, high, factor in strips:
                np.matmul(factor, rows[: high + 1], out=whitened[low:high])
            np.multiply(whitened, whitened, out=whitened)
            np.add.reduce(whitened, axis=0, out=log_density)
            np.subtract(max(constant, np.finfo(self.dtype).min / 4), log_density, out=log_density)
        return joint

    def add(self, shares: FloatArray, z: FloatArray) -> None:
        """Add the sums of the tile of the last call of `joint`, with weighted responsibilities (k, n)."""
        rows, scaled = self._views(z.shape[1])
        np.sqrt(shares, out=shares)
        for share, squares in zip(shares, self._squares, strict=True):
            np.multiply(rows, share, out=scaled)
            np.add(squares, np.matmul(scaled, scaled.T, out=self._square), out=squares)

    @property
    def sums(self) -> FloatArray:
        """(k, F) the sums over all tiles so far, in the quadratic layout."""
        i, j = np.triu_indices(self._squares.shape[1])
        return np.asarray(self._squares[:, i, j])

    def _views(self, n: int) -> tuple[FloatArray, FloatArray]:
        size = self._squares.shape[1]
        return self._rows[: size * n].reshape(size, n), self._other[: size * n].reshape(size, n)


class DifferenceEngine:
    """Joint log-densities by factors of the difference to the mean, sums about the mean of each component.

    Args:
        candidates: mixtures with the same d.
        layout: quadratic, or diagonal if every covariance is diagonal.
    """

    def __init__(self, candidates: Sequence[Parameters], layout: Layout = "quadratic") -> None:
        self._factors, self._layout = factors_of(candidates), layout
        k, d = self._factors.means.shape
        self.width, self.dtype = _WIDTH, np.dtype(np.float64)
        self.sums = np.zeros((k, feature_count(d, layout)))
        self._joint = np.empty(k * _WIDTH)
        self._centred, self._scaled = np.empty(d * _WIDTH), np.empty(d * _WIDTH)
        if layout != "diagonal":
            self._upper, self._square = np.triu_indices(d), np.empty((d, d))

    def joint(self, z: FloatArray) -> FloatArray:
        """Return the joint log-densities (k, n) of a tile (d, n), in scratch."""
        joint = self._joint[: len(self.sums) * z.shape[1]].reshape(-1, z.shape[1])
        self._factors.log_joint(z, joint, self._views(z))
        return joint

    def add(self, shares: FloatArray, z: FloatArray) -> None:
        """Add the sums of a tile with weighted responsibilities (k, n)."""
        d = len(z)
        centred, scaled = self._views(z)
        for k, share in enumerate(shares):
            np.subtract(z, self._factors.means[k][:, None], out=centred)
            self.sums[k, 0] += share.sum()
            self.sums[k, 1 : d + 1] += centred @ share
            if self._layout == "diagonal":
                self.sums[k, d + 1 :] += np.multiply(centred, centred, out=scaled) @ share
                continue
            np.multiply(centred, np.sqrt(share), out=scaled)
            np.matmul(scaled, scaled.T, out=self._square)
            self.sums[k, d + 1 :] += self._square[self._upper]

    def _views(self, z: FloatArray) -> tuple[FloatArray, FloatArray]:
        return self._centred[: z.size].reshape(z.shape), self._scaled[: z.size].reshape(z.shape)


def _strips(inverse: FloatArray, mean: FloatArray, dtype: np.dtype[np.floating]) -> list[tuple[int, int, FloatArray]]:
    """Cut [-A mu, A] / sqrt(2) into strips of rows, and leave out the columns that are zero in the whole strip."""
    d = len(mean)
    whole = np.sqrt(0.5) * np.concatenate([-(inverse @ mean)[:, None], inverse], axis=1)
    edges = np.linspace(0, d, (_STRIPS if d >= _WIDE else _STRIPS // 2) + 1).astype(int).tolist()
    return [(low, high, whole[low:high, : high + 1].astype(dtype)) for low, high in pairwise(edges)]
