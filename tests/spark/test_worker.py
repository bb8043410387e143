"""What a Python worker does between two tasks."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING
from zipfile import ZipFile
from zipimport import zipimporter

from gmm_spark.spark.worker import settle

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


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
    settle()
    assert not [each for each in sys.path_importer_cache.values() if isinstance(each, zipimporter)]
    assert importlib.import_module("in_archive_second").value == 2
