"""The likeliest of many candidates after a few steps of EM: in groups, in this process or as tasks of an engine.

Short runs only rank: Biernacki, Celeux and Govaert, Choosing starting values for the EM algorithm, Comput. Statist.
Data Anal. 41, 2003. A part of the rows is enough for that, and half of it for the first steps, after which the worse
half of the runs is dropped: Jamieson and Talwalkar, Non-stochastic best arm identification, AISTATS 2016.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from math import ceil
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np

from gmm_spark import em
from gmm_spark.em.convergence import remaining_after, step_divergence
from gmm_spark.errors import ParametersError
from gmm_spark.mixture import families
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.search import kmeans
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.search.sample import Plan, Sample
    from gmm_spark.statistics.moments import Moments

# The steps of each heat of a race, and the share of the ranking's rows that it uses: ten steps for the best runs.
_HEATS = ((3, 1 / 2), (3, 1 / 2), (4, 1))
# A run is stopped if HOPE times its estimated remaining gain would not be enough; on long plateaus the estimate is far
# too low. Satellite images (full, K = 6) lost 0.007 nats per row with 10 and nothing with 100, in half the time.
HOPE = 100
_ROWS, _LEAST_ROWS = 20_000, 4_000

# Some of the starts that a plan draws, by number, or some mixtures.
Group: TypeAlias = range | tuple[Parameters, ...]


class ShortRun(NamedTuple):
    """A short run: its rank, see `Pass.standing`, its last parameters, and EM's objective."""

    standing: tuple[int, float]
    parameters: Parameters
    objective: float = 0.0


@dataclass(frozen=True, eq=False)
class Ranked:
    """Short runs, each with the rank and the objective of its last pass.

    Args:
        alive: runs that took all their steps.
        ended: runs that became singular, with their last valid parameters.
    """

    alive: list[ShortRun]
    ended: list[ShortRun]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Short runs on a few rows.

    Args:
        sample: the rows that rank.
        frame: their coordinates.
        plan: what to look for.
        steps: the EM steps of a run.
        together: the least components of the candidates that run together: enough for fast matrix products. The number
            does not depend on the cores, because the last bits of the products depend on it.
    """

    sample: Sample
    frame: Coordinates
    plan: Plan
    steps: int = sum(steps for steps, _ in _HEATS)
    together: int = 32

    @staticmethod
    def on(sample: Sample, frame: Coordinates, plan: Plan, steps: int = 10, share: float = 1.0) -> Ranking:
        """Return the ranking by n steps on a share of the rows that rank."""
        return Ranking(sample.head(Ranking.size(plan, len(sample.z), share)), frame, plan, steps)

    @staticmethod
    def size(plan: Plan, d: int, share: float = 1.0) -> int:
        """Return how many rows rank: at least ten per free parameter."""
        least = max(_LEAST_ROWS, 50 * plan.k, 10 * families.free_parameters(plan.family, plan.k, d))
        return max(least, int(share * _ROWS * plan.thoroughness))

    @property
    def of_starts(self) -> list[Group]:
        """The groups of the starts that the plan draws."""
        return [range(low, min(low + self._size, self.plan.starts)) for low in range(0, self.plan.starts, self._size)]

    def bar(self, fitted: Parameters) -> float:
        """Return the worth of a mixture per row, less the error of so few rows: a better mixture must reach it."""
        (moments,) = kernel.accumulate([Block(self.sample.z, self.sample.weights)], [fitted], kept=0)
        plan, rows = self.plan, self.sample.effective_rows
        worth = em.Position(fitted).measured(moments, self._maximise).worth
        return worth - families.sample_error(plan.family, plan.k, len(self.sample.z), rows)

    def groups(self, candidates: Sequence[Parameters]) -> list[Group]:
        """Return the groups of some mixtures."""
        return [tuple(candidates[low : low + self._size]) for low in range(0, len(candidates), self._size)]

    @property
    def operations(self) -> float:
        """The approximate floating-point operations of a candidate's run: 4 per row, step and free parameter."""
        d, n = len(self.sample.z), len(self.sample.weights)
        return 4.0 * self.steps * n * families.free_parameters(self.plan.family, self.plan.k, d)

    def run(self, group: Group, bar: float) -> Ranked:
        """Run the candidates of a group together for a few steps.

        Args:
            group: the candidates.
            bar: runs that become singular, or can't reach this log-likelihood per row, are left out; none are if it is
                minus infinity.
        """
        maximise = self._maximise
        drawn = kmeans.draw(self.sample, self.frame, self.plan, group) if isinstance(group, range) else group
        alive = [ShortRun((0, 0.0), candidate) for candidate in drawn]
        ended: list[ShortRun] = []
        block = Block(self.sample.z, self.sample.weights)
        for _ in range(self.steps):
            if not alive:
                break
            before = [run.parameters for run in alive]
            alive = []
            # Nothing is restarted here: the least likely rows need not be gathered.
            for at, moments in zip(before, kernel.accumulate([block], before, kept=0), strict=True):
                measured = em.Position(at).measured(moments, maximise)
                new = _maximised(maximise, at, moments)
                if new is None:
                    ended.append(ShortRun(measured.standing, at, measured.objective))
                elif bar == -np.inf or _hope(measured, new, maximise) >= bar:
                    alive.append(ShortRun(measured.standing, new, measured.objective))
        return Ranked(alive, ended if bar == -np.inf else [])

    @property
    def _maximise(self) -> em.Maximiser:
        return self.plan.maximiser(self.frame, len(self.sample.weights))

    @property
    def _size(self) -> int:
        return ceil(self.together / self.plan.k)


# Runs all groups of a ranking, in any order, with one bar; returns the runs of each group.
Each: TypeAlias = Callable[[Ranking, Sequence[Group], float], Sequence[Ranked]]


def in_turn(ranking: Ranking, groups: Sequence[Group], bar: float) -> list[Ranked]:
    """Run one group after the other, in this process."""
    return [ranking.run(group, bar) for group in groups]


def best_first(ranked: Sequence[Ranked]) -> list[ShortRun]:
    """Return the runs, sound and likely ones first; the singular ones only if all became singular.

    The likelihood of a mixture that collapses has no bound, so it can't be compared with others.
    """
    alive = list(chain.from_iterable(each.alive for each in ranked))
    runs = alive or chain.from_iterable(each.ended for each in ranked)
    return [run for run in sorted(runs, key=lambda run: run.standing, reverse=True) if np.isfinite(run.standing[1])]


def likelier(led: Sequence[ShortRun], gain: float) -> ShortRun | None:
    """Return the likeliest run, if it is likelier than the first by more than `gain` nats per row."""
    top = max(led, key=lambda run: run.objective, default=None)
    return top if top is not None and top.objective > led[0].objective + gain else None


@dataclass(frozen=True, eq=False)
class Race:
    """Heats of short runs, the last on more rows; half of the runs of a heat continue in the next heat.

    Args:
        heats: the rankings.
        each: runs the groups of a heat.
    """

    heats: tuple[Ranking, ...]
    each: Each

    @staticmethod
    def on(sample: Sample, frame: Coordinates, plan: Plan, each: Each) -> Race:
        """Return the race of candidates for a plan on a sample."""
        return Race(tuple(Ranking.on(sample, frame, plan, *heat) for heat in _HEATS), each)

    def of_starts(self, given: Sequence[Parameters], least: int) -> list[ShortRun]:
        """Return the runs of the plan's starts and of given ones, the best first; at least `least` take all steps.

        Dropped runs come last, those of later heats first. The likeliest run of a heat is never dropped.
        """
        first = self.heats[0]
        return self._run([*first.groups(given), *first.of_starts], least, None)

    def beyond(self, fitted: Parameters | None, candidates: Sequence[Parameters]) -> list[Parameters]:
        """Return the results of candidates that may still exceed a fitted mixture, if there is one, the best first."""
        return [run.parameters for run in self._run(self.heats[0].groups(candidates), 1, fitted)]

    def _run(self, groups: list[Group], least: int, fitted: Parameters | None) -> list[ShortRun]:
        """Run the heats; stop runs that can't reach a fitted mixture."""
        led: list[ShortRun] = []
        dropped: list[ShortRun] = []
        for number, heat in enumerate(self.heats):
            led = best_first(self.each(heat, groups, -np.inf if fitted is None else heat.bar(fitted)))
            onward = len(led) if number + 1 == len(self.heats) else max(least, ceil(len(led) / 2))
            top = likelier(led, 0.0) if fitted is None else None
            led, rest = led[:onward], led[onward:]
            led += [run for run in rest if run is top]
            dropped = [run for run in rest if run is not top] + dropped
            groups = heat.groups([run.parameters for run in led])
        return led + dropped


def _hope(measured: em.Pass, new: Parameters, maximise: em.Maximiser) -> float:
    """Return an upper estimate of the objective per row that a run can reach, from its last step."""
    divergence = step_divergence(new, measured.parameters, maximise.prior)
    return measured.objective + HOPE * remaining_after(divergence, 1.0)


def _maximised(maximise: em.Maximiser, at: Parameters, moments: Moments) -> Parameters | None:
    try:
        return maximise(at, moments)[0]
    except ParametersError:
        return None
