"""The same data give the same model: on any partitions, after failures, with weights or repeated rows."""

from __future__ import annotations

import logging
import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.limits import LIMITS, Limits
from gmm_spark.search.row_sample import key_order
from tests.spark import upstream
from tests.spark.frames import (
    assert_same_bits,
    assert_same_mixture,
    clusters,
    names,
    numbered,
    plain_steps,
    start,
    table,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

    from tests.spark.upstream import MapBatches

ROWS = 3000


def rows(spark: SparkSession, then: MapBatches | None = None) -> DataFrame:
    """Return rows that are a function of their number, in four partitions, after one more function if there is one."""
    frame = spark.range(0, ROWS, 1, 4).mapInArrow(upstream.rows, upstream.ROWS_DDL)
    return frame if then is None else frame.mapInArrow(then, upstream.ROWS_DDL)


def fit(df: DataFrame) -> GaussianMixtureModel:
    """Fit with a search for starts."""
    return GaussianMixture(k=3, inputCols=names(3), tol=1e-5, starts=4).fit(df)


@pytest.fixture(scope="module")
def expected(spark: SparkSession) -> GaussianMixtureModel:
    """Give the model of the rows without failures."""
    return fit(rows(spark))


@pytest.mark.classic_only
def test_the_order_of_sampled_rows_does_not_depend_on_arrival() -> None:
    """Rows with a unique key and copies with the same key, of equal or other weights, always get the same order."""
    generator = np.random.default_rng(5)
    keys = generator.integers(0, 40, 100).astype(np.uint64)
    x, weights = keys[:, None] * np.ones(2), generator.integers(1, 3, 100).astype(np.float64)
    order = key_order(keys, x, weights)
    mixed = generator.permutation(100)
    ordered = mixed[key_order(keys[mixed], x[mixed], weights[mixed])]
    assert (np.diff(keys[order].astype(np.int64)) >= 0).all()
    assert sorted(order) == list(range(100))
    np.testing.assert_array_equal(np.c_[x, weights][order], np.c_[x, weights][ordered])


def test_the_same_layout_gives_the_same_bits(spark: SparkSession, expected: GaussianMixtureModel) -> None:
    """Two fits of one table agree in every bit of survey, sample, starts and passes."""
    assert_same_bits(fit(rows(spark)), expected)
    assert expected.summary.outcome == "converged"


@pytest.mark.slow
@pytest.mark.classic_only
def test_the_layout_does_not_matter(spark: SparkSession) -> None:
    """On 1, 2 and 7 partitions the same start leads to the same model to 1e-10."""
    x = clusters()
    one, *others = (plain_steps(table(spark, p, **numbered(x)), start(), 5) for p in (1, 2, 7))
    for other in others:
        assert_same_mixture(other, one, 1e-10)
        assert other.summary.logLikelihood == pytest.approx(one.summary.logLikelihood, rel=1e-10)


@pytest.mark.classic_only
@pytest.mark.parametrize("failing", [upstream.fail_first_attempt, upstream.fail_two_attempts])
def test_a_task_that_fails_changes_nothing(
    spark: SparkSession, expected: GaussianMixtureModel, failing: upstream.MapBatches
) -> None:
    """A partition that fails once or twice in every stage is counted once: the same bits."""
    assert_same_bits(fit(rows(spark, failing)), expected)


@pytest.mark.classic_only
def test_an_executor_killed_while_packing_changes_nothing(
    spark: SparkSession, expected: GaussianMixtureModel, tmp_path: Path
) -> None:
    """If an executor dies in the second read of the rows, while they are packed, the bits are the same."""
    marker = tmp_path / "read"
    assert_same_bits(fit(rows(spark, upstream.kill_executor_once(marker, reads=2))), expected)
    assert len(list(tmp_path.glob("read*"))) > 2  # the executor was killed, and the partition read again


class Killer(logging.Handler):
    """Kills one executor when the fit logs its second pass; its blocks are lost."""

    def __init__(self, process: int) -> None:
        super().__init__(logging.INFO)
        self.process = process
        self.killed, self.armed = False, True

    def emit(self, record: logging.LogRecord) -> None:
        """Kill the executor, once."""
        if self.armed and not self.killed and record.getMessage().startswith("pass 2:"):
            os.kill(self.process, signal.SIGKILL)
            self.killed = True


@pytest.fixture
def killer(spark: SparkSession) -> Iterator[Killer]:
    """Give a log handler that kills an executor, for the time of a test."""
    running = rows(spark).mapInArrow(upstream.executor_processes, "executor bigint").first()
    assert running is not None
    logger, handler = logging.getLogger("gmm_spark"), Killer(running["executor"])
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.classic_only
@pytest.mark.parametrize("filed", [False, True])
def test_an_executor_killed_between_passes_changes_nothing(spark: SparkSession, killer: Killer, *, filed: bool) -> None:
    """Blocks that are lost with their executor, in files or in Spark, are packed again from the rows: same bits."""
    limits = Limits(least_filed_bytes=0) if filed else LIMITS
    killer.armed = False
    undisturbed = plain_steps(rows(spark), start(), 4, limits)
    killer.armed = True
    assert_same_bits(plain_steps(rows(spark), start(), 4, limits), undisturbed)
    assert killer.killed


@pytest.mark.classic_only
def test_every_row_is_scored_once_even_if_tasks_fail(
    spark: SparkSession, expected: GaussianMixtureModel, tmp_path: Path
) -> None:
    """Scores have every row once, even if a task fails and an executor dies while they are written."""
    df = rows(spark, upstream.kill_executor_once(tmp_path / "read", 1)).mapInArrow(
        upstream.fail_first_attempt, upstream.ROWS_DDL
    )
    expected.transform(df).write.parquet(f"{tmp_path}/scores")
    ids = spark.read.parquet(f"{tmp_path}/scores").where("log_density is not null").select("id").toArrow()["id"]
    assert sorted(ids.to_pylist()) == list(range(ROWS))


@pytest.mark.classic_only
def test_the_number_of_executors_does_not_matter(spark: SparkSession, expected: GaussianMixtureModel) -> None:
    """One executor gives the same bits as two."""
    cluster = spark.sparkContext._jsc.sc()  # noqa: SLF001 - only the JVM can release executors
    cluster.killExecutor(cluster.getExecutorIds().apply(0))
    try:
        alone = rows(spark).mapInArrow(upstream.executor_processes, "executor bigint").distinct().count()
        assert alone == 1
        assert_same_bits(fit(rows(spark)), expected)
    finally:
        cluster.requestExecutors(1)


@pytest.mark.classic_only
def test_integer_weights_are_repeated_rows(spark: SparkSession) -> None:
    """A row of weight 3 counts as three rows, a row of weight 0 as none, to 1e-11."""
    x = clusters(400)
    weights = np.random.default_rng(1).integers(0, 4, len(x))
    weighted = plain_steps(table(spark, w=weights, **numbered(x)), start(), 3, weightCol="w")
    repeated = plain_steps(table(spark, **numbered(np.repeat(x, weights, axis=0))), start(), 3)
    assert_same_mixture(weighted, repeated, 1e-11)
    assert weighted.summary.logLikelihood == pytest.approx(repeated.summary.logLikelihood, rel=1e-11)
    assert weighted.summary.weight == weights.sum()


@pytest.mark.classic_only
def test_the_unit_of_the_weights_does_not_matter(spark: SparkSession) -> None:
    """Weights times a constant give the same model to 1e-11."""
    x = clusters(400)
    weights = np.random.default_rng(1).uniform(0.1, 2.0, len(x))
    one, other = (plain_steps(table(spark, w=weights * c, **numbered(x)), start(), 3, weightCol="w") for c in (1, 1e-5))
    assert_same_mixture(other, one, 1e-11)
    assert other.summary.meanLogLikelihood == pytest.approx(one.summary.meanLogLikelihood, rel=1e-11)


def test_one_component_is_the_mean_and_the_covariance(spark: SparkSession) -> None:
    """K = 1 has the closed form: weighted mean and covariance, ll = -N/2 (d log 2 pi + log|S| + d)."""
    x = clusters(500)
    weights = np.random.default_rng(1).uniform(0.1, 2.0, len(x))
    model = GaussianMixture(k=1, inputCols=names(3), weightCol="w").fit(table(spark, 3, w=weights, **numbered(x)))
    covariance = np.cov(x.T, aweights=weights, bias=True)
    exact = GaussianMixtureModel.fromArrays([1.0], [np.average(x, axis=0, weights=weights)], [covariance])
    assert_same_mixture(model, exact, 1e-12)
    expected = -0.5 * weights.sum() * (3 * np.log(2 * np.pi) + np.linalg.slogdet(covariance)[1] + 3)
    assert model.summary.logLikelihood == pytest.approx(expected, rel=1e-12)
