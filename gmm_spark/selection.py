"""Criteria that compare fitted mixtures. Smaller is better for all of them.

AIC: Akaike 1974. BIC: Schwarz 1978; mclust's is the negative of it. ICL: Biernacki, Celeux and
Govaert, IEEE PAMI 22(7), 2000: BIC plus twice the entropy of the posteriors.
"""

from __future__ import annotations

import math


def aic(log_likelihood: float, parameters: int) -> float:
    """Return -2 log-likelihood + 2 p."""
    return -2 * log_likelihood + 2 * parameters


def bic(log_likelihood: float, parameters: int, weight: float) -> float:
    """Return -2 log-likelihood + p log N, N the total weight."""
    return -2 * log_likelihood + parameters * math.log(weight)


def icl(log_likelihood: float, parameters: int, weight: float, entropy: float) -> float:
    """Return BIC + 2 times the sum of the posteriors' entropies in nats."""
    return bic(log_likelihood, parameters, weight) + 2 * entropy
