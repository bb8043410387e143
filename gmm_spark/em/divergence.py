"""How far a step of EM moves a mixture: what it gains at least, and what is left after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture.parameters import SHARED
from gmm_spark.mixture.spread import Variances

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.mixture.spread import Spread


def step_divergence(new: Parameters, old: Parameters, prior: float = 0.0) -> float:
    """Return what an M-step adds to the expected log-likelihood, in nats per unit of weight.

    With the labels known a mixture is an exponential family, and from old to the maximiser the expected
    log-likelihood rises by the Kullback-Leibler divergence between them,

        sum_k w'_k (log(w'_k / w_k) + KL(N'_k || N_k)),

    for each of the families. EM's likelihood rises by no less (Dempster, Laird and Rubin, J. R. Statist. Soc. B
    39, 1977, lemma 1 and theorem 1). Under a penalty the pseudo-rows count with those of each component, but for its
    mean; components that share a covariance share those of one.

    Args:
        new: the maximiser, where the M-step leads.
        old: where the statistics were measured.
        prior: pseudo-rows of each covariance, per row.
    """
    there = new.weights > 0
    weights, before = new.weights[there], old.weights[there]
    between = _variances if isinstance(new.spread, Variances) and isinstance(old.spread, Variances) else _matrices
    shapes, places = between(new.spread[there], old.spread[there], (new.means - old.means)[there])
    pseudo = prior * (weights / weights.sum() if new.family in SHARED else np.ones_like(weights))
    components = float(weights @ (np.log(weights / before) + (shapes + places) / 2) + pseudo @ shapes / 2)
    return components + _noise(new, old)


def _noise(new: Parameters, old: Parameters) -> float:
    """Return the noise's part: its density does not change, its weight does."""
    if new.noise is None or old.noise is None or new.noise.weight == 0:
        return 0.0
    return float(new.noise.weight * np.log(new.noise.weight / old.noise.weight))


def _matrices(new: Spread, old: Spread, offsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (k,) 2 KL(N'_k || N_k), of the covariances, and of means that are (k, d) offsets apart."""
    factors = np.linalg.cholesky(old.matrices)
    solved = np.linalg.solve(factors, offsets[..., None])
    half = np.linalg.solve(factors, np.linalg.cholesky(new.matrices))
    # tr(S^-1 S') - d - log|S^-1 S'| from the factor L^-1 L' of S^-1 S', whose diagonal is that of both.
    diagonal = np.einsum("kii->ki", half)
    shapes = (half**2).sum(axis=(1, 2)) - offsets.shape[1] - 2 * np.log(diagonal).sum(axis=1)
    return np.asarray(shapes), np.asarray((solved**2).sum(axis=(1, 2)))


def _variances(new: Spread, old: Spread, offsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the same for diagonal covariances, feature by feature."""
    ratios = new.variances / old.variances
    shapes, places = ratios - 1 - np.log(ratios), offsets**2 / old.variances
    return np.asarray(shapes.sum(axis=1)), np.asarray(places.sum(axis=1))
