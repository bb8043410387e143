"""What a Python worker does between two tasks."""

from __future__ import annotations

import importlib
import subprocess
import sys
from io import BytesIO
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import cast
from zipfile import ZipFile
from zipimport import zipimporter

import pytest

from gmm_spark.spark.worker import _end_quietly, speed_up_worker

ROOT = Path(__file__).parents[2]


def test_archives_are_not_read_anew_for_each_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A settled worker leaves archives alone when Spark invalidates the caches, and still imports from them."""
    archive = tmp_path / "archive.zip"
    with ZipFile(archive, "w") as written:
        written.writestr("in_archive_first.py", "value = 1")
        written.writestr("in_archive_second.py", "value = 2")
    monkeypatch.syspath_prepend(archive)
    monkeypatch.setattr(sys, "path_importer_cache", sys.path_importer_cache.copy())
    assert importlib.import_module("in_archive_first").value == 1
    assert isinstance(sys.path_importer_cache[str(archive)], zipimporter)
    speed_up_worker()
    assert not [each for each in sys.path_importer_cache.values() if isinstance(each, zipimporter)]
    assert importlib.import_module("in_archive_second").value == 2


def test_only_the_end_of_a_closed_input_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spark closes an idle worker and reads no error of it; any other error is sent as pyspark sends it."""
    sent: list[BaseException] = []
    worker = SimpleNamespace(handle_worker_exception=lambda error, _, **__: sent.append(error))
    monkeypatch.setitem(sys.modules, "pyspark.worker", cast("ModuleType", worker))
    _end_quietly.__wrapped__()
    fault = ValueError("of a task")
    for error in (EOFError(), fault):
        worker.handle_worker_exception(error, BytesIO(), hide_traceback=True)
    assert sent == [fault]


IDLE = """
import sys, time
from pyspark.sql import SparkSession
from tests.spark.frames import clusters, names, numbered, table
from gmm_spark import GaussianMixture
spark = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false").getOrCreate()
df = table(spark, **numbered(clusters(200)))
GaussianMixture(k=2, inputCols=names(3)).fit(df).transform(df).count()
time.sleep(float(sys.argv[1]))
GaussianMixture(k=2, inputCols=names(3)).fit(df)
print("fitted twice")
"""


@pytest.mark.slow
def test_workers_that_spark_ends_for_idleness_print_no_traceback() -> None:
    """Two minutes between two fits: the log of the program has no BrokenPipeError, and the second fit works."""
    program = [sys.executable, "-c", IDLE, "130"]
    ended = subprocess.run(program, capture_output=True, text=True, check=True, cwd=ROOT, timeout=280)
    assert "fitted twice" in ended.stdout
    assert "Broken pipe" not in ended.stderr
    assert "Traceback" not in ended.stderr
