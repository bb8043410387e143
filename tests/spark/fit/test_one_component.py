"""One component: the survey gives its parameters, for any number of rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.selection.evaluation import Candidate
from gmm_spark.spark.ml.select import select
from tests.spark.frames import clusters, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from gmm_spark.mixture.parameters import Family, FloatArray


@pytest.mark.classic_only
def test_one_component_is_exact_on_more_rows_than_the_sample(spark: SparkSession) -> None:
    """After one pass mean and covariance are those of all 40,000 rows, in a fit and in a selection."""
    x, d = clusters(40_000), 3
    df, mean, covariance = table(spark, **numbered(x)), x.mean(axis=0), np.cov(x.T, bias=True)
    one = GaussianMixture(k=1, inputCols=names(d)).fit(df)
    assert (one.summary.outcome, one.summary.numPasses) == ("converged", 3)  # survey, packing and one pass
    wanted: dict[Family, FloatArray] = {"full": covariance, "diag": np.diag(np.diag(covariance))}
    models = select(df, GaussianMixture(inputCols=names(d)), [1], list(wanted)).models
    for fitted, expected in ((one, covariance), *((models[Candidate(name, 1)], wanted[name]) for name in wanted)):
        np.testing.assert_allclose(fitted.means[0], mean, rtol=1e-11)
        np.testing.assert_allclose(fitted.covariances[0], expected, rtol=1e-9, atol=1e-9 * expected.max())


@pytest.mark.classic_only
def test_one_component_is_exact_beside_other_candidates(spark: SparkSession) -> None:
    """In a selection with other numbers of components, one component has the mean of all rows."""
    x = clusters(600)
    found = select(table(spark, **numbered(x)), GaussianMixture(inputCols=names(3), starts=2), [1, 3], ["full", "tied"])
    assert {len(model.weights) for model in found.models.values()} == {1, 3}
    for candidate, model in found.models.items():
        assert len(model.weights) == candidate.k
    np.testing.assert_allclose(found.models[Candidate("tied", 1)].means[0], x.mean(axis=0), rtol=1e-11)
