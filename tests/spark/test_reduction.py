"""Statistics reach the driver whole, whether it adds all the partitions or the executors add groups of them first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from gmm_spark.spark import expectation, keeping
from tests.spark.frames import assert_same_mixture, clusters, numbered, plain_steps, start, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_groups_are_added_on_executors_above_a_size(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Four partitions, added in groups by executors, give the model that the driver's sum gives, to 1e-10."""
    df = table(spark, 4, **numbered(clusters()))
    direct = plain_steps(df, start(), 1)
    monkeypatch.setattr(expectation, "_DRIVER_BYTES", 0)
    assert_same_mixture(plain_steps(df, start(), 1), direct, 1e-10)


@pytest.mark.classic_only
def test_many_small_partitions_share_tasks(spark: SparkSession, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five partitions read by two tasks hold every row once and give the same model to 1e-10."""
    df = table(spark, 5, **numbered(clusters()))
    each = plain_steps(df, start(), 1)
    monkeypatch.setattr(keeping, "_LEAST_TASKS", 2)
    shared = plain_steps(df, start(), 1)
    assert shared.summary.weight == each.summary.weight == len(clusters())
    assert_same_mixture(shared, each, 1e-10)
