"""A table in the memory of one process: surveyed, sampled and read like a table on Spark, with numpy alone."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.limits import LIMITS
from gmm_spark.search import short_runs
from gmm_spark.search.missed_clusters import LOWEST_ROWS
from gmm_spark.search.row_sample import inclusion, order_of, row_keys
from gmm_spark.search.sample_size import sample_rows
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block
from gmm_spark.statistics.survey import Survey, surveyed_by

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gmm_spark import em
    from gmm_spark.fit.problem import Problem
    from gmm_spark.mixture.coordinates import Layout
    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.search.short_runs import Each
    from gmm_spark.statistics.engines import Precision
    from gmm_spark.statistics.far_rows import Bounds
    from gmm_spark.statistics.moments import Moments

_CHUNK = 10_000  # rows that are surveyed and transformed at a time, like a batch that Spark moves to Python


@dataclass(frozen=True, eq=False)
class ArrayTable:
    """Usable rows.

    Args:
        x: (n, d) the rows, in the user's units.
        weights: (n,) their weights, above 0; None where each is 1.
    """

    x: FloatArray
    weights: FloatArray | None = None

    def chunks(self) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Yield chunks of rows, feature-major (d, m), and their weights."""
        for low in range(0, len(self.x), _CHUNK):
            part = slice(low, low + _CHUNK)
            weights = None if self.weights is None else self.weights[part]
            yield np.ascontiguousarray(self.x[part].T, dtype=np.float64), weights

    def survey(self, *, products: bool = True) -> Survey:
        """Return the survey of the rows; see `Survey.of`."""
        return surveyed_by(partial(self._survey_rows, products=products))

    def _survey_rows(self, bounds: Bounds | None, *, products: bool) -> Survey:
        chunks = ((x, weights, slice(None) if bounds is None else bounds.contain(x)) for x, weights in self.chunks())
        surveys = (
            Survey.of(x[:, which], None if weights is None else weights[which], products=products)
            for x, weights, which in chunks
        )
        return reduce(Survey.__add__, surveys, Survey.zero(self.x.shape[1], products=products))


@dataclass(eq=False)
class RowsInMemory:
    """The rows of a fit as blocks in coordinates z; an `Expectation`, and what a search for a start needs.

    Args:
        table: the rows, in the user's units.
        z: (d, n) the rows in coordinates z.
        blocks: the same rows, as an E-step reads them.
        sample_share: the share of the rows in the sample; 1 or more: all rows.
        square: the mean of |z|^2.
        seed: of the sample.
        precision: of the products.
        passes: full reads of the rows so far.
    """

    table: ArrayTable
    z: FloatArray
    blocks: tuple[Block, ...]
    sample_share: float
    square: float
    seed: int
    precision: Precision
    passes: int = field(default=0, init=False)

    @staticmethod
    def of(table: ArrayTable, problem: Problem, sample: int | None = None) -> RowsInMemory:
        """Return the rows of a table in the coordinates of a fit.

        Args:
            table: the rows.
            problem: the problem of the fit.
            sample: the number of rows to search for a start on; None: enough for the options.
        """
        options, surveyed, frame = problem.options, problem.surveyed, problem.frame
        z = np.concatenate([frame.rows(x.T) for x, _ in table.chunks()], axis=1)
        mixture = options.family, options.k, len(z), options.tol
        wanted = sample_rows(*mixture, surveyed.counted) if sample is None else sample
        blocks = tuple(_blocks(table, z, frame.totals, options.precision))
        square = surveyed.mean_square(frame)
        return RowsInMemory(table, z, blocks, wanted / surveyed.counted, square, options.seed, options.precision)

    def __call__(self, candidates: Sequence[Parameters]) -> tuple[Moments, ...]:
        """Return each candidate's statistics over all rows."""
        self.passes += 1
        return kernel.accumulate(self.blocks, candidates, precision=self.precision)

    def with_lowest(self, candidate: Parameters) -> Moments:
        """Return a candidate's statistics over all rows, with many of the least likely rows."""
        self.passes += 1
        return kernel.accumulate(self.blocks, [candidate], precision=self.precision, kept=LOWEST_ROWS)[0]

    def sample(self) -> tuple[FloatArray, FloatArray]:
        """Return sampled rows (d, m), in random order, and their weights (m,): the same sample as on Spark."""
        keys = np.concatenate([row_keys(x, self.seed, number) for number, (x, _) in enumerate(self.table.chunks())])
        weights = np.ones(len(keys)) if self.table.weights is None else self.table.weights
        chance = inclusion(self.z, self.sample_share, self.square)
        chosen = (keys >> np.uint64(11)) * 2.0**-53 < chance
        z, sample_weights = self.z[:, chosen].T, weights[chosen] * (min(self.sample_share, 1.0) / chance[chosen])
        order = order_of(keys[chosen], z, sample_weights)
        return np.ascontiguousarray(z[order].T), sample_weights[order]

    def distinct(self, most: int) -> int:
        """Return the number of distinct rows, counted up to `most`."""
        return min(most, len(np.unique(self.table.x, axis=0)))

    def refine(self, fit: em.Fit) -> em.Fit:
        """Return the fit to the sample unchanged: EM on a part of the rows would save nothing."""
        return fit

    def runner(self) -> AbstractContextManager[Each]:
        """Return a context whose value runs the groups of a ranking."""
        return nullcontext(short_runs.in_turn)


def _blocks(table: ArrayTable, z: FloatArray, totals: Layout, precision: Precision) -> Iterator[Block]:
    """Yield the (d, n) rows as blocks, each with its totals in this layout."""
    capacity = max(64, LIMITS.block_bytes // (np.dtype(precision).itemsize * len(z)))
    for low in range(0, z.shape[1], capacity):
        rows = np.ascontiguousarray(z[:, low : low + capacity], dtype=precision)
        weights = None if table.weights is None else table.weights[low : low + capacity]
        yield Block(rows, weights, Block(rows, weights).total_in(totals))
