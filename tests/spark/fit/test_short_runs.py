"""Short runs on the executors are those of the driver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmm_spark import GaussianMixture
from gmm_spark.limits import Limits
from gmm_spark.search.short_runs import best_first, in_turn
from gmm_spark.spark.fit.ranking_tasks import on_executors
from tests.core.search.test_short_runs import problem_of, ranking_of
from tests.spark.frames import assert_same_mixture, clusters, fit_within, names, numbered, table

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_tasks_rank_as_the_driver_does(spark: SparkSession) -> None:
    """Groups of starts and of mixtures, in two jobs on one sample, come back in their order, run as in this process."""
    of = ranking_of(problem_of(), 40)
    with on_executors(spark, Limits(task_operations=0)) as each:
        started = each(of, of.of_starts, -np.inf)
        groups = of.groups([candidate for one in started for _, candidate, _ in one.alive])
        gone_on, without_hope = each(of, groups, -np.inf), each(of, groups, np.inf)
    assert len(started) == len(of.of_starts) > 2
    assert len(best_first(started)) == len(best_first(gone_on)) == 40
    assert best_first(without_hope) == []
    for ours, theirs in ((started, in_turn(of, of.of_starts, -np.inf)), (gone_on, in_turn(of, groups, -np.inf))):
        for one, other in zip(best_first(ours), best_first(theirs), strict=True):
            np.testing.assert_allclose(one.parameters.means, other.parameters.means, rtol=1e-10, atol=1e-10)
            np.testing.assert_allclose(one.parameters.covariances, other.parameters.covariances, rtol=1e-10, atol=1e-10)


def test_a_fit_is_the_same_wherever_its_starts_are_run(spark: SparkSession) -> None:
    """A fit whose short runs are tasks ends where it ends when they are not."""
    df = table(spark, 3, **numbered(clusters(600))).cache()
    mixture = GaussianMixture(k=4, inputCols=names(3), tol=1e-6)
    in_tasks, here = (fit_within(Limits(task_operations=least), mixture, df) for least in (0.0, np.inf))
    df.unpersist()
    assert_same_mixture(in_tasks, here, 1e-9)
