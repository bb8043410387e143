"""Parts of the rows that grow fourfold: where the driver can't hold the sample that a fit would need."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.search import sample_size
from gmm_spark.spark.blocks.expectation import OverAll, OverPart
from gmm_spark.statistics.block import Block
from tests.spark.frames import assert_same_mixture, clusters, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROWS, PARTITIONS = 20_000, 520


@pytest.mark.classic_only
def test_a_fit_goes_from_a_small_sample_through_parts_of_the_blocks_to_all_rows(
    spark: SparkSession, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With 70 rows for a sample, one in 64, in 16 and in 4 blocks come before all, to the optimum of all rows."""
    df = table(spark, PARTITIONS, **numbered(clusters(ROWS)[:, :2]))
    mixture = GaussianMixture(k=2, inputCols=names(2), tol=1e-9)
    wanted = mixture.fit(df)
    monkeypatch.setattr(sample_size, "SAMPLE_BYTES", 70 * 2 * 8)
    with caplog.at_level("INFO", "gmm_spark"):
        through_parts = mixture.fit(df)
    parts = [fields for each in caplog.records if (fields := getattr(each, "fields", {})).get("event") == "part"]
    assert [each["one_in"] for each in parts] == [64, 16, 4]
    assert all(each["passes"] >= 2 for each in parts)
    assert_same_mixture(through_parts, wanted, 1e-4)
    reads = sum(each["passes"] / each["one_in"] for each in parts)
    summary = through_parts.summary
    assert summary.numPasses == 2 + np.ceil(reads) + summary.startReplaced + len(summary.history)


def test_parts_are_nested_and_add_up_their_blocks_alone() -> None:
    """One in 16 blocks are among the one in 4, about as many as they say, and count as if there were no others."""
    generator = np.random.default_rng(0)
    blocks = [(-1, Block(generator.standard_normal((2, 3)))) for _ in range(4000)]
    mixture = Parameters(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    chosen = {}
    for one_in in (4, 16):
        seen: list[tuple[int, Block]] = []

        class Watched(OverAll):
            def over(self, blocks, seen=seen):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
                seen += blocks
                return super().over(iter(seen))

        (moments,) = OverPart(Watched((mixture,)), one_in).over(iter(blocks))
        chosen[one_in] = {id(block) for _, block in seen}
        assert moments.rows == 3 * len(seen)
        assert len(seen) == pytest.approx(4000 / one_in, abs=4 * np.sqrt(4000 / one_in))
    assert chosen[16] < chosen[4]
