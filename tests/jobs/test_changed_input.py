"""An input whose files change while a job runs: nothing is published, and the error names a file."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs.submission import JOBS, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(600)

ROWS, FILES = 600, 3
XY = "--features.columns=x,y"
FIT = ["fit", XY, "--fit.starts=2", "--fit.invalid=drop", "--mixture.k=2"]
SELECT = ["select_model", XY, "--fit.starts=2", "--fit.invalid=drop", "--grid.k=1-2"]
SCORE = ["score", "--model.path=model"]
# name, also of the input: hook, which runs after the files are listed and before rows are read; job and options
REFUSED: dict[str, tuple[str, list[str]]] = {
    "fitted": ("_replace", FIT),
    "selected": ("_replace", SELECT),
    "scored": ("_replace", SCORE),
    "quarantined": ("_replace", [*FIT, "--fit.invalid=quarantine", "--quality.quarantine_path=aside"]),
    "rewritten": ("input_rewritten", SCORE),
    "link": ("_swap", SCORE),
    "removed": ("input_removed_late", SCORE),
    "registered": ("_replace", SCORE),
}
# name: hook, job and options
DONE: dict[str, tuple[str, list[str]]] = {
    "grown": ("_add", SCORE),
    "day=0": ("_replace", ["score", "--model.path=model", "--input.where=day = 1", "--output.path=day-scored"]),
}


def inputs(folder: Path) -> None:
    """Write a table of three files for each job; two clusters, every hundredth x missing."""
    random, rows = np.random.default_rng(0), np.arange(ROWS)
    far = rows % 2 * 8.0
    x = pa.array(random.normal(size=ROWS) + far, mask=rows % 100 == 0)
    table = pa.table({"id": rows, "x": x, "y": random.normal(size=ROWS) - far})
    for name in (*REFUSED, "grown", "days/day=0", "days/day=1", "link-target", "link-target-another"):
        (folder / name).mkdir(parents=True)
        for part in range(FILES):
            pq.write_table(table.slice(part * ROWS // FILES, ROWS // FILES), folder / name / f"{part}.parquet")
    for file in (folder / "link-target-another").iterdir():
        os.utime(file, (0, 0))  # all may have been written within one tick of the kernel's clock
    shutil.rmtree(folder / "link")
    (folder / "link").symlink_to(folder / "link-target")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, application: Application) -> tuple[Path, dict[str, Any]]:
    """Run each job once while its input changes; return the output of each."""
    folder = tmp_path_factory.mktemp("replaced")
    inputs(folder)
    shutil.copytree(folder / "fitted", folder / "in")
    fit = (f"{JOBS}/fit.py", ["--input.path=in", *FIT[1:], "--output.path=model"])
    jobs: dict[str, tuple[str, list[str]]] = {"fit": fit}
    for name, (hook, words) in {**REFUSED, **DONE}.items():
        given = {"registered": "--input.table=registered", "day=0": "--input.path=days"}
        own = [given.get(name, f"--input.path={name}"), f"--output.path=out/{name}"]
        jobs[name] = (f"{ROOT}/tests/jobs/run_with_hook.py", [hook, f"{JOBS}/{words[0]}.py", *own, *words[1:]])
    table = f"CREATE TABLE registered USING parquet LOCATION '{folder}/registered'"
    results = application.run(folder, jobs, [table])
    application.run(folder, {}, ["DROP TABLE registered"])
    return folder, results


@pytest.mark.parametrize("name", REFUSED)
def test_a_changed_file_ends_the_job(runs: tuple[Path, dict[str, Any]], name: str) -> None:
    """Status 3, an error with the number of files and one name, and nothing published."""
    folder, results = runs
    result = results[name]
    assert result["status"] == 3, result["err"]
    assert ".parquet" in result["err"]
    assert "nothing was published" in result["err"]
    assert "Traceback" not in result["err"]
    assert not (folder / "out" / name).exists()
    assert not list((folder / "aside").glob("run_id=*"))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("scored", "1 changed, 0 removed, 0 added"),
        ("rewritten", "1 changed, 0 removed, 0 added"),
        ("removed", "0 changed, 3 removed, 0 added"),
        ("registered", "1 changed, 0 removed, 0 added"),
    ],
)
def test_the_message_counts_the_files(runs: tuple[Path, dict[str, Any]], name: str, counts: str) -> None:
    """The error has the numbers of changed, removed and added files."""
    assert counts in runs[1][name]["err"]


def test_a_file_that_was_added_is_not_read_and_is_reported(runs: tuple[Path, dict[str, Any]]) -> None:
    """Spark has its list of files by then: the result is that of the list, and the log has a warning."""
    folder, results = runs
    result = results["grown"]
    assert result["status"] == 0, result["err"]
    assert "1 files were added" in result["err"]
    assert pq.read_table(folder / "out" / "grown").num_rows == ROWS


def test_a_partition_that_is_not_read_may_change(runs: tuple[Path, dict[str, Any]]) -> None:
    """A condition on a partition column excludes other folders from the read and from the comparison."""
    result = runs[1]["day=0"]
    assert result["status"] == 0, result["err"]
    assert "changed" not in result["err"]
