"""The packages that executors need, and the state of Spark after a fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gmm_spark import GaussianMixture
from tests.conftest import ABSENT
from tests.spark import upstream
from tests.spark.frames import clusters, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_executors_need_numpy_and_pyarrow_only(spark: SparkSession) -> None:
    """Fits, scores and samples run where pandas, pydantic, yaml, SciPy and scikit-learn can't be imported.

    In the tests every import of these packages on an executor fails, so no test of this folder depends on them.
    """
    df = table(spark, **numbered(clusters(100)))
    model = GaussianMixture(k=2, inputCols=names(3), maxIter=1).fit(df)
    assert model.transform(df).where("prediction is not null").count() == 100
    assert model.sample(10).count() == 10
    loaded = {row["package"] for row in df.mapInArrow(upstream.modules, "package string").collect()}
    assert {"numpy", "pyarrow", "gmm_spark", "pyspark"} <= loaded
    assert not loaded & set(ABSENT)


def test_the_executors_of_the_tests_have_no_pandas(spark: SparkSession) -> None:
    """An import of pandas on an executor fails, so that the test above detects it."""
    with pytest.raises(Exception, match="pandas is not on the executors"):
        spark.range(1).mapInArrow(upstream.import_pandas, "id bigint").collect()


@pytest.mark.classic_only
def test_a_fit_releases_its_blocks(spark: SparkSession) -> None:
    """After a fit Spark stores no more data than before."""
    context = spark.sparkContext._jsc  # noqa: SLF001 - only the JVM counts them
    before = context.getPersistentRDDs().size()
    GaussianMixture(k=2, inputCols=names(3), maxIter=1).fit(table(spark, **numbered(clusters(100))))
    assert context.getPersistentRDDs().size() == before


@pytest.mark.classic_only
def test_a_fit_restores_the_job_description(spark: SparkSession) -> None:
    """After a fit the job description is that of the caller."""
    context = spark.sparkContext
    context.setJobDescription("mine")
    GaussianMixture(k=1, inputCols=names(3), maxIter=1).fit(table(spark, **numbered(clusters(100))))
    assert context.getLocalProperty("spark.job.description") == "mine"
    context.setLocalProperty("spark.job.description", None)  # type: ignore[arg-type] # None clears it
