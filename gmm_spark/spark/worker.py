"""What Spark's Python workers do between two tasks, and how to have less of it."""

from __future__ import annotations

import gc
import sys
from functools import cache
from zipimport import zipimporter


def settle() -> None:
    """Make this worker's next task start sooner; to be called at the beginning of a task.

    Before each task Spark has Python look afresh for modules. Up to Python 3.11 every archive on the path that a
    module was sought in is then read anew, the jar of spark-core among them: 100 ms of a core, a task, which is more
    than the arithmetic of many. A finder that is forgotten is made again when a module is next sought.
    """
    _freeze(len(sys.modules))
    for path, finder in list(sys.path_importer_cache.items()):
        if isinstance(finder, zipimporter):
            del sys.path_importer_cache[path]


@cache
def _freeze(_modules: int) -> None:
    """Take what this worker has imported out of the garbage collector's sight, once for each number of modules.

    Spark collects garbage after each task: 30 ms with all the modules in view, next to nothing without.
    """
    gc.freeze()
