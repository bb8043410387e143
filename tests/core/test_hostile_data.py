"""Data that breaks mixtures: always a valid model with a true outcome or a clear error, never NaN."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark import em
from gmm_spark.em.convergence import Outcome
from gmm_spark.errors import GmmSparkError
from gmm_spark.mixture.parameters import FAMILIES, SHARED, Family, FloatArray
from gmm_spark.search import best_start
from gmm_spark.search.sample import Plan, Sample
from gmm_spark.statistics import engines, kernel
from gmm_spark.statistics.block import Block
from tests.strategies import frame_of, survey

if TYPE_CHECKING:
    from gmm_spark.mixture.coordinates import Coordinates

FLOOR = 1e-6


def fit(x: FloatArray, family: Family, k: int, floor: float = FLOOR, seed: int = 0) -> tuple[em.Fit, Coordinates]:
    """Fit in memory as a job does; every warning is an error."""
    weights = np.ones(len(x))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        frame = frame_of(x, weights, family)
        sample = Sample(frame.rows(x), weights, survey(x, weights)[1])
        plan = Plan(k, family, starts=6, seed=seed, floor=floor, tol=1e-4)
        start = best_start.best(sample, frame, plan).best.parameters
        expectation = best_start.in_memory([Block(sample.z)])
        goal = em.Goal(1e-4, 100)
        return em.run(expectation, em.begin(start, "squarem"), em.Maximiser(frame, floor), goal), frame


def assert_sound(x: FloatArray, fitted: em.Fit, frame: Coordinates) -> None:
    """Check that the model is finite in the user's units, with the exact likelihood of its parameters."""
    mixture = frame.outward(fitted.best.parameters)
    posterior, log_density = kernel.posteriors(x, mixture)
    np.testing.assert_allclose(posterior.sum(axis=1), 1, atol=1e-12)
    exact = log_density.mean() + frame.log_determinant
    kappa = engines.condition(fitted.best.parameters)[fitted.best.parameters.weights > 0].max()
    assert abs(fitted.best.moments.mean_log_likelihood - exact) <= 1e-6 + 20 * 1.1e-16 * kappa


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(FAMILIES),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from([1, 3, 30]),
)
def test_few_distinct_values_are_fitted_or_refused(seed: int, family: Family, k: int, d: int, levels: int) -> None:
    """Rows from a small grid, k up to and above the distinct rows, d up to and above n."""
    generator = np.random.default_rng(seed)
    x = generator.integers(0, levels, (int(generator.integers(1, 60)), d)).astype(np.float64)
    try:
        fitted, frame = fit(x, family, k)
    except GmmSparkError:
        return
    assert fitted.outcome in Outcome
    assert_sound(x, fitted, frame)


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_point_masses_end_on_the_floor(family: Family, k: int) -> None:
    """With half of the rows at one value, the model is valid, with a component at that value."""
    generator = np.random.default_rng(1)
    x = np.concatenate([np.full((300, 2), 3.0), generator.standard_normal((300, 2)) * [1, 50]])
    fitted, frame = fit(x, family, k)
    assert_sound(x, fitted, frame)
    assert family in SHARED or fitted.best.parameters.weights.max() > 0.4


@pytest.mark.parametrize("k", [8, 20])
@pytest.mark.parametrize("family", FAMILIES)
def test_more_components_than_distinct_rows(family: Family, k: int) -> None:
    """With k above the number of distinct rows the model is valid: spare components share rows or have none."""
    x = np.tile([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [2.0, 3.0]], (5, 1))
    fitted, frame = fit(x, family, k)
    assert_sound(x, fitted, frame)


@pytest.mark.parametrize("family", FAMILIES)
def test_an_outlier_a_million_deviations_away(family: Family) -> None:
    """One gross outlier gives no NaN and a correct likelihood."""
    generator = np.random.default_rng(2)
    x = np.concatenate([generator.standard_normal((500, 3)), [[1e6, -1e6, 1e6]]])
    fitted, frame = fit(x, family, 3)
    assert_sound(x, fitted, frame)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("family", FAMILIES)
def test_collapse_without_a_floor_is_an_outcome(family: Family, seed: int) -> None:
    """Duplicates without a floor give a finite model with an outcome, or an error that names the floor."""
    generator = np.random.default_rng(seed)
    x = np.repeat(np.round(generator.standard_normal((40, 2)), 1), generator.integers(1, 9, 40), axis=0)
    try:
        fitted, frame = fit(x, family, 8, floor=0.0, seed=seed)
    except GmmSparkError as error:
        assert "covarianceFloor" in str(error)  # noqa: PT017 - either end is right
        return
    frame.outward(fitted.best.parameters)
    assert np.isfinite(fitted.history).all()
