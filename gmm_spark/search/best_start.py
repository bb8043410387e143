"""The start of the best optimum: short runs of all starts, long runs of the best, finalists on more and more rows.

`short_runs` has the short runs, `long_runs` the runs to the end. The optimum of n random rows is about p / (2n) nats
per row below that of all rows, for p free parameters: so a few rows decide where to search, more rows decide between
the best starts, and EM on each part of the sample runs only to a tenth of the part's own error. EM on all rows then
gains only what the sample can't show.
From the best fit to the first part, `split_merge` moves to better optima while there are any. Before EM runs on more
rows, `evidence` checks them: where the fewer rows have missed a cluster, a component is moved there.
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
    fewest_rows,
    in_order,
    is_better,
    passed_over,
    run_to_end,
    state_at,
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

# How many short runs continue: three, or more where they cost next to nothing on a small sample, because the best after
# ten steps need not be the best at the end; and more with few components: a run of two costs a fifth of a run of ten.
_SURVIVORS, _SURVIVOR_OPERATIONS, _SURVIVOR_COMPONENTS = 3, 4e8, 24
_MOVES = 16  # tried in one round
# Times p / (2n): the accuracy that distinguishes optima. A move must gain ten times that.
_WORTH = 0.001
# The best fits may change their order on more rows, up to _UNSURE times p / (2n), by which each fit is optimistic.
_FINALISTS, _UNSURE = 3, 3
# Deviations of a component by which its mean is moved, to leave a saddle. With half a deviation two equal components
# became equal again: to first order nothing separates them if they have the covariance of their rows.
_SHAKE = 1.0


def best(sample: Sample, frame: Coordinates, plan: Plan, each: Each = in_turn) -> em.Fit:
    """Return the best fit to the sample.

    Args:
        sample: the rows to search in.
        frame: the coordinates of the sample.
        plan: what to look for; its tol is for the whole sample.
        each: runs the groups of a ranking.

    Raises:
        DataError: every start became singular.
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
    """Return the fit from a mixture next to this one, if it is better: a fit may have ended at a saddle.

    At a saddle a step of EM moves nothing although the likelihood rises in some direction, as with equal components.
    """
    if plan.k == 1:
        return fit
    start = _perturbed(fit.best.parameters, np.random.default_rng(plan.seed))
    enough = fit.best.worth + SAME_OPTIMUM * plan.tol if fit.best.thin == 0 else -np.inf
    runs = run_to_end(sample, [state_at(start)], frame, plan, enough)
    return next((new for new in runs if is_better(new, fit, plan)), fit)


def _perturbed(at: Parameters, generator: np.random.Generator) -> Parameters:
    """Return the mixture with each mean moved by about one standard deviation of its component."""
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
    """Return the starts that were run to their end on the sample, the best first, one per optimum.

    Args:
        sample: the rows to search in.
        frame: the coordinates of the sample.
        plan: what to look for.
        given: starts to try in addition to the drawn ones.
        within: optima that are further below the best are left out, in nats per row.
        each: runs the groups of a ranking.
        on_starts: called with the results of the short runs.

    Raises:
        DataError: every start became singular.
    """
    race, survivors = Race.on(sample, frame, plan, each), _survivors(sample, plan)
    runs = race.of_starts(given, survivors)
    led = [run.parameters for run in runs]
    if on_starts is not None:
        on_starts(led)
    # From three components on, moves lead from unsound to sound mixtures: then other starts need not be tried.
    led = led[: survivors if plan.k >= LEAST_COMPONENTS else None]
    every = run_to_end(sample, [state_at(each) for each in led], frame, plan, within=within, most=survivors)
    if (top := likelier(runs, REPORTED / (plan.rows or sample.effective_rows))) is not None:
        every += run_to_end(sample, [state_at(top.parameters)], frame, plan)
    finished = alike(in_order(every))
    if not finished:
        raise _no_valid_start(plan)
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


def _no_valid_start(plan: Plan) -> DataError:
    return DataError(
        f"starts for {plan.k} components",
        got=f"{plan.starts} starts that all became singular",
        expected="at least one valid mixture",
        do="Use fewer components, more starts, or a larger covariance floor.",
        options=("k", "starts", "covariance_floor"),
    )


def _survivors(sample: Sample, plan: Plan) -> int:
    """Return the number of starts that are run to their end."""
    d, n = sample.z.shape
    a_pass = 4 * n * families.free_parameters(plan.family, plan.k, d)
    cheap = max(_SURVIVOR_COMPONENTS // plan.k, int(plan.thoroughness * _SURVIVOR_OPERATIONS / a_pass))
    return max(_SURVIVORS, cheap)


def _moves_worth(sample: Sample, plan: Plan) -> float:
    """Return the most moves for a sound mixture: fewer where the rows are fewer than the parameters.

    There the likelihood rises with chance patterns of the rows, and more moves find nothing real.
    """
    free = families.free_parameters(plan.family, plan.k, len(sample.z))
    return plan.moves * sample.effective_rows / free


def _rearranged(fit: em.Fit, race: Race, sample: Sample) -> em.Fit:
    """Return the fit after splits and mergers of components, one after the other as long as each gains.

    Args:
        fit: the fit to the sample.
        race: ranks the moves.
        sample: the rows on which the best moves are run to their end.
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
        ended = (run_to_end(sample, [state_at(start)], frame, plan, enough) for start in best_tried)
        better = (new for (new,) in filter(None, islice(ended, _FINALISTS)) if is_better(new, fit, plan))
        if (best := next(better, None)) is None:
            break
        fit = best
    return fit


def grown(fits: Sequence[em.Fit], sample: Sample, frame: Coordinates, plan: Plan, within: float = 0.0) -> list[em.Fit]:
    """Return fits to fewer rows continued on more rows, the best first; unchanged if none can continue."""
    begins = [state_at(fit.best.parameters, fit.passed) for fit in fits]
    return alike(run_to_end(sample, begins, frame, plan, within=within)) or list(fits)


def search_with(
    start: Parameters, more: evidence.Unseen, sample: Sample, frame: Coordinates, plan: Plan
) -> em.Fit | None:
    """Return the best fit to the sample and the rows of missed clusters; None if the first start is as good.

    Args:
        start: the best fit to the sample.
        more: the rows of missed clusters.
        sample: the sample that the start was found on.
        frame: the coordinates of the rows.
        plan: the plan of that search, with the number of rows of the whole table.
    """
    among = Ranking.size(plan, start.d)
    # All of those rows, and as much of the sample as the first search started with.
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
    """Return the fit with a component moved to a cluster that its rows have missed; empty if they missed none.

    Args:
        fit: the fit to the first rows.
        seen: the first rows.
        more: the first rows and others.
        frame: the coordinates of the rows.
        plan: what to look for, on the first rows.
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
    except DataError:  # all became singular: the fit itself remains
        return []


def in_memory(blocks: Sequence[Block]) -> em.Expectation:
    """Return the Expectation over blocks that this process holds."""
    return partial(kernel.accumulate, blocks)


def _parts(sample: Sample, plan: Plan) -> Iterator[Sample]:
    d, n = sample.z.shape
    rows = rows_to_search(plan.family, plan.k, d)
    while 2 * rows <= n:  # a larger part would repeat most of the work on the whole sample
        yield sample.head(rows)
        rows *= GROWTH
    yield sample


def _rough(plan: Plan, part: Sample) -> Plan:
    """Return the plan of the first search: its tol distinguishes optima on a part of the sample."""
    error = families.sample_error(plan.family, plan.k, len(part.z), part.effective_rows)
    return replace(plan, tol=max(plan.tol, _WORTH * error))


def _own(plan: Plan, part: Sample, whole: Sample) -> Plan:
    """Return the plan for a part of the sample: its tol is the accuracy of the part."""
    if part is whole:
        return plan
    return replace(plan, tol=max(plan.tol, accuracy(plan.family, plan.k, len(part.z), part.effective_rows)))
