"""Laws of the penalised likelihood: each component has pseudo-rows with the covariance of the data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.stats import multivariate_normal

from gmm_spark import em
from gmm_spark.em.convergence import Outcome, step_divergence
from gmm_spark.mixture import prior
from gmm_spark.mixture.parameters import SHARED, Family, Parameters
from tests.core.test_laws import moved, own_map
from tests.strategies import (
    Problem,
    assert_close,
    assert_same,
    engine,
    outward,
    problems,
    random_mixture,
    random_problem,
    run,
    sample,
    seeds,
    shaped,
    start_near,
    steps,
    survey,
)

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

SHARE = 0.01
shares = st.sampled_from([1e-6, 1e-3, 0.1])


def responsibilities(x: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """Return (n, k) posteriors and (n,) log-densities by SciPy."""
    each = zip(parameters.weights, parameters.means, parameters.covariances, strict=True)
    joint = np.stack([np.log(w) + multivariate_normal(m, c).logpdf(x).reshape(len(x)) for w, m, c in each], axis=1)
    log_density = np.logaddexp.reduce(joint, axis=1)
    return np.exp(joint - log_density[:, None]), log_density


def divergences(target: FloatArray, parameters: Parameters) -> FloatArray:
    """Return (k,) KL(N(0, T) || N(0, S_k)), T under the family's constraint, by determinants and inverses."""
    constrained = shaped(parameters.family, target[None])[0]
    ratios = np.linalg.inv(parameters.covariances) @ constrained
    d = parameters.d
    return np.array([(np.trace(each) - np.linalg.slogdet(each)[1] - d) / 2 for each in ratios])


def cost(problem: Problem, parameters: Parameters, share: float) -> float:
    """Return the penalty per unit of weight from its definition, once for tied components, in any units."""
    each = divergences(survey(problem.x, problem.weights)[1], parameters)
    return share * float(each[0] if problem.family in SHARED else each.sum())


def objective(problem: Problem, parameters: Parameters, share: float) -> float:
    """Return the mean log-likelihood minus the penalty, in the user's units."""
    log_density = responsibilities(problem.x, parameters)[1]
    mean = problem.weights @ log_density / problem.weights.sum()
    return float(mean) - cost(problem, parameters, share)


@given(problems(least=2, most=3), shares)
def test_the_m_step_adds_pseudo_rows(problem: Problem, share: float) -> None:
    """Its covariances are (S_k + c T) / (N_k + c), pooled if tied, then under the family's constraint."""
    start, weight = problem.start, problem.weights.sum()
    shares_of = responsibilities(problem.x, start)[0] * problem.weights[:, None]
    mass, target = shares_of.sum(axis=0), survey(problem.x, problem.weights)[1]
    means = shares_of.T @ problem.x / mass[:, None]
    centred = problem.x - means[:, None]
    scatters = np.einsum("knd,nk,kne->kde", centred, shares_of, centred)
    c = share * weight
    if problem.family in SHARED:
        covariances = np.repeat(((scatters.sum(axis=0) + c * target) / (weight + c))[None], len(mass), axis=0)
    else:
        covariances = (scatters + c * target) / (mass + c)[:, None, None]
    expected = Parameters(mass / weight, means, shaped(problem.family, covariances), problem.family)
    assert_same(steps(problem, 1, prior=share).parameters, expected, problem.frame, 1e-8)


@given(problems(most=3), shares)
def test_each_step_raises_the_objective_by_its_divergence_at_least(problem: Problem, share: float) -> None:
    """EM never lowers the penalised likelihood, and the divergence of a step is a lower bound of its gain."""
    frame, maximise = problem.frame, em.Maximiser(problem.frame, 0.0, share)
    passes = em.iterate(engine(problem, frame), frame.inward(problem.start), maximise, "none")
    before = next(passes)
    for _ in range(4):
        after = next(passes)
        divergence = step_divergence(after.parameters, before.parameters, share)
        scale = 1 + abs(before.objective)
        assert divergence > -1e-12
        assert after.gain is not None
        assert after.gain >= divergence - 1e-9 * scale
        before = after


@given(problems(least=2, most=3), shares)
def test_the_penalty_matches_its_definition(problem: Problem, share: float) -> None:
    """In coordinates z it is c / n times the divergences of the components from the data's covariance."""
    frame = problem.frame
    (new,) = (em.Position(frame.inward(problem.start)),)
    maximise = em.Maximiser(frame, 0.0, share)
    measured = new.measured(engine(problem, frame)([new.candidate])[0], maximise)
    data = survey(problem.x, problem.weights)[1]
    constant = 0.0
    if problem.family in ("spherical", "tied-spherical"):
        # In z their divergence is from the diagonal of the data, not from its mean: it is larger by a constant.
        more = np.linalg.slogdet(shaped(problem.family, data[None])[0])[1] - np.log(np.diagonal(data)).sum()
        constant = share * (1 if problem.family in SHARED else problem.start.k) * more / 2
    assert_close(measured.penalty, cost(problem, problem.start, share) + constant, 1e-8)
    assert measured.objective == measured.moments.mean_log_likelihood - measured.penalty


@given(problems(least=2), seeds, shares)
def test_affine_maps_of_the_data_map_the_penalised_model(problem: Problem, seed: int, share: float) -> None:
    """The maps are affine for full and tied, scales for diag, a scale and a rotation for spherical."""
    matrix = own_map(np.random.default_rng(seed), problem.family, problem.x.shape[1])
    offset = matrix @ np.full(len(matrix), 7.0)
    image = moved(problem, matrix, offset)
    expected, result = steps(problem, 3, prior=share), steps(image, 3, prior=share)
    wanted = moved(replace(problem, start=expected.parameters), matrix, offset).start
    assert_same(result.parameters, wanted, image.frame, 1e-8)


@given(problems(least=2), shares)
def test_the_unit_of_the_weights_and_the_blocks_do_not_matter(problem: Problem, share: float) -> None:
    """Weights times 1000, and rows in blocks of seven, give the same penalised model."""
    expected = steps(problem, 3, prior=share)
    heavier = steps(replace(problem, weights=1000 * problem.weights), 3, prior=share)
    in_blocks = steps(problem, 3, prior=share, block_rows=7)
    for result in (heavier, in_blocks):
        assert_same(result.parameters, expected.parameters, problem.frame, 1e-9)


@given(problems(), seeds)
def test_the_penalty_does_not_change_a_single_component(problem: Problem, seed: int) -> None:
    """For k = 1, (S + c T) / (n + c) with S = n T is T for any c."""
    share = float(np.random.default_rng(seed).uniform(0, 1))
    x, one = problem.x, np.ones(1)
    mean, covariance = survey(x, problem.weights)
    alone = replace(problem, start=start_near(np.random.default_rng(seed), x, 1, problem.family))
    expected = Parameters(one, mean[None], shaped(problem.family, covariance[None]), problem.family)
    assert_same(steps(alone, 1, prior=share).parameters, expected, alone.frame, 1e-9)


@given(problems(least=2, most=3))
def test_a_share_of_zero_is_maximum_likelihood_bit_for_bit(problem: Problem) -> None:
    """A share of 0 gives the parameters and the objective of a fit without a penalty, bit for bit."""
    frame = problem.frame
    for share in (0.0, 1e-3):
        fit = run(problem, tol=0, max_iter=3, prior=share)
        plain = run(problem, tol=0, max_iter=3)
        one, other = (outward(each, frame).parameters.covariances.tobytes() for each in (fit, plain))
        same = one == other
        assert same == (share == 0)
        assert (fit.best.objective == fit.best.moments.mean_log_likelihood) == (fit.best.penalty == 0)


def mixture_from(vector: FloatArray, k: int, d: int, family: Family) -> Parameters:
    """Return the mixture from a vector of log-weights, means, and Cholesky factors with logarithms on the diagonal."""
    weights, means, rest = np.split(vector, [k, k + k * d])
    shares_of = np.exp(weights - np.logaddexp.reduce(weights))
    i, j = np.tril_indices(d)
    if family == "diag":
        covariances = np.exp(rest.reshape(k, d))[:, :, None] * np.eye(d)
    else:
        factors = np.zeros((k, d, d))
        factors[:, i, j] = rest.reshape(-1, len(i)) if family == "full" else rest
        factors[:, range(d), range(d)] = np.exp(np.einsum("kii->ki", factors))
        covariances = factors @ factors.transpose(0, 2, 1)
    return Parameters(shares_of, means.reshape(k, d), covariances, family)


@pytest.mark.parametrize("family", ["full", "tied", "diag"])
def test_the_maximum_is_the_one_that_scipy_finds(family: Family) -> None:
    """BFGS on the penalised likelihood, from another start, ends at the objective and the model of EM."""
    k, d = 2, 2
    problem = random_problem(5, family, k, d)
    fit = run(problem, tol=1e-12, max_iter=5000, prior=SHARE)
    mixture = problem.frame.outward(fit.best.parameters)
    size = k + k * d + {"full": k * 3, "tied": 3, "diag": k * d}[family]
    frame = problem.frame
    inside = Problem(frame.rows(problem.x).T, problem.weights, frame.inward(problem.start))

    def loss(vector: FloatArray) -> float:
        return -objective(inside, mixture_from(vector, k, d, family), SHARE)

    begin = np.concatenate([np.zeros(k), frame.inward(mixture).means.ravel() + 0.3, np.zeros(size - k - k * d)])
    optimum = minimize(loss, begin, method="BFGS", options={"gtol": 1e-6, "maxiter": 500})
    best = mixture_from(optimum.x, k, d, family)
    assert -optimum.fun == pytest.approx(objective(inside, frame.inward(mixture), SHARE), abs=1e-7)
    order = np.argsort(best.means[:, 0]), np.argsort(frame.inward(mixture).means[:, 0])
    np.testing.assert_allclose(best.means[order[0]], frame.inward(mixture).means[order[1]], atol=1e-3)


@pytest.mark.parametrize("family", ["full", "diag", "spherical"])
def test_pseudo_rows_prevent_a_collapse(family: Family) -> None:
    """A component on a repeated row becomes singular without a floor; with pseudo-rows the fit converges."""
    generator = np.random.default_rng(2)
    x = np.concatenate([sample(generator, random_mixture(generator, 1, 3, family), 200)[0], np.full((5, 3), 9.0)])
    narrow = shaped(family, np.stack([np.cov(x.T), 1e-4 * np.eye(3)]))
    start = Parameters(np.array([0.97, 0.03]), np.stack([x.mean(axis=0), np.full(3, 9.0)]), narrow, family)
    problem = Problem(x, np.ones(len(x)), start)
    share = prior.share_of("auto", len(x))
    assert run(problem, tol=1e-8, max_iter=500).outcome is Outcome.DEGENERATE
    fit = run(problem, tol=1e-8, max_iter=500, prior=share, acceleration="squarem")
    assert fit.outcome is Outcome.CONVERGED
    least = share * len(x) / (5 + share * len(x))  # of T: the share of the pseudo-rows in the component
    target = shaped(family, survey(x, problem.weights)[1][None])[0]
    ratios = np.linalg.eigvals(np.linalg.solve(target, problem.frame.outward(fit.best.parameters).covariances))
    assert ratios.real.min() == pytest.approx(least, rel=1e-3)


def test_pseudo_rows_are_stated_for_all_rows() -> None:
    """For n rows "auto" is 2 / sqrt(n), and a sample has pseudo-rows in proportion to its size."""
    assert prior.share_of("auto", 10_000) * 10_000 == pytest.approx(0.02)
    assert prior.share_of(3.0, 600) * 200 == pytest.approx(1.0)  # a sample of a third of the rows has a third of them
    assert prior.share_of(0.0, 600) == 0
