"""Statistics are the same whether the driver adds all partitions or the executors first add groups of them."""

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
    """Groups of four partitions added by executors give the same model as the driver's sum, to 1e-10."""
    df = table(spark, 4, **numbered(clusters()))
    direct = plain_steps(df, start(), 1)
    assert_same_mixture(plain_steps(df, start(), 1, Limits(statistics_bytes=0)), direct, 1e-10)


@pytest.mark.classic_only
def test_many_small_partitions_share_tasks(spark: SparkSession) -> None:
    """Five partitions read by two tasks count every row once and give the same model to 1e-10."""
    df = table(spark, 5, **numbered(clusters()))
    separate = plain_steps(df, start(), 1)
    shared = plain_steps(df, start(), 1, Limits(least_tasks=2))
    assert shared.summary.weight == separate.summary.weight == len(clusters())
    assert_same_mixture(shared, separate, 1e-10)


@pytest.mark.classic_only
def test_parameters_are_sent_in_two_ways(spark: SparkSession) -> None:
    """Large parameters are sent by broadcast, small ones with the task's function; both give the same bits."""
    df = table(spark, 3, **numbered(clusters())).cache()
    small = plain_steps(df, start(), 3)
    assert_same_bits(plain_steps(df, start(), 3, Limits(carried_bytes=0)), small)
    df.unpersist()


@pytest.mark.parametrize(("text", "expected"), [("1g", 1 << 30), ("512m", 512 << 20), ("64MB", 64 << 20), ("0", 0)])
def test_the_limit_of_results_is_read_as_spark_writes_it(text: str, expected: int) -> None:
    """Sizes have Spark's units, 0 means no limit, and statistics may use a quarter of it, at most 64 MB."""
    conf = SimpleNamespace(get=lambda name, _: {"spark.driver.maxResultSize": text}[name])
    session = cast("SparkSession", SimpleNamespace(conf=conf))
    assert result_limit(session) == expected
    assert driver_bytes(session) == min(64 << 20, expected // 4 or 64 << 20)


def test_wide_surveys_are_merged_on_executors(spark: SparkSession) -> None:
    """Groups of partitions merged by executors give the same survey as a merge by the driver, to 1e-12."""
    df = table(spark, 5, **numbered(clusters())).cache()
    layout = RowLayout(3, array=False, weighted=False)
    direct = survey_pass.survey(df, layout)
    merged = survey_pass.survey(df, layout, limits=Limits(survey_bytes=0, survey_run=2))
    assert (merged.partitions, merged.rows) == (direct.partitions, direct.rows) == (5, len(clusters()))
    np.testing.assert_allclose(merged.mean, direct.mean, rtol=1e-12)
    np.testing.assert_allclose(merged.covariance, direct.covariance, rtol=1e-12)
    df.unpersist()
