"""Runs of EM on a sample to their end, and which of two fits is the better one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark import em
from gmm_spark.em.convergence import Outcome
from gmm_spark.errors import ParametersError
from gmm_spark.search.short_runs import HOPE
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.search.sample import Plan, Sample

_LONG_STEPS = 500
SAME_OPTIMUM = 10.0  # two runs to tol that end closer than this many tol have found the same
_RESEEDINGS = 2  # here, where a pass is cheap, components that do no work get another place or two
_ROWS_OF_A_COMPONENT = 5  # times d + 1: with fewer a likelihood says little, for it has no bound


def is_better(new: em.Fit, old: em.Fit, tol: float) -> bool:
    """Return whether a fit is sounder, or better, and not because a component of it shrank onto a few rows."""
    if new.best.soundness != old.best.soundness:
        return new.best.soundness > old.best.soundness and new.outcome is not Outcome.DEGENERATE
    one, other = new.best.moments, old.best.moments
    gain = new.best.objective - old.best.objective
    few = _ROWS_OF_A_COMPONENT * (1 + one.centers.shape[1]) * one.row_weight
    sound = new.outcome is not Outcome.DEGENERATE and one.mass.min() >= min(few, other.mass.min())
    return sound and gain > SAME_OPTIMUM * tol


def run_to_end(
    sample: Sample,
    starts: Sequence[Parameters],
    frame: Coordinates,
    plan: Plan,
    enough: float = -np.inf,
    within: float = np.inf,
    most: float = np.inf,
) -> list[em.Fit]:
    """Run starts to their end; return those that have one, the best first, sound or valid ones if there are any.

    Args:
        sample: where.
        starts: where from, in the coordinates of the sample.
        frame: these coordinates.
        plan: what to look for.
        enough: a run that can't reach this objective per row is given up,
        within: and one that must end this much below the best one before it.
        most: starts that are run; the others only as long as no fit is sound.
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
                enough = max(enough, fit.best.objective - within)
    valid = [fit for fit in finished if fit.outcome is not Outcome.DEGENERATE]
    sound = [fit for fit in valid if fit.best.soundness == max(each.best.soundness for each in valid)]
    return sorted(sound or valid or finished, key=lambda fit: -fit.best.objective)


def _long_run(
    expectation: em.Expectation, maximise: em.Maximiser, tol: float, start: Parameters, enough: float
) -> em.Fit | None:
    """Return the fit from a start; None where there is none, or where it could not be enough."""
    goal, state = em.Goal(tol, _LONG_STEPS, _RESEEDINGS), em.begin(start, "squarem")
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
