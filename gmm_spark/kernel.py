"""The hot code: a block of rows and parameters to sufficient statistics, or to posteriors.

Letters, here and everywhere: n rows, k components, d features, F = 1 + d + d(d+1)/2 quadratic
features, w row weights. Blocks are feature-major (d, n): numpy reduces axis 0 with SIMD, axis 1 at a
fifth of the speed. All is in log space: log-sum-exp, no density, no epsilon.

The E-step of a tile of rows is two matrix products, as in Kaldi's full-covariance accumulators:

    Phi[:, n] = [1, z_1 ... z_d, z_i z_j (i <= j)]                        F x n
    Theta[k]  = [log pi_k - (d log 2 pi + log|S_k| + mu' P mu) / 2,  P mu,  -P_ii/2, -P_ij (i < j)],  P = S_k^-1
    L = Theta Phi;  m = max_k L;  E = exp(L - m);  s = sum_k E
    log-likelihood += w (m + log s);  R = E w / s;  sums += R Phi'
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.moments import Moments, feature_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gmm_spark.parameters import FloatArray, Parameters

# Scratch for Phi stays in the second-level cache: measured best between 0.5 and 4 MB.
_SCRATCH_BYTES = 2 << 20
# log 0 for a component of weight 0: finite, for -inf times 0 is NaN in a product.
_LOG_ZERO = -1e300
# No log-density is less: a row whose squared distances overflow is equally far from all components.
_LOG_LEAST = -1e290


@dataclass(frozen=True, eq=False)
class Block:
    """Rows in coordinates z.

    Args:
        z: (d, n) feature-major coordinates.
        weights: (n,) row weights, or None where all are 1.
    """

    z: FloatArray
    weights: FloatArray | None = None


def accumulate(blocks: Iterable[Block], candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
    """Return each candidate's sufficient statistics over all the blocks: one read serves them all.

    Args:
        blocks: rows in the coordinates of the candidates.
        candidates: mixtures of one d, each of any k and family.
    """
    d = candidates[0].d
    theta = np.concatenate([natural_parameters(candidate) for candidate in candidates])
    bounds = np.cumsum([0, *(candidate.k for candidate in candidates)]).tolist()
    scratch = _Scratch.for_shape(d, len(theta))
    sums, product = np.zeros_like(theta), np.empty_like(theta)
    log_likelihoods, weight = np.zeros(len(candidates)), 0.0
    for tile in _tiles(blocks, scratch.width):
        phi = scratch.features(tile.z)
        joint = np.matmul(theta, phi, out=scratch.joint[:, : phi.shape[1]])
        for c, (low, high) in enumerate(pairwise(bounds)):
            log_likelihoods[c] += _normalise(joint[low:high], tile.weights, scratch)
        sums += np.matmul(joint, phi.T, out=product)
        weight += phi.shape[1] if tile.weights is None else float(tile.weights.sum())
    return tuple(
        Moments(weight, float(log_likelihoods[c]), sums[low:high].copy()) for c, (low, high) in enumerate(pairwise(bounds))
    )


def natural_parameters(parameters: Parameters) -> FloatArray:
    """Return Theta, (k, F): log(pi_k N(z; mu_k, S_k)) = Theta[k] @ quadratic features of z."""
    d = parameters.d
    precisions, log_determinants = _precisions(parameters.covariances)
    linear = np.einsum("kij,kj->ki", precisions, parameters.means)
    i, j = np.triu_indices(d)
    theta = np.empty((parameters.k, feature_count(d)))
    theta[:, 0] = _log_weights(parameters) - 0.5 * (
        d * np.log(2 * np.pi) + log_determinants + (linear * parameters.means).sum(axis=1)
    )
    theta[:, 1 : d + 1] = linear
    theta[:, d + 1 :] = np.where(i == j, -0.5, -1.0) * precisions[:, i, j]
    return theta


def condition(parameters: Parameters) -> FloatArray:
    """Return (k,) kappa_k = d + mu' S^-1 mu: a log-density of `accumulate` errs by about 20 u kappa_k."""
    precisions, _ = _precisions(parameters.covariances)
    return parameters.d + np.asarray(np.einsum("ki,kij,kj->k", parameters.means, precisions, parameters.means))


def entropy(parameters: Parameters, moments: Moments) -> float:
    """Return the weighted sum over rows of the posterior's entropy, in nats, without another pass.

    sum_n w H_n = sum_n w log p(z_n) - sum_nk w r_nk L_nk, and L is linear in the quadratic features.
    """
    return max(0.0, moments.log_likelihood - float((natural_parameters(parameters) * moments.sums).sum()))


def posteriors(x: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """Return P(Z = k | x) as (n, k) and log p(x) as (n,), in nats, for (n, d) rows in the parameters' units.

    By a triangular factor a component, twice the arithmetic of `accumulate` and exact for any
    parameters: it needs no whitened coordinates. Where all squared distances overflow, every component
    of positive weight is equally likely and log p(x) is -1e290.
    """
    joint = _log_joint(np.ascontiguousarray(x.T), parameters)
    peak = joint.max(axis=0)
    np.exp(np.subtract(joint, peak, out=joint), out=joint)
    total = joint.sum(axis=0)
    joint /= total
    return np.ascontiguousarray(joint.T), peak + np.log(total)


def _log_joint(x: FloatArray, parameters: Parameters) -> FloatArray:
    factors = np.linalg.cholesky(parameters.covariances)
    constants = (
        _log_weights(parameters)
        - 0.5 * parameters.d * np.log(2 * np.pi)
        - np.log(np.einsum("kii->ki", factors)).sum(axis=1)
    )
    joint = np.empty((parameters.k, x.shape[1]))
    centred, whitened = np.empty_like(x), np.empty_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for k, inverse in enumerate(np.linalg.inv(factors)):
            np.matmul(inverse, np.subtract(x, parameters.means[k][:, None], out=centred), out=whitened)
            np.einsum("dn,dn->n", whitened, whitened, out=joint[k])
    joint *= -0.5
    np.fmax(joint, _LOG_LEAST, out=joint)
    joint += constants[:, None]
    return joint


def _precisions(covariances: FloatArray) -> tuple[FloatArray, FloatArray]:
    factors = np.linalg.cholesky(covariances)
    inverses = np.linalg.inv(factors)
    log_determinants = 2 * np.log(np.einsum("kii->ki", factors)).sum(axis=1)
    return inverses.transpose(0, 2, 1) @ inverses, log_determinants


def _log_weights(parameters: Parameters) -> FloatArray:
    log_weights = np.full(parameters.k, _LOG_ZERO)
    np.log(parameters.weights, out=log_weights, where=parameters.weights > 0)
    return log_weights


@dataclass(frozen=True, eq=False)
class _Scratch:
    """Arrays used again for every tile: fresh pages would cost more than the arithmetic."""

    phi: FloatArray
    joint: FloatArray
    row: FloatArray
    other_row: FloatArray

    @staticmethod
    def for_shape(d: int, k: int) -> _Scratch:
        count = feature_count(d)
        width = int(np.clip(_SCRATCH_BYTES // (8 * max(count, k)), 128, 8192)) // 64 * 64
        phi = np.empty((count, width))
        phi[0] = 1
        return _Scratch(phi, np.empty((k, width)), np.empty(width), np.empty(width))

    @property
    def width(self) -> int:
        return self.phi.shape[1]

    def features(self, z: FloatArray) -> FloatArray:
        """Fill in and return the quadratic features (F, n) of the tile z (d, n)."""
        d, n = z.shape
        phi = self.phi[:, :n]
        phi[1 : d + 1] = z
        start = d + 1
        for i in range(d):
            np.multiply(phi[1 + i], phi[1 + i : d + 1], out=phi[start : start + d - i])
            start += d - i
        return phi


def _normalise(joint: FloatArray, weights: FloatArray | None, scratch: _Scratch) -> float:
    """Turn log-densities (k, n) into weighted responsibilities in place; return the log-likelihood."""
    n = joint.shape[1]
    peak, total = scratch.row[:n], scratch.other_row[:n]
    np.max(joint, axis=0, out=peak)
    np.subtract(joint, peak, out=joint)
    np.exp(joint, out=joint)
    np.sum(joint, axis=0, out=total)
    scale = 1 / total if weights is None else weights / total
    joint *= scale
    np.log(total, out=total)
    total += peak
    return float(total.sum() if weights is None else weights @ total)


def _tiles(blocks: Iterable[Block], width: int) -> Iterator[Block]:
    for block in blocks:
        for low in range(0, block.z.shape[1], width):
            rows = slice(low, low + width)
            yield Block(block.z[:, rows], None if block.weights is None else block.weights[rows])
