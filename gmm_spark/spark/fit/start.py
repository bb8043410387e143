"""The search for a start: on a sample of the rows, and then a look of all rows at what was found there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from gmm_spark import em
from gmm_spark.errors import DataError, ParametersError
from gmm_spark.search import best_start as sample_search
from gmm_spark.search import missed_clusters
from gmm_spark.search.sample import Sample
from gmm_spark.search.sample_size import GROWTH, accuracy, rows_to_tol, sample_rows, sample_tol
from gmm_spark.spark.blocks import row_sample
from gmm_spark.spark.blocks.expectation import DistributedExpectation, driver_bytes
from gmm_spark.spark.fit import progress
from gmm_spark.spark.fit.ranking_tasks import on_executors
from gmm_spark.spark.table import checks
from gmm_spark.spark.table.checks import check_distinct
from gmm_spark.statistics.least_likely import SIZE
from gmm_spark.statistics.reading import Request

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gmm_spark.limits import Limits
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.options import Options
    from gmm_spark.spark.fit.progress import Clock
    from gmm_spark.spark.table.prepare import Table
    from gmm_spark.statistics.moments import Moments
    from gmm_spark.statistics.survey import Survey

_ONE_STEP = 1.0  # EM of one component is at its end after one step, from anywhere
_PARTS, _LEAST_BLOCKS = (64, 16, 4), 8  # one in this many blocks, and no fewer of them


@dataclass(frozen=True, eq=False)
class Start:
    """Where EM starts on all rows.

    Args:
        parameters: the start, in coordinates z.
        slowest: SQUAREM's estimate of the slowest direction's stretch there.
        looked: what all rows said of it; None where they are the sample.
        partial: reads of parts of the rows, each counted by its share.
    """

    parameters: Parameters
    slowest: float | None = None
    looked: missed_clusters.Look | None = None
    partial: float = 0.0

    @property
    def passes(self) -> int:
        """Full reads of the data between packing and the first pass of EM; reads of parts add up to some."""
        return math.ceil(self.partial) + (self.looked.passes if self.looked else 0)

    @property
    def replaced(self) -> bool:
        """Whether all rows showed a cluster that the sample had missed, and led here."""
        return self.looked is not None and self.looked.replaced


def search(
    expectation: DistributedExpectation, table: Table, frame: Coordinates, options: Options, clock: Clock
) -> Start:
    """Return the best start that was found on a sample, and what all rows said of it.

    Args:
        expectation: the engine over the blocks.
        table: the surveyed table.
        frame: the coordinates of the blocks.
        options: what is asked for.
        clock: times the phases.

    Raises:
        DataError: fewer distinct rows than components, or every start went bad.
    """
    rows, surveyed = table.rows, table.surveyed
    with clock("pack", rows):
        z, weights = row_sample.collect_sample(expectation.blocks, table.layout.d)
    if options.k == 1 and not options.noise:
        return Start(of_one(table, frame, options), _ONE_STEP)
    with clock("starts", rows):
        check_distinct(z[:, weights > 0], rows, options.k)
        sample = Sample(z, weights, surveyed.reference.covariance)
        tol = sample_tol(options.family, options.k, options.tol, sample, surveyed.counted)
        plan = options.plan(tol, surveyed, table.noise(frame) if options.noise else None)
        with on_executors(rows.sparkSession, table.limits) as each:
            try:
                found = sample_search.best(sample, frame, plan, each)
            except DataError as error:
                raise checks.of_far_rows(error, surveyed, table.names) from error
    if len(weights) >= surveyed.counted:
        return Start(found.best.parameters, found.slowest)
    with clock("parts", rows):
        found, reads = _through_parts(expectation, found, frame, options, surveyed)
    with clock("look", rows):
        looked = missed_clusters.look(lambda candidate: _seen(expectation, candidate), found, sample, frame, plan)
    progress.report_look(looked)
    return Start(looked.start, looked.slowest, looked, reads)


def of_one(table: Table, frame: Coordinates, options: Options) -> Parameters:
    """Return the mixture of one component in coordinates z: the survey knows its parameters."""
    surveyed = table.surveyed
    maximise = options.maximiser(frame, surveyed.counted, surveyed.effective_rows)
    return maximise.of_one(options.family, surveyed.mean, surveyed.covariance)


def _through_parts(
    expectation: DistributedExpectation, found: em.Fit, frame: Coordinates, options: Options, surveyed: Survey
) -> tuple[em.Fit, float]:
    """Go on from a fit to a sample on parts of the rows that grow fourfold, where the sample can't be big enough.

    Return where that ends, and the reads that it took, each counted by its share. A part is a random choice of blocks,
    not of rows: where the table is sorted it knows less than as many random rows, and all rows have more to do.
    """
    reads, maximise = 0.0, options.maximiser(frame, surveyed.counted, surveyed.effective_rows)
    for one_in in _parts(options, len(frame.center), surveyed, expectation.limits):
        worth = accuracy(options.family, options.k, len(frame.center), surveyed.effective_rows / one_in)
        goal = em.Goal(max(options.tol, worth), options.max_iter)
        state = em.begin(found.best.parameters, options.acceleration, found.slowest)
        try:
            found = em.run(partial(_over_part, expectation, one_in), state, maximise, goal)
        except ParametersError:  # no block fell into the part
            continue
        reads += len(found.history) / one_in
        progress.report_part(one_in, found)
    return found, reads


def _parts(options: Options, d: int, surveyed: Survey, limits: Limits) -> Iterator[int]:
    """Yield of how many blocks one is in each part that has four times the sample's rows, and not too few blocks.

    None where the sample was enough.
    """
    sampled = sample_rows(options.family, options.k, d, options.tol, surveyed.counted, limits)
    if sampled < rows_to_tol(options.family, options.k, d, options.tol):
        there = max(surveyed.partitions, 8 * d * surveyed.counted // limits.block_bytes)
        enough = min(surveyed.counted // (GROWTH * sampled), there // _LEAST_BLOCKS)
        yield from (one_in for one_in in _PARTS if one_in <= enough)


def _over_part(
    expectation: DistributedExpectation, one_in: int, candidates: Sequence[Parameters]
) -> tuple[Moments, ...]:
    return expectation.read([Request(each) for each in candidates], one_in=one_in)


def _seen(expectation: DistributedExpectation, candidate: Parameters) -> Moments:
    """Return a start's statistics over all rows, with as many of the least likely ones as the driver may hold."""
    room = (
        driver_bytes(expectation.blocks.sparkSession, expectation.limits)
        // 2
        // (8 * expectation.partitions * (1 + candidate.d))
    )
    kept = min(missed_clusters.KEPT, max(SIZE, room))
    (moments,) = expectation.read([Request(missed_clusters.gathering(candidate))], kept=kept)
    return moments
