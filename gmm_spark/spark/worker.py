"""What Spark's Python workers do between two tasks and at their end, and how to have less of it."""

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


def settle() -> None:
    """Make this worker's next task start sooner; to be called at the beginning of a task.

    Before each task Spark has Python look afresh for modules. Up to Python 3.11 every archive on the path that a
    module was sought in is then read again, the jar of spark-core among them: 100 ms of a core, a task, which is more
    than the arithmetic of many. A finder that is forgotten is made again when a module is next sought.
    """
    _freeze(len(sys.modules))
    _end_quietly()
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]


@cache
def _freeze(_modules: int) -> None:
    """Take what this worker has imported out of the garbage collector's sight, once for each number of modules.

    Spark collects garbage after each task: 30 ms with all the modules in view, next to nothing without.
    """
    gc.freeze()


@cache
def _end_quietly() -> None:
    """Let this worker end without a traceback when Spark closes it after a minute without a task.

    It then finds the end of its input where it expects a task, writes that error to a socket that is closed, and
    pyspark's daemon prints a BrokenPipeError into the log of a run that succeeded. Spark, which closed the input, reads
    no error: that one, and no other, need not be sent.
    """
    worker = sys.modules.get("pyspark.worker")
    send = getattr(worker, "handle_worker_exception", None)
    if worker is None or send is None:
        return

    def send_unless_closed(error: BaseException, outfile: IO[bytes], *more: Any, **named: Any) -> None:  # noqa: ANN401
        if not isinstance(error, EOFError):
            send(error, outfile, *more, **named)

    worker.handle_worker_exception = send_unless_closed  # type: ignore[attr-defined] # a name that it looks up


def task_partition() -> int:
    """Return the number of the partition that this task works on."""
    context = TaskContext.get()
    return 0 if context is None else context.partitionId()


def variadic(function: partial[pa.Array]) -> Callable[..., pa.Array]:
    """Return a function of any number of arrays, by which Spark sees what to send, from one of a list."""

    def score(*arrays: pa.Array) -> pa.Array:
        return function(list(arrays))

    return score
