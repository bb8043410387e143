"""The hot code, tested against SciPy's multivariate normal and against direct sums."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import entr, expit, logsumexp
from scipy.stats import multivariate_normal

from gmm_spark import em
from gmm_spark.mixture.parameters import ALIGNED, FAMILIES, Family, FloatArray, Parameters
from gmm_spark.search import best_start
from gmm_spark.statistics import engines, kernel, layouts
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.moments import Moments
from tests.strategies import (
    Problem,
    assert_close,
    assert_moments,
    assert_same,
    engine,
    problems,
    random_mixture,
    random_problem,
    sample,
)


def joint(x: FloatArray, mixture: Parameters) -> FloatArray:
    """Return (n, k) log pi_k + log N(x; mu_k, S_k) by SciPy."""
    parts = zip(mixture.weights, mixture.means, mixture.covariances, strict=True)
    return np.column_stack([np.log(w) + multivariate_normal(m, c).logpdf(x).reshape(len(x)) for w, m, c in parts])


def features(z: FloatArray) -> FloatArray:
    """Return the quadratic features [1, z_i, z_i z_j (i <= j)] of (d, n) coordinates, one by one."""
    d = len(z)
    products = [z[i] * z[j] for i in range(d) for j in range(i, d)]
    return np.stack([np.ones(z.shape[1]), *z, *products])


@given(problems())
def test_posteriors_and_log_densities_are_scipys(problem: Problem) -> None:
    """log p(x) is SciPy's to 1e-9, P(Z = k | x) follows Bayes' rule, and posteriors sum to 1."""
    wanted = joint(problem.x, problem.start)
    posterior, log_density = kernel.posteriors(problem.x, problem.start)
    np.testing.assert_allclose(log_density, logsumexp(wanted, axis=1), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(posterior, np.exp(wanted - logsumexp(wanted, axis=1, keepdims=True)), atol=1e-9)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, rtol=0, atol=1e-12)
    clear = np.ptp(np.sort(wanted, axis=1)[:, -2:], axis=1) > 1e-9
    assert problem.start.k == 1 or (posterior.argmax(axis=1) == wanted.argmax(axis=1))[clear].all()


def test_small_components_a_million_apart_have_exact_posteriors() -> None:
    """With components of sd 1e-3 at -1e6 and 1e6 posteriors are exactly 0 or 1, and 0.5 in the middle."""
    centres = np.array([[-1e6, 5.0], [1e6, 5.0]])
    mixture = Parameters(np.array([0.5, 0.5]), centres, 1e-6 * np.stack([np.eye(2)] * 2))
    x = np.concatenate([centres + 1e-3, centres - 2e-3, [[0.0, 5.0]]])
    posterior, log_density = kernel.posteriors(x, mixture)
    np.testing.assert_array_equal(posterior[:4], [[1, 0], [0, 1], [1, 0], [0, 1]])
    np.testing.assert_allclose(posterior[4], [0.5, 0.5], atol=1e-12)
    np.testing.assert_allclose(log_density, logsumexp(joint(x, mixture), axis=1), rtol=1e-9)


def test_rows_far_from_every_component_still_have_posteriors() -> None:
    """A row a thousand sd away has density 0 in double precision, but its posterior follows from the log-odds."""
    mixture = Parameters(np.array([0.3, 0.7]), np.array([[0.0], [1.0]]), np.ones((2, 1, 1)))
    posterior, log_density = kernel.posteriors(np.array([[1000.0], [-1000.0], [0.5]]), mixture)
    odds = np.log(0.7 / 0.3) + np.array([1000.0, -1000.0, 0.5]) - 0.5
    np.testing.assert_allclose(posterior[:, 1], expit(odds), atol=1e-12)
    np.testing.assert_allclose(log_density[0], np.log(0.7) - 0.5 * (np.log(2 * np.pi) + 999.0**2), rtol=1e-12)


@pytest.mark.parametrize("size", [1e100, 1e145, 1e160, 1e300])
def test_a_finite_row_never_has_a_nan_posterior(size: float) -> None:
    """Even if squared distances overflow, the posteriors of a row sum to 1."""
    weights, means = np.array([0.5, 0.5, 0.0]), np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    mixture = Parameters(weights, means, np.stack([[[1e-20, 5e-21], [5e-21, 1e-20]]] * 3))
    posterior, log_density = kernel.posteriors(np.array([[size, 0.0], [-size, size]]), mixture)
    np.testing.assert_allclose(posterior.sum(axis=1), 1)
    assert (posterior[:, 2] == 0).all()
    assert np.isfinite(log_density).all()


def test_a_component_of_weight_zero_gets_no_rows() -> None:
    """Its posteriors and its sums are exactly 0, without a warning."""
    mixture = Parameters(np.array([1.0, 0.0]), np.zeros((2, 2)), np.stack([np.eye(2)] * 2))
    x = np.random.default_rng(0).standard_normal((50, 2))
    posterior, _ = kernel.posteriors(x, mixture)
    assert (posterior[:, 1] == 0).all()
    (moments,) = kernel.accumulate([Block(x.T)], [mixture])
    assert not moments.sums[1].any()
    assert kernel.entropy(mixture, moments) == 0


@given(problems())
def test_natural_parameters_turn_features_into_log_densities(problem: Problem) -> None:
    """Theta @ [1, z, z z'] is log pi_k N(z; mu_k, S_k) by SciPy."""
    frame = problem.frame
    mixture, z = frame.inward(problem.start), frame.rows(problem.x)
    np.testing.assert_allclose(
        layouts.natural_parameters(mixture) @ features(z), joint(z.T, mixture).T, rtol=1e-10, atol=1e-10
    )


@given(problems(), st.booleans(), st.integers(1, 300))
def test_statistics_are_direct_sums_over_the_rows(problem: Problem, weighted: bool, size: int) -> None:  # noqa: FBT001
    """Weight, log-likelihood and responsibility-weighted features equal a direct sum over the rows."""
    frame = problem.frame
    mixture, z = frame.inward(problem.start), frame.rows(problem.x)
    weights = problem.weights if weighted else np.ones(z.shape[1])
    blocks = [
        Block(z[:, at : at + size], weights[at : at + size] if weighted else None) for at in range(0, z.shape[1], size)
    ]
    (moments,) = kernel.accumulate(blocks, [mixture])
    log_joint = joint(z.T, mixture)
    log_density = logsumexp(log_joint, axis=1)
    responsibilities = np.exp(log_joint - log_density[:, None]) * weights[:, None]
    sums, total = responsibilities.T @ features(z).T, features(z) @ weights
    assert_moments(moments, Moments(weights @ log_density, sums, total, np.zeros_like(mixture.means)), 1e-10)
    if moments.layout == "diagonal":  # then only the squares are summed over all rows
        total = np.concatenate([total[: len(z) + 1], z**2 @ weights])
    np.testing.assert_allclose(moments.total, total, rtol=1e-10, atol=1e-10 * weights.sum())


def test_no_rows_give_the_zero_statistics() -> None:
    """No blocks, and blocks without rows, give exactly the zero of the monoid."""
    mixture = random_mixture(np.random.default_rng(0), 3, 4, "full")
    for blocks in ([], [Block(np.empty((4, 0)))], [Block(np.empty((4, 0)), np.empty(0))]):
        (moments,) = best_start.in_memory(blocks)([mixture])
        assert moments.to_bytes() == Moments.zero(np.zeros((3, 4))).to_bytes()


def test_arguments_are_not_changed() -> None:
    """accumulate and posteriors do not change rows, weights or parameters."""
    problem = random_problem(3, "full", 3, 3)
    x, w, theta = problem.x.copy(), problem.weights.copy(), problem.start.covariances.copy()
    kernel.accumulate([Block(x.T, w)], [problem.start])
    kernel.posteriors(x, problem.start)
    np.testing.assert_array_equal(x, problem.x)
    np.testing.assert_array_equal(w, problem.weights)
    np.testing.assert_array_equal(theta, problem.start.covariances)


@given(problems())
def test_the_entropy_needs_no_second_pass(problem: Problem) -> None:
    """The entropy computed from the statistics equals the entropy of the posteriors."""
    frame = problem.frame
    mixture = frame.inward(problem.start)
    (moments,) = engine(problem, frame)([mixture])
    posterior, _ = kernel.posteriors(problem.x, problem.start)
    direct = float(problem.weights @ entr(posterior).sum(axis=1))
    assert_close(kernel.entropy(mixture, moments), direct, 1e-10 * len(problem.x))


@given(problems())
def test_condition_matches_a_linear_solve(problem: Problem) -> None:
    """kappa_k is d + mu' S^-1 mu."""
    mixture = problem.frame.inward(problem.start)
    solved = [m @ np.linalg.solve(c, m) for m, c in zip(mixture.means, mixture.covariances, strict=True)]
    np.testing.assert_allclose(engines.condition(mixture), mixture.d + np.array(solved), rtol=1e-9)


@pytest.mark.parametrize(("d", "k"), [(1, 1), (2, 700), (60, 2), (33, 40)])
def test_tiles_of_every_width_cover_all_rows(d: int, k: int) -> None:
    """With many features or components tiles have fewer rows, and each row still counts once."""
    generator = np.random.default_rng(d)
    mixture = random_mixture(generator, k, d, "full")
    x, _ = sample(generator, mixture, 9001)
    (moments,) = kernel.accumulate([Block(x.T)], [mixture])
    posterior, log_density = kernel.posteriors(x, mixture)
    assert moments.weight == 9001
    assert_close(moments.log_likelihood, log_density.sum(), 1e-10)
    np.testing.assert_allclose(moments.mass, posterior.sum(axis=0), rtol=1e-8, atol=1e-8)


@given(problems())
def test_every_path_gives_the_same_m_step(problem: Problem) -> None:
    """The smallest layout, the quadratic layout and sums about each mean give the same parameters."""
    frame = problem.frame
    mixture = frame.inward(problem.start)
    block = Block(frame.rows(problem.x), problem.weights)
    maximise = em.Maximiser(frame, 1e-6)
    quick = kernel.accumulate([block], [mixture])[0]
    with mock.patch.object(layouts, "layout_for", return_value="quadratic"):
        whole = kernel.accumulate([block], [mixture])[0]
    with mock.patch.object(kernel, "choose", return_value=engines.Method("difference", "quadratic")):
        careful = kernel.accumulate([block], [mixture])[0]
    for other in (whole, careful):
        assert_close(quick.log_likelihood, other.log_likelihood, 1e-9)
        assert_same(frame.outward(maximise(mixture, quick)[0]), frame.outward(maximise(mixture, other)[0]), frame, 1e-7)
        assert quick.imbalance < 1e-10 > other.imbalance


def test_tight_clusters_far_apart_keep_their_digits() -> None:
    """Two clusters of deviation 1e-7, ten apart, get their exact covariances on the difference path."""
    generator = np.random.default_rng(0)
    cluster = generator.standard_normal((2, 400))
    x = np.concatenate([1e-7 * cluster, 10 + 1e-7 * cluster[:, ::-1]], axis=1)
    means = np.stack([x[:, :400].mean(axis=1), x[:, 400:].mean(axis=1)])
    start = Parameters(np.array([0.5, 0.5]), means, np.stack([2e-14 * np.eye(2)] * 2))
    assert engines.choose([start]).path == "difference"
    (moments,) = kernel.accumulate([Block(x)], [start])
    expected = np.stack([np.cov(x[:, part], bias=True) for part in (slice(400), slice(400, None))])
    np.testing.assert_allclose(moments.covariances(start.covariances), expected, rtol=1e-7, atol=1e-22)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_start_far_from_all_rows_is_no_fault(family: Family) -> None:
    """A model 1e5 standard deviations from the rows passes the check of the sums."""
    z = np.random.default_rng(0).standard_normal((2, 500))
    means = np.array([[1e5, 1e5], [1e5 + 3, 1e5], [1e5, 1e5 + 2]])
    spread = np.ones((3, 2)) if family in ALIGNED else np.repeat(np.eye(2)[None], 3, axis=0)
    (moments,) = kernel.accumulate([Block(z)], [Parameters(np.full(3, 1 / 3), means, spread, family)])
    kernel.check_balance(moments, "a partition")
