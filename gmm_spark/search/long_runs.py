"""Runs of EM on a sample to their end, and the comparison of their fits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark import em
from gmm_spark.em.convergence import Outcome
from gmm_spark.em.reseeding import ROWS_OF_A_COMPONENT
from gmm_spark.errors import ParametersError
from gmm_spark.mixture.parameters import SHARED
from gmm_spark.search.short_runs import HOPE
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.search.sample import Plan, Sample

_LONG_STEPS = 500
SAME_OPTIMUM = 10.0  # two runs that end closer than this many tol have found the same optimum
_RESEEDINGS = 2  # a pass is cheap here: components that do no work are restarted up to twice
# A likelier mixture with a component of few rows is reported from this gain on, in nats over all rows: chance gains
# about as much.
REPORTED = 10.0
_ONE_ROW = 1.5


def is_better(new: em.Fit, old: em.Fit, plan: Plan) -> bool:
    """Return whether a fit is sounder, or better but not because one of its components shrank onto a few rows.

    Where small components are charged, the charge alone prevents that.
    """
    if new.best.soundness != old.best.soundness:
        return new.best.soundness > old.best.soundness and new.outcome is not Outcome.DEGENERATE
    one, other = new.best.moments, old.best.moments
    gain = new.best.worth - old.best.worth
    few = 0.0 if plan.ample > plan.least else ROWS_OF_A_COMPONENT * (1 + one.centers.shape[1]) * one.row_weight
    sound = new.outcome is not Outcome.DEGENERATE and one.mass.min() >= min(few, other.mass.min())
    return sound and gain > SAME_OPTIMUM * plan.tol


def run_to_end(
    sample: Sample,
    starts: Sequence[em.State],
    frame: Coordinates,
    plan: Plan,
    enough: float = -np.inf,
    within: float = np.inf,
    most: float = np.inf,
) -> list[em.Fit]:
    """Run starts to their end; return those that reach it: valid ones first, then sound ones, then the best.

    Args:
        sample: the rows.
        starts: the starts, see `state_at`, in the coordinates of the sample.
        frame: the coordinates of the sample.
        plan: what to look for.
        enough: a run that can't reach this objective per row is stopped,
        within: and so is a run that must end this much below the best earlier run.
        most: the number of starts to run; the others run only while no fit is sound.
    """
    expectation, maximise = _expectation(sample), plan.maximiser(frame, len(sample.weights))
    finished: list[em.Fit] = []
    for number, start in enumerate(starts):
        if number >= most and any(fit.best.thin == 0 for fit in finished):
            break
        fit = _long_run(expectation, maximise, plan.tol, start, enough)
        if fit is not None:
            finished.append(fit)
            if fit.outcome is not Outcome.DEGENERATE and fit.best.thin == 0:
                enough = max(enough, fit.best.worth - within)
    return in_order(finished)


def in_order(fits: Sequence[em.Fit]) -> list[em.Fit]:
    """Return the fits: valid ones first, then sound ones, then those of the highest worth."""
    return sorted(fits, key=lambda fit: (fit.outcome is not Outcome.DEGENERATE, *fit.best.standing), reverse=True)


def state_at(start: Parameters, passed: em.PassedOver | None = None) -> em.State:
    """Return the state of a run that has measured nothing yet."""
    return em.begin(start, "squarem", passed=passed)


def alike(fits: Sequence[em.Fit]) -> list[em.Fit]:
    """Return the fits that are as sound as the first, which is the best."""
    kinds = [(fit.outcome is Outcome.DEGENERATE, fit.best.soundness) for fit in fits]
    return [fit for fit, kind in zip(fits, kinds, strict=True) if kind == kinds[0]]


def passed_over(best: em.Fit, others: Sequence[em.Fit], plan: Plan, least: float) -> em.PassedOver | None:
    """Return the likeliest other fit, if it is likelier than the best but has a component of too few rows.

    Args:
        best: the fit that was chosen.
        others: other fits to the same rows.
        plan: what was looked for.
        least: the fewest of these rows that a component may hold to be considered, see `fewest_rows`.
    """
    moments = best.best.moments
    scale = (plan.rows or moments.weight / moments.row_weight) / (moments.weight / moments.row_weight)
    valid = [fit for fit in others if fit.outcome is not Outcome.DEGENERATE and _least_rows(fit) >= least]
    top = max(valid, key=lambda fit: fit.best.objective, default=None)
    if top is None or top.best.standing >= best.best.standing:
        return None
    gain = (top.best.total - best.best.total) / moments.row_weight * scale
    rows = _least_rows(top) * scale
    return em.PassedOver(rows, max(plan.least, plan.ample), gain) if gain > REPORTED else None


def fewest_rows(plan: Plan, d: int) -> float:
    """Return the fewest rows that make a likelihood meaningful: d + 1 for a covariance of their own."""
    return _ONE_ROW if plan.family in SHARED else d + 1 - _ONE_ROW / 2


def _least_rows(fit: em.Fit) -> float:
    return float(fit.best.moments.mass.min() / fit.best.moments.row_weight)


def _long_run(
    expectation: em.Expectation, maximise: em.Maximiser, tol: float, state: em.State, enough: float
) -> em.Fit | None:
    """Return the fit from a start; None if it failed, or could not reach `enough`."""
    goal = em.Goal(tol, _LONG_STEPS, _RESEEDINGS)
    try:
        for after, measured in em.steps(expectation, state, maximise, goal):
            if measured.objective + HOPE * measured.remaining < enough:
                return None
            state = after
    except ParametersError:
        return None
    return state.fit


def _expectation(sample: Sample) -> em.Expectation:
    return partial(kernel.accumulate, [Block(sample.z, sample.weights)])
