"""Where Spark ML's own GaussianMixture fails: two clusters that are far apart, in many features and in many units.

    .venv/bin/python scripts/benchmarks/spark_ml_failure.py                     # the table in README.md; minutes
    .venv/bin/python scripts/benchmarks/spark_ml_failure.py --features 5 --scales 1 --seeds 1

Each cell draws two normal clusters of equal size whose means are six standard deviations apart, with the same standard
deviation in every feature, and prints the adjusted Rand index of the predicted clusters with the true ones: 1 is
right, 0 is chance. Spark ML gets the best of its seeds, gmm_spark the worst of the same seeds. The last line fits two
clusters of unix timestamps, and prints the variances.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.ml.clustering import GaussianMixture as SparkMixture
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as f
from sklearn.metrics import adjusted_rand_score

from gmm_spark import GaussianMixture
from scripts.benchmarks import harness, sessions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pyspark.sql import DataFrame, SparkSession

    from gmm_spark.mixture.parameters import FloatArray

APART = 6.0  # standard deviations between the two means
SYSTEMS = {"Spark ML": SparkMixture, "gmm_spark": GaussianMixture}


def clusters(rows: int, d: int, scale: float) -> tuple[FloatArray, list[int]]:
    """Return rows (n, d) of two clusters and the cluster of each row."""
    rng = np.random.default_rng(d)
    labels = np.arange(rows) % 2
    way = rng.standard_normal(d)
    shift = np.outer(labels, APART * way / np.linalg.norm(way))
    return scale * (rng.standard_normal((rows, d)) + shift), labels.tolist()


def table(spark: SparkSession, x: FloatArray) -> DataFrame:
    """Return the rows as a cached table of vectors, with the number of each row."""
    rows = spark.createDataFrame(list(enumerate(x.tolist())), "id INT, x ARRAY<DOUBLE>")
    return rows.select("id", array_to_vector(f.col("x")).alias("features")).repartition(2, "id").cache()


def agreement(system: type, df: DataFrame, labels: list[int], seed: int) -> float:
    """Return the adjusted Rand index of one fit with the true clusters."""
    model: Any = system(k=2, seed=seed).fit(df)
    found = [row.prediction for row in model.transform(df).orderBy("id").select("prediction").collect()]
    return float(adjusted_rand_score(labels, found))


def report(spark: SparkSession, options: argparse.Namespace) -> None:
    """Print the table: a line per number of features, a column per standard deviation of Spark ML, and ours."""
    print()
    harness.head("features", *(f"Spark ML, sd {scale:g}" for scale in options.scales), "gmm_spark, each sd")
    for d in options.features:
        found = [cell(spark, d, scale, options) for scale in options.scales]
        theirs = (f"{max(each['Spark ML']):.2f}" for each in found)
        harness.say(d, *theirs, f"{min(min(each['gmm_spark']) for each in found):.2f}")


def cell(spark: SparkSession, d: int, scale: float, options: argparse.Namespace) -> dict[str, list[float]]:
    """Return the agreement of each system's fits of one table, one per seed; log them."""
    x, labels = clusters(options.rows, d, scale)
    df = table(spark, x)
    found = {
        name: [agreement(system, df, labels, seed) for seed in range(options.seeds)] for name, system in SYSTEMS.items()
    }
    print(d, scale, found, file=sys.stderr, flush=True)
    df.unpersist()
    return found


def report_timestamps(spark: SparkSession) -> None:
    """Print the variances found in two clusters of unix timestamps ten seconds apart; the truth is 1 and 1."""
    rng = np.random.default_rng(0)
    x = 1.7e9 + 10.0 * (np.arange(2000) % 2)[:, None] + rng.standard_normal((2000, 1))
    df = table(spark, x)
    theirs = [float(each.cov.toArray()[0, 0]) for each in SparkMixture(k=2, seed=0).fit(df).gaussians]
    ours = GaussianMixture(k=2, seed=0).fit(df).covariances.ravel().tolist()
    found = {"Spark ML": theirs, "gmm_spark": ours}
    texts = [f"{name} {', '.join(f'{each:.6g}' for each in values)}" for name, values in found.items()]
    print(f"\nvariances of two clusters of timestamps (the truth is 1 and 1): {'; '.join(texts)}")


def main(argv: Sequence[str] | None = None) -> None:
    """Read the options and print the tables."""
    parser = harness.parser(__doc__, {"features": [5], "scales": [1.0], "rows": 200}, repeats="seeds")
    parser.set_defaults(seeds=3)
    parser.add_argument("--features", type=int, nargs="+", default=[5, 20, 25, 50])
    parser.add_argument("--scales", type=float, nargs="+", default=[0.1, 1.0, 10.0, 1000.0])
    parser.add_argument("--rows", type=int, default=2000)
    options = harness.parse_options(parser, argv)
    spark = sessions.session()
    report_timestamps(spark)
    report(spark, options)
    spark.stop()


if __name__ == "__main__":
    main()
