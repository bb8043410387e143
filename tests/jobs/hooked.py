"""Run a job while something happens to it: WHAT JOB WORDS..."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmm_spark.batch import scoring, source
from tests.spark import upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame


def input_deleted() -> None:
    """Delete a file of the input when its schema is known, and before its rows are read."""
    before = source.read

    def read(*arguments: Any) -> DataFrame:  # noqa: ANN401
        rows = before(*arguments)
        Path(rows.inputFiles()[0].removeprefix("file://")).unlink()
        return rows

    source.read = read  # type: ignore[assignment]


def executor_killed() -> None:
    """Kill the executor that writes the second partition, once."""
    before = scoring.write

    def write(table: DataFrame, *arguments: Any) -> None:  # noqa: ANN401
        kill = upstream.kill_executor_once(Path.cwd() / "killed", reads=1)
        before(table.repartition(3, "id").mapInArrow(kill, table.schema), *arguments)

    scoring.write = write  # type: ignore[assignment]


def second_scorer() -> None:
    """Start a second scorer of the same output when the first has written, and before it publishes."""
    before = scoring.write

    def write(*arguments: Any) -> None:  # noqa: ANN401
        before(*arguments)
        scoring.write = before
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            sys.stderr.write(f"second: status {end.code}\n")

    scoring.write = write  # type: ignore[assignment]


HOOKS: dict[str, Callable[[], None]] = {hook.__name__: hook for hook in (input_deleted, executor_killed, second_scorer)}

if __name__ == "__main__":
    originals = source.read, scoring.write
    HOOKS[sys.argv[1]]()
    sys.argv = sys.argv[2:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        source.read, scoring.write = originals
