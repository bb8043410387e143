"""The size of a sample: enough for tol if one process can hold it, and never more."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.limits import LIMITS
from gmm_spark.mixture import families
from gmm_spark.mixture.parameters import FAMILIES, Family
from gmm_spark.search.sample import Sample
from gmm_spark.search.sample_size import rows_to_search, rows_to_tol, sample_rows, sample_tol

mixtures = st.tuples(st.sampled_from(FAMILIES), st.integers(1, 64), st.integers(1, 200))


@given(mixtures, st.sampled_from([1e-3, 1e-5, 1e-8]))
def test_the_error_of_rows_to_tol_is_tol(mixture: tuple[Family, int, int], tol: float) -> None:
    """p / (2n) of `rows_to_tol` is tol."""
    assert families.sample_error(*mixture, rows_to_tol(*mixture, tol)) == pytest.approx(tol)


@given(mixtures, st.sampled_from([0.0, 1e-3, 1e-5, 1e-8]), st.integers(1, 10**10))
def test_a_sample_fits_into_one_process_and_is_enough_for_a_search(
    mixture: tuple[Family, int, int], tol: float, rows: int
) -> None:
    """A sample has at most 64 MB, within that the rows that a search needs, and no more rows than tol needs."""
    n, most = sample_rows(*mixture, tol, rows), LIMITS.sample_bytes // (8 * mixture[2])
    least = min(rows_to_search(*mixture), most)
    assert least <= n <= most
    enough = max(least, min(rows_to_tol(*mixture, tol), rows))
    assert n <= enough
    if enough <= most:
        assert n == int(enough)


def test_without_a_tol_a_sample_is_as_large_as_a_search_needs() -> None:
    """With tol = 0 the sample has the rows of the first search."""
    assert sample_rows("full", 3, 5, tol=0.0) == rows_to_search("full", 3, 5)


def test_fits_to_a_sample_are_as_accurate_as_it_is() -> None:
    """The tol is a tenth of p / (2n) for a part of the rows; for all rows 0.03 tol, and at least 1e-9."""
    sample = Sample(np.zeros((2, 1000)), np.ones(1000), np.eye(2))
    error = families.sample_error("diag", 3, 2, 1000)
    assert sample_tol("diag", 3, 1e-6, sample, 5000) == pytest.approx(0.1 * error)
    assert sample_tol("diag", 3, 1e-4, sample, 1000) == pytest.approx(3e-6)
    assert sample_tol("diag", 3, 0.0, sample, 1000) == pytest.approx(1e-9)
