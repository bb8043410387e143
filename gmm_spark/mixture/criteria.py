"""Information criteria of a mixture."""

from __future__ import annotations

import math


def aic(log_likelihood: float, parameters: int) -> float:
    """Return -2 log-likelihood + 2 p."""
    return -2 * log_likelihood + 2 * parameters


def bic(log_likelihood: float, parameters: int, rows: float) -> float:
    """Return -2 log-likelihood + p log N, with N the effective number of rows."""
    return -2 * log_likelihood + parameters * math.log(rows)


def icl(log_likelihood: float, parameters: int, rows: float, entropy: float) -> float:
    """Return BIC + 2 times the sum of the posteriors' entropies in nats."""
    return bic(log_likelihood, parameters, rows) + 2 * entropy


def at_mean_weight(value: float, weight: float, rows: float) -> float:
    """Return a weighted sum over n rows, rescaled to a mean row weight of 1; unchanged if weight and rows are equal."""
    return value * (rows / weight)
