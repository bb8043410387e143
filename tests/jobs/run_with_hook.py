"""Run a job, and a hook at some moment of it: HOOK JOB WORDS..."""

from __future__ import annotations

import os
import runpy
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from gmm_spark.batch.steps import input_table, scored_table
from tests.spark import upstream

if TYPE_CHECKING:
    from collections.abc import Callable

    from pyspark.sql import DataFrame


def input_deleted() -> None:
    """Delete a file of the input after its schema is read, and before its rows are read."""
    before = input_table.read

    def read(*arguments: Any) -> DataFrame:  # noqa: ANN401
        rows = before(*arguments)
        Path(rows.inputFiles()[0].removeprefix("file://")).unlink()
        return rows

    input_table.read = read  # type: ignore[assignment]


def _once_read(change: Callable[[Path], None]) -> Callable[[], None]:
    """Return a hook that changes the folder of the input once, after Spark has listed it and before it reads rows."""

    def hook() -> None:
        before = input_table.read

        def read(*arguments: Any) -> DataFrame:  # noqa: ANN401
            rows = before(*arguments)
            input_table.read = before
            change(Path(min(rows.inputFiles()).removeprefix("file://")).parent)
            return rows

        input_table.read = read  # type: ignore[assignment]

    return hook


def _replace(folder: Path) -> None:
    """Replace a file by another one with other rows and the same name."""
    file = _first(folder)
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("x"), "x", pc.add(table["x"], 100.0)), file)


def input_rewritten() -> None:
    """Write other rows into a file of the input, of the same size, within the same millisecond, during the read."""
    write = scored_table.write

    def written(*arguments: Any) -> None:  # noqa: ANN401
        _rewrite(_first(Path("rewritten")))
        write(*arguments)

    scored_table.write = written  # type: ignore[assignment]


def _rewrite(file: Path) -> None:
    before, table = file.stat(), pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index("x"), "x", pc.negate(table["x"])), file)
    assert file.stat().st_size == before.st_size
    second = before.st_mtime_ns // 1_000_000 * 1_000_000
    os.utime(file, ns=(second, second + (before.st_mtime_ns + 1) % 1_000_000))


def _add(folder: Path) -> None:
    """Add a file with rows that are in the input already."""
    shutil.copy(_first(folder), folder / "added.parquet")


def _swap(folder: Path) -> None:
    """Change the link to the input so that it points to another folder."""
    (folder.parent / "another").symlink_to(f"{folder.resolve()}-another")
    (folder.parent / "another").rename(folder)


def _first(folder: Path) -> Path:
    return min(folder.glob("*.parquet"))


def stalled() -> None:
    """Wait in the JVM after the output is claimed; a file `stalled` names the folder of the sockets."""
    before = input_table.read

    def read(*arguments: Any) -> DataFrame:  # noqa: ANN401
        rows = before(*arguments)
        jvm: Any = rows.sparkSession._jvm  # noqa: SLF001 - it waits for the JVM, as for any Spark job
        Path("draft").write_text(str(rows.sparkSession.conf.get("spark.python.unix.domain.socket.dir")))
        Path("draft").rename("stalled")
        jvm.Thread.sleep(120_000)
        return rows

    input_table.read = read  # type: ignore[assignment]


def input_removed_late() -> None:
    """Remove the folder of the input after all rows are read, and before the output is published."""
    before = scored_table.check_written

    def verified(*arguments: Any) -> dict[str, int]:  # noqa: ANN401
        counts = before(*arguments)
        shutil.rmtree("removed")
        return counts

    scored_table.check_written = verified  # type: ignore[assignment]


def executor_killed() -> None:
    """Kill the executor that writes the second partition, once."""
    before = scored_table.write

    def write(table: DataFrame, *arguments: Any) -> None:  # noqa: ANN401
        kill = upstream.kill_executor_once(Path.cwd() / "killed", reads=1)
        before(table.repartition(3, "id").mapInArrow(kill, table.schema), *arguments)

    scored_table.write = write  # type: ignore[assignment]


def second_scorer() -> None:
    """Start a second score job with the same output after the first has written, and before it publishes."""
    before = scored_table.write

    def write(*arguments: Any) -> None:  # noqa: ANN401
        before(*arguments)
        scored_table.write = before
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            sys.stderr.write(f"second: status {end.code}\n")

    scored_table.write = write  # type: ignore[assignment]


_HOOKS = (stalled, input_deleted, input_removed_late, input_rewritten, executor_killed, second_scorer)
HOOKS: dict[str, Callable[[], None]] = {
    **{hook.__name__: hook for hook in _HOOKS},
    **{change.__name__: _once_read(change) for change in (_replace, _add, _swap)},
}

if __name__ == "__main__":
    originals = input_table.read, scored_table.write, scored_table.check_written
    HOOKS[sys.argv[1]]()
    sys.argv = sys.argv[2:]
    try:
        runpy.run_path(sys.argv[0], run_name="__main__")
    finally:
        input_table.read, scored_table.write, scored_table.check_written = originals
