"""The rows of a fit as blocks on a cluster, with the interface that `gmm_spark.fit.order` expects."""

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

_PARTS, _LEAST_BLOCKS = (64, 16, 4), 8  # the parts: one block in 64, 16 and 4; a part has at least 8 blocks


@dataclass(frozen=True, eq=False)
class DistributedRows:
    """The rows of a table on Spark; implements `gmm_spark.fit.order.Rows`.

    Args:
        expectation: the engine over the blocks.
        table: the table with the columns that `rows.decode` reads.
        problem: what is fitted to it.
    """

    expectation: DistributedExpectation
    table: DataFrame
    problem: Problem

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows: one read of the blocks."""
        return self.expectation(candidates)

    def with_lowest(self, candidate: Parameters) -> Moments:
        """Return a candidate's statistics, with the n least likely rows; n is limited by the driver's memory."""
        engine = self.expectation
        most = driver_bytes(engine.blocks.sparkSession, engine.limits) // 2
        count = min(missed_clusters.KEPT, max(SIZE, most // (8 * engine.partitions * (1 + candidate.d))))
        (moments,) = engine.read([Request(candidate)], kept=count)
        return moments

    @property
    def passes(self) -> int:
        """Full reads of the blocks so far; reads of parts are added by their shares."""
        return self.expectation.passes

    def sample(self) -> tuple[FloatArray, FloatArray]:
        """Return the sample that was drawn while packing."""
        return collect_sample(self.expectation.blocks, len(self.problem.names))

    def distinct(self, most: int) -> int:
        """Return the number of distinct rows, counted up to a number."""
        return distinct_rows(self.table, len(self.problem.names), most)

    def runner(self) -> AbstractContextManager[Each]:
        """Return a runner that executes short runs as Spark tasks, where they are long enough to pay for a job."""
        return on_executors(self.table.sparkSession, self.expectation.limits)

    def refined(self, found: em.Fit) -> em.Fit:
        """Continue EM on parts of the rows, each four times larger, where the sample is too small for the tolerance.

        A part is a random choice of blocks, not of rows: in a sorted table it represents the rows less well than a
        random sample of the same size, and EM on all rows then needs more passes.
        """
        options, surveyed = self.problem.options, self.problem.surveyed
        for one_in in self._parts():
            rows = surveyed.effective_rows / one_in
            error = accuracy(options.family, options.k, len(self.problem.names), rows)
            goal = em.Goal(max(options.tol, error), options.max_iter)
            state = em.begin(found.best.parameters, options.acceleration, found.slowest, found.passed)
            try:
                found = em.run(partial(self._over_part, one_in), state, self.problem.maximise, goal)
            except ParametersError:  # the part has no blocks
                continue
            progress.report_part(one_in, found)
        return found

    def _parts(self) -> Iterator[int]:
        """Yield n for each part of one block in n that has four times the sample's rows, and enough blocks.

        Yields nothing where the sample was large enough.
        """
        options, surveyed, d = self.problem.options, self.problem.surveyed, len(self.problem.names)
        limits = self.expectation.limits
        sampled = sample_rows(options.family, options.k, d, options.tol, surveyed.counted, limits)
        if sampled < rows_to_tol(options.family, options.k, d, options.tol):
            blocks = max(surveyed.partitions, 8 * d * surveyed.counted // limits.block_bytes)
            largest = min(surveyed.counted // (GROWTH * sampled), blocks // _LEAST_BLOCKS)
            yield from (one_in for one_in in _PARTS if one_in <= largest)

    def _over_part(self, one_in: int, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        return self.expectation.read([Request(candidate) for candidate in candidates], one_in=one_in)
