"""Which start leads to the best optimum: all in short runs, the best to their end, the finalists on ever more rows.

`ranking` has the short runs, `long_runs` those to the end. The optimum of n random rows is about p / (2n) nats per row
below that of all rows, for p free parameters: so a few rows decide where to look, more rows which of the best is best,
and each part of the sample is run only to a tenth of its own error. What is left for all rows to do is what the sample
can't know.
From the best of the first part `splitting` leads on to better optima, as long as there are any. Before more rows are
taken they are looked at: where the fewer rows have missed a cluster (`evidence`), a component is moved there.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark import em
from gmm_spark.errors import DataError
from gmm_spark.mixture import families
from gmm_spark.search import evidence
from gmm_spark.search.long_runs import (
    REPORTED,
    SAME_OPTIMUM,
    alike,
    begun,
    fewest_rows,
    in_order,
    is_better,
    passed_over,
    run_to_end,
)
from gmm_spark.search.sample_size import GROWTH, accuracy, rows_to_search
from gmm_spark.search.short_runs import Race, Ranking, in_turn, likelier
from gmm_spark.search.split_merge import LEAST_COMPONENTS, moves
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.search.sample import Plan, Sample
    from gmm_spark.search.short_runs import Each

# How many of the short runs go on: three, or as many as cost next to nothing on a small sample, for the best after
# ten steps need not be the best at the end; and of few components more, for a run of two costs a fifth of one of ten.
_SURVIVORS, _SURVIVOR_OPERATIONS, _SURVIVOR_COMPONENTS = 3, 4e8, 24
_MOVES = 16  # tried at a time
# Times p / (2n): to what accuracy optima are distinguished. A move must gain ten times that.
_WORTH = 0.001
# The order of the best on few rows need not be that on more, up to _UNSURE times p / (2n), by which each is optimistic.
_FINALISTS, _UNSURE = 3, 3
# Deviations of a component by which its mean is moved, to leave a saddle: with half of one, two components that were
# the same became it again, for to first order nothing parts them where they have the covariance of their rows.
_SHAKE = 1.0


def best(sample: Sample, frame: Coordinates, plan: Plan, each: Each = in_turn) -> em.Fit:
    """Return the best fit to the sample that was found.

    Args:
        sample: where to look.
        frame: the coordinates of the sample.
        plan: what to look for; its tol is that of all the sample.
        each: runs the groups of a ranking.

    Raises:
        DataError: every single start went bad.
    """
    first, *larger = _parts(sample, plan)
    unsure = _UNSURE * families.sample_error(plan.family, plan.k, len(first.z), first.effective_rows)
    within = unsure if larger else 0.0
    finalists = ranked(first, frame, _rough(plan, first), within=within, each=each)[:_FINALISTS]
    seen = first
    for part in larger or [sample]:
        if larger:
            finalists += _moved_to_unseen(finalists[0], seen, part, frame, _own(plan, seen, sample))
        finalists, seen = grown(finalists, part, frame, _own(plan, part, sample))[:1], part
    return finalists[0]


def shaken(fit: em.Fit, sample: Sample, frame: Coordinates, plan: Plan) -> em.Fit:
    """Return where EM leads from a mixture beside this one, if that is better: a fit may have ended at a saddle.

    There a step of EM moves nothing, though the likelihood rises to a side: as where two components are the same.
    """
    if plan.k == 1:
        return fit
    start = _perturbed(fit.best.parameters, np.random.default_rng(plan.seed))
    enough = fit.best.worth + SAME_OPTIMUM * plan.tol if fit.best.thin == 0 else -np.inf
    runs = run_to_end(sample, [begun(start)], frame, plan, enough)
    return next((new for new in runs if is_better(new, fit, plan)), fit)


def _perturbed(at: Parameters, generator: np.random.Generator) -> Parameters:
    """Return the mixture with each mean moved by about a deviation of its component."""
    noise = at.spread.rows_from_noise(np.arange(at.k), generator.standard_normal(at.means.shape))
    return at.replaced(means=at.means + _SHAKE * noise)


def ranked(
    sample: Sample,
    frame: Coordinates,
    plan: Plan,
    given: Sequence[Parameters] = (),
    within: float = np.inf,
    each: Each = in_turn,
    on_starts: Callable[[list[Parameters]], None] | None = None,
) -> list[em.Fit]:
    """Return the starts that were run to their end on the sample, the best first, each optimum once.

    Args:
        sample: where to look.
        frame: the coordinates of the sample.
        plan: what to look for.
        given: starts to try beside those that are drawn.
        within: optima that are further below the best are of no interest, in nats per row.
        each: runs the groups of a ranking.
        on_starts: called with where the short runs led.

    Raises:
        DataError: every single start went bad.
    """
    race, survivors = Race.on(sample, frame, plan, each), _survivors(sample, plan)
    runs = race.of_starts(given, survivors)
    led = [run.parameters for run in runs]
    if on_starts is not None:
        on_starts(led)
    # Of three components on, moves lead from what is not sound to what is: there others need not be tried.
    led = led[: survivors if plan.k >= LEAST_COMPONENTS else None]
    every = run_to_end(sample, [begun(each) for each in led], frame, plan, within=within, most=survivors)
    if (top := likelier(runs, REPORTED / (plan.rows or sample.effective_rows))) is not None:
        every += run_to_end(sample, [begun(top.parameters)], frame, plan)
    finished = alike(in_order(every))
    if not finished:
        raise DataError(
            f"starts for {plan.k} components",
            got=f"{plan.starts} starts that all became singular",
            expected="at least one valid mixture",
            do="Use fewer components, more starts, or a larger covariance floor.",
            options=("k", "starts", "covariance_floor"),
        )
    ranked_on = race.heats[-1].sample
    if plan.starts and len(ranked_on.weights) < len(sample.weights):
        moved = _moved_to_unseen(finished[0], ranked_on, sample, frame, plan)
        finished = grown([*moved, *finished], sample, frame, plan, within) if moved else finished
    if plan.k >= LEAST_COMPONENTS:
        finished = [_rearranged(finished[0], race, sample), *finished[1:]]
    best_fit = shaken(finished[0], sample, frame, plan)
    passed = passed_over(best_fit, every, plan, fewest_rows(plan, len(sample.z)))
    finished = [replace(best_fit, passed=passed), *finished[1:]]
    values = [fit.best.worth for fit in finished]
    new = [i == 0 or values[i - 1] - values[i] > SAME_OPTIMUM * plan.tol for i in range(len(values))]
    near = [value >= values[0] - within for value in values]
    return [fit for fit, *wanted in zip(finished, new, near, strict=True) if all(wanted)]


def _survivors(sample: Sample, plan: Plan) -> int:
    """Return how many of the starts are run to their end."""
    d, n = sample.z.shape
    a_pass = 4 * n * families.free_parameters(plan.family, plan.k, d)
    cheap = max(_SURVIVOR_COMPONENTS // plan.k, int(plan.thoroughness * _SURVIVOR_OPERATIONS / a_pass))
    return max(_SURVIVORS, cheap)


def _moves_worth(sample: Sample, plan: Plan) -> float:
    """Return how many moves a sound mixture is worth: fewer where the rows are fewer than the parameters.

    There the likelihood rises with the chance patterns of the rows, and nothing is learnt from going on.
    """
    free = families.free_parameters(plan.family, plan.k, len(sample.z))
    return plan.moves * sample.effective_rows / free


def _rearranged(fit: em.Fit, race: Race, sample: Sample) -> em.Fit:
    """Return where splits and mergers of components lead to from a fit, one after the other while each is a gain.

    Args:
        fit: to the sample.
        race: ranks the moves.
        sample: where the best of them are run to their end.
    """
    *_, ranking = race.heats
    frame, plan, short = ranking.frame, ranking.plan, ranking.sample
    maximise = plan.maximiser(frame, len(sample.weights))
    for made in range(plan.moves):
        sound = fit.best.thin == 0
        if sound and made >= _moves_worth(sample, plan):
            break
        least = maximise.least * fit.best.moments.row_weight / fit.best.moments.weight
        tried = moves(short.z, short.weights, fit.best.parameters, maximise, _MOVES, least)
        enough = fit.best.worth + SAME_OPTIMUM * plan.tol if sound else -np.inf
        best_tried = race.beyond(fit.best.parameters if sound else None, tried)
        ended = (run_to_end(sample, [begun(start)], frame, plan, enough) for start in best_tried)
        better = (new for (new,) in filter(None, islice(ended, _FINALISTS)) if is_better(new, fit, plan))
        if (best := next(better, None)) is None:
            break
        fit = best
    return fit


def grown(fits: Sequence[em.Fit], sample: Sample, frame: Coordinates, plan: Plan, within: float = 0.0) -> list[em.Fit]:
    """Return fits to fewer rows gone on with on more of them, the best first; as they were if none can go on."""
    begins = [begun(fit.best.parameters, fit.passed) for fit in fits]
    return alike(run_to_end(sample, begins, frame, plan, within=within)) or list(fits)


def search_with(
    start: Parameters, more: evidence.Unseen, sample: Sample, frame: Coordinates, plan: Plan
) -> em.Fit | None:
    """Return the best fit to the sample and rows that it has nothing like; None if the first start is as good.

    Args:
        start: the best fit to the sample.
        more: these rows.
        sample: where it was found.
        frame: the coordinates of the rows.
        plan: how it was found, with the rows of all the table.
    """
    among = Ranking.size(plan, start.d)
    # All of those rows, beside as much of the sample as the first search began with.
    few = sample.head(rows_to_search(plan.family, plan.k, start.d))
    given = [start, *evidence.moved(start, more, frame, plan)]
    first, both = (evidence.together(part, more, plan.seed, among) for part in (few, sample))
    found = ranked(first, frame, plan.by_share(len(first.weights)), given, within=0.0)[:1]
    plan = plan.by_share(len(both.weights))
    (best,) = grown(found, both, frame, plan)
    (old,) = in_memory([Block(both.z, both.weights)])([start])
    before = em.Position(start).measured(old, plan.maximiser(frame, len(both.weights)))
    gained = best.best.worth - before.worth
    sounder = best.best.soundness - before.soundness
    return best if sounder > 0 or (sounder == 0 and gained > plan.tol) else None


def _moved_to_unseen(fit: em.Fit, seen: Sample, more: Sample, frame: Coordinates, plan: Plan) -> list[em.Fit]:
    """Return where a fit leads with a component moved to rows that those it was found on have nothing like; or nothing.

    Args:
        fit: to the rows seen.
        seen: the first of the rows.
        more: the rows.
        frame: their coordinates.
        plan: what to look for, on the rows seen.
    """
    start = fit.best.parameters
    found = evidence.unseen_in_memory(start, seen, more) if plan.k > 1 else None
    if found is None:
        return []
    few = evidence.together(seen, found, plan.seed, Ranking.size(plan, start.d))
    given = list(evidence.moved(start, found, frame, plan))
    try:
        own = replace(plan, starts=0, rows=plan.rows or len(more.weights)).by_share(len(few.weights))
        return [replace(fit, passed=None) for fit in ranked(few, frame, own, given, within=0.0)[:1]]
    except DataError:  # all became singular: there is still the fit
        return []


def in_memory(blocks: Sequence[Block]) -> em.Expectation:
    """Return the Expectation over blocks that this process holds."""
    return partial(kernel.accumulate, blocks)


def _parts(sample: Sample, plan: Plan) -> Iterator[Sample]:
    d, n = sample.z.shape
    rows = rows_to_search(plan.family, plan.k, d)
    while 2 * rows <= n:  # a part that is nearly all of them would be the same work twice
        yield sample.head(rows)
        rows *= GROWTH
    yield sample


def _rough(plan: Plan, part: Sample) -> Plan:
    """Return the plan for looking: what distinguishes optima on a part of the sample."""
    error = families.sample_error(plan.family, plan.k, len(part.z), part.effective_rows)
    return replace(plan, tol=max(plan.tol, _WORTH * error))


def _own(plan: Plan, part: Sample, whole: Sample) -> Plan:
    """Return the plan for a part of the sample: as accurate as it deserves."""
    if part is whole:
        return plan
    return replace(plan, tol=max(plan.tol, accuracy(plan.family, plan.k, len(part.z), part.effective_rows)))
