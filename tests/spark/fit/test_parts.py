"""Parts of the rows, each four times larger, where the driver can't hold the sample that a fit needs."""

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
def test_a_fit_runs_on_a_sample_then_on_parts_then_on_all_rows(
    spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    """With a sample of 70 rows, EM runs on 1 in 64, 16 and 4 blocks, then on all, to the optimum of all rows."""
    df = table(spark, PARTITIONS, **numbered(clusters(ROWS)[:, :2]))
    mixture = GaussianMixture(k=2, inputCols=names(2), tol=1e-9)
    wanted = mixture.fit(df)
    with caplog.at_level("INFO", "gmm_spark"):
        through_parts = fit_within(Limits(sample_bytes=70 * 2 * 8), mixture, df)
    parts = [fields for record in caplog.records if (fields := getattr(record, "fields", {})).get("event") == "part"]
    assert [part["one_in"] for part in parts] == [64, 16, 4]
    assert all(part["passes"] >= 2 for part in parts)
    assert_same_mixture(through_parts, wanted, 1e-4)
    reads = sum(part["passes"] / part["one_in"] for part in parts)
    summary = through_parts.summary
    assert summary.numPasses == 2 + np.ceil(reads) + summary.startReplaced + len(summary.history)
