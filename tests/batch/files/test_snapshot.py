"""The snapshot of an input's files equals what the operating system reports, for any file names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gmm_spark.batch.files import snapshot
from gmm_spark.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import SparkSession

pytestmark = pytest.mark.classic_only  # jobs refuse Spark Connect

NAMES = ("a", "b; length=5; modification_time=7", "c, d}", "é ü", "day=1/a", "day=2/a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write files of different sizes, some in partitions."""
    for rows, name in enumerate(NAMES, start=1):
        file = tmp_path / "in" / f"{name}.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [0.5 * i for i in range(rows)]}), file)
    return tmp_path / "in"


def _files_of(folder: Path) -> dict[str, tuple[int, str]]:
    return {f"file:{file}": (file.stat().st_size, str(file.stat().st_mtime_ns)) for file in folder.rglob("*.parquet")}


@pytest.mark.parametrize("sources", ["parquet", ""])
def test_sizes_and_times_are_those_of_the_operating_system(spark: SparkSession, folder: Path, sources: str) -> None:
    """Each file has its path, bytes and nanoseconds, with Spark's V1 and V2 sources."""
    flat = sorted(str(file) for file in folder.glob("*.parquet"))
    before = spark.conf.get("spark.sql.sources.useV1SourceList")
    spark.conf.set("spark.sql.sources.useV1SourceList", sources)
    try:
        found = snapshot.take_snapshot(spark.read.parquet(*flat))
    finally:
        spark.conf.set("spark.sql.sources.useV1SourceList", str(before))
    assert found is not None
    assert found.is_pinned
    expected = {path: each for path, each in _files_of(folder).items() if "day=" not in path}
    assert {path: (state.size, state.mark) for path, state in found.files.items()} == expected


def test_a_condition_on_partitions_excludes_other_files(spark: SparkSession, folder: Path) -> None:
    """A snapshot of day 1 has only the file of day 1; a snapshot of a day without rows has no file."""
    (folder / "days").mkdir()
    for day in ("day=1", "day=2"):
        (folder / day).rename(folder / "days" / day)
    rows = spark.read.parquet(str(folder / "days"))
    for day, names in (("1", ["day=1/a.parquet"]), ("3", [])):
        found = snapshot.take_snapshot(rows.where(f"day = {day}"))
        assert found is not None
        assert [path.rpartition("days/")[2] for path in found.files] == names


def test_changes_are_detected(spark: SparkSession, folder: Path) -> None:
    """A changed or missing file is refused, with its name; an added file is only reported."""
    paths = str(folder / "day=1")
    before = snapshot.take_snapshot(spark.read.parquet(paths))
    assert before is not None
    pq.write_table(pa.table({"x": [1.0]}), folder / "day=1" / "b.parquet")
    changes = snapshot.check_unchanged(before, lambda: spark.read.parquet(paths))
    assert (changes.removed, changes.changed, len(changes.added)) == ((), (), 1)
    pq.write_table(pa.table({"x": [1.0] * 99}), folder / "day=1" / "a.parquet")
    with pytest.raises(InputError, match=r"1 changed, 0 removed, 1 added; such as file:.*day=1/a.parquet"):
        snapshot.check_unchanged(before, lambda: spark.read.parquet(paths))
    (folder / "day=1" / "a.parquet").unlink()
    with pytest.raises(InputError, match=r"0 changed, 1 removed, 1 added"):
        snapshot.check_unchanged(before, lambda: spark.read.parquet(paths))


def test_rows_without_files_have_no_snapshot(spark: SparkSession) -> None:
    """A range reads no files."""
    assert snapshot.take_snapshot(spark.range(3).toDF("x")) is None
