"""The M-step's constraint and floor give the maximum of the likelihood under them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.errors import ParametersError
from gmm_spark.mixture import families
from gmm_spark.mixture.coordinates import Coordinates
from gmm_spark.mixture.parameters import SHARED, Family, FloatArray, Parameters
from gmm_spark.mixture.spread import Matrices
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block
from tests.strategies import families as any_family
from tests.strategies import random_covariance, random_problem, seeds, shaped, steps


def user_units(covariances: FloatArray, frame: Coordinates) -> FloatArray:
    """Return the covariances of x from those of z."""
    return np.asarray(frame.factor @ covariances @ frame.factor.T)


@given(seeds, any_family, st.integers(1, 4), st.integers(1, 4))
def test_without_a_floor_the_constraint_is_the_mean_over_what_it_equates(
    seed: int, family: Family, k: int, d: int
) -> None:
    """In the user's units tied is the mean over components, diag the diagonal, spherical its mean, tied-* both."""
    problem = random_problem(seed, family, 1, d)
    generator = np.random.default_rng(seed)
    frame, mass = problem.frame, generator.uniform(1, 9, k)
    z = np.stack([random_covariance(generator, d, 4.0) for _ in range(k)])
    constrained, hits = families.constrain(family, Matrices(z), mass, frame, 0.0)
    result = constrained.matrices
    x = user_units(z, frame)
    if family in SHARED:
        x = np.repeat(np.average(x, axis=0, weights=mass)[None], k, axis=0)
    wanted = shaped(family, x)
    scale = np.sqrt((frame.factor**2).sum(axis=1))
    np.testing.assert_allclose(
        user_units(result, frame) / np.outer(scale, scale), wanted / np.outer(scale, scale), atol=1e-10
    )
    assert hits == 0


@given(seeds, any_family, st.floats(1e-6, 2.0))
def test_the_floor_is_relative_to_the_variance_of_the_data(seed: int, family: Family, floor: float) -> None:
    """No eigenvalue (full, tied) or variance (other families) in coordinates z is below the floor."""
    problem = random_problem(seed, family, 2, 3)
    frame = problem.frame
    generator = np.random.default_rng(seed)
    z = np.stack([random_covariance(generator, 3, 30.0) * 10 ** generator.uniform(-6, 0) for _ in range(4)])
    constrained, hits = families.constrain(family, Matrices(z), np.ones(4), frame, floor)
    result = constrained.matrices
    assert np.linalg.eigvalsh(result).min() >= floor * (1 - 1e-9)
    free, _ = families.constrain(family, Matrices(z), np.ones(4), frame, 0.0)
    changed = ~np.isclose(result, free.matrices, rtol=1e-9, atol=0).all(axis=(1, 2))
    assert hits == (changed.any() if family in SHARED else changed.sum())


def test_the_floor_clips_the_narrow_directions_only() -> None:
    """With a floor of 0.01, variances 4 and 1e-9 become 4 and 0.01 along the same axes."""
    turn = np.array([[0.6, -0.8], [0.8, 0.6]])
    needle = (turn * [4.0, 1e-9]) @ turn.T
    frame = Coordinates(np.zeros(2), np.eye(2), np.eye(2))
    result, hits = families.constrain("full", Matrices(needle[None]), np.ones(1), frame, 0.01)
    np.testing.assert_allclose(result.matrices[0], (turn * [4.0, 0.01]) @ turn.T, atol=1e-12)
    assert hits == 1


@given(seeds, any_family)
def test_a_floor_that_does_not_bind_changes_nothing(seed: int, family: Family) -> None:
    """If every variance is above the floor, the steps are the same as without a floor."""
    problem = random_problem(seed, family, 2, 2)
    one, other = steps(problem, 3), steps(problem, 3, floor=1e-9)
    np.testing.assert_allclose(one.parameters.covariances, other.parameters.covariances, rtol=1e-12)


def test_an_empty_component_keeps_mean_and_covariance() -> None:
    """A component without rows keeps its mean and covariance, and its weight becomes 0."""
    problem = random_problem(0, "full", 2, 2)
    frame = problem.frame
    start = frame.inward(problem.start)
    far = replace(start, means=np.array([start.means[0], [1e4, 1e4]]))
    moments = steps(replace(problem, start=frame.outward(far)), 1, frame=frame)
    assert moments.parameters.weights[1] == 0
    np.testing.assert_allclose(frame.inward(moments.parameters).means[1], [1e4, 1e4], rtol=1e-9)


@pytest.mark.parametrize("family", ["full", "tied"])
def test_singular_rows_without_a_floor_raise_and_with_one_do_not(family: Family) -> None:
    """Rows on a line are an error for full and tied without a floor; a floor raises the covariance."""
    frame = Coordinates(np.zeros(2), np.eye(2), np.eye(2))
    line = np.stack([np.arange(-8.0, 9.0), np.zeros(17)])
    start = Parameters(np.ones(1), np.zeros((1, 2)), np.eye(2)[None], family)
    (moments,) = kernel.accumulate([Block(line)], [start])
    with pytest.raises(ParametersError, match=r"components \[0\]"):
        em.Maximiser(frame, 0.0)(start, moments)
    result, hits = em.Maximiser(frame, 1e-6)(start, moments)
    assert hits == 1
    np.testing.assert_allclose(result.covariances[0], np.diag([24.0, 1e-6]), atol=1e-12)
