"""Log-likelihood a row of our fits against scikit-learn's best of n_init=5, for every family; a Markdown table.

    benchmark_quality.py [--data iris,faithful] [--families full,diag] [--seeds 10] [--floor 1e-6]

In memory, without Spark: the same starts, second look and EM that a fit on Spark runs, with its defaults, but a uniform
sample where the table is larger than the sample. scikit-learn is given the rows in
the user's units, with its own guard against singular covariances (reg_covar=1e-6).
"""

from __future__ import annotations

import argparse
import time
import warnings
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, get_args

import numpy as np
from benchmark_data import DATA, head, of_sklearn, say
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark import em
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.parameters import Family
from gmm_spark.options import Options
from gmm_spark.search import best_start, missed_clusters
from gmm_spark.search.sample import Sample
from gmm_spark.search.sample_size import sample_rows, sample_tol
from gmm_spark.spark.table.rows import Rows
from gmm_spark.spark.table.survey_pass import of_rows
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.statistics.moments import Moments

NEAR = 1e-3  # nats per row that count as the same quality


@dataclass(frozen=True)
class Table:
    """Rows in memory, as our fit sees them: in coordinates z, in blocks."""

    x: FloatArray
    frame: coordinates.Coordinates
    z: FloatArray
    covariance: FloatArray

    @staticmethod
    def of(x: FloatArray, family: Family) -> Table:
        """Survey the rows."""
        covariance = np.cov(x.T, bias=True)
        frame = coordinates.coordinates_for(
            family, x.mean(axis=0), covariance, tuple(f"x{i}" for i in range(x.shape[1]))
        )
        return Table(x, frame, np.ascontiguousarray(frame.rows(x)), covariance)

    def blocks(self) -> list[Block]:
        """Return the rows as blocks."""
        lows = range(0, self.z.shape[1], 16384)
        return [Block(np.ascontiguousarray(self.z[:, low : low + 16384])) for low in lows]


def fitted_in_memory(table: Table, options: Options) -> em.Fit:
    """Return our fit, in coordinates z."""
    n, k = len(table.x), options.k
    taken = np.random.default_rng(options.seed).permutation(n)[
        : sample_rows(options.family, k, table.x.shape[1], options.tol, n)
    ]
    sample = Sample(np.ascontiguousarray(table.z[:, taken]), np.ones(len(taken)), table.covariance)
    surveyed = of_rows(Rows(table.x.T, None, np.zeros(n, dtype=np.int8)))
    plan = options.plan(sample_tol(options.family, k, options.tol, sample, n), surveyed)
    found, blocks = best_start.best(sample, table.frame, plan), table.blocks()
    start, slowest = found.best.parameters, found.slowest
    if len(taken) < n and k > 1:

        def measure(candidate: Parameters) -> Moments:
            return kernel.accumulate(
                blocks, [missed_clusters.gathering(candidate)], reservoir_size=missed_clusters.KEPT
            )[0]

        looked = missed_clusters.look(measure, found, sample, table.frame, plan)
        start, slowest = looked.start, looked.slowest
    maximise, goal = options.maximiser(table.frame, n, n), em.Goal(options.tol, options.max_iter)
    return em.run(best_start.in_memory(blocks), em.begin(start, "squarem", slowest), maximise, goal)


def best_of_five(x: FloatArray, table: Table, k: int, family: Family, seed: int) -> float:
    """Return what scikit-learn reaches, measured by our kernel in coordinates z; minus infinity where it gives up."""
    try:
        fitted = SklearnMixture(k, covariance_type=family, n_init=5, random_state=seed).fit(x)
    except ValueError:
        return -np.inf
    parameters = table.frame.inward(of_sklearn(fitted, family))
    (moments,) = kernel.accumulate(table.blocks(), [parameters])
    return moments.mean_log_likelihood - table.frame.log_determinant


def compare(name: str, family: Family, seeds: int, floor: float) -> None:
    """Print one row: a table and a family."""
    x, k = DATA[name].read(), DATA[name].k
    table, differences, seconds = Table.of(x, family), [], []
    for seed in range(seeds):
        began = time.perf_counter()
        fit = fitted_in_memory(table, Options(k, family, seed=seed, floor=floor, prior=0.0, least=0.0))
        ours = fit.best.moments.mean_log_likelihood - table.frame.log_determinant
        between = time.perf_counter()
        differences.append(ours - best_of_five(x, table, k, family, seed))
        seconds.append((between - began, time.perf_counter() - between))
    good = sum(each >= -NEAR for each in differences)
    times = (float(median(column)) for column in zip(*seconds, strict=True))
    say(name, family, k, f"{good} of {seeds}", float(median(differences)), float(min(differences)), *times)


def main() -> None:
    """Compare what the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default=",".join(DATA), help="tables, comma separated")
    parser.add_argument("--families", default="full,tied,diag,spherical", help="comma separated")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--floor", type=float, default=Options.floor, help="covarianceFloor of our fits")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    head("table", "family", "K", "as good", "median difference", "least", "our s", "scikit-learn's s")
    known = {family: family for family in get_args(Family)}
    for name in options.data.split(","):
        for family in options.families.split(","):
            compare(name, known[family], options.seeds, options.floor)


if __name__ == "__main__":
    main()
