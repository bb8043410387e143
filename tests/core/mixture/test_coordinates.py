"""Coordinates whiten or scale the data, convert parameters exactly, and name the columns that cannot be used."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from gmm_spark.errors import DataError
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.parameters import ALIGNED, FAMILIES, Family
from gmm_spark.statistics import kernel
from tests.strategies import Problem, assert_close, frame_of, problems, survey


@given(problems())
def test_rows_have_unit_spread(problem: Problem) -> None:
    """Features have variance 1, and for full and tied they are uncorrelated."""
    mean, covariance = survey(problem.frame.rows(problem.x).T, problem.weights)
    np.testing.assert_allclose(mean, 0, atol=1e-12)
    if problem.family in ALIGNED:
        covariance = covariance * np.eye(len(mean))
    np.testing.assert_allclose(covariance, np.eye(len(mean)), atol=1e-10)


@given(problems())
def test_parameters_are_converted_exactly(problem: Problem) -> None:
    """outward inverts inward, inverse inverts factor, and log-densities differ by log |det G| only."""
    frame, start = problem.frame, problem.start
    inner = frame.inward(start)
    back = frame.outward(inner)
    np.testing.assert_allclose(frame.inverse @ frame.factor, np.eye(start.d), atol=1e-12)
    np.testing.assert_allclose(back.means, start.means, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(back.covariances, start.covariances, rtol=1e-11, atol=1e-11)
    outside, inside = kernel.posteriors(problem.x, start)[1], kernel.posteriors(frame.rows(problem.x).T, inner)[1]
    np.testing.assert_allclose(outside, inside - frame.log_determinant, rtol=1e-10, atol=1e-10)
    assert_close(frame.log_determinant, np.linalg.slogdet(frame.factor)[1], 1e-12)


ROWS = np.random.default_rng(0).normal(5, 2, (50, 3))


@pytest.mark.parametrize("offset", [0.0, 5.0, 1.7e9, -1e-300])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_constant_column_is_named(family: Family, offset: float) -> None:
    """A column with the same value in every row is an error that names it, however large the value."""
    x = ROWS.copy()
    x[:, 1] = offset
    with pytest.raises(DataError, match="features 'x1': got 'x1' with the same value in every row"):
        frame_of(x, np.ones(50), family)


@pytest.mark.parametrize("family", ["full", "tied"])
def test_duplicate_and_dependent_columns_are_named(family: Family) -> None:
    """A copy of a column (also in other units) or a sum of columns is an error that names the columns involved."""
    for column in (ROWS[:, 0], 3 - 1e6 * ROWS[:, 0]):
        with pytest.raises(DataError, match=r"features 'x3': got 'x3' linearly dependent .*\('x3' from 'x0'\)"):
            frame_of(np.column_stack([ROWS, column]), np.ones(50), family)
    with pytest.raises(DataError, match=r"features 'x3': got .*\('x3' from 'x0', 'x2'\)"):
        frame_of(np.column_stack([ROWS, ROWS[:, 0] + ROWS[:, 2]]), np.ones(50), family)


@pytest.mark.parametrize("family", sorted(ALIGNED))
def test_duplicate_columns_are_fine_without_covariances(family: Family) -> None:
    """Dependent columns are no error for the diagonal families."""
    frame = frame_of(np.column_stack([ROWS, ROWS[:, 0]]), np.ones(50), family)
    assert np.count_nonzero(frame.factor) == 4


@pytest.mark.parametrize("family", ["full", "tied"])
def test_fewer_rows_than_features_are_refused(family: Family) -> None:
    """With d > n the columns are dependent: an error with the remedy, not a singular matrix."""
    with pytest.raises(DataError, match=r"Leave these 3 out.*more distinct rows than features, or use the diag family"):
        frame_of(np.random.default_rng(0).standard_normal((4, 6)), np.ones(4), family)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_single_row_is_refused(family: Family) -> None:
    """With a single row every column is constant, and the error names all of them."""
    with pytest.raises(DataError, match=r"features 'x0', 'x1', 'x2': got .* with the same value"):
        frame_of(ROWS[:1], np.ones(1), family)


@pytest.mark.parametrize("bad", [np.inf, np.nan, 1e200])
@pytest.mark.parametrize("family", FAMILIES)
def test_values_whose_squares_overflow_are_named(family: Family, bad: float) -> None:
    """Infinity, NaN and 1e200 are an error that names the column, and never become NaN in the result."""
    x = ROWS.copy()
    x[3, 2] = bad
    with np.errstate(over="ignore", invalid="ignore"):
        mean, covariance = survey(x, np.ones(50))
    with pytest.raises(DataError, match=r"columns 'x2': got values whose squares overflow"):
        coordinates.coordinates_for(family, mean, covariance, ("x0", "x1", "x2"))


def test_badly_scaled_columns_are_whitened() -> None:
    """Columns of size 1e-9 and 1e9 with a correlation of 0.999999 are whitened like any others."""
    generator = np.random.default_rng(0)
    shared = generator.standard_normal(1000)
    x = np.column_stack([1e-9 * shared, 1e9 * (shared + 1e-3 * generator.standard_normal(1000))])
    z = frame_of(x, np.ones(1000), "full").rows(x)
    np.testing.assert_allclose(np.cov(z, bias=True), np.eye(2), atol=1e-8)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_large_constant_with_rounding_is_still_constant(family: Family) -> None:
    """At 1.7e9 a deviation of one rounding unit is a constant column, and a deviation of 1e-5 is not."""
    mean = np.array([0.0, 1.7e9])
    with pytest.raises(DataError, match="features 'b'"):
        coordinates.coordinates_for(family, mean, np.diag([1.0, np.spacing(1.7e9) ** 2]), ("a", "b"))
    coordinates.coordinates_for(family, mean, np.diag([1.0, 1e-5**2]), ("a", "b"))
