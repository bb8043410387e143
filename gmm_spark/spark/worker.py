"""How Spark's Python workers spend less time between two tasks, and end without a traceback."""

from __future__ import annotations

import gc
import sys
from functools import cache, partial
from typing import IO, TYPE_CHECKING, Any
from zipimport import zipimporter

import pyarrow as pa  # noqa: TC002 - pyspark evaluates the hints of its functions
from pyspark import TaskContext

if TYPE_CHECKING:
    from collections.abc import Callable


def speed_up_worker() -> None:
    """Make this worker's next task start sooner; call it at the beginning of a task.

    Before each task Spark invalidates Python's import caches. Up to Python 3.11 every archive that was searched for a
    module is then read again, the jar of spark-core included: 100 ms of a core per task, which is more than the
    arithmetic of many tasks. Python makes a deleted finder again when it next looks for a module.
    """
    _freeze(len(sys.modules))
    _end_quietly()
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]


@cache
def _freeze(_modules: int) -> None:
    """Exclude the imported modules from garbage collection, once for each number of modules.

    Spark collects garbage after each task: 30 ms with all the modules included, almost 0 without.
    """
    gc.freeze()


@cache
def _end_quietly() -> None:
    """Let this worker end without a traceback when Spark closes it after a minute without a task.

    It then reads the end of its input where it expects a task, writes that error to a closed socket, and pyspark's
    daemon prints a BrokenPipeError into the log of a run that succeeded. Spark, which closed the input, does not read
    this error: so this one is not sent; all others are.
    """
    worker = sys.modules.get("pyspark.worker")
    send = getattr(worker, "handle_worker_exception", None)
    if worker is None or send is None:
        return

    def send_unless_closed(error: BaseException, outfile: IO[bytes], *more: Any, **named: Any) -> None:  # noqa: ANN401
        if not isinstance(error, EOFError):
            send(error, outfile, *more, **named)

    worker.handle_worker_exception = send_unless_closed  # type: ignore[attr-defined] # pyspark looks the name up at each error


def task_partition() -> int:
    """Return the number of the partition that this task works on."""
    context = TaskContext.get()
    return 0 if context is None else context.partitionId()


def variadic(function: partial[pa.Array]) -> Callable[..., pa.Array]:
    """Return a function of any number of arrays, as Spark's UDFs need, from a function of one list of arrays."""

    def score(*arrays: pa.Array) -> pa.Array:
        return function(list(arrays))

    return score
