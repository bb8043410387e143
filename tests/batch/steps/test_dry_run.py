"""The cost of a fit in a dry run."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import pytest

from gmm_spark.batch.steps.dry_run import cost_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

READ = {"partitions": 1000, "rows": 10**9}


def driver_bytes_of(limit: str) -> int:
    """Return the driver_bytes of a dry run with this limit of Spark's results."""
    conf = SimpleNamespace(get=lambda name, _: {"spark.driver.maxResultSize": limit}[name])
    spark = cast("SparkSession", SimpleNamespace(conf=conf))
    return int(cost_of(spark, READ, 32, [(32, "full")], 1e-4)["driver_bytes"])


@pytest.mark.parametrize(("limit", "partials"), [("1g", 64 << 20), ("0", 64 << 20), ("100m", 25 << 20)])
def test_the_statistics_of_a_pass_are_limited(limit: str, partials: int) -> None:
    """Of 137 MiB per pass the driver receives at most 64 MiB, and at most a quarter of Spark's limit of results."""
    without = driver_bytes_of("4")  # a limit of 4 bytes leaves one
    assert driver_bytes_of(limit) - without + 1 == partials
