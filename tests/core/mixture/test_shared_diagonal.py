"""tied-diag and tied-spherical, tested against plain EM with SciPy's normal densities."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from gmm_spark import em
from gmm_spark.mixture import criteria, families
from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
from gmm_spark.search import best_start
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block
from tests.strategies import Problem, assert_close, assert_same, frame_of, outward, random_problem, run, steps, survey

both = pytest.mark.parametrize("family", ["tied-diag", "tied-spherical"])


def plain_step(problem: Problem) -> tuple[Problem, float]:
    """Return the problem with its start after one step of EM, and the log-likelihood of the old start."""
    start, x, w = problem.start, problem.x, problem.weights
    parts = zip(start.weights, start.means, start.covariances, strict=True)
    joint = np.stack([np.log(p) + multivariate_normal(m, c).logpdf(x).reshape(len(x)) for p, m, c in parts])
    log_density = logsumexp(joint, axis=0)
    shares = np.exp(joint - log_density) * w
    mass = shares.sum(axis=1)
    means = shares @ x / mass[:, None]
    within = sum(share @ (x - mean) ** 2 for share, mean in zip(shares, means, strict=True)) / w.sum()
    common = within if start.family == "tied-diag" else np.full_like(within, within.mean())
    new = Parameters(mass / mass.sum(), means, np.tile(common, (start.k, 1)), start.family)
    return Problem(x, w, new), float(w @ log_density)


@pytest.mark.parametrize("count", [1, 2, 10])
@pytest.mark.parametrize("shape", [(2, 1), (3, 2), (4, 5), (5, 12)], ids=lambda shape: f"k{shape[0]}-d{shape[1]}")
@both
def test_steps_are_those_of_the_formulas(family: Family, shape: tuple[int, int], count: int) -> None:
    """After 1, 2 and 10 steps on weighted rows parameters and log-likelihoods match the formulas to 1e-9."""
    problem = random_problem(17, family, *shape)
    ours, theirs, history = steps(problem, count), problem, []
    for _ in range(count + 1):
        end = theirs.start
        theirs, log_likelihood = plain_step(theirs)
        history.append(log_likelihood)
    assert_same(ours.parameters, end, problem.frame, 1e-9)
    assert_close(ours.history, history, 1e-9)
    assert (ours.parameters.spread.values == ours.parameters.spread.values[0]).all()


@both
def test_free_parameters_are_counted(family: Family) -> None:
    """Weights and means have k (1 + d) - 1, and all components share d variances, or one."""
    assert families.free_parameters(family, 3, 4) == 3 * 5 - 1 + (4 if family == "tied-diag" else 1)


@both
def test_a_mixture_of_the_family_is_found_and_selected(family: Family) -> None:
    """From rows of a mixture of the family the search recovers it, and BIC selects the family."""
    generator = np.random.default_rng(5)
    deviations = np.array([0.5, 2.0, 9.0]) if family == "tied-diag" else np.full(3, 2.0)
    means = np.array([[0.0, 0.0, 0.0], [4.0, 0.0, 9.0], [0.0, 9.0, -20.0]])
    labels = generator.choice(3, 3000, p=[0.5, 0.3, 0.2])
    x = means[labels] + generator.standard_normal((3000, 3)) * deviations
    values = {}
    for other in (family, "full", "tied", "diag", "spherical"):
        fitted = best(x, other)
        values[other] = criteria.bic(fitted[1], families.free_parameters(other, 3, 3), len(x))
        if other == family:
            order = np.argsort(-fitted[0].weights)
            np.testing.assert_allclose(fitted[0].weights[order], [0.5, 0.3, 0.2], atol=0.03)
            np.testing.assert_allclose(fitted[0].means[order], means, atol=4 * deviations.max() / np.sqrt(600))
            np.testing.assert_allclose(np.sqrt(fitted[0].spread.values[0]), deviations, rtol=0.05)
    assert min(values, key=lambda each: values[each]) == family


def best(x: FloatArray, family: Family) -> tuple[Parameters, float]:
    """Return the best fit of three components to rows, and its log-likelihood."""
    weights = np.ones(len(x))
    frame = frame_of(x, weights, family)
    sample = Sample(frame.rows(x), weights, survey(x, weights)[1])
    found = best_start.best(sample, frame, Plan(3, family, 10, 0, 1e-6, 1e-6))
    fitted = outward(
        run(Problem(x, weights, frame.outward(found.best.parameters)), tol=1e-8, max_iter=200, frame=frame), frame
    )
    return fitted.parameters, fitted.log_likelihood


@both
def test_the_shared_variances_are_floored_once(family: Family) -> None:
    """A shared variance below the floor is raised for all components, and counted as one hit."""
    problem = random_problem(2, family, 3, 2)
    frame = problem.frame
    start = frame.inward(problem.start)
    (moments,) = kernel.accumulate([Block(frame.rows(problem.x), problem.weights)], [start])
    raised, hits = em.Maximiser(frame, 2.0)(start, moments)
    assert hits == 1
    assert (frame.user_variances(raised.spread) >= 2 * frame.data_variances * (1 - 1e-12)).all()
    assert families.at_floor(family, moments.spread(start.spread), moments.mass, frame, 2.0).all()
    assert not families.at_floor(family, moments.spread(start.spread), moments.mass, frame, 1e-9).any()
