"""How few passes and how soon: fits of gmm_spark beside plain EM, Spark ML and scikit-learn; Markdown tables.

    benchmark_passes.py passes [--data cover,taxi,flights,synthetic] [--seeds 5] [--rows 2000000]
        Full passes and log-likelihood a row, against plain EM to tol 1e-6 from the very same start; medians.
    benchmark_passes.py time [--seeds 5] [--rows 2000000] [--systems gmm_spark,spark_ml,sklearn]
        Seconds until a log-likelihood a row is within 1e-3 of the best that any has found: fits with defaults but for
        the seed, and what all took, divided by those that came so near. Each system has fitted a small table before:
        the start of a Spark session is not counted.

Real data is sought where GMM_SPARK_DATA points.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from statistics import median
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from benchmark import session
from benchmark_data import DATA, head, of_sklearn, say, synthetic
from pyspark.ml.clustering import GaussianMixture as SparkMixture
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as f
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark import GaussianMixture
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.statistics import kernel

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import FloatArray

FEW = 20_000  # rows of the small table
NEAR = 1e-3  # nats per row that count as the same quality


def read(name: str, rows: int) -> FloatArray:
    """Return the rows of a table by its name."""
    return synthetic(rows) if name == "synthetic" else DATA[name].read()


def components(name: str) -> int:
    """Return how many components to fit to a table."""
    return 16 if name == "synthetic" else DATA[name].k


def stored(spark: SparkSession, x: FloatArray, folder: str) -> DataFrame:
    """Return the rows as a table of one column of arrays, in a Parquet file of twice as many groups as cores."""
    offsets = pa.array(np.arange(len(x) + 1, dtype=np.int32) * x.shape[1])
    table = pa.table({"x": pa.ListArray.from_arrays(offsets, pa.array(x.ravel()))})
    groups = 2 * (os.cpu_count() or 1)
    for i, low in enumerate(range(0, len(x), -(-len(x) // groups))):
        pq.write_table(table.slice(low, -(-len(x) // groups)), f"{folder}/{i}.parquet")
    return spark.read.parquet(folder)


def mean_log_likelihood(x: FloatArray, parameters: Parameters) -> float:
    """Return nats per row."""
    parts = (kernel.posteriors(x[low : low + 8192], parameters)[1] for low in range(0, len(x), 8192))
    return float(sum(part.sum() for part in parts) / len(x))


def passes(options: argparse.Namespace) -> None:
    """Print full passes and log-likelihood of our fits, beside plain EM from the start that they found."""
    spark = session(os.cpu_count() or 1)
    head(
        "table",
        "n x d",
        "K",
        "passes",
        "of seeds",
        "log-likelihood",
        "plain EM",
        "difference",
        "least",
        "plain's passes",
        "s",
    )
    for name in options.data.split(","):
        x, k = read(name, options.rows), components(name)
        with tempfile.TemporaryDirectory() as folder:
            df = stored(spark, x, folder)
            runs = [one_seed(df, k, seed, options.plain_steps) for seed in range(options.seeds)]
        taken, ours, plain, plains, seconds = zip(*runs, strict=True)
        gaps = [a - b for a, b in zip(ours, plain, strict=True)]
        row = name, f"{len(x):,} x {x.shape[1]}", k, median(taken), sorted(taken), median(ours), median(plain)
        say(*row, float(median(gaps)), float(min(gaps)), median(plains), float(median(seconds)))


def one_seed(df: DataFrame, k: int, seed: int, plain_steps: int) -> tuple[int, float, float, int, float]:
    """Return passes and log-likelihood of our fit, those of plain EM from the same start, and our seconds."""
    mixture: dict[str, Any] = {"k": k, "featuresCol": "x", "seed": seed}
    began = time.perf_counter()
    ours = GaussianMixture(**mixture).fit(df).summary
    seconds = time.perf_counter() - began
    start = GaussianMixture(**mixture, maxIter=0).fit(df)
    plain = GaussianMixture(**mixture, acceleration="none", tol=1e-6, maxIter=plain_steps)
    reached = plain.setInitialModel(start).fit(df).summary
    return ours.numPasses, ours.meanLogLikelihood, reached.meanLogLikelihood, reached.numPasses, seconds


def time_to_quality(options: argparse.Namespace) -> None:
    """Print how long each system's fits took, and how many of them came within NEAR of the best of all."""
    spark, x = session(os.cpu_count() or 1), synthetic(options.rows)
    systems = {"gmm_spark": ours_by_default, "spark_ml": spark_ml_by_default, "sklearn": sklearn_by_default}
    runs: dict[str, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        df = stored(spark, x, folder)
        for name in options.systems.split(","):
            systems[name](df.limit(FEW), x[:FEW])(0)
            fit = systems[name](df, x)
            runs[name] = [timed(name, fit, seed, x) for seed in range(options.seeds)]
    best = max(value for each in runs.values() for _, value in each)
    head("system", "fits", "within 1e-3", "seconds a fit", "seconds until one is", "log-likelihood", "least")
    for name, each in runs.items():
        seconds, values = zip(*each, strict=True)
        near = sum(best - value <= NEAR for value in values)
        until = sum(seconds) / near if near else float("inf")
        say(name, len(each), near, float(median(seconds)), until, float(median(values)), min(values))


def timed(name: str, fit: Callable[[int], Parameters], seed: int, x: FloatArray) -> tuple[float, float]:
    """Return the seconds of a fit and its log-likelihood per row; print them too: some fits take ten minutes."""
    began = time.perf_counter()
    fitted = fit(seed)
    seconds, value = time.perf_counter() - began, mean_log_likelihood(x, fitted)
    sys.stderr.write(f"{name}, seed {seed}: {seconds:.1f} s, {value:.6f} nats per row\n")
    return seconds, value


def ours_by_default(df: DataFrame, _x: FloatArray) -> Callable[[int], Parameters]:
    """Return our fit with defaults, by seed."""
    return lambda seed: GaussianMixture(k=16, featuresCol="x", seed=seed).fit(df).parameters


def spark_ml_by_default(df: DataFrame, _x: FloatArray) -> Callable[[int], Parameters]:
    """Return Spark ML's fit with defaults, by seed."""
    vectors = df.select(array_to_vector(f.col("x")).alias("features"))

    def run(seed: int) -> Parameters:
        model = SparkMixture(k=16, seed=seed).fit(vectors)
        each = model.gaussians
        covariances = np.stack([one.cov.toArray() for one in each])
        return Parameters(np.array(model.weights), np.stack([one.mean.toArray() for one in each]), covariances, "full")

    return run


def sklearn_by_default(_df: DataFrame, x: FloatArray) -> Callable[[int], Parameters]:
    """Return scikit-learn's fit with defaults, by seed."""
    return lambda seed: of_sklearn(SklearnMixture(16, random_state=seed).fit(x), "full")


def main() -> None:
    """Run one of the benchmarks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["passes", "time"])
    parser.add_argument("--data", default="cover,taxi,flights,synthetic", help="tables, comma separated")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--plain-steps", type=int, default=2000, help="most steps of plain EM")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the synthetic table")
    parser.add_argument("--systems", default="gmm_spark,spark_ml,sklearn", help="comma separated")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    (passes if options.what == "passes" else time_to_quality)(options)


if __name__ == "__main__":
    main()
