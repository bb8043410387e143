"""What a pass costs against rows, components, features and partitions, and the constants of a cost model.

    scripts/benchmarks/slopes.py

A pass is one read of the packed blocks with full covariances. The model fitted by least squares to the medians is

    seconds = fixed + tasks x per task / cores + rows x K x 4F flops / (cores x flops per second)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark import GaussianMixtureModel
from gmm_spark.mixture import coordinates
from gmm_spark.options import Options
from gmm_spark.spark.blocks import pack
from gmm_spark.spark.blocks.block_storage import pack_table
from gmm_spark.spark.table.columns import Features
from gmm_spark.spark.table.names import Names
from gmm_spark.spark.table.prepare import prepare
from gmm_spark.statistics.layouts import feature_count
from scripts.benchmarks import data, harness, sessions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import SparkSession


@dataclass(frozen=True)
class Case:
    """The shape of one measurement."""

    rows: int
    features: int = 16
    components: int = 16
    partitions: int = 4

    @property
    def work(self) -> float:
        """Floating-point operations of a pass."""
        return 4.0 * self.rows * self.components * feature_count(self.features)


def cases(base: Case) -> dict[str, list[Case]]:
    """Return the shapes to measure; each changes one number of the base."""
    return {
        "rows": [replace(base, rows=base.rows * times) for times in (1, 2, 4)],
        "components": [replace(base, components=k) for k in (4, 16, 64)],
        "features": [replace(base, features=d) for d in (4, 16, 48)],
        "partitions": [replace(base, partitions=p) for p in (2, 8, 32, 128, 256)],
    }


def time_passes(spark: SparkSession, case: Case, repeats: int) -> tuple[list[harness.Timing[Any]], int]:
    """Return the timings of passes, and the number of tasks of each."""
    truth = data.truth(case.features, case.components, distance=2.0)
    rows = GaussianMixtureModel(truth).sample(case.rows, seed=1, spark=spark).select("features")
    df = rows.repartition(case.partitions).persist()
    options = Options(k=case.components)
    table = prepare(df, Features.of(Names.of(df), input_cols=None, features_col="features"), None, options, None)
    surveyed = table.surveyed
    frame = coordinates.coordinates_for("full", surveyed.mean, surveyed.covariance, table.names)
    at = frame.inward(truth)
    with pack_table(table, pack.Packing(table.layout, frame, 0, 0.001)) as expectation:
        expectation([at])
        df.unpersist()
        timings = harness.interleave({"pass": lambda _: expectation([at])}, repeats, sessions.CLOCK)
    return timings["pass"], expectation.partitions


def report_model(seconds: Sequence[float], tasks_per_core: Sequence[float], work: Sequence[float]) -> None:
    """Print the constants, with the least squares of relative errors; work is in Gflop per core."""
    design = np.stack([np.ones(len(work)), tasks_per_core, work], axis=1) / np.array(seconds)[:, None]
    fixed, per_task, per_work = np.linalg.lstsq(design, np.ones(len(work)), rcond=None)[0]
    errors = design @ [fixed, per_task, per_work] - 1
    constants = f"fixed {fixed:.3f} s, {1000 * per_task:.0f} ms per task, {1 / per_work:.1f} Gflop/s per core"
    print(f"\n{constants}; worst relative error {np.abs(errors).max():.0%}")


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print the table and the fitted constants."""
    parser = harness.parser(__doc__, {"rows": 2000})
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--cores", type=int, default=sessions.CORES)
    options = harness.parse_options(parser, argv)
    spark, found = sessions.session(options.cores), []
    harness.head("varied", "n", "d", "K", "partitions", "tasks", "s per pass", "processor s")
    for varied, some in cases(Case(options.rows)).items():
        for case in some[:1] if options.quick else some:
            timings, tasks = time_passes(spark, case, options.repeats)
            seconds, shape = harness.wall(timings), (case.features, case.components, case.partitions)
            found.append((seconds.median, tasks / options.cores, case.work / options.cores / 1e9))
            harness.say(varied, f"{case.rows:,}", *shape, tasks, seconds, harness.cpu(timings))
    report_model(*zip(*found, strict=True))


if __name__ == "__main__":
    main()
