"""The short runs of a search as Spark tasks on all cores, where they are long enough to pay for a job."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from gmm_spark.limits import LIMITS, Limits
from gmm_spark.search.short_runs import in_turn
from gmm_spark.spark.session import cores, send_to_tasks
from gmm_spark.spark.tasks import call_in_tasks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pyspark.sql import SparkSession

    from gmm_spark.search.short_runs import Each, Group, Ranked, Ranking
    from gmm_spark.spark.session import TaskValue


@contextmanager
def on_executors(spark: SparkSession, limits: Limits = LIMITS) -> Iterator[Each]:
    """Give a runner that executes the groups of a ranking as Spark tasks; the data of a ranking are sent once."""
    with ExitStack() as until_the_end:
        task_values: dict[Callable[..., Ranked], TaskValue[Callable[..., Ranked]]] = {}

        def run_groups(ranking: Ranking, groups: Sequence[Group], bar: float) -> Sequence[Ranked]:
            candidates = sum(map(len, groups))
            if candidates == 0 or ranking.operations * candidates < limits.task_operations:
                return in_turn(ranking, groups, bar)
            if ranking.run not in task_values:  # bound methods of the same ranking are equal
                task_values[ranking.run] = until_the_end.enter_context(send_to_tasks(spark, ranking.run))
            return call_in_tasks(spark, task_values[ranking.run], [(group, bar) for group in groups], cores(spark))

        yield run_groups
