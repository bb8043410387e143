"""The rows of a fit as blocks on a cluster, as the order of a fit (`gmm_spark.fit`) reads them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gmm_spark import em
from gmm_spark.errors import ParametersError
from gmm_spark.search import missed_clusters
from gmm_spark.search.sample_size import GROWTH, accuracy, rows_to_tol, sample_rows
from gmm_spark.spark.blocks.collect_sample import collect_sample
from gmm_spark.spark.blocks.expectation import DistributedExpectation, driver_bytes
from gmm_spark.spark.fit import progress
from gmm_spark.spark.fit.ranking_tasks import on_executors
from gmm_spark.spark.table.checks import distinct_rows
from gmm_spark.statistics.least_likely import SIZE
from gmm_spark.statistics.reading import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager

    from pyspark.sql import DataFrame

    from gmm_spark.fit.problem import Problem
    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.search.short_runs import Each
    from gmm_spark.statistics.moments import Moments

_PARTS, _LEAST_BLOCKS = (64, 16, 4), 8  # one in this many blocks, and no fewer of them


@dataclass(frozen=True, eq=False)
class DistributedRows:
    """The rows of a table on Spark; `gmm_spark.fit.order.Rows`.

    Args:
        expectation: the engine over the blocks.
        table: the table, as `rows.decode` reads it.
        problem: what is fitted to it.
    """

    expectation: DistributedExpectation
    table: DataFrame
    problem: Problem

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows: one read of the blocks."""
        return self.expectation(candidates)

    def with_lowest(self, candidate: Parameters) -> Moments:
        """Return a candidate's statistics, with as many of the least likely rows as the driver may hold."""
        engine = self.expectation
        most = driver_bytes(engine.blocks.sparkSession, engine.limits) // 2
        kept = min(missed_clusters.LOWEST_ROWS, max(SIZE, most // (8 * engine.partitions * (1 + candidate.d))))
        (moments,) = engine.read([Request(candidate)], kept=kept)
        return moments

    @property
    def passes(self) -> int:
        """Full reads of the blocks so far; reads of parts add up to some."""
        return self.expectation.passes

    def sample(self) -> tuple[FloatArray, FloatArray]:
        """Return the rows that packing sampled."""
        return collect_sample(self.expectation.blocks, len(self.problem.names))

    def distinct(self, most: int) -> int:
        """Return the number of distinct rows, counted up to a number."""
        return distinct_rows(self.table, len(self.problem.names), most)

    def runner(self) -> AbstractContextManager[Each]:
        """Give what runs short runs as tasks, where they are work enough."""
        return on_executors(self.table.sparkSession, self.expectation.limits)

    def refine(self, fit: em.Fit) -> em.Fit:
        """Go on from a fit to a sample on parts of the rows that grow fourfold, where the sample can't be big enough.

        A part is a random choice of blocks, not of rows: where the table is sorted it knows less than as many random
        rows, and all rows have more to do.
        """
        options, surveyed = self.problem.options, self.problem.surveyed
        for one_in in self._parts():
            rows = surveyed.effective_rows / one_in
            worth = accuracy(options.family, options.k, len(self.problem.names), rows)
            goal = em.Goal(max(options.tol, worth), options.max_iter)
            state = em.begin(fit.best.parameters, options.acceleration, fit.slowest, fit.passed)
            try:
                fit = em.run(partial(self._over_part, one_in), state, self.problem.maximise, goal)
            except ParametersError:  # no block fell into the part
                continue
            progress.report_part(one_in, fit)
        return fit

    def _parts(self) -> Iterator[int]:
        """Yield of how many blocks one is in each part that has four times the sample's rows, and not too few blocks.

        None where the sample was enough.
        """
        options, surveyed, d = self.problem.options, self.problem.surveyed, len(self.problem.names)
        limits = self.expectation.limits
        sampled = sample_rows(options.family, options.k, d, options.tol, surveyed.counted, limits)
        if sampled < rows_to_tol(options.family, options.k, d, options.tol):
            there = max(surveyed.partitions, 8 * d * surveyed.counted // limits.block_bytes)
            enough = min(surveyed.counted // (GROWTH * sampled), there // _LEAST_BLOCKS)
            yield from (one_in for one_in in _PARTS if one_in <= enough)

    def _over_part(self, one_in: int, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        return self.expectation.read([Request(each) for each in candidates], one_in=one_in)
