"""The gain of a step of EM, estimated before the step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from scipy.stats import multivariate_normal

from gmm_spark import em
from gmm_spark.em.convergence import remaining_after, step_divergence
from gmm_spark.mixture.parameters import FAMILIES, Family
from tests.core.em.test_convergence import crawling, gained_by_more_steps
from tests.strategies import Problem, engine, problems, run

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray, Parameters


def log_joint(x: FloatArray, parameters: Parameters) -> FloatArray:
    """Return (n, k) log w_k N_k(x), by SciPy."""
    each = zip(parameters.weights, parameters.means, parameters.covariances, strict=True)
    return np.stack([np.log(w) + multivariate_normal(m, c).logpdf(x).reshape(len(x)) for w, m, c in each], axis=1)


@given(problems(most=3))
def test_divergence_is_the_rise_of_the_expected_log_likelihood(problem: Problem) -> None:
    """The divergence is the rise of E[log p(x, Z)] by the M-step, for each family, and EM gains at least that."""
    frame = problem.frame
    passes = em.iterate(engine(problem, frame), frame.inward(problem.start), em.Maximiser(frame, 0.0), "none")
    old, new = next(passes), next(passes)
    before, after = (log_joint(problem.x, frame.outward(one.parameters)) for one in (old, new))
    peak = before.max(axis=1, keepdims=True)
    shares = np.exp(before - peak)
    shares *= (problem.weights / shares.sum(axis=1))[:, None]
    rise = float((shares * (after - before)).sum() / problem.weights.sum())
    divergence = step_divergence(new.parameters, old.parameters)
    scale = 1 + np.abs(before).max()
    assert divergence == pytest.approx(rise, rel=1e-6, abs=1e-9 * scale)
    assert new.gain is not None
    assert new.gain >= divergence - 1e-9 * scale


@pytest.mark.parametrize("family", FAMILIES)
def test_the_remaining_gain_is_estimated_from_one_step(family: Family) -> None:
    """After the first steps, the next step and the rate give within a tenth what plain EM still gains."""
    problem = crawling(family)
    frame = problem.frame
    fit = run(problem, tol=1e-9, max_iter=20_000, acceleration="none")
    maximise = em.Maximiser(frame, 0.0)
    passes = em.iterate(engine(problem, frame), fit.best.parameters, maximise, "none")
    one, two, three = (next(passes) for _ in range(3))
    assert two.gain is not None
    assert three.gain is not None
    rate = np.sqrt(three.gain / two.gain)  # of the parameters, whose square is that of the gains
    foretold = remaining_after(step_divergence(two.parameters, one.parameters), 1 / (1 - rate))
    assert foretold == pytest.approx(gained_by_more_steps(problem, fit), rel=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_fit_from_its_optimum_takes_one_pass(family: Family) -> None:
    """If the slowest direction is known, SQUAREM detects at the optimum that nothing is left to gain."""
    problem = crawling(family)
    frame = problem.frame
    expectation, maximise = engine(problem, frame), em.Maximiser(frame, 0.0)
    first = em.run(expectation, em.begin(frame.inward(problem.start), "squarem"), maximise, em.Goal(1e-9, 5000))
    second = em.run(
        expectation, em.begin(first.best.parameters, "squarem", first.slowest), maximise, em.Goal(1e-6, 5000)
    )
    assert second.outcome.value == "converged"
    assert len(second.history) == 1
    assert second.best.moments.log_likelihood == pytest.approx(first.best.moments.log_likelihood, rel=1e-14)


def test_the_remaining_gain_is_infinite_without_a_rate() -> None:
    """Without a rate the remaining gain is infinite; with any rate it is at least three times the step."""
    assert remaining_after(0.01, None) == float("inf")
    assert remaining_after(0.01, 1.0) == pytest.approx(0.03)
    assert remaining_after(0.01, 50.0) == pytest.approx(0.5)
