"""How a fit ended, and how much log-likelihood EM can still gain."""

from __future__ import annotations

import math
from enum import Enum

import numpy as np

from gmm_spark.mixture.parameters import SHARED, FloatArray, Parameters
from gmm_spark.mixture.spread import Matrices, Spread, Variances


class Outcome(str, Enum):
    """How a fit ended; the value is what `summary.outcome` shows."""

    CONVERGED = "converged"
    ITERATION_LIMIT = "iteration_limit"
    NO_PROGRESS = "no_progress"
    DEGENERATE = "degenerate"

    @property
    def message(self) -> str:
        """One sentence that says what happened and what to do about it."""
        return _MESSAGES[self]

    @property
    def options(self) -> tuple[str, ...]:
        """The options that the message names."""
        return _OPTIONS.get(self, ())


_MESSAGES = {
    Outcome.CONVERGED: "What another pass could still gain is below the tolerance, per unit of weight.",
    Outcome.ITERATION_LIMIT: "The limit of iterations was reached before the tolerance: raise one of them.",
    Outcome.NO_PROGRESS: (
        "The log-likelihood stopped rising before the tolerance was reached, at a covariance floor or at the limit "
        "of the arithmetic: the model is the best one measured."
    ),
    Outcome.DEGENERATE: "The next step of EM leads to no valid mixture: the model is the last valid one.",
}
_ALL_STEPS = "All iterations were run, because the tolerance is 0; more iterations may gain more."
_OPTIONS = {Outcome.ITERATION_LIMIT: ("max_iter", "tol"), Outcome.DEGENERATE: ("k", "covariance_floor")}


def sentence(outcome: Outcome, tol: float, detail: str = "") -> str:
    """Return how a fit with this tol ended, what happened and what to do about it; with the detail, if there is one."""
    message = _ALL_STEPS if tol == 0 and outcome is Outcome.ITERATION_LIMIT else outcome.message
    return f"{message} ({detail})" if detail else message


# The smallest rate that is assumed: with 1/2, two of 240 fits ended although their next step gained more than tol.
_FASTEST = 2 / 3


def remaining_gain(gain: float, rate: float | None) -> float:
    """Return what EM can still gain after a step that gained `gain`, in the same unit.

    Aitken's extrapolation: gains fall by the factor `rate` from step to step, so gain * rate / (1 - rate) remains
    (Boehning et al., Ann. Inst. Statist. Math. 46, 1994). The result is infinite where the rate is unknown or not below
    1, and never less than twice the gain: gains fall faster only in the first steps, whose fast directions hide the
    slow ones.
    """
    if gain <= 0:
        return 0.0
    if rate is None or rate >= 1:
        return float("inf")
    assumed = max(rate, _FASTEST)
    return gain * assumed / (1 - assumed)


def remaining_after(divergence: float, stretch: float | None) -> float:
    """Return what EM can still gain if its next M-step moves the mixture by `divergence`, in the same unit.

    Near an optimum let e be the distance to it, I the observed information and C that of the rows with their labels:
    with the rate r, I = (1 - r) C (Dempster, Laird and Rubin, 1977), and the step is (1 - r) e. Of the I e^2 / 2 nats
    that remain, the step shows C (1 - r)^2 e^2 / 2: the share 1 - r. No further pass is needed to measure its gain.

    Args:
        divergence: of the M-step, see `step_divergence`.
        stretch: 1 / (1 - r) of the slowest direction; None where it is unknown: then the result is infinite.
    """
    return float("inf") if stretch is None else divergence * max(stretch, 1 / (1 - _FASTEST))


def passes_to(tol: float, remaining: float, rate: float) -> int | None:
    """Return the number of steps until `remaining` is below tol, if each leaves the share `rate` of it; None: never."""
    if remaining <= tol:
        return 0
    if tol <= 0 or not math.isfinite(remaining) or not 0 < rate < 1:
        return None
    return math.ceil(math.log(tol / remaining) / math.log(rate))


def step_divergence(new: Parameters, old: Parameters, prior: float = 0.0) -> float:
    """Return what an M-step adds to the expected log-likelihood, in nats per unit of weight.

    With known labels a mixture is an exponential family: from old to the maximiser the expected log-likelihood rises
    by the Kullback-Leibler divergence between them,

        sum_k w'_k (log(w'_k / w_k) + KL(N'_k || N_k)),

    for every family. EM's log-likelihood rises by at least that (Dempster, Laird and Rubin, J. R. Statist. Soc. B 39,
    1977, lemma 1 and theorem 1). Under a penalty the pseudo-rows count as rows of each component, but not for its mean;
    components with one covariance share the pseudo-rows of one component.

    Args:
        new: the maximiser, where the M-step leads.
        old: where the statistics were measured.
        prior: pseudo-rows of each covariance, per row.
    """
    alive = new.weights > 0
    weights, before = new.weights[alive], old.weights[alive]
    between = _variances if isinstance(new.spread, Variances) and isinstance(old.spread, Variances) else _matrices
    one, other = (new.spread, old.spread) if alive.all() else (new.spread[alive], old.spread[alive])
    shapes, places = between(one, other, (new.means - old.means)[alive])
    pseudo = prior * (weights / weights.sum() if new.family in SHARED else np.ones_like(weights))
    components = float(weights @ (np.log(weights / before) + (shapes + places) / 2) + pseudo @ shapes / 2)
    return components + _noise(new, old)


def _noise(new: Parameters, old: Parameters) -> float:
    """Return the part of the noise component, whose weight changes and whose density does not."""
    if new.noise is None or old.noise is None or new.noise.weight == 0:
        return 0.0
    return float(new.noise.weight * np.log(new.noise.weight / old.noise.weight))


def _matrices(new: Spread, old: Spread, offsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (k,) 2 KL(N'_k || N_k), of the covariances, and of means that are (k, d) offsets apart."""
    factors = _factors(old)
    solved = np.linalg.solve(factors, offsets[..., None])
    half = np.linalg.solve(factors, _factors(new))
    # tr(S^-1 S') - d - log|S^-1 S'| from the triangular factor L^-1 L', whose diagonal gives the determinant.
    diagonal = np.einsum("kii->ki", half)
    shapes = (half**2).sum(axis=(1, 2)) - offsets.shape[1] - 2 * np.log(diagonal).sum(axis=1)
    return np.asarray(shapes), np.asarray((solved**2).sum(axis=(1, 2)))


def _factors(spread: Spread) -> FloatArray:
    return spread.factors if isinstance(spread, Matrices) else np.asarray(np.linalg.cholesky(spread.matrices))


def _variances(new: Spread, old: Spread, offsets: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the same for diagonal covariances, feature by feature."""
    ratios = new.variances / old.variances
    shapes, places = ratios - 1 - np.log(ratios), offsets**2 / old.variances
    return np.asarray(shapes.sum(axis=1)), np.asarray(places.sum(axis=1))
