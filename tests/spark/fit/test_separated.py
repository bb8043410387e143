"""Cases in which Spark ML's mixture fails: two clear clusters, in many features, at any scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from gmm_spark import GaussianMixture
from tests.spark.frames import names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.mark.classic_only
@pytest.mark.parametrize(
    "sd", [0.1, pytest.param(1.0, marks=pytest.mark.slow), pytest.param(10.0, marks=pytest.mark.slow), 1000.0]
)
@pytest.mark.parametrize("d", [5, 20, 25, 50, 100])
def test_two_clusters_six_standard_deviations_apart(spark: SparkSession, d: int, sd: float) -> None:
    """For any number of features and any scale the adjusted Rand index is above 0.95."""
    rng = np.random.default_rng(d)
    direction = rng.standard_normal(d)
    truth = rng.integers(2, size=1500 + 25 * d)
    centres = 6 * direction / np.linalg.norm(direction) * truth[:, None]
    x = sd * (centres + rng.standard_normal((len(truth), d)))
    scored = GaussianMixture(k=2).fit(df := table(spark, features=x, truth=truth)).transform(df)
    found = scored.select("truth", "prediction").toArrow()
    assert adjusted_rand_score(found["truth"].to_numpy(), found["prediction"].to_numpy()) > 0.95


@pytest.mark.parametrize("family", ["full", "diag"])
def test_unix_timestamps(spark: SparkSession, family: str) -> None:
    """Two clusters of 1.7e9 ± 1, ten seconds apart, have variances within 5 % of 1."""
    rng = np.random.default_rng(0)
    seconds = 1.7e9 + 10.0 * np.repeat([0, 1], 5000) + rng.standard_normal(10_000)
    model = GaussianMixture(k=2, inputCols=names(1), covarianceType=family).fit(
        table(spark, **numbered(seconds[:, None]))
    )
    np.testing.assert_allclose(model.covariances.ravel(), 1, rtol=0.05)
    np.testing.assert_allclose(np.sort(model.means.ravel()), [1.7e9, 1.7e9 + 10], atol=0.1, rtol=0)
