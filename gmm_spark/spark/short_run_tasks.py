"""The short runs of a search as tasks, where they are work enough: on all the cores that the fit has."""

from __future__ import annotations

import pickle
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

from gmm_spark.search.short_runs import in_turn
from gmm_spark.spark.session import cores, shipped
from gmm_spark.spark.worker import settle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pyspark.sql import SparkSession

    from gmm_spark.search.short_runs import Each, Group, Ranked, Ranking
    from gmm_spark.spark.session import Shipped

_SCHEMA = pa.schema([("number", pa.int32()), ("ranked", pa.binary())])
_DDL = "number int, ranked binary"
# A job with its tasks takes about 0.1 s, this many operations of one core: less work than a few of them stays here.
_LEAST_OPERATIONS = 1e10


@contextmanager
def on_executors(spark: SparkSession) -> Iterator[Each]:
    """Give an `Each` whose groups are run by the tasks of a job; what they rank on is sent once."""
    with ExitStack() as until_the_end:
        sent: dict[int, tuple[Ranking, Shipped[Ranking]]] = {}  # with the ranking, whose id is no other's as long

        def each(ranking: Ranking, groups: Sequence[Group], bar: float) -> Sequence[Ranked]:
            candidates = sum(map(len, groups))
            if candidates == 0 or ranking.operations * candidates < _LEAST_OPERATIONS:
                return in_turn(ranking, groups, bar)
            if id(ranking) not in sent:
                sent[id(ranking)] = ranking, until_the_end.enter_context(shipped(spark, ranking))
            with shipped(spark, (tuple(groups), bar)) as own:
                tasks = spark.range(0, len(groups), 1, min(len(groups), cores(spark)))
                table = tasks.mapInArrow(partial(_run, sent[id(ranking)][1], own), _DDL).toArrow()
            found = dict(zip(*(column.to_pylist() for column in table.columns), strict=True))
            return [pickle.loads(found[number]) for number in range(len(groups))]  # noqa: S301 - from our tasks

        yield each


def _run(
    ranking: Shipped[Ranking], job: Shipped[tuple[tuple[Group, ...], float]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    settle()
    groups, bar = job.value
    for batch in batches:
        for number in batch.column(0).to_pylist():
            ranked = pickle.dumps(ranking.value.run(groups[number], bar))
            yield from pa.Table.from_pydict({"number": [number], "ranked": [ranked]}, schema=_SCHEMA).to_batches()
