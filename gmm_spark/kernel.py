"""The hot code: a block of rows and parameters to sufficient statistics, or to posteriors.

Letters, here and everywhere: n rows, k components, d features, F = 1 + d + d(d+1)/2 quadratic
features, w row weights. Blocks are feature-major (d, n): numpy reduces axis 0 with SIMD, axis 1 at a
fifth of the speed. All is in log space: log-sum-exp, no density, no epsilon.

The E-step of a tile of rows is two matrix products, as in Kaldi's full-covariance accumulators, with
the features Phi and natural parameters Theta of `layouts`:

    L = Theta Phi;  m = max_k L;  E = exp(L - m);  s = sum_k E
    log-likelihood += w (m + log s);  R = E w / s;  sums += R Phi'
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark import layouts
from gmm_spark.layouts import feature_count, log_weights, precisions_of
from gmm_spark.moments import Moments
from gmm_spark.reservoir import Reservoir

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gmm_spark.layouts import Layout
    from gmm_spark.parameters import FloatArray, Parameters

# Scratch stays in the second-level cache: measured best between 1 and 2 MB.
_SCRATCH_BYTES = 1536 << 10
_LEAST_WIDTH, _MOST_WIDTH = 128, 8192
# Above this kappa the quadratic form cancels to fewer than seven digits: differences to the mean instead.
_CAREFUL = 1e9
# From this d on, and up to this many components, building the features costs more than it saves: by component was
# 1.3 times as fast at d = 32, k = 4, 1.8 at d = 64, 2.1 at d = 128, but 0.7 at d = 16 (one core, one BLAS thread).
_WIDE, _FEW = 32, 4
# No log-density is less: a row whose squared distances overflow is equally far from all components.
_LOG_LEAST = -1e290


@dataclass(frozen=True, eq=False)
class Block:
    """Rows in coordinates z.

    Args:
        z: (d, n) feature-major coordinates.
        weights: (n,) row weights, or None where all are 1.
        known_total: (F,) the quadratic features summed over the rows, where that was done before.
    """

    z: FloatArray
    weights: FloatArray | None = None
    known_total: FloatArray | None = None

    @property
    def rows(self) -> int:
        """The number of rows of weight above 0."""
        return int(self.z.shape[1] if self.weights is None else np.count_nonzero(self.weights))

    @cached_property
    def total(self) -> FloatArray:
        """(F,) sums of w times the quadratic features of all the rows."""
        if self.known_total is not None:
            return self.known_total
        d, n = self.z.shape
        weighted = self.z if self.weights is None else self.z * self.weights
        weight = float(n) if self.weights is None else self.weights.sum()
        return np.concatenate([[weight], weighted.sum(axis=1), (weighted @ self.z.T)[np.triu_indices(d)]])


def accumulate(blocks: Iterable[Block], candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
    """Return each candidate's sufficient statistics over all the blocks: one read serves them all.

    Args:
        blocks: rows in the coordinates of the candidates.
        candidates: mixtures of one d, each of any k and family.
    """
    zeros = zero_moments(candidates)
    engine = _ByComponent(candidates) if is_careful(candidates) else _ByProduct(candidates, zeros[0].layout)
    bounds = np.cumsum([0, *(candidate.k for candidate in candidates)]).tolist()
    log_likelihoods, total, rows = np.zeros(len(candidates)), np.zeros_like(zeros[0].total), 0
    lowest = [None if zero.lowest is None else Reservoir(candidates[0].d) for zero in zeros]
    row, other_row = np.empty(engine.width), np.empty(engine.width)
    for block in blocks:
        total += block.total
        rows += block.rows
        for tile in _tiles(block, engine.width):
            joint = engine.joint(tile.z)
            for c, (low, high) in enumerate(pairwise(bounds)):
                log_likelihoods[c] += _normalise(joint[low:high], tile.weights, row, other_row)
                if (kept := lowest[c]) is not None:
                    kept.offer(other_row[: tile.z.shape[1]], tile.z, tile.weights)
            engine.add(joint, tile.z)
    return tuple(
        Moments(
            float(log_likelihoods[c]) + layouts.common_term(candidate, total, zeros[c].layout),
            engine.sums[bounds[c] : bounds[c + 1]].copy(),
            total,
            zeros[c].centers,
            zeros[c].layout,
            rows,
            kept.rows if (kept := lowest[c]) is not None else None,
        )
        for c, candidate in enumerate(candidates)
    )


def zero_moments(candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
    """Return the statistics of no rows, in the layout and about the centers that `accumulate` uses."""
    if is_careful(candidates):
        return tuple(Moments.zero(each.means) for each in candidates)
    layout = layouts.layout_for(candidates)
    return tuple(Moments.zero(np.zeros_like(each.means), layout) for each in candidates)


def is_careful(candidates: Sequence[Parameters]) -> bool:
    """Choose the path: differences to each mean where the two products would lose too much, or cost more."""
    if any((condition(each) > _CAREFUL).any() for each in candidates):
        return True
    wide = candidates[0].d >= _WIDE and layouts.layout_for(candidates) == "quadratic"
    return wide and sum(each.k for each in candidates) <= _FEW


def condition(parameters: Parameters) -> FloatArray:
    """Return (k,) kappa_k = d + mu' S^-1 mu: a log-density by two products errs by about 20 u kappa_k."""
    precisions, _ = precisions_of(parameters.covariances)
    return parameters.d + np.asarray(np.einsum("ki,kij,kj->k", parameters.means, precisions, parameters.means))


def entropy(parameters: Parameters, moments: Moments) -> float:
    """Return the weighted sum over rows of the posterior's entropy, in nats, without another pass.

    sum_n w H_n = sum_n w log p(z_n) - sum_nk w r_nk L_nk, and L is linear in the features.
    """
    means = parameters.means - moments.centers
    theta = layouts.natural_parameters(
        type(parameters)(parameters.weights, means, parameters.covariances, parameters.family), moments.layout
    )
    common = layouts.common_term(parameters, moments.total, moments.layout)
    return max(0.0, moments.log_likelihood - common - float((theta * moments.sums).sum()))


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
    joint = np.empty((parameters.k, x.shape[1]))
    scratch = np.empty_like(x), np.empty_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        _TriangularFactors.of(parameters).log_joint(x, joint, scratch)
    return joint


@dataclass(frozen=True, eq=False)
class _TriangularFactors:
    """Log-densities by a triangular factor a component: |A_k (x - mu_k)|^2, A_k = chol(S_k)^-1."""

    inverses: FloatArray
    means: FloatArray
    constants: FloatArray

    @staticmethod
    def of(parameters: Parameters) -> _TriangularFactors:
        factors = np.linalg.cholesky(parameters.covariances)
        log_determinants = np.log(np.einsum("kii->ki", factors)).sum(axis=1)
        constants = log_weights(parameters) - 0.5 * parameters.d * np.log(2 * np.pi) - log_determinants
        return _TriangularFactors(np.linalg.inv(factors), parameters.means, constants)

    def log_joint(self, x: FloatArray, joint: FloatArray, scratch: tuple[FloatArray, FloatArray]) -> None:
        centred, whitened = scratch
        for k, inverse in enumerate(self.inverses):
            np.matmul(inverse, np.subtract(x, self.means[k][:, None], out=centred), out=whitened)
            np.multiply(whitened, whitened, out=whitened)
            np.sum(whitened, axis=0, out=joint[k])
        joint *= -0.5
        np.fmax(joint, _LOG_LEAST, out=joint)
        joint += self.constants[:, None]


class _ByProduct:
    """Joint log-densities and sums by two matrix products over all components at once."""

    def __init__(self, candidates: Sequence[Parameters], layout: Layout) -> None:
        theta = np.concatenate([layouts.natural_parameters(each, layout) for each in candidates])
        k, count = theta.shape
        self.width = _width(max(count, k))
        self.sums = np.zeros_like(theta)
        self._layout, self._theta, self._product = layout, theta, np.empty_like(theta)
        self._phi, self._joint = np.empty((count, self.width)), np.empty((k, self.width))
        self._phi[0] = 1

    def joint(self, z: FloatArray) -> FloatArray:
        n = z.shape[1]
        layouts.fill(self._phi[:, :n], z, self._layout)
        return np.matmul(self._theta, self._phi[:, :n], out=self._joint[:, :n])

    def add(self, responsibilities: FloatArray, z: FloatArray) -> None:
        """Add the sums of the tile that `joint` was last called for."""
        self.sums += np.matmul(responsibilities, self._phi[:, : z.shape[1]].T, out=self._product)


class _ByComponent:
    """Joint log-densities by triangular factors, sums about each component's own mean."""

    def __init__(self, candidates: Sequence[Parameters]) -> None:
        self._factors = [_TriangularFactors.of(each) for each in candidates]
        self._means = np.concatenate([each.means for each in candidates])
        k, d = self._means.shape
        self.width = _width(2 * d + k)
        self.sums = np.zeros((k, feature_count(d)))
        self._upper = np.triu_indices(d)
        self._joint = np.empty((k, self.width))
        self._centred, self._scaled = np.empty((d, self.width)), np.empty((d, self.width))
        self._square = np.empty((d, d))

    def joint(self, z: FloatArray) -> FloatArray:
        n, low = z.shape[1], 0
        for factors in self._factors:
            high = low + len(factors.means)
            factors.log_joint(z, self._joint[low:high, :n], (self._centred[:, :n], self._scaled[:, :n]))
            low = high
        return self._joint[:, :n]

    def add(self, responsibilities: FloatArray, z: FloatArray) -> None:
        d, n = z.shape
        centred, scaled = self._centred[:, :n], self._scaled[:, :n]
        for k, own in enumerate(responsibilities):
            np.subtract(z, self._means[k][:, None], out=centred)
            self.sums[k, 0] += own.sum()
            self.sums[k, 1 : d + 1] += centred @ own
            np.multiply(centred, np.sqrt(own), out=scaled)
            np.matmul(scaled, scaled.T, out=self._square)
            self.sums[k, d + 1 :] += self._square[self._upper]


def _width(count: int) -> int:
    return int(np.clip(_SCRATCH_BYTES // (8 * count), _LEAST_WIDTH, _MOST_WIDTH)) // 64 * 64


def _normalise(joint: FloatArray, weights: FloatArray | None, row: FloatArray, other_row: FloatArray) -> float:
    """Turn log-densities (k, n) into weighted responsibilities in place; return the log-likelihood.

    Leaves log p of the rows in other_row.
    """
    n = joint.shape[1]
    peak, total = row[:n], other_row[:n]
    np.max(joint, axis=0, out=peak)
    np.subtract(joint, peak, out=joint)
    np.exp(joint, out=joint)
    np.sum(joint, axis=0, out=total)
    scale = 1 / total if weights is None else weights / total
    joint *= scale
    np.log(total, out=total)
    total += peak
    return float(total.sum() if weights is None else weights @ total)


def _tiles(block: Block, width: int) -> Iterator[Block]:
    for low in range(0, block.z.shape[1], width):
        rows = slice(low, low + width)
        yield Block(block.z[:, rows], None if block.weights is None else block.weights[rows])
