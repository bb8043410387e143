"""Passes and seconds of fits: gmm_spark beside plain EM, Spark ML and scikit-learn; Markdown tables.

    scripts/benchmarks/passes.py passes [--data cover,taxi,flights,synthetic] [--seeds 5] [--rows 2000000]
        Full passes and log-likelihood per row, against plain EM to tol 1e-6 from the same start.
    scripts/benchmarks/passes.py time [--seeds 5] [--rows 2000000] [--systems gmm_spark,spark_ml,sklearn]
        Seconds until a log-likelihood per row is within 1e-3 of the best of all fits: fits with defaults except for the
        seed; the seconds of all fits divided by the number of fits within 1e-3. Each system fits a small table first,
        so that the start of a Spark session is not counted. scikit-learn's BLAS has one thread for each core of Spark.

Each seed is a repeat, in which the systems take turns. Real tables are in the folder that GMM_SPARK_DATA names.
"""

from __future__ import annotations

import tempfile
import warnings
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.ml.clustering import GaussianMixture as SparkMixture
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as f
from sklearn.mixture import GaussianMixture as SklearnMixture
from threadpoolctl import threadpool_limits

from gmm_spark import GaussianMixture
from gmm_spark.mixture.parameters import Parameters
from scripts.benchmarks import data, fits, harness, sessions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.em.summary import Summary
    from gmm_spark.mixture.parameters import FloatArray

FEW = 20_000  # rows of the small table
K = 16  # of the synthetic table


def passes(options: argparse.Namespace) -> None:
    """Print full passes and log-likelihood of our fits, beside plain EM from the same starts."""
    spark, tables = sessions.session(), data.tables(options.rows)
    heads = ("passes", "log-likelihood", "less plain EM's", "plain's passes", "s", "processor s")
    harness.head("table", "n x d", "K", *heads)
    for name in options.data:
        x, k = tables[name].read(), tables[name].k
        with tempfile.TemporaryDirectory() as folder:
            df = sessions.write_table(spark, x, folder)
            runs = {"ours": partial(our_fit, df, k), "plain": partial(from_our_start, df, k, options.plain_steps)}
            timings = harness.interleave(runs, options.seeds, sessions.CLOCK)
        ours, plain = ([each.result for each in timings[each]] for each in runs)
        values = [[each.meanLogLikelihood for each in some] for some in (ours, plain)]
        harness.say(
            name, f"{len(x):,} x {x.shape[1]}", k, harness.Spread.of(each.numPasses for each in ours),
            f"{harness.Spread.of(values[0]):.6f}", harness.Spread.of(a - b for a, b in zip(*values, strict=True)),
            harness.Spread.of(each.numPasses for each in plain),
            harness.wall(timings["ours"]), harness.cpu(timings["ours"]),
        )  # fmt: skip


def our_fit(df: DataFrame, k: int, seed: int, **params: Any) -> Summary:  # noqa: ANN401 - those of the estimator
    """Return the summary of our fit."""
    return GaussianMixture(k=k, featuresCol="x", seed=seed, **params).fit(df).summary


def from_our_start(df: DataFrame, k: int, steps: int, seed: int) -> Summary:
    """Return the summary of plain EM, to its end, from the start that our search finds."""
    start = GaussianMixture(k=k, featuresCol="x", seed=seed, maxIter=0).fit(df)
    plain = GaussianMixture(k=k, featuresCol="x", seed=seed, acceleration="none", tol=1e-6, maxIter=steps)
    return plain.setInitialModel(start).fit(df).summary


def time_to_quality(options: argparse.Namespace) -> None:
    """Print the seconds of each system's fits, and how many of them are within NEAR of the best fit."""
    spark, x = sessions.session(), data.tables(options.rows)["synthetic"].read()
    with tempfile.TemporaryDirectory() as folder:
        df = sessions.write_table(spark, x, folder)
        for name in options.systems:
            SYSTEMS[name](df.limit(FEW), x[:FEW])(0)
        runs = {name: SYSTEMS[name](df, x) for name in options.systems}
        timings = harness.interleave(runs, options.seeds, sessions.CLOCK)
    values = {name: [fits.mean_log_likelihood(x, each.result) for each in timings[name]] for name in runs}
    best = max(value for some in values.values() for value in some)
    until = {name: _until_near(timings[name], [best - value for value in values[name]]) for name in runs}
    heads = ("s per fit", "processor s", "s until one is", f"times {options.systems[0]}", "log-likelihood")
    harness.head("system", "fits", f"within {fits.NEAR:g}", *heads)
    for name, each in timings.items():
        near = sum(best - value <= fits.NEAR for value in values[name])
        times = until[name] / until[options.systems[0]]
        numbers = harness.wall(each), harness.cpu(each), until[name], times
        harness.say(name, len(each), near, *numbers, f"{harness.Spread.of(values[name]):.6f}")


def _until_near(timings: Sequence[harness.Timing[Parameters]], behind: Sequence[float]) -> float:
    near = sum(each <= fits.NEAR for each in behind)
    return sum(each.wall for each in timings) / near if near else np.inf


def ours_by_default(df: DataFrame, _x: FloatArray) -> Callable[[int], Parameters]:
    """Return our fit with defaults, by seed."""
    return lambda seed: GaussianMixture(k=K, featuresCol="x", seed=seed).fit(df).parameters


def spark_ml_by_default(df: DataFrame, _x: FloatArray) -> Callable[[int], Parameters]:
    """Return Spark ML's fit with defaults, by seed."""
    vectors = df.select(array_to_vector(f.col("x")).alias("features"))

    def run(seed: int) -> Parameters:
        model = SparkMixture(k=K, seed=seed).fit(vectors)
        each = model.gaussians
        covariances = np.stack([one.cov.toArray() for one in each])
        return Parameters(np.array(model.weights), np.stack([one.mean.toArray() for one in each]), covariances, "full")

    return run


def sklearn_by_default(_df: DataFrame, x: FloatArray) -> Callable[[int], Parameters]:
    """Return scikit-learn's fit with defaults, by seed."""

    def run(seed: int) -> Parameters:
        with threadpool_limits(sessions.CORES):
            return fits.from_sklearn(SklearnMixture(K, random_state=seed).fit(x), "full")

    return run


SYSTEMS = {"gmm_spark": ours_by_default, "spark_ml": spark_ml_by_default, "sklearn": sklearn_by_default}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one of the measurements."""
    parser = harness.parser(__doc__, {"rows": 3000, "data": ["synthetic"], "plain_steps": 5}, repeats="seeds")
    parser.add_argument("what", choices=["passes", "time"])
    tables = ["cover", "taxi", "flights", "synthetic"]
    parser.add_argument("--data", type=harness.list_of(data.tables()), default=tables, help="tables, comma separated")
    parser.add_argument("--plain-steps", type=int, default=2000, help="most steps of plain EM")
    parser.add_argument("--rows", type=int, default=2_000_000, help="of the synthetic table")
    parser.add_argument("--systems", type=harness.list_of(SYSTEMS), default=list(SYSTEMS), help="comma separated")
    options = harness.parse_options(parser, argv)
    warnings.simplefilter("ignore")
    (passes if options.what == "passes" else time_to_quality)(options)


if __name__ == "__main__":
    main()
