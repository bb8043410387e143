"""The laws of EM that numerics.md lists, tested on random problems of all four families."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.mixture.parameters import FAMILIES, Family, FloatArray, Parameters
from gmm_spark.statistics import engines
from tests.strategies import (
    UNIT_ROUNDOFF,
    Problem,
    assert_close,
    assert_moments,
    assert_same,
    engine,
    problems,
    random_covariance,
    random_mixture,
    random_problem,
    sample,
    seeds,
    shaped,
    start_near,
    steps,
    survey,
)

if TYPE_CHECKING:
    from gmm_spark.mixture.coordinates import Coordinates


@given(problems(most=1))
def test_one_component_is_the_sample_mean_and_covariance(problem: Problem) -> None:
    """K = 1: one step gives the weighted mean and covariance, and ll = -N/2 (d log 2 pi + log|S| + d) for full."""
    mean, covariance = survey(problem.x, problem.weights)
    fitted = steps(problem, 1)
    expected = Parameters(np.ones(1), mean[None], shaped(problem.family, covariance[None]), problem.family)
    assert_same(fitted.parameters, expected, problem.frame, 1e-12)
    d = problem.x.shape[1]
    quadratic = np.trace(np.linalg.solve(expected.covariances[0], covariance))
    closed = (
        -0.5
        * problem.weights.sum()
        * (d * np.log(2 * np.pi) + np.linalg.slogdet(expected.covariances[0])[1] + quadratic)
    )
    assert_close(fitted.log_likelihood / closed, 1.0, 1e-12)
    assert problem.family not in ("full", "tied") or abs(quadratic - d) < 1e-10


@given(problems(), st.sampled_from([0.0, 1e-3]))
def test_a_step_never_lowers_the_log_likelihood(problem: Problem, floor: float) -> None:
    """Each EM step raises the log-likelihood, also under a floor that the start obeys."""
    frame = problem.frame
    passes = em.iterate(engine(problem, frame), frame.inward(problem.start), em.Maximiser(frame, floor), "none")
    before = next(passes)
    for _ in range(5):
        after = next(passes)
        slack = 1e-10 + 20 * UNIT_ROUNDOFF * engines.condition(after.parameters).max()
        assert after.moments.mean_log_likelihood >= before.moments.mean_log_likelihood - slack
        before = after


@given(problems(), seeds, st.integers(1, 200))
def test_the_order_of_the_rows_and_the_size_of_blocks_do_not_matter(problem: Problem, seed: int, size: int) -> None:
    """Permuted rows in blocks of another size give the same steps."""
    order = np.random.default_rng(seed).permutation(len(problem.x))
    one, other = steps(problem, 3), steps(problem.keep(order), 3, frame=problem.frame, block_rows=size)
    assert_same(other.parameters, one.parameters, problem.frame, 1e-10)
    assert_close(other.history, one.history, 1e-10)


@pytest.mark.parametrize("parts", [1, 2, 7, 64])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_number_of_partitions_does_not_matter(family: Family, parts: int) -> None:
    """Statistics of 1, 2, 7 and 64 parts, added up, lead to the same model."""
    problem = random_problem(5, family, 3, 4)
    size = -(-len(problem.x) // parts)
    assert_same(steps(problem, 5, block_rows=size).parameters, steps(problem, 5).parameters, problem.frame, 1e-10)


@given(problems(), st.integers(20, 100))
def test_the_same_blocks_give_the_same_bits(problem: Problem, size: int) -> None:
    """Two runs over the same blocks are bitwise equal."""
    one, other = steps(problem, 3, block_rows=size), steps(problem, 3, block_rows=size)
    assert one.parameters.covariances.tobytes() == other.parameters.covariances.tobytes()
    assert one.parameters.means.tobytes() == other.parameters.means.tobytes()
    assert one.moments.to_bytes() == other.moments.to_bytes()


@given(problems(weighted=False), seeds)
def test_an_integer_weight_counts_as_equal_rows(problem: Problem, seed: int) -> None:
    """A weight of m counts as m equal rows, and a weight of 0 as no row."""
    counts = np.random.default_rng(seed).integers(0, 4, len(problem.x))
    weighted = replace(problem, weights=counts.astype(np.float64))
    repeated = problem.keep(np.repeat(np.arange(len(counts)), counts))
    one, other = steps(weighted, 3), steps(repeated, 3)
    assert_same(one.parameters, other.parameters, problem.frame, 1e-11)
    assert_close(one.history, other.history, 1e-11)


@given(problems(), st.floats(1e-6, 1e6))
def test_scaled_weights_scale_the_log_likelihood_only(problem: Problem, factor: float) -> None:
    """Weights times c give the same model and c times the log-likelihood."""
    scaled = replace(problem, weights=factor * problem.weights)
    one, other = steps(problem, 3), steps(scaled, 3)
    assert_same(other.parameters, one.parameters, problem.frame, 1e-11)
    assert_close(other.history / factor, one.history, 1e-11)


def moved(problem: Problem, matrix: FloatArray, offset: FloatArray) -> Problem:
    """Return the problem in the units y = A x + c."""
    start = problem.start
    means = start.means @ matrix.T + offset
    covariances = matrix @ start.covariances @ matrix.T
    return Problem(
        problem.x @ matrix.T + offset, problem.weights, Parameters(start.weights, means, covariances, start.family)
    )


def map_of_family(generator: np.random.Generator, family: Family, d: int) -> FloatArray:
    """Return a random linear map that preserves the family."""
    if family in ("diag", "tied-diag"):
        return np.diag(generator.choice([-1, 1], d) * 10 ** generator.uniform(-6, 6, d))
    if family in ("spherical", "tied-spherical"):
        return 10 ** generator.uniform(-6, 6) * np.linalg.qr(generator.standard_normal((d, d)))[0]
    scale = np.diag(10 ** generator.uniform(-6, 6, d))
    return np.asarray(scale @ np.linalg.cholesky(random_covariance(generator, d, 10.0)))


@given(problems(), seeds)
def test_affine_maps_of_the_data_map_the_model(problem: Problem, seed: int) -> None:
    """Fitting A x + c gives A mu + c and A S A' for every A that keeps the family, and -N log|det A| in ll."""
    generator = np.random.default_rng(seed)
    d = problem.x.shape[1]
    matrix = map_of_family(generator, problem.family, d)
    offset = matrix @ generator.normal(0, 10, d)
    image = moved(problem, matrix, offset)
    expected = steps(problem, 3)
    result = steps(image, 3)
    wanted = moved(replace(problem, start=expected.parameters), matrix, offset).start
    assert_same(result.parameters, wanted, image.frame, 1e-8)
    jacobian = problem.weights.sum() * np.linalg.slogdet(matrix)[1]
    assert_close(result.history + jacobian, expected.history, 1e-8)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("scale", "offset"), [(1.0, 1e9), (1e6, 0.0), (1e-6, 0.0), (2.0**20, 1e9), (2.0**-10, -1e9)])
def test_timestamps_and_micrometres_do_not_matter(family: Family, scale: float, offset: float) -> None:
    """A translation by 1e9 standard deviations and units a million times larger or smaller change nothing."""
    generator = np.random.default_rng(11)
    x, _ = sample(generator, random_mixture(generator, 3, 3, family), 400)
    x = np.round(x * 64) / 64  # so that x + 1e9 is exact, for the rows and for the start
    problem = Problem(x, np.ones(len(x)), start_near(generator, x, 3, family))
    image = moved(problem, scale * np.eye(3), np.full(3, offset))
    a, b = steps(problem, 5).parameters, steps(image, 5).parameters
    spacing = np.spacing(abs(offset)) / scale  # no double near 1e9 is closer than that to a mean
    np.testing.assert_allclose(b.weights, a.weights, atol=1e-8)
    np.testing.assert_allclose((b.means - offset) / scale, a.means, atol=1e-8 + spacing)
    np.testing.assert_allclose(b.covariances / scale**2, a.covariances, rtol=1e-8, atol=1e-8)


@given(problems(), seeds)
def test_relabelled_starts_give_relabelled_models(problem: Problem, seed: int) -> None:
    """The order of the components in the start changes only their order in the result."""
    order = np.random.default_rng(seed).permutation(problem.start.k)
    s = problem.start
    shuffled = Parameters(s.weights[order], s.means[order], s.covariances[order], s.family)
    one, other = steps(problem, 3), steps(replace(problem, start=shuffled), 3)
    p = one.parameters
    wanted = Parameters(p.weights[order], p.means[order], p.covariances[order], p.family)
    assert_same(other.parameters, wanted, problem.frame, 1e-11)
    assert_close(other.history, one.history, 1e-11)


@given(problems(), seeds)
def test_permuted_columns_permute_the_model(problem: Problem, seed: int) -> None:
    """The columns' order does not matter."""
    d = problem.x.shape[1]
    matrix = np.eye(d)[np.random.default_rng(seed).permutation(d)]
    image = moved(problem, matrix, np.zeros(d))
    expected, result = steps(problem, 3), steps(image, 3)
    wanted = moved(replace(problem, start=expected.parameters), matrix, np.zeros(d)).start
    assert_same(result.parameters, wanted, image.frame, 1e-11)
    assert_close(result.history, expected.history, 1e-11)


@given(problems(), st.floats(0, 1))
def test_statistics_of_two_sets_of_rows_add_up(problem: Problem, share: float) -> None:
    """moments(A and B) = moments(A) + moments(B)."""
    frame, cut = problem.frame, int(share * len(problem.x))
    start = frame.inward(problem.start)
    whole, a, b = (
        engine(part, frame)([start])[0]
        for part in (problem, problem.keep(slice(0, cut)), problem.keep(slice(cut, None)))
    )
    assert_moments(a + b, whole, 1e-12)


@given(problems(), st.lists(st.tuples(st.integers(1, 6), st.sampled_from(FAMILIES)), min_size=1, max_size=6), seeds)
def test_stacked_candidates_do_not_affect_each_other(
    problem: Problem, others: list[tuple[int, Family]], seed: int
) -> None:
    """One pass for candidates of mixed sizes and families measures each as if it were alone."""
    frame = frame_of_all(problem)
    expectation = engine(problem, frame)
    d = problem.x.shape[1]
    more = [frame.inward(random_problem(seed + i, family, k, d).start) for i, (k, family) in enumerate(others)]
    candidates = [frame.inward(problem.start), *more]
    for candidate, together in zip(candidates, expectation(candidates), strict=True):
        (alone,) = expectation([candidate])
        assert_moments(together, alone, 1e-12)
        maximise = em.Maximiser(frame, 0.0)
        if (alone.mass > candidate.d + 1).all():
            one, other = (frame.outward(maximise(candidate, each)[0]) for each in (together, alone))
            assert_same(one, other, frame, 1e-9)


def frame_of_all(problem: Problem) -> Coordinates:
    """Return whitened coordinates, which serve every family in one pass."""
    return replace(problem, start=replace(problem.start, family="full")).frame


@given(problems())
def test_coordinates_do_not_matter_to_any_family(problem: Problem) -> None:
    """diag and spherical steps in whitened coordinates are those in scaled ones: the constraint is the user's."""
    one, other = steps(problem, 3), steps(problem, 3, frame=frame_of_all(problem))
    assert_same(other.parameters, one.parameters, problem.frame, 1e-10)
    assert_close(other.history, one.history, 1e-10)


@given(problems())
def test_each_family_keeps_its_shape(problem: Problem) -> None:
    """After a step tied covariances are equal, diag ones diagonal, spherical ones multiples of the unit matrix."""
    frame = problem.frame
    result = steps(problem, 2).parameters
    wanted = Parameters(result.weights, result.means, shaped(problem.family, result.covariances), problem.family)
    assert_same(result, wanted, frame, 1e-12)


@given(problems())
def test_the_masses_add_up_to_the_whole_weight(problem: Problem) -> None:
    """Responsibilities of a row sum to 1, so the N_k sum to N; weights of the next model are their shares."""
    fitted = steps(problem, 2)
    total = problem.weights.sum()
    assert_close(fitted.moments.mass.sum() / total, 1.0, 1e-12)
    assert_close(fitted.moments.weight / total, 1.0, 1e-12)


@given(problems())
def test_a_step_keeps_the_mean_and_for_full_and_tied_the_scatter_of_the_data(problem: Problem) -> None:
    """After an M-step the mixture's own mean is the data's, and for full and tied so is its covariance."""
    after = problem.frame.inward(steps(problem, 2).parameters)
    np.testing.assert_allclose(after.weights @ after.means, 0, atol=1e-12)
    if problem.family in ("full", "tied"):
        outer = after.means[:, :, None] * after.means[:, None]
        np.testing.assert_allclose(
            np.tensordot(after.weights, after.covariances + outer, 1), np.eye(after.d), atol=1e-11
        )
