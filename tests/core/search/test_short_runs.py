"""Short runs rank candidates alike in any groups, and stop those that can't win."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, pairwise
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np

from gmm_spark.mixture.parameters import Parameters
from gmm_spark.search import kmeans, short_runs
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from tests.strategies import Problem, random_problem, survey

if TYPE_CHECKING:
    import pytest


def problem_of(k: int = 5) -> Problem:
    """Return rows with overlapping clusters."""
    return random_problem(3, "full", k, 3, weighted=True)


def ranking_of(problem: Problem, drawn: int = 9) -> short_runs.Ranking:
    """Return the ranking of some starts on all the rows of a problem."""
    frame, k = problem.frame, problem.start.k
    sample = Sample(frame.rows(problem.x), problem.weights, survey(problem.x, problem.weights)[1])
    return short_runs.Ranking.on(sample, frame, Plan(k, problem.family, drawn, seed=1, floor=1e-6, tol=1e-4))


def test_each_start_is_in_one_group() -> None:
    """The groups have each start once, in order, and 32 components or a few more per group."""
    assert list(chain.from_iterable(ranking_of(problem_of(), 20).of_starts)) == list(range(20))
    assert [len(group) for group in ranking_of(problem_of(), 20).of_starts] == [7, 7, 6]


def test_groups_do_not_change_the_ranking() -> None:
    """Runs one by one, in groups and all at once give the same mixtures in the same order."""
    results = []
    for together in (1, 32, 10_000):
        of = replace(ranking_of(problem_of()), together=together)
        results.append(short_runs.best_first(short_runs.in_turn(of, of.of_starts, -np.inf)))
    assert len(results[0]) == 9
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_allclose(other.parameters.means, one.parameters.means, atol=1e-9)
            np.testing.assert_allclose(other.parameters.covariances, one.parameters.covariances, atol=1e-9)


def test_mixtures_are_run_as_starts_are() -> None:
    """The starts of a plan, passed as mixtures, give the same results as by their numbers."""
    of = ranking_of(problem_of())
    drawn = kmeans.draw(of.sample, of.frame, of.plan, range(9))
    by_number = short_runs.best_first(short_runs.in_turn(of, of.of_starts, -np.inf))
    by_mixture = short_runs.best_first(short_runs.in_turn(of, of.groups(drawn), -np.inf))
    assert [each.parameters.means.tobytes() for each in by_number] == [
        each.parameters.means.tobytes() for each in by_mixture
    ]


def race_of(problem: Problem, drawn: int = 20) -> short_runs.Race:
    """Return the race of some starts on all the rows of a problem."""
    of = ranking_of(problem, drawn)
    return short_runs.Race.on(of.sample, of.frame, of.plan, short_runs.in_turn)


def test_a_race_drops_the_worse_half_after_each_heat(monkeypatch: pytest.MonkeyPatch) -> None:
    """20 starts take 20 * 3 + 10 * 3 + 5 * 4 steps; where 12 must take all ten, 20 * 3 + 12 * 3 + 12 * 4."""
    steps = mock.Mock(side_effect=kernel.accumulate)
    monkeypatch.setattr(kernel, "accumulate", steps)
    for least, expected in ((1, 110), (12, 144)):
        steps.reset_mock()
        assert len(race_of(problem_of()).of_starts([], least)) == 20
        assert sum(len(call.args[1]) for call in steps.call_args_list) == expected


def test_the_best_of_a_race_takes_ten_steps() -> None:
    """On a table of few rows all heats use all rows: the best of a race has taken ten steps of EM on them."""
    problem, of = problem_of(), ranking_of(problem_of(), 20)
    alone = short_runs.best_first(short_runs.in_turn(of, of.of_starts, -np.inf))
    for led in race_of(problem).of_starts([], 1)[:5]:
        assert min(np.abs(led.parameters.means - each.parameters.means).max() for each in alone) < 1e-9


def test_a_race_starts_on_fewer_rows() -> None:
    """From 40,000 rows with few parameters the heats use the first 10,000, 10,000 and 20,000."""
    x = np.random.default_rng(0).standard_normal((40_000, 2))
    problem = Problem(x, np.ones(len(x)), Parameters(np.ones(1), np.zeros((1, 2)), np.eye(2)[None]))
    samples = [heat.sample.z for heat in race_of(problem).heats]
    assert [z.shape[1] for z in samples] == [10_000, 10_000, 20_000]
    assert all((larger[:, : z.shape[1]] == z).all() for z, larger in pairwise(samples))


def apart() -> tuple[short_runs.Ranking, Parameters, Parameters]:
    """Return a ranking on three distant clusters, their mixture, and a mixture that EM does not change."""
    generator, centres = np.random.default_rng(0), np.array([[0.0, 0.0], [30.0, 0.0], [0.0, 30.0]])
    x = np.concatenate([centre + generator.standard_normal((300, 2)) for centre in centres])
    covariances = np.repeat(np.eye(2)[None], 3, axis=0)
    good = Parameters(np.full(3, 1 / 3), centres, covariances)
    fixed = Parameters(
        np.array([1 / 6, 1 / 6, 2 / 3]), np.array([[0.0, -1.0], [0.0, 1.0], [15.0, 15.0]]), 200 * covariances
    )
    ranking = ranking_of(Problem(x, np.ones(len(x)), good))
    return ranking, ranking.frame.inward(good), ranking.frame.inward(fixed)


def test_a_run_that_cannot_win_is_stopped() -> None:
    """A run that settles far below a fit to all clusters is stopped; without a bar it is ranked last."""
    ranking, good, fixed = apart()
    both = short_runs.in_turn(ranking, ranking.groups([fixed, good]), -np.inf)
    assert len(short_runs.best_first(both)) == 2
    assert both[0].alive[1][0] > both[0].alive[0][0]
    (left,) = short_runs.in_turn(ranking, ranking.groups([fixed, good]), ranking.bar(good))
    assert len(left.alive) == 1
    np.testing.assert_allclose(left.alive[0][1].means, both[0].alive[1][1].means)


def test_a_singular_run_is_dropped_where_there_is_a_bar() -> None:
    """With a bar a run that becomes singular is dropped; without one it is reported as ended."""
    ranking, good, _ = apart()
    unfloored = short_runs.Ranking(ranking.sample, ranking.frame, Plan(3, "full", 9, seed=1, floor=0.0, tol=1e-4))
    row, tiny = unfloored.sample.z[:, 0], 1e-14 * np.eye(2)
    needle = Parameters(good.weights, np.stack([row, *good.means[1:]]), np.stack([tiny, *good.covariances[1:]]))
    (ended,) = short_runs.in_turn(unfloored, [(needle,)], -np.inf)
    assert not ended.alive
    assert len(ended.ended) == 1
    (dropped,) = short_runs.in_turn(unfloored, [(needle,)], ranking.bar(good))
    assert not dropped.alive
    assert not dropped.ended
