"""Steps of a table before gmm_spark reads it; they run in the Python workers, which import this file by its name."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from pyspark import TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    Batches = Iterable[pa.RecordBatch]
    MapBatches = Callable[[Batches], Iterator[pa.RecordBatch]]

ROWS_DDL = "id bigint, x0 double, x1 double, x2 double"


def features(ids: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return (n, 3) rows of three overlapping clusters: a function of the row number only."""
    u = np.modf(np.outer(ids + 1, np.sqrt([2.0, 3.0, 5.0, 7.0, 11.0, 13.0])))[0]
    normal = np.sqrt(-2 * np.log(1 - u[:, :3])) * np.cos(2 * np.pi * u[:, 3:])  # Box-Muller
    centre = np.array([[0.0, 0.0, 0.0], [3.0, 0.0, -2.0], [1.0, 4.0, 2.0]])[ids % 3]
    return np.asarray(centre + normal * [1.0, 0.7, 1.5])


def rows(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Yield the rows for these row numbers."""
    for batch in batches:
        ids = batch.column(0).to_numpy()
        yield pa.RecordBatch.from_arrays(
            [pa.array(ids), *map(pa.array, features(ids).T)], names=["id", "x0", "x1", "x2"]
        )


def fail_first_attempt(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Pass the rows on; the first attempt of the second partition fails after a batch, in every stage."""
    context = TaskContext.get()
    for batch in batches:
        yield batch
        if context is not None and context.partitionId() == 1 and context.attemptNumber() == 0:
            raise RuntimeError("a task that fails once, on purpose")


def fail_two_attempts(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Pass the rows on; two attempts of the second partition fail after a batch, in every stage."""
    context = TaskContext.get()
    for batch in batches:
        yield batch
        if context is not None and context.partitionId() == 1 and context.attemptNumber() <= 1:
            raise RuntimeError("a task that fails twice, on purpose")


def sleep_unless_copied(marker: Path) -> MapBatches:
    """Return a function that passes rows on, and takes minutes for the first partition unless it is a second try."""
    return partial(_sleep_unless_copied, marker)


def _sleep_unless_copied(marker: Path, batches: Batches) -> Iterator[pa.RecordBatch]:
    context = TaskContext.get()
    if context is not None and context.partitionId() == 0:
        if context.attemptNumber() == 0:
            time.sleep(300)
        marker.with_name(f"{marker.name}-{context.stageId()}").touch()
    yield from batches


def kill_executor_once(marker: Path, reads: int) -> MapBatches:
    """Return a function that passes rows on, and kills its executor once: at the second partition's nth read."""
    return partial(_kill_executor_once, marker, reads)


def _kill_executor_once(marker: Path, reads: int, batches: Batches) -> Iterator[pa.RecordBatch]:
    context = TaskContext.get()
    if context is not None and context.partitionId() == 1:
        count = len(list(marker.parent.glob(f"{marker.name}*"))) + 1
        marker.with_name(f"{marker.name}{count}").touch(exist_ok=False)
        if count == reads:
            os.kill(executor_process(), signal.SIGKILL)
    yield from batches


def executor_process() -> int:
    """Return the process id of this worker's executor: the worker's parent is the daemon, its parent the JVM."""
    daemon = os.getppid()
    executor = int(Path(f"/proc/{daemon}/stat").read_text().rsplit(")", 1)[1].split()[1])
    command = Path(f"/proc/{executor}/cmdline").read_bytes()
    if b"CoarseGrainedExecutorBackend" not in command:
        raise RuntimeError(f"process {executor} is not an executor")
    return executor


def executor_processes(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Yield the process id of the executor."""
    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"executor": [executor_process()]})


def modules(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Yield the packages that this worker has loaded so far."""
    for _ in batches:
        pass
    yield pa.RecordBatch.from_pydict({"package": sorted({name.partition(".")[0] for name in sys.modules})})


def import_pandas(batches: Batches) -> Iterator[pa.RecordBatch]:
    """Import what the executors of the tests do not have."""
    importlib.import_module("pandas")

    yield from batches
