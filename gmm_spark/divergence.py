"""How far a step of EM moves a mixture: what it gains at least, and what is left after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gmm_spark.parameters import Parameters


def step_divergence(new: Parameters, old: Parameters) -> float:
    """Return what an M-step adds to the expected log-likelihood, in nats per unit of weight.

    With the labels known a mixture is an exponential family, and from old to the maximiser the expected
    log-likelihood rises by the Kullback-Leibler divergence between them,

        sum_k w'_k (log(w'_k / w_k) + KL(N'_k || N_k)),

    for each of the four families. EM's likelihood rises by no less (Dempster, Laird and Rubin, J. R. Statist. Soc. B
    39, 1977, lemma 1 and theorem 1).

    Args:
        new: the maximiser, where the M-step leads.
        old: where the statistics were measured.
    """
    there = new.weights > 0
    weights, before = new.weights[there], old.weights[there]
    factors = np.linalg.cholesky(old.covariances[there])
    offsets = np.linalg.solve(factors, (new.means - old.means)[there][..., None])
    half = np.linalg.solve(factors, np.linalg.cholesky(new.covariances[there]))
    # tr(S^-1 S') - d - log|S^-1 S'| from the factor L^-1 L' of S^-1 S', whose diagonal is that of both.
    diagonal = np.einsum("kii->ki", half)
    apart = (half**2).sum(axis=(1, 2)) - new.d - 2 * np.log(diagonal).sum(axis=1) + (offsets**2).sum(axis=(1, 2))
    return float(weights @ (np.log(weights / before) + apart / 2))
