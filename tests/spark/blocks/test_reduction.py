"""Statistics reach the driver whole, whether it adds all the partitions or the executors add groups of them first."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import numpy as np
import pytest

from gmm_spark.limits import Limits
from gmm_spark.spark.blocks.expectation import driver_bytes
from gmm_spark.spark.session import result_limit
from gmm_spark.spark.table import survey_pass
from gmm_spark.spark.table.rows import RowLayout
from tests.spark.frames import assert_same_bits, assert_same_mixture, clusters, numbered, plain_steps, start, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_groups_are_added_on_executors_above_a_size(spark: SparkSession) -> None:
    """Four partitions, added in groups by executors, give the model that the driver's sum gives, to 1e-10."""
    df = table(spark, 4, **numbered(clusters()))
    direct = plain_steps(df, start(), 1)
    assert_same_mixture(plain_steps(df, start(), 1, Limits(statistics_bytes=0)), direct, 1e-10)


@pytest.mark.classic_only
def test_many_small_partitions_share_tasks(spark: SparkSession) -> None:
    """Five partitions read by two tasks hold every row once and give the same model to 1e-10."""
    df = table(spark, 5, **numbered(clusters()))
    each = plain_steps(df, start(), 1)
    shared = plain_steps(df, start(), 1, Limits(least_tasks=2))
    assert shared.summary.weight == each.summary.weight == len(clusters())
    assert_same_mixture(shared, each, 1e-10)


@pytest.mark.classic_only
def test_parameters_of_any_size_travel(spark: SparkSession) -> None:
    """Those too large for the function of a pass go by a broadcast, and give the bits that small ones give."""
    df = table(spark, 3, **numbered(clusters())).cache()
    carried = plain_steps(df, start(), 3)
    assert_same_bits(plain_steps(df, start(), 3, Limits(carried_bytes=0)), carried)
    df.unpersist()


@pytest.mark.parametrize(("text", "expected"), [("1g", 1 << 30), ("512m", 512 << 20), ("64MB", 64 << 20), ("0", 0)])
def test_the_limit_of_results_is_read_as_spark_writes_it(text: str, expected: int) -> None:
    """Sizes have Spark's units; 0 is no limit. Statistics take a quarter of it, and at most what the limits say."""
    conf = SimpleNamespace(get=lambda name, _: {"spark.driver.maxResultSize": text}[name])
    session = cast("SparkSession", SimpleNamespace(conf=conf))
    assert result_limit(session) == expected
    assert driver_bytes(session) == min(64 << 20, expected // 4 or 64 << 20)


def test_wide_surveys_are_merged_on_executors(spark: SparkSession) -> None:
    """Runs of partitions merged by executors give the survey that the driver's merging gives, to 1e-12."""
    df = table(spark, 5, **numbered(clusters())).cache()
    layout = RowLayout(3, array=False, weighted=False)
    direct = survey_pass.survey(df, layout)
    merged = survey_pass.survey(df, layout, limits=Limits(survey_bytes=0, survey_run=2))
    assert (merged.partitions, merged.rows) == (direct.partitions, direct.rows) == (5, len(clusters()))
    np.testing.assert_allclose(merged.mean, direct.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.covariance, direct.covariance, rtol=1e-12)
    df.unpersist()
