"""What a pass costs against rows, components, features and partitions, and the constants of a cost model.

    .venv/bin/python scripts/benchmark_slopes.py

A pass is one read of the kept blocks with full covariances; each figure is the median of several. The model
fitted by least squares is

    seconds = fixed + tasks x per task / cores + rows x K x 4F flops / (cores x flops a second)
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from dataclasses import dataclass, replace

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import numpy as np
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixtureModel
from gmm_spark.mixture import coordinates
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.options import Options
from gmm_spark.spark.blocks import pack
from gmm_spark.spark.blocks.keep import packed
from gmm_spark.spark.table.columns import Features
from gmm_spark.spark.table.names import Names
from gmm_spark.spark.table.prepare import prepare
from gmm_spark.statistics.layouts import feature_count


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
    """Return what is varied, one thing at a time."""
    return {
        "rows": [replace(base, rows=base.rows * times) for times in (1, 2, 4)],
        "components": [replace(base, components=k) for k in (4, 16, 64)],
        "features": [replace(base, features=d) for d in (4, 16, 48)],
        "partitions": [replace(base, partitions=p) for p in (2, 8, 32, 128, 256)],
    }


def mixture(case: Case) -> Parameters:
    """Return overlapping components."""
    rng = np.random.default_rng(0)
    k, d = case.components, case.features
    return Parameters(np.full(k, 1 / k), rng.standard_normal((k, d)) * 2, np.stack([np.eye(d)] * k), "full")


def seconds(spark: SparkSession, case: Case, repeats: int) -> tuple[float, int]:
    """Return the median seconds of a pass, and its number of tasks."""
    truth = mixture(case)
    rows = GaussianMixtureModel(truth).sample(case.rows, seed=1, spark=spark).select("features")
    df = rows.repartition(case.partitions).persist()
    options = Options(k=case.components)
    table = prepare(df, Features.of(Names.of(df), input_cols=None, features_col="features"), None, options, None)
    surveyed = table.surveyed
    frame = coordinates.coordinates_for("full", surveyed.mean, surveyed.covariance, table.names)
    at = frame.inward(truth)
    with packed(table, pack.Packing(table.layout, frame, 0, 0.001)) as expectation:
        expectation([at])
        df.unpersist()
        times = []
        for _ in range(repeats):
            began = time.perf_counter()
            expectation([at])
            times.append(time.perf_counter() - began)
    return statistics.median(times), expectation.partitions


def main() -> None:
    """Measure, print the table and the fitted constants."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    builder = SparkSession.builder.master(f"local[{options.cores}]").appName("gmm_spark slopes")
    for key, value in {
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.memory": "8g",
        "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
        "spark.python.unix.domain.socket.enabled": "true",
    }.items():  # fmt: skip
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    measured = []
    print("| varied | n | d | K | partitions | tasks | seconds a pass |\n|" + "---|" * 7)
    for varied, some in cases(Case(options.rows)).items():
        for case in some:
            took, tasks = seconds(spark, case, options.repeats)
            measured.append((took, tasks / options.cores, case.work / options.cores / 1e9))
            print(f"| {varied} | {case.rows:,} | {case.features} | {case.components} | {case.partitions} "
                  f"| {tasks} | {took:.3f} |", flush=True)  # fmt: skip
    times, tasks_each, work = np.array(measured).T
    # Relative errors count: a pass of a tenth of a second as much as one of ten.
    design = np.stack([np.ones_like(work), tasks_each, work], axis=1) / times[:, None]
    fixed, per_task, per_work = np.linalg.lstsq(design, np.ones_like(times), rcond=None)[0]
    errors = design @ [fixed, per_task, per_work] - 1
    print(f"\nfixed {fixed:.3f} s, {1000 * per_task:.0f} ms a task, {1 / per_work:.1f} Gflop/s a core; "
          f"worst relative error {np.abs(errors).max():.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
