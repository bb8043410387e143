"""Splits and mergers of components: what they leave unchanged, and the optima that EM reaches from them."""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from gmm_spark import em
from gmm_spark.mixture import families
from gmm_spark.mixture.parameters import FAMILIES, Family, FloatArray, Parameters
from gmm_spark.search import best_start, kmeans
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.search.sample_size import rows_to_search
from gmm_spark.search.split_merge import moves
from gmm_spark.statistics import kernel
from tests.strategies import Problem, assert_close, frame_of, problems, run, survey

FOUR = np.array([[0.0, 0.0], [12.0, 0.0], [0.0, 12.0], [12.0, 12.0]])


def four_clusters() -> tuple[FloatArray, np.ndarray]:
    """Return (400, 2) rows and their (400,) clusters."""
    labels = np.repeat(np.arange(4), 100)
    return FOUR[labels] + np.random.default_rng(0).standard_normal((400, 2)), labels


def stuck(family: Family) -> tuple[Problem, np.ndarray]:
    """Return a start in a local optimum: two components share a cluster, and one has two."""
    x, labels = four_clusters()
    means = np.array([[-0.7, 0.0], [0.7, 0.0], [12.0, 6.0], [0.0, 12.0]])
    start = Parameters(np.full(4, 0.25), means, np.repeat(np.eye(2)[None], 4, axis=0) * 4, family)
    return Problem(x, np.ones(len(x)), start), labels


@pytest.mark.parametrize("family", FAMILIES)
def test_a_search_leaves_an_optimum_that_em_cannot_leave(family: Family, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a start with two components in one cluster and one in two, EM stays there; the search finds the four."""
    problem, labels = stuck(family)
    frame = problem.frame
    em_alone = run(problem, tol=1e-8, max_iter=500, floor=1e-6)
    sample = Sample(frame.rows(problem.x), problem.weights, survey(problem.x, problem.weights)[1])
    monkeypatch.setattr(kmeans, "draw", lambda *_: [frame.inward(problem.start)])
    plan = Plan(4, family, starts=1, seed=0, floor=1e-6, tol=1e-6)
    found = best_start.best(sample, frame, plan).best
    assert found.moments.mean_log_likelihood > em_alone.best.moments.mean_log_likelihood + 0.1
    posterior, _ = kernel.posteriors(problem.x, frame.outward(found.parameters))
    assert adjusted_rand_score(labels, posterior.argmax(axis=1)) > 0.99


@given(problems(least=3, most=5))
def test_a_move_changes_three_components(problem: Problem) -> None:
    """The other components, and the total weight, mean and family of the mixture, stay the same."""
    frame = problem.frame
    at = run(problem, tol=1e-3, max_iter=20, floor=1e-6).best.parameters
    maximise = em.Maximiser(frame, 1e-6)
    moved = moves(frame.rows(problem.x), problem.weights, at, maximise, most=at.k)
    for each in moved:
        same = (each.means == at.means).all(axis=1)
        assert same.sum() >= at.k - 3
        assert each.family == at.family
        assert_close(each.weights.sum(), 1.0, 1e-12)
        assert_close(each.weights[same], at.weights[same], 1e-12)


@settings(max_examples=10)
@given(problems(least=3, most=5), st.sampled_from([0.0, 1e-4]))
def test_moves_never_cost_likelihood(problem: Problem, floor: float) -> None:
    """With moves the search ends no lower than without them, from the same starts."""
    frame = problem.frame
    sample = Sample(frame.rows(problem.x), problem.weights, survey(problem.x, problem.weights)[1])
    plan = Plan(problem.start.k, problem.family, starts=2, seed=0, floor=floor, tol=1e-4)
    best = best_start.best(sample, frame, plan).best.moments.log_likelihood
    assert best >= best_start.best(sample, frame, replace(plan, moves=0)).best.moments.log_likelihood


@pytest.mark.parametrize("family", FAMILIES)
def test_a_component_of_few_rows_is_not_split(family: Family) -> None:
    """Fewer than 2 (d + 1) rows can't be halved; if all components are that small there is no move."""
    x = np.random.default_rng(1).standard_normal((12, 3)) + np.repeat(np.eye(3) * 50, 4, axis=0)
    start = Parameters(np.full(3, 1 / 3), np.eye(3) * 50, np.repeat(np.eye(3)[None], 3, axis=0), family)
    frame = frame_of(x, np.ones(12), family)
    assert moves(frame.rows(x), np.ones(12), frame.inward(start), em.Maximiser(frame, 1e-6), most=3) == []


def test_only_fits_that_may_win_are_run_on_more_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two optima that differ by far more than the error of the first part of the sample, one is run on more rows."""
    problem, _ = stuck("full")
    x = np.tile(problem.x, (150, 1)) + 0.1 * np.random.default_rng(1).standard_normal((60_000, 2))
    good = Parameters(np.full(4, 0.25), FOUR, np.repeat(np.eye(2)[None], 4, axis=0), "full")
    larger = Problem(x, np.ones(len(x)), problem.start)
    frame, continued = larger.frame, mock.Mock(side_effect=lambda fits, *_: fits)
    sample = Sample(frame.rows(x), larger.weights, survey(x, larger.weights)[1])
    monkeypatch.setattr(kmeans, "draw", lambda *_: [frame.inward(each) for each in (problem.start, good)])
    monkeypatch.setattr(best_start, "grown", continued)
    plan = Plan(4, "full", starts=2, seed=0, floor=1e-6, tol=1e-6)
    first = sample.head(rows_to_search("full", 4, 2))
    assert len(best_start.ranked(first, frame, plan)) == 2
    best_start.best(sample, frame, plan)
    assert [len(call.args[0]) for call in continued.call_args_list] == [1]


def test_few_rows_allow_few_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a sixth of a row per parameter a sound mixture gets two moves at most, however likely they are."""
    generator = np.random.default_rng(2)
    x = generator.standard_normal((160, 20)) ** 3
    free = families.free_parameters("full", 4, 20)
    frame = frame_of(x, np.ones(len(x)), "full")
    sample = Sample(frame.rows(x), np.ones(len(x)), survey(x, np.ones(len(x)))[1])
    tried = mock.Mock(side_effect=moves)
    monkeypatch.setattr(best_start, "moves", tried)
    best_start.best(sample, frame, Plan(4, "full", starts=4, seed=0, floor=1e-6, tol=1e-4))
    assert 1 <= tried.call_count <= ceil(10 * len(x) / free) == 2


@pytest.mark.parametrize("family", FAMILIES)
def test_moves_merge_light_components_and_make_none(family: Family) -> None:
    """If one component is below the least weight, each move merges it, and leaves no component below."""
    problem, _ = stuck(family)
    frame = problem.frame
    at = frame.inward(problem.start.replaced(weights=np.array([0.05, 0.35, 0.35, 0.25])))
    moved = moves(frame.rows(problem.x), problem.weights, at, em.Maximiser(frame, 1e-6), 16, least=0.1)
    assert moved
    for each in moved:
        assert not (each.means == at.means[0]).all(axis=1).any()
        assert each.weights.min() >= 0.1
