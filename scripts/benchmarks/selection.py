"""One selection of many mixtures beside fitting them one after the other: seconds, passes and likelihoods.

    .venv/bin/python scripts/benchmark_selection.py

30 candidates by default: K = 2 ... 11 of the families full, tied, diag, on 500,000 rows of 8 features of a known
mixture. Both by gmm_spark, in one session, from the same Parquet files; the same tol, seed and number of
starts. Nothing is retired, so that all candidates are fitted to their end in both.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any, get_args

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import numpy as np
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.mixture.parameters import Family
from gmm_spark.selection.evaluation import Candidate, grid
from gmm_spark.spark.ml.select import select

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.em.summary import Summary


def session(cores: int) -> SparkSession:
    """Return a local session with n cores."""
    builder = SparkSession.builder.master(f"local[{cores}]").appName("gmm_spark selection benchmark")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": "4g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.log.level": "ERROR",
        "spark.python.unix.domain.socket.enabled": "true",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def written(spark: SparkSession, options: argparse.Namespace, folder: str) -> DataFrame:
    """Return rows of a mixture of overlapping components, from Parquet files."""
    rng = np.random.default_rng(1)
    k, d = options.components, options.features
    roots = np.eye(d) + 0.3 * rng.standard_normal((k, d, d))
    means = 2.0 * rng.standard_normal((k, d))
    mixture = GaussianMixtureModel.fromArrays(np.full(k, 1 / k), means, roots @ roots.transpose(0, 2, 1))
    rows = mixture.sample(options.rows, seed=2, spark=spark).select("features")
    rows.repartition(options.cores * 2).write.mode("overwrite").parquet(folder)
    return spark.read.parquet(folder)


def one_by_one(
    df: DataFrame, candidates: Sequence[Candidate], params: dict[str, Any]
) -> tuple[float, dict[Candidate, Summary]]:
    """Fit the candidates one after the other; return the seconds and the summaries."""
    began, found = time.perf_counter(), {}
    for each in candidates:
        found[each] = GaussianMixture(k=each.k, covarianceType=each.family, **params).fit(df).summary
        print(f"{each.name}: {time.perf_counter() - began:.1f} s so far, {found[each].numPasses} passes", flush=True)
    return time.perf_counter() - began, found


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--features", type=int, default=8)
    parser.add_argument("--components", type=int, default=6, help="of the mixture that the rows come from")
    parser.add_argument("--most", type=int, default=11, help="the largest K; the smallest is 2")
    parser.add_argument("--families", nargs="+", choices=get_args(Family), default=["full", "tied", "diag"])
    parser.add_argument("--tol", type=float, default=1e-4)
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    return parser.parse_args()


def main() -> None:
    """Measure both and print the ratio."""
    options = arguments()
    spark = session(options.cores)
    params = {"tol": options.tol, "seed": 3}
    ks = range(2, options.most + 1)
    with tempfile.TemporaryDirectory(prefix="gmm_spark-benchmark-") as folder:
        df = written(spark, options, folder)
        GaussianMixture(k=2, maxIter=1, starts=1, seed=3).fit(df)  # workers and caches are warm for both
        began = time.perf_counter()
        chosen = select(df, GaussianMixture(**params), ks, options.families, retire=False)
        together = time.perf_counter() - began
        print(f"together: {together:.1f} s, {chosen.numPasses} passes, {chosen.seconds}", flush=True)
        alone, summaries = one_by_one(df, grid(ks, options.families), params)
    differences = [
        chosen.models[each].summary.meanLogLikelihood - summary.meanLogLikelihood for each, summary in summaries.items()
    ]
    passes = sum(summary.numPasses for summary in summaries.values())
    print(
        f"{len(summaries)} candidates, {options.rows} rows, {options.features} features: together {together:.1f} s and "
        f"{chosen.numPasses} passes, one after the other {alone:.1f} s and {passes} passes: {together / alone:.3f} of "
        f"the time; log-likelihood per row together minus alone: least {min(differences):+.2e}, median "
        f"{np.median(differences):+.2e}, most {max(differences):+.2e}; chosen {chosen.best.name}"
    )


if __name__ == "__main__":
    main()
