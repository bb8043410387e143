"""How few passes and how soon: fits of gmm_spark beside plain EM, Spark ML and scikit-learn; Markdown tables.

    benchmark_passes.py passes [--data cover,taxi,flights,synthetic] [--seeds 5] [--rows 2000000]
        Full passes and log-likelihood a row, against plain EM to tol 1e-6 from the very same start; medians.
    benchmark_passes.py time [--rows 2000000] [--systems gmm_spark,spark_ml,sklearn]
        Seconds until a log-likelihood a row is within 1e-3 of the best that any has found: fits with defaults, the
        seed's too, then with seeds 1, 2, ..., until that is reached or AIM times our own time is over. Each system has
        fitted a small table before: the start of a Spark session is not counted.

Real data is sought where GMM_SPARK_DATA points.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
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

from gmm_spark import GaussianMixture, kernel
from gmm_spark.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.parameters import FloatArray

FEW = 20_000  # rows of the small table
NEAR = 1e-3  # nats a row that count as the same quality
AIM = {"spark_ml": 20, "sklearn": 10}  # how many times our time they are to need at least


@dataclass(frozen=True)
class Reached:
    """How many fits took how many seconds in all, and the best log-likelihood a row among them."""

    fits: int
    seconds: float
    best: float


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
    """Return nats a row."""
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
    """Print how long each system takes with its defaults to come within NEAR of the best, or how long it tried."""
    spark, x = session(os.cpu_count() or 1), synthetic(options.rows)
    with tempfile.TemporaryDirectory() as folder:
        df = stored(spark, x, folder)
        systems = {"gmm_spark": ours_by_default, "spark_ml": spark_ml_by_default, "sklearn": sklearn_by_default}
        reached: dict[str, Reached] = {}
        for name in options.systems.split(","):
            systems[name](df.limit(FEW), x[:FEW])(0)
            ours = reached.get("gmm_spark", Reached(0, 0.0, np.inf))
            reached[name] = until_near(systems[name](df, x), x, ours.best, AIM.get(name, 0) * ours.seconds)
    best = max(each.best for each in reached.values())
    head("system", "fits", "seconds in all", "log-likelihood", "below the best", "within 1e-3")
    for name, each in reached.items():
        near = "yes" if best - each.best <= NEAR else "not in this time"
        say(name, each.fits, each.seconds, each.best, best - each.best, near)


def until_near(fit: Callable[[int], Parameters], x: FloatArray, wanted: float, patience: float) -> Reached:
    """Fit with one seed after the other until the log-likelihood is near the one wanted, or patience is over."""
    reached = Reached(0, 0.0, -np.inf)
    while not reached.fits or (reached.best < wanted - NEAR and reached.seconds < patience):
        began = time.perf_counter()
        fitted = fit(reached.fits)
        seconds = reached.seconds + time.perf_counter() - began
        reached = Reached(reached.fits + 1, seconds, max(reached.best, mean_log_likelihood(x, fitted)))
    return reached


def ours_by_default(df: DataFrame, _x: FloatArray) -> Callable[[int], Parameters]:
    """Return our fit with defaults, by the number of fits before."""
    return lambda fits: GaussianMixture(k=16, featuresCol="x", **seed_after(fits)).fit(df).parameters


def spark_ml_by_default(df: DataFrame, _x: FloatArray) -> Callable[[int], Parameters]:
    """Return Spark ML's fit with defaults, by the number of fits before."""
    vectors = df.select(array_to_vector(f.col("x")).alias("features"))

    def run(fits: int) -> Parameters:
        model = SparkMixture(k=16, **seed_after(fits)).fit(vectors)
        each = model.gaussians
        covariances = np.stack([one.cov.toArray() for one in each])
        return Parameters(np.array(model.weights), np.stack([one.mean.toArray() for one in each]), covariances, "full")

    return run


def sklearn_by_default(_df: DataFrame, x: FloatArray) -> Callable[[int], Parameters]:
    """Return scikit-learn's fit with defaults, by the number of fits before; it has no seed by default."""
    return lambda fits: of_sklearn(SklearnMixture(16, random_state=fits).fit(x), "full")


def seed_after(fits: int) -> dict[str, Any]:
    """Return the seed of the next fit: the system's own, then 1, 2, ..."""
    return {"seed": fits} if fits else {}


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
