"""Alignment gives the components of a new fit the numbers of an earlier model."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.optimize import linear_sum_assignment
from scipy.stats import norm

from gmm_spark.errors import ModelError
from gmm_spark.mixture.alignment import align, assignment, distances
from gmm_spark.mixture.parameters import Parameters
from tests.strategies import random_mixture, seeds


def reordered(mixture: Parameters, order: np.ndarray) -> Parameters:
    """Return the same mixture with its components in another order."""
    return Parameters(mixture.weights[order], mixture.means[order], mixture.covariances[order], mixture.family)


@given(seed=seeds, n=st.integers(1, 12), more=st.integers(0, 5), ties=st.booleans())
def test_the_assignment_is_as_cheap_as_scipys(seed: int, n: int, more: int, *, ties: bool) -> None:
    """Each row gets a different column, and the total cost is the minimum that SciPy finds, also with ties."""
    random = np.random.default_rng(seed)
    costs = random.integers(0, 4, (n, n + more)).astype(float) if ties else random.standard_normal((n, n + more))
    columns = assignment(costs)
    assert len(set(columns.tolist())) == n
    assert costs[range(n), columns].sum() == pytest.approx(costs[linear_sum_assignment(costs)].sum(), abs=1e-12)


@given(seed=seeds, k=st.integers(1, 6), d=st.integers(1, 4))
def test_a_shuffled_mixture_is_put_back_in_order(seed: int, k: int, d: int) -> None:
    """Components in random order, with slightly different parameters, get their old numbers."""
    random = np.random.default_rng(seed)
    yesterday = random_mixture(random, k, d, "full", spread=50.0)
    moved = Parameters(random.dirichlet(np.full(k, 2.0)), yesterday.means + 0.1, 1.1 * yesterday.covariances)
    shuffled = reordered(moved, random.permutation(k))
    np.testing.assert_array_equal(align(shuffled, yesterday).means, moved.means)
    np.testing.assert_array_equal(align(shuffled, yesterday).weights, moved.weights)


def test_the_distance_is_bhattacharyyas() -> None:
    """It is -log of the integral of sqrt(p q), computed by quadrature, and 0 between a component and itself."""
    one = Parameters(np.array([0.5, 0.5]), np.array([[0.0], [2.0]]), np.array([[[1.0]], [[0.3]]]))
    matrix = distances(one, one)
    assert matrix[0, 0] == pytest.approx(0, abs=1e-15)
    integral = quad(lambda x: np.sqrt(norm.pdf(x) * norm.pdf(x, 2, np.sqrt(0.3))), -20, 20)[0]
    assert matrix[0, 1] == pytest.approx(-np.log(integral), rel=1e-9)
    assert matrix[1, 0] == matrix[0, 1]


@given(seed=seeds)
def test_units_do_not_matter(seed: int) -> None:
    """An affine change of the features changes no distance."""
    random = np.random.default_rng(seed)
    one, other = (random_mixture(random, 3, 3, "full") for _ in range(2))
    turn, shift = random.standard_normal((3, 3)) + 3 * np.eye(3), random.standard_normal(3)

    def mapped(mixture: Parameters) -> Parameters:
        return Parameters(
            mixture.weights, mixture.means @ turn.T + shift, turn @ mixture.covariances @ turn.T, mixture.family
        )

    np.testing.assert_allclose(distances(mapped(one), mapped(other)), distances(one, other), rtol=1e-6, atol=1e-9)


def test_new_components_follow_the_old_ones() -> None:
    """Components that match the reference come first, then the others by falling weight."""
    yesterday = Parameters(np.array([0.5, 0.5]), np.array([[10.0], [0.0]]), np.ones((2, 1, 1)))
    today = Parameters(np.array([0.4, 0.3, 0.2, 0.1]), np.array([[0.1], [-30.0], [10.1], [60.0]]), np.ones((4, 1, 1)))
    assert align(today, yesterday).means.ravel().tolist() == [10.1, 0.1, -30.0, 60.0]


def test_fewer_components_than_yesterday_are_refused() -> None:
    """Fewer components, or other features, are an error that contains both counts."""
    random = np.random.default_rng(0)
    with pytest.raises(ModelError, match=r"3 components of 2 features.*at most 2 components of 2 features"):
        align(random_mixture(random, 2, 2, "full"), random_mixture(random, 3, 2, "full"))
    with pytest.raises(ModelError, match="of 3 features"):
        align(random_mixture(random, 2, 2, "full"), random_mixture(random, 2, 3, "full"))
