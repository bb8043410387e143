"""How a fit ended, and how much it had still to gain."""

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
        """The options that its message speaks of."""
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
_ALL_STEPS = "All iterations were run, as a tolerance of 0 asks for; whether more could be gained is not known."
_OPTIONS = {Outcome.ITERATION_LIMIT: ("max_iter", "tol"), Outcome.DEGENERATE: ("k", "covariance_floor")}


def sentence(outcome: Outcome, tol: float, detail: str = "") -> str:
    """Return how a fit with this tol ended, what happened and what to do about it; with the detail, if there is one."""
    said = _ALL_STEPS if tol == 0 and outcome is Outcome.ITERATION_LIMIT else outcome.message
    return f"{said} ({detail})" if detail else said


# No rate is believed to be faster: of 240 fits two ended whose next step gained more than tol, when it was 1/2.
_FASTEST = 2 / 3


def remaining_gain(gain: float, rate: float | None) -> float:
    """Return what EM has still to gain after a step that gained `gain`, in the same unit.

    Aitken's extrapolation: gains fall by the factor `rate` from step to step, so what is left is
    gain * rate / (1 - rate) (Boehning et al., Ann. Inst. Statist. Math. 46, 1994). Infinite where
    the rate is not known, or is not below 1; never less than twice the gain itself, for gains that fall
    faster are those of the first steps, whose fast directions hide the slow ones.
    """
    if gain <= 0:
        return 0.0
    if rate is None or rate >= 1:
        return float("inf")
    believed = max(rate, _FASTEST)
    return gain * believed / (1 - believed)


def remaining_after(divergence: float, stretch: float | None) -> float:
    """Return what EM has still to gain from where its next M-step moves the mixture by `divergence`, in the same unit.

    Near an optimum let e be the way there, I its observed information and C that of the rows with their labels: with
    the rate r, I = (1 - r) C (Dempster, Laird and Rubin, 1977), and the step is (1 - r) e. So of I e^2 / 2 nats that
    are left it shows C (1 - r)^2 e^2 / 2: the share 1 - r. No further pass has to show what it gained.

    Args:
        divergence: of the M-step, see `step_divergence`.
        stretch: 1 / (1 - r) of the slowest direction; infinite is what is left where it is not known.
    """
    return float("inf") if stretch is None else divergence * max(stretch, 1 / (1 - _FASTEST))


def passes_to(tol: float, remaining: float, rate: float) -> int | None:
    """Return after how many steps `remaining` is below tol, if each leaves the share `rate` of it; None if never."""
    if remaining <= tol:
        return 0
    if tol <= 0 or not math.isfinite(remaining) or not 0 < rate < 1:
        return None
    return math.ceil(math.log(tol / remaining) / math.log(rate))


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
    one, other = (new.spread, old.spread) if there.all() else (new.spread[there], old.spread[there])
    shapes, places = between(one, other, (new.means - old.means)[there])
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
    factors = _factors(old)
    solved = np.linalg.solve(factors, offsets[..., None])
    half = np.linalg.solve(factors, _factors(new))
    # tr(S^-1 S') - d - log|S^-1 S'| from the factor L^-1 L' of S^-1 S', whose diagonal is that of both.
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
