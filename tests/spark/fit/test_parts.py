"""Parts of the rows that grow fourfold: where the driver can't hold the sample that a fit would need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.limits import Limits
from tests.spark.frames import assert_same_mixture, clusters, fit_within, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS, PARTITIONS = 20_000, 520


@pytest.mark.classic_only
def test_a_fit_goes_from_a_small_sample_through_parts_of_the_blocks_to_all_rows(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    """With 70 rows for a sample, one in 64, in 16 and in 4 blocks come before all, to the optimum of all rows."""
    df = table(spark, PARTITIONS, **numbered(clusters(ROWS)[:, :2]))
    mixture = GaussianMixture(k=2, inputCols=names(2), tol=1e-9)
    wanted = mixture.fit(df)
    with caplog.at_level("INFO", "gmm_spark"):
        through_parts = fit_within(Limits(sample_bytes=70 * 2 * 8), mixture, df)
    parts = [fields for each in caplog.records if (fields := getattr(each, "fields", {})).get("event") == "part"]
    assert [each["one_in"] for each in parts] == [64, 16, 4]
    assert all(each["passes"] >= 2 for each in parts)
    assert_same_mixture(through_parts, wanted, 1e-4)
    reads = sum(each["passes"] / each["one_in"] for each in parts)
    summary = through_parts.summary
    assert summary.numPasses == 2 + np.ceil(reads) + summary.startReplaced + len(summary.history)
