"""Clusters of a few rows among many: they are in the sample for starts, or found when all rows are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.limits import Limits
from gmm_spark.search.row_sample import inclusion
from tests.spark.frames import assert_same_mixture, clusters, fit_within, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark import GaussianMixtureModel
    from gmm_spark.mixture.parameters import FloatArray

ROWS, RARE = 100_000, 40


def rows(place: float) -> FloatArray:
    """Return two clusters of many rows at -25 and 25, and one of a few rows at `place` on the other axis."""
    rng = np.random.default_rng(5)
    many = ROWS - RARE
    two = rng.standard_normal((many, 2)) + np.where(rng.random((many, 1)) < 0.4, 25.0, -25.0) * [1.0, 0.0]
    few = 0.3 * rng.standard_normal((RARE, 2)) + [0.0, place]
    return rng.permutation(np.concatenate([two, few]))


def fit(df: DataFrame, **params: object) -> GaussianMixtureModel:
    """Fit three components, with starts from a sample of about 500 rows."""
    mixture = GaussianMixture(k=3, inputCols=names(2), **params)  # type: ignore[arg-type]
    return fit_within(Limits(sample_bytes=500 * 2 * 8), mixture, df)


@pytest.mark.classic_only
def test_a_cluster_that_the_sample_missed_is_found_on_all_rows(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    """A central cluster with 0.2 expected rows in the sample gets its weight and its mean, and a line in the log."""
    with caplog.at_level("INFO", "gmm_spark"):
        model = fit(table(spark, **numbered(rows(0.0))))
    assert model.summary.startReplaced
    assert "a cluster was missed, the start is replaced" in caplog.text
    assert model.weights[2] == pytest.approx(RARE / ROWS, rel=0.01)
    np.testing.assert_allclose(model.means[2], 0, atol=0.2)
    assert model.summary.numPasses == 3 + len(model.summary.history)  # survey, packing, check of the start


@pytest.mark.slow
@pytest.mark.classic_only
def test_a_far_cluster_is_in_the_sample(spark: SparkSession) -> None:
    """The half of the sample drawn by distance has rows of a far cluster: the start needs no replacement."""
    model = fit(table(spark, **numbered(rows(60.0))))
    assert not model.summary.startReplaced
    assert model.weights[2] == pytest.approx(RARE / ROWS, rel=0.01)
    np.testing.assert_allclose(model.means[2], [0, 60], atol=0.2)


@pytest.mark.slow
@pytest.mark.classic_only
def test_the_seed_and_not_the_layout_decides(spark: SparkSession) -> None:
    """On 1, 7 and 64 partitions the same seed gives the same model to 1e-10."""
    x = clusters(6000)[:, :2]
    one, *others = (fit(table(spark, p, **numbered(x)), tol=1e-5) for p in (1, 7, 64))
    for other in others:
        assert_same_mixture(other, one, 1e-10)
        assert other.summary.numPasses == one.summary.numPasses


@pytest.mark.parametrize("share", [1e-3, 0.05, 0.4])
def test_means_over_the_sample_are_those_over_all_rows(share: float) -> None:
    """Sampled rows weighted by 1 / probability give the count and squares of all rows within four standard errors."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((3, 50_000)) * rng.standard_exponential(50_000)
    z /= np.sqrt((z**2).mean(axis=1, keepdims=True))
    chance = inclusion(z, share)
    assert chance.min() >= share / 2
    assert chance.sum() <= share * z.shape[1] * (1 + 1e-9)
    taken = rng.random(len(chance)) < chance
    for value in (np.ones(len(chance)), z[0] ** 2, np.abs(z).sum(axis=0)):
        error = float(np.sqrt(((1 - chance) / chance) @ value**2))
        assert (value[taken] / chance[taken]).sum() == pytest.approx(value.sum(), abs=4 * error)


def test_a_sample_of_all_rows_has_each_once() -> None:
    """If the sample may be as large as the table, it has each row once, with weight 1."""
    z = np.random.default_rng(0).standard_normal((2, 100))
    assert (inclusion(z, 1.0) == 1).all()
    assert (inclusion(z, 0.0) == 0).all()
