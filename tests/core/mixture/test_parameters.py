"""Parameters are valid by construction and immutable, and can be sorted."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from gmm_spark.errors import ParametersError
from gmm_spark.mixture.parameters import Family, FloatArray, Parameters, positive_definite
from gmm_spark.statistics import kernel
from tests.strategies import families, random_mixture, seeds

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

UNIT = np.stack([np.eye(2)] * 2)
HALVES, MEANS = [0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]]


@given(seeds, families, st.integers(1, 5), st.integers(1, 4))
def test_a_valid_mixture_is_stored_unchanged(seed: int, family: Family, k: int, d: int) -> None:
    """A mixture built from the arrays of another has the same k, d and family, and the same arrays bit for bit."""
    mixture = random_mixture(np.random.default_rng(seed), k, d, family)
    copy = Parameters(mixture.weights, mixture.means, mixture.covariances, family)
    assert (copy.k, copy.d, copy.family) == (k, d, family)
    assert copy.weights.tobytes() == mixture.weights.tobytes()
    assert copy.covariances.tobytes() == mixture.covariances.tobytes()
    assert mixture.weights.sum() == pytest.approx(1, abs=1e-15)


@pytest.mark.parametrize(
    ("weights", "means", "covariances", "family", "what"),
    [
        ([0.5, 0.4], MEANS, UNIT, "full", "sum 0.9"),
        ([1.5, -0.5], MEANS, UNIT, "full", "minimum -0.5"),
        ([1.0], MEANS, UNIT, "full", r"shapes.*\(1,\), \(2, 2\), \(2, 2, 2\)"),
        (HALVES, MEANS, np.eye(2), "full", "full d x d covariance"),
        (HALVES, [0.0, 1.0], UNIT, "full", "shapes"),
        ([], np.empty((0, 2)), np.empty((0, 2, 2)), "full", "k and d at least 1"),
        (HALVES, [[0.0], [1.0, 2.0]], UNIT, "full", "rectangular array"),
        (HALVES, [["a", "b"], ["c", "d"]], UNIT, "full", "means: got"),
        (HALVES, [[0.0, np.nan], [1.0, 1.0]], UNIT, "full", "1 values that are NaN or infinite"),
        (HALVES, MEANS, UNIT + np.inf, "full", "values that are NaN or infinite"),
        (HALVES, MEANS, -UNIT, "full", r"components \[0, 1\].*not symmetric positive definite"),
        (HALVES, MEANS, [np.eye(2), [[1, 2], [2, 1]]], "full", r"components \[1\]"),
        (HALVES, MEANS, [np.eye(2), [[1, 0.5], [0.4, 1]]], "full", r"components \[1\]"),
        (HALVES, MEANS, 0 * UNIT, "full", r"components \[0, 1\]"),
        (HALVES, MEANS, UNIT, "round", "one of full, tied, diag, spherical"),
    ],
)
def test_invalid_parameters_are_refused(
    weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, family: str, what: str
) -> None:
    """Weights, shapes, numbers, definiteness and family are checked, and the error says which failed."""
    with pytest.raises(ParametersError, match=what):
        Parameters(weights, means, covariances, family)  # type: ignore[arg-type]


@given(hnp.arrays(np.float64, (2,)), hnp.arrays(np.float64, (2, 1)), hnp.arrays(np.float64, (2, 1, 1)))
def test_any_numbers_are_a_mixture_or_a_parameters_error(
    weights: FloatArray, means: FloatArray, covariances: FloatArray
) -> None:
    """Arrays of floats raise ParametersError and nothing else, or make a mixture with finite posteriors."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            mixture = Parameters(weights, means, covariances)
    except ParametersError:
        return
    assert np.isfinite(kernel.posteriors(mixture.means, mixture)[0]).all()


def test_a_mixture_cannot_be_changed() -> None:
    """Attributes and arrays are read-only, and the caller's arrays are copied."""
    means = np.array(MEANS)
    mixture = Parameters(np.array(HALVES), means, UNIT)
    means[0] = 7
    assert mixture.means[0].tolist() == [0, 0]
    with pytest.raises(FrozenInstanceError):
        mixture.family = "diag"  # type: ignore[misc]
    for array in (mixture.weights, mixture.means, mixture.covariances):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


@given(seeds)
def test_components_come_by_falling_weight_then_by_mean(seed: int) -> None:
    """ordered() sorts by weight, then by mean, and does not change the density."""
    generator = np.random.default_rng(seed)
    weights = generator.choice([1.0, 2.0], 6)
    mixture = Parameters(
        weights / weights.sum(), generator.integers(0, 2, (6, 2)).astype(np.float64), np.stack([np.eye(2)] * 6)
    )
    ordered = mixture.ordered()
    keys = [(-w, *m) for w, m in zip(ordered.weights, ordered.means.tolist(), strict=True)]
    assert keys == sorted(keys)
    x = generator.standard_normal((5, 2))
    np.testing.assert_allclose(kernel.posteriors(x, ordered)[1], kernel.posteriors(x, mixture)[1], rtol=1e-12)


def test_positive_definite_checks_each_matrix() -> None:
    """NaN, indefinite and singular matrices have no Cholesky factor; tiny definite ones do."""
    matrices = np.array([np.eye(2), [[1, 2], [2, 1]], np.full((2, 2), np.nan), np.ones((2, 2)) - 1, 1e-200 * np.eye(2)])
    assert positive_definite(matrices).tolist() == [True, False, False, False, True]
