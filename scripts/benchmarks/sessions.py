"""Spark for measurements: a local session, tables in Parquet files, memory and processor time of all its processes."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import SparkSession

from scripts.benchmarks.harness import Clock

if TYPE_CHECKING:
    from pyspark.sql import DataFrame
    from typing_extensions import Self

    from gmm_spark.mixture.parameters import FloatArray

CORES = os.cpu_count() or 1
_SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
    "spark.driver.memory": "8g",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.host": "127.0.0.1",
    "spark.python.unix.domain.socket.enabled": "true",  # as the jobs do on one machine
}


def session(cores: int = CORES, settings: dict[str, str] | None = None) -> SparkSession:
    """Return a local session with n cores, or with the `spark.master` of the settings."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("gmm_spark benchmark")
    for name, value in {"spark.master": f"local[{cores}]", **_SETTINGS, **(settings or {})}.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def write_table(spark: SparkSession, x: FloatArray, folder: str, cores: int = CORES) -> DataFrame:
    """Return the (n, d) rows as a table of one column of arrays, x, in twice as many Parquet files as cores."""
    offsets = pa.array(np.arange(len(x) + 1, dtype=np.int32) * x.shape[1])
    table = pa.table({"x": pa.ListArray.from_arrays(offsets, pa.array(x.ravel()))})
    rows = -(-len(x) // (2 * cores))
    for number, low in enumerate(range(0, len(x), rows)):
        pq.write_table(table.slice(low, rows), f"{folder}/{number}.parquet")
    return spark.read.parquet(folder)


def processor_seconds() -> float:
    """Return the processor seconds of this process and its descendants: the JVM and the Python workers."""
    return sum(map(_used, _processes()))


CLOCK = Clock(cpu=processor_seconds)


def _processes() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _used(process: psutil.Process) -> float:
    try:
        return sum(process.cpu_times()[:4])  # user and system, of the process and of its ended children
    except psutil.Error:
        return 0.0


class Memory:
    """Watches the peak resident bytes of the driver's JVM, of the driver's Python, and of a Python worker."""

    def __init__(self) -> None:
        self.peak = {"worker": 0, "jvm": 0, "driver": 0}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def __str__(self) -> str:
        return ", ".join(f"{kind} {size / 2**20:.0f} MiB" for kind, size in self.peak.items())

    def _watch(self) -> None:
        me = os.getpid()
        while not self._stop.wait(0.05):
            for process in _processes():
                kind, size = _resident(process, me)
                self.peak[kind] = max(self.peak[kind], size)


def _resident(process: psutil.Process, me: int) -> tuple[str, int]:
    """Return the kind of a process and its resident bytes; 0 for an ended process or an executor's JVM.

    The program decides: a child of the JVM has a thread's name, and the memory of the JVM, until it runs Python.
    """
    try:
        kind = "driver" if process.pid == me else "jvm" if process.exe().endswith("java") else "worker"
        is_counted = kind != "jvm" or process.ppid() == me
        return kind, process.memory_info().rss if is_counted else 0
    except psutil.Error:
        return "worker", 0
