"""One error names all columns to leave out, and no more than necessary."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gmm_spark.errors import DataError
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.redundancy import RedundantColumns, independent_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from gmm_spark.mixture.parameters import FloatArray

Rng = np.random.Generator


def one_hot(rng: Rng, groups: int = 12) -> FloatArray:
    """Return numbers, complete groups of indicators and two constant columns, in random order."""
    columns = [rng.normal(size=(400, 3))]
    columns += [np.eye(size)[rng.integers(size, size=400)] for size in rng.integers(2, 6, size=groups)]
    columns += [np.full((400, 1), 7.0), np.zeros((400, 1))]
    x = np.concatenate(columns, axis=1)
    return np.asarray(x[:, rng.permutation(x.shape[1])])


def copies(rng: Rng) -> FloatArray:
    """Return 5 columns and 95 copies of them in other units."""
    x = rng.normal(size=(300, 5))
    more = x[:, rng.integers(5, size=95)] * 10.0 ** rng.integers(-6, 6, size=95) + rng.normal(size=95)
    return np.concatenate([x, more], axis=1)


def sums(rng: Rng) -> FloatArray:
    """Return 8 columns, each followed by the sum of the columns so far, and a copy of one."""
    x = rng.normal(size=(300, 8))
    return np.asarray(np.stack([x, x.cumsum(axis=1)], axis=2).reshape(300, 16)[:, [*range(16), 3]])


def few_rows(rng: Rng) -> FloatArray:
    """Return fewer rows than columns."""
    return np.asarray(rng.normal(size=(6, 20)))


def refusal(x: FloatArray, names: tuple[str, ...] | None = None) -> DataError:
    """Return the error for a full covariance of these rows."""
    with pytest.raises(DataError) as caught:
        frame(x, names)
    return caught.value


def frame(x: FloatArray, names: tuple[str, ...] | None = None) -> coordinates.Coordinates:
    """Return the coordinates for a full covariance of these rows."""
    columns = names or tuple(f"x{i}" for i in range(x.shape[1]))
    return coordinates.coordinates_for("full", x.mean(axis=0), np.atleast_2d(np.cov(x.T, bias=True)), columns)


@pytest.mark.parametrize("rows_of", [one_hot, copies, sums, few_rows])
@pytest.mark.parametrize("seed", range(3))
def test_the_remaining_columns_are_a_basis(rows_of: Callable[[Rng], FloatArray], seed: int) -> None:
    """Their number is the rank by singular values, and each dependent column follows from those before it."""
    x = rows_of(np.random.default_rng(seed))
    found: Any = refusal(x).got
    assert isinstance(found, RedundantColumns)
    stays = [int(name[1:]) for name in found.independent]
    z = (x - x.mean(axis=0))[:, x.std(axis=0) > 1e-12]
    z = z / z.std(axis=0)
    assert len(stays) == np.linalg.matrix_rank(z, tol=1e-8 * np.sqrt(len(z)))
    assert {*found.constant, *found.dependent, *found.independent} == {f"x{i}" for i in range(x.shape[1])}
    assert {*found.constant} == {f"x{i}" for i in np.flatnonzero(x.std(axis=0) <= 1e-12)}
    frame(x[:, stays])
    for name in found.dependent:
        before = [i for i in stays if i < int(name[1:])]
        target = x[:, int(name[1:])]
        design = np.column_stack([np.ones(len(x)), x[:, before]])
        residual = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
        assert np.abs(residual).max() < 1e-6 * target.std()


def test_the_error_for_a_thousand_columns_is_short_and_complete() -> None:
    """The text stays below 1,600 characters, and the lists contain every column."""
    x = np.random.default_rng(0).normal(size=(50, 1)) * np.ones(1000)
    error = refusal(x, tuple(f"a rather long name of column number {i}" for i in range(1000)))
    assert len(str(error)) < 1600
    assert "Leave these 999 out" in str(error)
    assert isinstance(error.got, RedundantColumns)
    assert (len(error.got.dependent), len(error.got.independent)) == (999, 1)


@pytest.mark.parametrize("seed", range(20))
def test_nearly_dependent_columns_leave_a_matrix_with_a_cholesky_factor(seed: int) -> None:
    """Rounding errors of the elimination do not leave dependent columns."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(200, 6))
    near = base @ rng.normal(size=(6, 6)) + 10.0 ** rng.uniform(-9, -5, size=6) * rng.normal(size=(200, 6))
    correlation = np.corrcoef(np.concatenate([base, near], axis=1).T)
    mask = independent_columns(correlation)
    assert 6 <= mask.sum() <= 12
    np.linalg.cholesky(correlation[np.ix_(mask, mask)])
