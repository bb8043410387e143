"""Two shows of scale: a driver whose memory does not grow with the partitions, and temporary files that do not pile up.

    .venv/bin/python scripts/check_scale.py              # a few minutes; ends with status 1 if one of them fails

1. A fit over 2,000 partitions, each with statistics of its own, whose sum is many times what
   spark.driver.maxResultSize lets through; beside one over 200 partitions: the peak memory of the driver's JVM and
   Python, apart from the executors, which are processes of their own.
2. 200 passes over a small table: the files in Spark's scratch folder after 20 passes and after 200.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("PYSPARK_PYTHON", sys.executable)

import numpy as np
import psutil
from pyspark.sql import SparkSession

from gmm_spark import GaussianMixtureModel
from gmm_spark.limits import Limits
from gmm_spark.options import Options
from gmm_spark.spark.fit.train import Trained, train
from gmm_spark.spark.table.columns import Features
from gmm_spark.spark.table.names import Names
from gmm_spark.statistics.layouts import feature_count

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from typing_extensions import Self

D, K, ROWS_PER_PARTITION, LIMIT = 48, 16, 100, "32m"


def session(scratch: str) -> SparkSession:
    """Return a session whose driver may receive little."""
    settings = {
        "spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false", "spark.driver.memory": "512m",
        "spark.driver.maxResultSize": LIMIT, "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1", "spark.local.dir": scratch, "spark.log.level": "ERROR",
        "spark.python.unix.domain.socket.enabled": "true", "spark.sql.shuffle.partitions": "8",
    }  # fmt: skip
    builder = SparkSession.builder.master("local-cluster[2,1,1024]").appName("gmm_spark scale")
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def truth(d: int, k: int) -> GaussianMixtureModel:
    """Return a mixture to draw rows from."""
    means = 3 * np.random.default_rng(0).standard_normal((k, d))
    return GaussianMixtureModel.fromArrays(np.full(k, 1 / k), means, np.stack([np.eye(d)] * k), "full")


class Peak:
    """Watches the resident memory of the driver's JVM and Python, in bytes."""

    def __init__(self) -> None:
        self.jvm = self.python = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        me = psutil.Process()
        (jvm,) = (each for each in me.children() if "java" in each.name())
        while not self._end.wait(0.1):
            self.jvm, self.python = max(self.jvm, jvm.memory_info().rss), max(self.python, me.memory_info().rss)


def steps(df: DataFrame, model: GaussianMixtureModel, count: int, limits: Limits) -> Trained:
    """Run plain EM steps from a model, within limits."""
    features = Features.of(Names.of(df), features_col="features")
    options = Options(model.parameters.k, max_iter=count, tol=0.0, acceleration="none")
    return train(df, features, None, options, model.parameters, limits=limits)


def many_partitions(partitions: int) -> None:
    """Fit one step over n partitions, each of them a task with statistics of its own."""
    with tempfile.TemporaryDirectory() as scratch:
        spark, model = session(scratch), truth(D, K)
        df = model.sample(ROWS_PER_PARTITION * partitions, seed=1, spark=spark).select("features")
        df = df.repartition(partitions, "features").persist()
        with Peak() as peak:
            began = time.perf_counter()
            summary = steps(df, model, 1, Limits(least_tasks=partitions)).summary
        sent, took = partitions * K * feature_count(D) * 8 / 2**20, time.perf_counter() - began
        print(
            f"{partitions} partitions, {sent:.0f} MB of statistics a pass, at most {LIMIT} of results a job:", end=" "
        )
        driver = f"{peak.jvm / 2**20:.0f} MiB of JVM and {peak.python / 2**20:.0f} MiB of Python"
        print(f"{summary.numRows} rows in {took:.0f} s, the driver's peak {driver}", flush=True)
        if summary.numRows != ROWS_PER_PARTITION * partitions:
            raise SystemExit(1)
        spark.stop()


class Files(logging.Handler):
    """Counts the files of the scratch folder after each pass."""

    def __init__(self, folder: Path) -> None:
        super().__init__(logging.INFO)
        self.folder, self.counts = folder, list[int]()

    def emit(self, record: logging.LogRecord) -> None:
        """Count."""
        if record.getMessage().startswith("pass "):
            self.counts.append(sum(path.is_file() for path in self.folder.rglob("*")))


def many_passes() -> None:
    """Run 200 passes over a small table."""
    with tempfile.TemporaryDirectory() as scratch:
        spark, model = session(scratch), truth(8, 8)
        files, log = Files(Path(scratch)), logging.getLogger("gmm_spark")
        log.addHandler(files)
        log.setLevel(logging.INFO)
        df = model.sample(20_000, seed=1, spark=spark).select("features")
        steps(df, model, 199, Limits(least_filed_bytes=0))
        print(f"{len(files.counts)} passes: {files.counts[19]} files after 20, {files.counts[-1]} after the last")
        if files.counts[-1] > files.counts[19] + 5:
            raise SystemExit(1)
        spark.stop()


SHOWS = {"200": lambda: many_partitions(200), "2000": lambda: many_partitions(2000), "passes": many_passes}


def main() -> None:
    """Run each show in a process of its own, for its memory is its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("show", nargs="?", choices=SHOWS, help="this one alone, in this process")
    chosen = parser.parse_args().show
    if chosen:
        SHOWS[chosen]()
        return
    for name in SHOWS:
        subprocess.run([sys.executable, __file__, name], check=True)  # noqa: S603 - this very script


if __name__ == "__main__":
    main()
