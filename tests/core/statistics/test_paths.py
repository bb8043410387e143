"""Every path of the kernel gives the same sums over the rows, in both precisions."""

from __future__ import annotations

from typing import Literal, get_args
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp, softmax

from gmm_spark.em import Maximiser
from gmm_spark.mixture.coordinates import Layout
from gmm_spark.mixture.parameters import FAMILIES, FloatArray, Parameters
from gmm_spark.statistics import engines, kernel, products
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.layouts import feature_count
from gmm_spark.statistics.moments import Moments
from gmm_spark.statistics.softmax import Softmax
from tests.strategies import Problem, assert_moments, assert_same, problems, random_mixture, sample

SINGLE_ROUNDOFF = 6e-8  # u of float32 in the bounds
Path = Literal["product", "factor", "difference"]


def whitened(d: int, k: int, n: int = 1600, seed: int = 0) -> tuple[FloatArray, Parameters]:
    """Return (d, n) rows and their mixture, in coordinates in which the rows have about unit variance."""
    generator = np.random.default_rng(seed)
    mixture = random_mixture(generator, k, d, "full", 0.3)
    return sample(generator, mixture, n)[0].T, mixture


def direct(z: FloatArray, weights: FloatArray, mixture: Parameters) -> Moments:
    """Return the statistics about the origin, by posteriors and sums over the rows."""
    posterior, log_density = kernel.posteriors(z.T, mixture)
    upper = np.triu_indices(len(z))
    shares = np.concatenate([posterior.T * weights, weights[None]])
    sums = np.array([np.concatenate([[r.sum()], z @ r, ((z * r) @ z.T)[upper]]) for r in shares])
    return Moments(float(weights @ log_density), sums[:-1], sums[-1], np.zeros_like(mixture.means))


@pytest.mark.parametrize("path", ["product", "factor"])
@pytest.mark.parametrize(("d", "k"), [(1, 1), (1, 40), (2, 3), (31, 5), (64, 2), (64, 40), (128, 3), (256, 2)])
def test_sums_match_direct_sums_for_all_sizes(d: int, k: int, path: Path) -> None:
    """By product (features in chunks) and by factor the sums over three tiles match those of the posteriors."""
    z, mixture = whitened(d, k)
    weights = np.random.default_rng(d).uniform(0.5, 2, (z.shape[1],))
    with mock.patch.object(kernel, "choose", return_value=engines.Method(path, "quadratic")):
        (moments,) = kernel.accumulate([Block(z, weights)], [mixture])
    assert_moments(moments, direct(z, weights, mixture), 1e-11)


@given(
    layout=st.sampled_from(get_args(Layout)),
    d=st.integers(1, 12),
    k=st.integers(1, 40),
    stored=st.integers(0, 100_000),
    size=st.integers(80, 120),
)
def test_features_in_chunks_give_the_same_sums(layout: Layout, d: int, k: int, stored: int, size: int) -> None:
    """For chunks of any size, stored or computed twice, the sums are the same to 1e-12."""
    generator = np.random.default_rng(d)
    rows = generator.standard_normal((d, 200))
    theta = generator.standard_normal((k, feature_count(d, layout)))
    whole = products.ProductEngine(theta, d, layout, np.dtype(np.float64))
    sizes = products.Sizes(stored_bytes=stored, chunk=size // 16, unpacked=40_000, least_columns=8)
    cut = products.ProductEngine(theta, d, layout, np.dtype(np.float64), sizes)
    for engine in (whole, cut):
        for tile in (rows[:, :size], rows[:, size:]):
            shares = np.cos(engine.joint(tile))
            engine.add(shares, tile)
    np.testing.assert_allclose(cut.sums, whole.sums, rtol=1e-12, atol=1e-9)


@given(problems())
def test_the_factor_path_gives_the_same_m_step(problem: Problem) -> None:
    """Sums by one factor per component give the same parameters as sums by product."""
    frame = problem.frame
    mixture, block = frame.inward(problem.start), Block(frame.rows(problem.x), problem.weights)
    maximise = Maximiser(frame, 1e-6)
    product = kernel.accumulate([block], [mixture])[0]
    with mock.patch.object(kernel, "choose", return_value=engines.Method("factor", "quadratic")):
        factor = kernel.accumulate([block], [mixture])[0]
    assert_same(maximise(mixture, product)[0], maximise(mixture, factor)[0], frame, 1e-8)


@pytest.mark.parametrize("d", [3, 40])
def test_a_stack_of_all_families_equals_each_alone(d: int) -> None:
    """The statistics of each candidate in a mixed stack are its statistics alone to 1e-12."""
    generator = np.random.default_rng(5)
    stack = [random_mixture(generator, k, d, family, 0.5) for k, family in enumerate(FAMILIES * 2, start=1)]
    z, weights = generator.standard_normal((d, 3000)), generator.uniform(0, 2, 3000)
    blocks = [Block(z[:, :1800], weights[:1800]), Block(z[:, 1800:], weights[1800:])]
    for together, candidate in zip(kernel.accumulate(blocks, stack), stack, strict=True):
        (alone,) = kernel.accumulate(blocks, [candidate])
        assert_moments(together, alone, 1e-12)


def test_the_safe_path_is_chosen_before_the_fast_one() -> None:
    """Kappa, then d and the number of components decide the path; float32 is used only up to kappa = 833."""
    generator = np.random.default_rng(0)
    few, many = (random_mixture(generator, k, 64, "full", 0.1) for k in (2, 30))
    assert engines.choose([few], "float32") == engines.Method("factor", "quadratic", "float32")
    assert engines.choose([many]).path == engines.choose([few, many]).path == "product"
    for kappa, path, precision in ((800, "product", "float32"), (900, "product", "float64"), (2e9, "difference", "")):
        mean = np.sqrt(kappa - 1)
        far = Parameters(np.ones(1), np.array([[mean]]), np.ones((1, 1, 1)))
        assert engines.choose([far], "float32").path == path
        assert engines.choose([far], "float32").precision == (precision or "float64")


def exponent_rows() -> tuple[FloatArray, FloatArray]:
    """Return joint log-densities whose exponentials overflow, underflow, are subnormal or normal, and weights."""
    generator = np.random.default_rng(0)
    levels = np.repeat([0.0, 300, 460, 650, 720, 5000, -1e5, -1e290], 50)
    gaps = -np.abs(generator.normal(0, 400, (6, levels.size)))
    return np.where(np.arange(levels.size) % 2, gaps / 100, gaps) - generator.permutation(levels), levels[::-1] + 1


@pytest.mark.parametrize("sign", [1, -1])
def test_shares_and_densities_are_scipys_beyond_the_range_of_double(sign: int) -> None:
    """Densities far beyond the range of double have the responsibilities and logarithms of SciPy's log-sum-exp."""
    joint, _ = exponent_rows()
    joint = np.where(joint < -1e200, joint, sign * joint)
    shares = np.empty_like(joint)
    with np.errstate(over="ignore"):
        log_density = Softmax(joint.shape[1], np.dtype(np.float64))(joint, None, shares)
    np.testing.assert_allclose(log_density, logsumexp(joint, axis=0), rtol=1e-13, atol=1e-13)
    np.testing.assert_allclose(shares, softmax(joint, axis=0), rtol=1e-10, atol=1e-90)


def test_float32_shares_are_scipys() -> None:
    """In float32 the responsibilities are SciPy's to 1e-6, without overflow."""
    joint = exponent_rows()[0].clip(-1e30, 1e30).astype("f4")
    shares = np.empty_like(joint)
    log_density = Softmax(joint.shape[1], np.dtype(np.float32))(joint, None, shares)
    exact = joint.astype(np.float64)
    np.testing.assert_allclose(log_density, logsumexp(exact, axis=0), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(shares, softmax(exact, axis=0), atol=1e-6)


@pytest.mark.parametrize("stored", [np.float32, np.float64])
@pytest.mark.parametrize(("d", "k"), [(1, 3), (4, 8), (16, 16), (40, 4), (64, 20)])
def test_float32_products_stay_within_their_error_bound(d: int, k: int, stored: type[np.floating]) -> None:
    """The error of the mean log-likelihood is below 20 u kappa, and so is the relative error of the sums."""
    z, mixture = whitened(d, k)
    bound = 20 * SINGLE_ROUNDOFF * engines.condition(mixture).max()
    exact = direct(z, np.ones(z.shape[1]), mixture)
    (moments,) = kernel.accumulate([Block(z.astype(stored))], [mixture], precision="float32")
    assert engines.choose([mixture], "float32").precision == "float32"
    assert moments.sums.dtype == np.float64
    assert abs(moments.mean_log_likelihood - exact.mean_log_likelihood) < bound
    assert moments.imbalance < bound
    size = np.sqrt(np.outer(exact.mass, (z**4).mean() * np.full(exact.sums.shape[1], z.shape[1])))
    assert (np.abs(moments.sums - exact.sums) < bound * size).all()
    assert (moments.sums != exact.sums).any()


@given(problems(), st.sampled_from(get_args(engines.Precision)))
def test_rows_in_float32_give_the_same_m_step_up_to_rounding(problem: Problem, precision: engines.Precision) -> None:
    """Rows stored in float32 give the M-step of rows in float64 to 1e-3 of the data's spread."""
    frame = problem.frame
    mixture, z = frame.inward(problem.start), frame.rows(problem.x)
    maximise = Maximiser(frame, 1e-6)
    exact = kernel.accumulate([Block(z, problem.weights)], [mixture])[0]
    (moments,) = kernel.accumulate([Block(z.astype(np.float32), problem.weights)], [mixture], precision=precision)
    bound = 20 * SINGLE_ROUNDOFF * engines.condition(mixture).max()
    assert abs(moments.mean_log_likelihood - exact.mean_log_likelihood) < bound
    assert_same(maximise(mixture, moments)[0], maximise(mixture, exact)[0], frame, 1e-3)


def test_a_mixture_beyond_float32_is_computed_in_float64() -> None:
    """If a kappa is above 833, precision float32 gives the same bits as float64."""
    generator = np.random.default_rng(0)
    mixture = random_mixture(generator, 3, 2, "full", 200.0)
    z = sample(generator, mixture, 500)[0].T
    assert engines.condition(mixture).max() > 833
    double, single = (kernel.accumulate([Block(z)], [mixture], precision=p)[0] for p in get_args(engines.Precision))
    assert double.to_bytes() == single.to_bytes()
