"""Statistics reach the driver whole, whether it adds all the partitions or the executors add groups of them first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.spark import expectation, training
from tests.spark.frames import assert_same_bits, assert_same_mixture, clusters, numbered, plain_steps, start, table

if TYPE_CHECKING:
    import pytest
    from pyspark.sql import SparkSession


def test_groups_are_added_on_executors_above_a_size(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven partitions, added in groups by executors, give the same model to 1e-10, and twice the same bits."""
    df = table(spark, 7, **numbered(clusters())).persist()  # a shuffle gives its rows in any order each time
    direct = plain_steps(df, start(), 2)
    monkeypatch.setattr(expectation, "_DRIVER_BYTES", 0)
    grouped, again = plain_steps(df, start(), 2), plain_steps(df, start(), 2)
    assert_same_mixture(grouped, direct, 1e-10)
    assert_same_bits(again, grouped)
    df.unpersist()


def test_many_small_partitions_share_tasks(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven partitions read by three tasks hold every row once and give the same model to 1e-10."""
    df = table(spark, 11, **numbered(clusters()))
    each = plain_steps(df, start(), 2)
    monkeypatch.setattr(training, "_LEAST_TASKS", 3)
    shared = plain_steps(df, start(), 2)
    assert shared.summary.weight == each.summary.weight == len(clusters())
    assert_same_mixture(shared, each, 1e-10)
