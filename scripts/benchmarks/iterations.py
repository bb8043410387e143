"""Seconds per EM iteration of gmm_spark, Spark ML and scikit-learn: one run, the same rows and cores.

    scripts/benchmarks/iterations.py --rows 2000000 --features 16 --components 16
    scripts/benchmarks/iterations.py --table     # the README's rows, each in a separate process

Rows come from a known mixture. Spark ML's iterations are counted (`summary.numIter`), because it may stop early. An
iteration's time is the difference between a long and a short fit from the same start over the difference of their
iterations, so that start, packing and search do not count; the systems take turns in each repeat. The memory is that
of our first fit, before the others have run. scikit-learn's BLAS has one thread for each core of Spark.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from pyspark.ml.clustering import GaussianMixture as SparkMixture
from pyspark.ml.functions import array_to_vector
from pyspark.sql import functions as f
from sklearn.mixture import GaussianMixture as SklearnMixture
from threadpoolctl import threadpool_limits

from gmm_spark import GaussianMixture, GaussianMixtureModel
from scripts.benchmarks import data, fits, harness, sessions

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pyspark.sql import DataFrame

    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters

Run: TypeAlias = "Callable[[int], tuple[float, int]]"  # of n iterations: nats per row, and the iterations made

# Our iterations are short: many are needed to distinguish them from the seconds of reading and packing.
SHORT, LONG = 1, {"gmm_spark": 41, "spark_ml": 4, "sklearn": 4}

# n, d, k, family, and our aims for the ratios to Spark ML and to scikit-learn.
TABLE: tuple[tuple[int, int, int, str, float | None, float], ...] = (
    (4_000_000, 4, 8, "full", 8, 12),
    (2_000_000, 16, 16, "full", 8, 10),
    (500_000, 32, 32, "full", 10, 10),
    (200_000, 64, 16, "full", 7, 4),
    (2_000_000, 16, 16, "diag", None, 6),
    (2_000_000, 16, 16, "tied", None, 12),
    (4_000_000, 2, 3, "full", 4, 8),
)


def start_near_truth(mixture: Parameters, family: Family) -> GaussianMixtureModel:
    """Return a start near the truth."""
    shift = 0.03 * np.random.default_rng(2).standard_normal(mixture.means.shape)
    pooled = np.broadcast_to(0.02 * np.eye(mixture.d), mixture.covariances.shape)
    return GaussianMixtureModel.fromArrays(np.full(mixture.k, 1 / mixture.k), mixture.means + shift, pooled, family)


def ours(df: DataFrame, start: GaussianMixtureModel, options: argparse.Namespace) -> Run:
    """Return a fit of gmm_spark that runs exactly `steps` plain EM steps."""

    def run(steps: int) -> tuple[float, int]:
        mixture = GaussianMixture(
            k=len(start.weights), covarianceType=options.family, maxIter=steps, tol=0.0, acceleration="none",
            featuresCol="x", precision=options.precision,
        )  # fmt: skip
        summary = mixture.setInitialModel(start).fit(df).summary
        return summary.meanLogLikelihood, summary.numIter

    return run


def spark_ml(df: DataFrame, k: int, rows: int) -> Run:
    """Return a fit of Spark ML."""
    vectors = df.select(array_to_vector(f.col("x")).alias("vector"))

    def run(steps: int) -> tuple[float, int]:
        summary = SparkMixture(k=k, maxIter=steps, tol=0.0, seed=1, featuresCol="vector").fit(vectors).summary
        return summary.logLikelihood / rows, summary.numIter

    return run


def sklearn(x: FloatArray, start: GaussianMixtureModel, options: argparse.Namespace) -> Run:
    """Return a fit of scikit-learn from the same start as ours."""
    precisions = np.linalg.inv(start.covariances)
    initial = {
        "full": precisions,
        "tied": precisions[0],
        "diag": np.einsum("kii->ki", precisions),
        "spherical": precisions[:, 0, 0],
    }[options.family]

    def run(steps: int) -> tuple[float, int]:
        mixture = SklearnMixture(
            len(start.weights), covariance_type=options.family, max_iter=steps, tol=0.0, weights_init=start.weights,
            means_init=start.means, precisions_init=initial, init_params="random_from_data", random_state=0,
        )  # fmt: skip
        with warnings.catch_warnings(), threadpool_limits(options.cores):
            warnings.simplefilter("ignore")
            mixture.fit(x)
        return float(mixture.lower_bound_), mixture.n_iter_

    return run


def measure(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Run the systems in turn on the same rows; return and print their figures and the memory of our fit."""
    mixture = data.truth(options.features, options.components, options.family)
    x, start = data.draw_rows(options.rows, mixture), start_near_truth(mixture, options.family)
    df = sessions.write_table(sessions.session(options.cores), x, folder, options.cores)
    made = {
        "gmm_spark": partial(ours, df, start, options),
        "spark_ml": partial(spark_ml, df, options.components, len(x)),
        "sklearn": partial(sklearn, x, start, options),
    }
    runs = {system: made[system]() for system in options.systems}
    with sessions.Memory() as memory:
        runs[options.systems[0]](LONG[options.systems[0]])
    for run in runs.values():
        run(SHORT)
    timed = {
        f"{system} {steps}": partial(_ignoring_repeat, run, steps)
        for system, run in runs.items()
        for steps in (SHORT, LONG[system])
    }
    timings = harness.interleave(timed, options.repeats, sessions.CLOCK)
    figures = {
        system: per_iteration(timings[f"{system} {SHORT}"], timings[f"{system} {LONG[system]}"]) for system in runs
    }
    report(figures)
    print(f"\npeak resident memory of a first fit of {options.systems[0]}: {memory}")
    return {"options": {**vars(options), "json": None}, "peak_bytes": memory.peak, "systems": figures}


def _ignoring_repeat(run: Run, steps: int, _: int) -> tuple[float, int]:
    return run(steps)


def per_iteration(
    short: Sequence[harness.Timing[tuple[float, int]]], long: Sequence[harness.Timing[tuple[float, int]]]
) -> dict[str, Any]:
    """Return the seconds per iteration of each repeat, and the result of the last long fit."""
    pairs = [(one, many, max(many.result[1] - one.result[1], 1)) for one, many in zip(short, long, strict=True)]
    log_likelihood, iterations = long[-1].result
    return {
        "seconds": [(many.wall - one.wall) / between for one, many, between in pairs],
        "processor_seconds": [(many.cpu - one.cpu) / between for one, many, between in pairs],
        "mean_log_likelihood": log_likelihood,
        "iterations": iterations,
    }


def report(figures: dict[str, dict[str, Any]]) -> None:
    """Print the seconds of each system and their ratio to the first system."""
    first = next(iter(figures))
    harness.head("system", "s per iteration", "processor s", f"times {first}", "nats per row", "after iterations")
    for system, figure in figures.items():
        seconds, cpu = (harness.Spread.of(figure[each]) for each in ("seconds", "processor_seconds"))
        times = harness.ratio(figure["seconds"], figures[first]["seconds"])
        harness.say(system, seconds, cpu, times, f"{figure['mean_log_likelihood']:.6f}", figure["iterations"])


def run_table(options: argparse.Namespace) -> None:
    """Run each row of the table in a separate process, to measure its memory; print the table."""
    peers = ("Spark ML s", "times (aim)", "scikit-learn s", "times (aim)")
    harness.head("n", "d", "K", "family", "gmm_spark s", *peers, "MiB worker, JVM, driver")
    for n, d, k, family, spark_aim, sklearn_aim in TABLE[:1] if options.quick else TABLE:
        systems = "gmm_spark,spark_ml,sklearn" if spark_aim else "gmm_spark,sklearn"
        shape = {
            "rows": options.rows if options.quick else n,
            "features": d,
            "components": k,
            "family": family,
            "systems": systems,
        }
        given = {each: vars(options)[each] for each in ("precision", "cores", "repeats")}
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "figures.json"
            words = [f"--{name}={value}" for name, value in {**shape, **given, "json": figures}.items()]
            subprocess.run([sys.executable, __file__, *words], check=True, stdout=sys.stderr)  # noqa: S603 - this script
            found = json.loads(figures.read_text())
        seconds = {system: each["seconds"] for system, each in found["systems"].items()}
        cells = [*_beside(seconds, "spark_ml", spark_aim), *_beside(seconds, "sklearn", sklearn_aim)]
        memory = ", ".join(f"{size / 2**20:.0f}" for size in found["peak_bytes"].values())
        harness.say(f"{shape['rows']:,}", d, k, family, harness.Spread.of(seconds["gmm_spark"]), *cells, memory)


def _beside(seconds: dict[str, list[float]], peer: str, aim: float | None) -> tuple[str, str]:
    if aim is None:
        return "-", "-"
    times = harness.ratio(seconds[peer], seconds["gmm_spark"])
    return str(harness.Spread.of(seconds[peer])), f"{times:.1f} ({aim:g})"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if `--json` is set."""
    parser = harness.parser(__doc__, {"rows": 4000, "features": 2, "components": 2})
    parser.add_argument("--table", action="store_true", help="all rows of the table, instead of the one below")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--family", choices=fits.SKLEARNS, default="full")
    parser.add_argument("--precision", choices=["float64", "float32"], default="float64")
    parser.add_argument("--cores", type=int, default=sessions.CORES)
    parser.add_argument("--systems", type=harness.list_of(LONG), default=list(LONG), help="comma separated")
    parser.add_argument("--json", type=Path, help="write the figures here")
    options = harness.parse_options(parser, argv)
    if options.table:
        run_table(options)
        return
    with tempfile.TemporaryDirectory(prefix="gmm_spark-benchmark-") as folder:
        figures = measure(options, folder)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2))


if __name__ == "__main__":
    main()
