"""Passes read the blocks from files on the executors' disks, and never depend on them."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import numpy as np
import pyarrow as pa
import pytest

from gmm_spark.limits import LIMITS, Limits
from gmm_spark.spark import session
from gmm_spark.spark.blocks import block_files, block_storage, expectation, pack
from gmm_spark.statistics.block import Block
from tests.spark.frames import assert_same_bits, clusters, numbered, plain_steps, start, table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyspark.sql import DataFrame, SparkSession


@pytest.fixture
def rows(spark: SparkSession) -> Iterator[DataFrame]:
    """Give a table of three weighted partitions whose rows stay where they are."""
    x = clusters(900)
    kept = table(spark, 3, **numbered(x), weight=1.0 + (x[:, 0] > 5)).cache()
    yield kept
    kept.unpersist()


# The blocks of small tables are in files too.
FILED = Limits(least_filed_bytes=0)


def folders(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Yield how many files of blocks this executor has."""
    for _ in batches:
        roots = [Path(root) for root in os.environ["SPARK_LOCAL_DIRS"].split(",")]
        found = sum(len(list(root.glob("gmm_spark-*/*"))) for root in roots)
        yield pa.RecordBatch.from_pydict({"found": pa.array([found], pa.int64())})


def wipe(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Count the files of this executor, and remove them."""
    yield from folders(batches)
    for root in os.environ["SPARK_LOCAL_DIRS"].split(","):
        for folder in Path(root).glob("gmm_spark-*"):
            shutil.rmtree(folder)


def wipe_one(marker: Path, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Count the files of this executor, and remove one if no executor has done so yet."""
    yield from folders(batches)
    roots = [Path(root) for root in os.environ["SPARK_LOCAL_DIRS"].split(",")]
    for path in [path for root in roots for path in root.glob("gmm_spark-*/*")][:1]:
        with suppress(FileExistsError):
            marker.mkdir()
            path.unlink()


class AfterPass(logging.Handler):
    """Looks at the executors' files once, after the second pass; gathers what the fit says."""

    def __init__(self, spark: SparkSession, look: object) -> None:
        super().__init__()
        self.spark, self.look = spark, look
        self.found, self.said = -1, ""

    def emit(self, record: logging.LogRecord) -> None:
        """Look, if this line reports the second pass."""
        self.said += record.getMessage()
        if record.getMessage().startswith("pass 2:"):
            everywhere = self.spark.range(0, 16, 1, 16)
            counts = everywhere.mapInArrow(self.look, "found bigint").collect()  # type: ignore[arg-type] # a function
            self.found = max(row[0] for row in counts)


@pytest.fixture
def watch() -> Iterator[type[AfterPass]]:
    """Give handlers of the fit's log that end with the test."""
    log, level = logging.getLogger("gmm_spark"), logging.getLogger("gmm_spark").level
    log.setLevel(logging.INFO)
    yield AfterPass
    log.setLevel(level)
    for handler in [each for each in log.handlers if isinstance(each, AfterPass)]:
        log.removeHandler(handler)


@pytest.mark.parametrize("kind", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_block_comes_back_from_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kind: type, weighted: bool
) -> None:
    """Blocks come back from a file bit by bit, of either precision, with and without weights."""
    monkeypatch.setenv("SPARK_LOCAL_DIRS", f"{tmp_path}/a,{tmp_path}/b")
    rng = np.random.default_rng(0)
    written = [Block(rng.random((3, n)).astype(kind), rng.random(n) if weighted else None) for n in (5, 1, 64)]
    with closing(block_files.FileWriter("fit")) as writer:
        offsets = [writer.add(block) for block in written]
    read = [block_files.BlockReader().block(str(writer.name), offset) for offset in offsets if offset is not None]
    for block, back in zip(written, read, strict=True):
        assert back is not None
        assert back.z.dtype == kind
        np.testing.assert_array_equal(back.z, block.z)
        np.testing.assert_array_equal(back.total, block.total)
        np.testing.assert_array_equal(back.weights, block.weights)


def test_a_disk_that_fills_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks written before the disk was nearly full stay where they are; those after it are not written."""
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    one = Block(np.random.default_rng(0).random((2, 4)))
    with closing(block_files.FileWriter("fit")) as writer:
        offset = writer.add(one)
        with monkeypatch.context() as full:
            full.setattr(os, "fstatvfs", lambda _: mock.Mock(f_bavail=4, f_blocks=100))
            assert writer.add(one) is None
        assert writer.add(one) is None
    assert offset is not None
    back = block_files.BlockReader().block(str(writer.name), offset)
    assert back is not None
    np.testing.assert_array_equal(back.z, one.z)


def test_a_full_disk_is_left_to_spark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the disk is nearly full nothing is written, and no file is left."""
    monkeypatch.setenv("SPARK_LOCAL_DIRS", str(tmp_path))
    with closing(block_files.FileWriter("fit", free=1.1)) as writer:
        assert writer.add(Block(np.ones((2, 4)))) is None
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_files_change_no_bit(spark: SparkSession, rows: DataFrame, watch: type[AfterPass]) -> None:
    """A fit that reads files gives the bits of one that does not, finds all of them, and leaves none."""
    expected = plain_steps(rows, start(), 3, weightCol="weight")
    watcher = watch(spark, folders)
    logging.getLogger("gmm_spark").addHandler(watcher)
    assert_same_bits(plain_steps(rows, start(), 3, FILED, weightCol="weight"), expected)
    assert watcher.found > 0
    assert "missing" not in watcher.said
    left = spark.range(0, 16, 1, 16).mapInArrow(folders, "found bigint").collect()
    assert {row[0] for row in left} == {0}


def test_where_spark_encrypts_what_it_writes_there_are_no_files(
    spark: SparkSession, rows: DataFrame, watch: type[AfterPass], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By default nothing is encrypted; where Spark's files are, the blocks stay with Spark."""
    assert not session.encrypts_files(spark)
    monkeypatch.setattr(block_storage, "encrypts_files", lambda _: True)
    watcher = watch(spark, folders)
    logging.getLogger("gmm_spark").addHandler(watcher)
    plain_steps(rows, start(), 3, FILED, weightCol="weight")
    assert watcher.found == 0


@pytest.mark.classic_only
@pytest.mark.parametrize("grouped", [False, True])
def test_missing_files_change_no_bit(
    spark: SparkSession, rows: DataFrame, watch: type[AfterPass], *, grouped: bool
) -> None:
    """Where files are gone in the middle of a fit, it says so, packs their rows again, and gets the same bits."""
    limits = Limits(statistics_bytes=0) if grouped else LIMITS
    expected = plain_steps(rows, start(), 3, limits, weightCol="weight")
    watcher = watch(spark, wipe)
    logging.getLogger("gmm_spark").addHandler(watcher)
    filed = replace(limits, least_filed_bytes=0)
    assert_same_bits(plain_steps(rows, start(), 3, filed, weightCol="weight"), expected, repeated=1)
    assert watcher.found > 0
    assert "files are missing" in watcher.said


@pytest.mark.classic_only
@pytest.mark.parametrize("planned_otherwise", [False, True])
def test_one_missing_file_changes_no_bit(
    spark: SparkSession,
    rows: DataFrame,
    watch: type[AfterPass],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *,
    planned_otherwise: bool,
) -> None:
    """Where one of three files is gone its rows are packed again; all rows, if they are no longer that partition's."""
    expected = plain_steps(rows, start(), 4, weightCol="weight")
    counted = mock.Mock(side_effect=itertools.count() if planned_otherwise else pack.block_sums)
    monkeypatch.setattr(expectation, "block_sums", counted)
    watcher = watch(spark, partial(wipe_one, tmp_path / "wiped"))
    logging.getLogger("gmm_spark").addHandler(watcher)
    model = plain_steps(rows, start(), 4, FILED, weightCol="weight")
    assert_same_bits(model, expected, repeated=2 if planned_otherwise else 1)
    assert "1 of 3 files are missing" in watcher.said
    assert [call.args[1] for call in counted.call_args_list] == [counted.call_args.args[1]] * 2  # compared once
    assert len(counted.call_args.args[1]) == 1
