"""Seconds per EM iteration of gmm_spark, Spark ML and scikit-learn: one run, the same rows and cores.

    .venv/bin/python scripts/benchmark.py --rows 2000000 --features 16 --components 16
    .venv/bin/python scripts/benchmark.py --table     # the README's rows, each in a process of its own

Rows come from a known mixture, scaled down to a standard deviation of 0.1 so that Spark ML's components
do not collapse and stop it early; its iterations are counted (`summary.numIter`) all the same. An
iteration's time is the difference between a long and a short fit from the same start over the difference
of their iterations, so that starting, packing and searching do not count; the median of the repeats.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import numpy as np
import psutil
from pyspark.ml.clustering import GaussianMixture as SparkMixture
from pyspark.ml.functions import array_to_vector
from pyspark.sql import SparkSession
from pyspark.sql import functions as f
from sklearn.mixture import GaussianMixture as SklearnMixture

from gmm_spark import GaussianMixture, GaussianMixtureModel
from gmm_spark.mixture.parameters import Parameters

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame
    from typing_extensions import Self

    from gmm_spark.mixture.parameters import Family

# Our iterations are so short that many must go by before they stand out from the seconds of reading and packing.
SHORT, LONG = 1, {"gmm_spark": 41, "spark_ml": 4, "sklearn": 4}
NAMES = {"python": "a Python worker", "java": "the JVM", "driver": "the driver's Python"}


@dataclass
class Timing:
    """What one system took."""

    system: str
    seconds_per_iteration: float
    mean_log_likelihood: float
    iterations: int
    repeats: list[float] = field(default_factory=list)


def truth(d: int, k: int, family: str, seed: int) -> Parameters:
    """Return a mixture whose components overlap a little."""
    rng = np.random.default_rng(seed)
    turns = np.linalg.qr(rng.standard_normal((k, d, d)))[0]
    spread = np.ones((k, d)) if family == "tied" else rng.uniform(0.5, 2.0, (k, d))
    turns = np.broadcast_to(np.eye(d), turns.shape) if family != "full" else turns
    covariances = np.einsum("kij,kj,klj->kil", turns, spread, turns)
    means = rng.standard_normal((k, d)) * 3
    return Parameters(rng.dirichlet(np.full(k, 20.0)), 0.1 * means, 0.01 * covariances, "full")


def started(mixture: Parameters, family: Family, seed: int) -> GaussianMixtureModel:
    """Return a start near the truth."""
    shift = 0.03 * np.random.default_rng(seed).standard_normal(mixture.means.shape)
    pooled = np.broadcast_to(0.02 * np.eye(mixture.d), mixture.covariances.shape)
    return GaussianMixtureModel.fromArrays(np.full(mixture.k, 1 / mixture.k), mixture.means + shift, pooled, family)


def per_iteration(run: Callable[[int], tuple[float, int]], most: int, repeats: int) -> tuple[list[float], float, int]:
    """Return seconds per iteration of each repeat, the log-likelihood and iterations of the long fit."""
    run(SHORT)
    seconds, log_likelihood, iterations = [], 0.0, 0
    for _ in range(repeats):
        times = []
        for steps in (SHORT, most):
            began = time.perf_counter()
            log_likelihood, iterations = run(steps)
            times.append((time.perf_counter() - began, iterations))
        (short, few), (long, many) = times
        seconds.append((long - short) / max(many - few, 1))
    return seconds, log_likelihood, iterations


def ours(df: DataFrame, start: GaussianMixtureModel, family: str, precision: str) -> Callable[[int], tuple[float, int]]:
    """Return a fit of gmm_spark that runs exactly `steps` plain EM steps."""

    def run(steps: int) -> tuple[float, int]:
        mixture = GaussianMixture(
            k=len(start.weights), covarianceType=family, maxIter=steps, tol=0.0, acceleration="none", featuresCol="x",
            precision=precision,
        )  # fmt: skip
        summary = mixture.setInitialModel(start).fit(df).summary
        return summary.meanLogLikelihood, summary.numIter

    return run


def spark_ml(df: DataFrame, k: int) -> Callable[[int], tuple[float, int]]:
    """Return a fit of Spark ML."""
    rows = df.count()

    def run(steps: int) -> tuple[float, int]:
        summary = SparkMixture(k=k, maxIter=steps, tol=0.0, seed=1, featuresCol="vector").fit(df).summary
        return summary.logLikelihood / rows, summary.numIter

    return run


def sklearn(x: np.ndarray[Any, Any], start: GaussianMixtureModel, family: Family) -> Callable[[int], tuple[float, int]]:
    """Return a fit of scikit-learn that starts where ours does."""
    precisions = np.linalg.inv(start.covariances)
    initial = {
        "full": precisions,
        "tied": precisions[0],
        "diag": np.einsum("kii->ki", precisions),
        "spherical": precisions[:, 0, 0],
    }[family]

    def run(steps: int) -> tuple[float, int]:
        mixture = SklearnMixture(
            len(start.weights), covariance_type=family, max_iter=steps, tol=0.0, weights_init=start.weights,
            means_init=start.means, precisions_init=initial, init_params="random_from_data", random_state=0,
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            mixture.fit(x)
        return float(mixture.lower_bound_), mixture.n_iter_

    return run


def resident(process: psutil.Process) -> tuple[str, int]:
    """Return what a process below this one is, python or java, and its resident bytes; 0 for one that has ended."""
    try:
        return "java" if "java" in process.name() else "python", process.memory_info().rss
    except psutil.Error:
        return "python", 0


class Memory:
    """Watches the peak resident memory of the Python workers, of the JVM, and of this process: the driver's Python."""

    def __init__(self) -> None:
        self.peak = {"python": 0, "java": 0, "driver": 0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        while not self._stop.wait(0.05):
            seen = [("driver", me.memory_info().rss), *map(resident, me.children(recursive=True))]
            for kind, size in seen:
                self.peak[kind] = max(self.peak[kind], size)


def session(cores: int) -> SparkSession:
    """Return a local session with n cores."""
    builder = SparkSession.builder.master(f"local[{cores}]").appName("gmm_spark benchmark")
    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.memory": "8g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.python.unix.domain.socket.enabled": "true",  # as in conf/spark-defaults.conf
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    return builder.getOrCreate()


def arguments() -> argparse.Namespace:
    """Return the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--table", action="store_true", help="all rows of the table, instead of the one below")
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--features", type=int, default=16)
    parser.add_argument("--components", type=int, default=16)
    parser.add_argument("--family", choices=["full", "tied", "diag", "spherical"], default="full")
    parser.add_argument("--precision", choices=["float64", "float32"], default="float64")
    parser.add_argument("--cores", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--systems", default="gmm_spark,spark_ml,sklearn", help="which to run, comma separated")
    parser.add_argument("--json", type=Path, help="write the figures here")
    return parser.parse_args()


def measure(options: argparse.Namespace, folder: str) -> tuple[list[Timing], dict[str, int]]:
    """Run each system in turn on the same rows; return their timings and the peak memory of gmm_spark."""
    spark = session(options.cores)
    mixture = truth(options.features, options.components, options.family, seed=1)
    start = started(mixture, options.family, seed=2)
    rows = GaussianMixtureModel(mixture).sample(options.rows, seed=3, spark=spark).select(f.col("features").alias("x"))
    rows.repartition(options.cores * 2).write.mode("overwrite").parquet(folder)
    df = spark.read.parquet(folder)
    timings, memory = [], Memory()
    for system in options.systems.split(","):
        most = LONG[system]
        if system == "gmm_spark":
            with memory:
                figures = per_iteration(ours(df, start, options.family, options.precision), most, options.repeats)
        elif system == "spark_ml":
            vectors = df.select(array_to_vector(f.col("x")).alias("vector"))
            figures = per_iteration(spark_ml(vectors, options.components), most, options.repeats)
        else:
            x = np.concatenate(df.toArrow().column("x").combine_chunks().flatten().to_numpy(zero_copy_only=False)[None])
            run = sklearn(x.reshape(-1, options.features), start, options.family)
            figures = per_iteration(run, most, options.repeats)
        seconds, log_likelihood, iterations = figures
        timings.append(Timing(system, statistics.median(seconds), log_likelihood, iterations, seconds))
        print_row(timings)
    return timings, memory.peak


def print_row(timings: list[Timing]) -> None:
    """Print the latest timing and its ratio to the first."""
    last, first = timings[-1], timings[0]
    ratio = last.seconds_per_iteration / first.seconds_per_iteration
    sys.stdout.write(
        f"{last.system:10} {last.seconds_per_iteration:9.3f} s/iteration   {ratio:6.2f} x {first.system}   "
        f"log-likelihood {last.mean_log_likelihood:.6f} nats per row after {last.iterations} iterations\n"
    )
    sys.stdout.flush()


# n, d, k, family, and the ratio to Spark ML and to scikit-learn that is aimed at.
TABLE: tuple[tuple[int, int, int, str, float | None, float], ...] = (
    (4_000_000, 4, 8, "full", 8, 12),
    (2_000_000, 16, 16, "full", 8, 10),
    (500_000, 32, 32, "full", 10, 10),
    (200_000, 64, 16, "full", 7, 4),
    (2_000_000, 16, 16, "diag", None, 6),
    (2_000_000, 16, 16, "tied", None, 12),
    (4_000_000, 2, 3, "full", 4, 8),
)


def run_table(options: argparse.Namespace) -> None:
    """Run each row in a process of its own, whose memory is its own; print a table."""
    heads = ("n", "d", "K", "family", "gmm_spark s", "Spark ML s", "ratio (aim)", "scikit-learn s", "ratio (aim)")
    print(f"| {' | '.join(heads)} | MiB worker, JVM, driver |")
    print("|" + "---|" * 10)
    for n, d, k, family, spark_aim, sklearn_aim in TABLE:
        systems = "gmm_spark,spark_ml,sklearn" if spark_aim else "gmm_spark,sklearn"
        with tempfile.TemporaryDirectory() as folder:
            figures = Path(folder) / "figures.json"
            command = [
                sys.executable, __file__, "--rows", str(n), "--features", str(d), "--components", str(k),
                "--family", family, "--precision", options.precision, "--cores", str(options.cores),
                "--repeats", str(options.repeats), "--systems", systems, "--json", str(figures),
            ]  # fmt: skip
            subprocess.run(command, check=True, stdout=sys.stderr)  # noqa: S603 - this very script
            report = json.loads(figures.read_text())
        seconds = {each["system"]: each["seconds_per_iteration"] for each in report["timings"]}
        peers = [ratio(seconds, "spark_ml", spark_aim), ratio(seconds, "sklearn", sklearn_aim)]
        memory = ", ".join(f"{report['peak_bytes'][kind] / 2**20:.0f}" for kind in ("python", "java", "driver"))
        print(
            f"| {n:,} | {d} | {k} | {family} | {seconds['gmm_spark']:.3f} | {' | '.join(peers)} | {memory} |",
            flush=True,
        )


def ratio(seconds: dict[str, float], peer: str, aim: float | None) -> str:
    """Return a peer's seconds, and their ratio to ours beside the one that is aimed at."""
    if aim is None:
        return "- | -"
    return f"{seconds[peer]:.3f} | {seconds[peer] / seconds['gmm_spark']:.1f} ({aim:g})"


def main() -> None:
    """Measure, print, and write JSON where asked to."""
    options = arguments()
    if options.table:
        run_table(options)
        return
    with tempfile.TemporaryDirectory(prefix="gmm_spark-benchmark-") as folder:
        timings, peak = measure(options, folder)
    peaks = ", ".join(f"{name} {peak[kind] / 2**20:.0f}" for kind, name in NAMES.items())
    sys.stdout.write(f"peak resident memory of gmm_spark, MiB: {peaks}\n")
    if options.json:
        report = {
            "rows": options.rows, "features": options.features, "components": options.components,
            "family": options.family, "cores": options.cores, "peak_bytes": peak,
            "timings": [asdict(timing) for timing in timings],
        }  # fmt: skip
        options.json.write_text(json.dumps(report, indent=2))


if __name__ == "__main__":
    main()
