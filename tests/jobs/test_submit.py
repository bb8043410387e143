"""fit, describe and score as a scheduler runs them: real submissions to executor processes."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.jobs import submission, tables
from tests.jobs.submission import JOBS, ROOT

CLUSTER = "local-cluster[2,1,1024]"
WITHOUT_SPARK = """
import runpy, sys
sys.modules["pyspark"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
REFUSED = "30 null, 0 wrong_length, 0 nan, 0 infinite, 0 bad_weight"
LOGGED = re.compile(r"\d{4}-\d\d-\d\d ")
pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True)
class Run:
    """The results of two submissions, and their Python."""

    folder: Path
    python: Path
    fit: subprocess.CompletedProcess[str]
    score: subprocess.CompletedProcess[str]


def bare_python(folder: Path) -> Path:
    """Return an interpreter that has every installed package but gmm_spark, even if that is an editable install."""
    site = folder / "site"
    site.mkdir()
    for each in Path(sysconfig.get_path("purelib")).iterdir():
        if "gmm_spark" not in each.name and each.suffix != ".pth":
            (site / each.name).symlink_to(each)
    python = folder / "python"
    # -S reads no .pth file, by which an editable install would come in.
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{site}" exec "{sys.executable}" -S "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    return python


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Fit and score on executor processes, which get the package only by --py-files."""
    folder = tmp_path_factory.mktemp("submit")
    python = bare_python(folder)
    shutil.make_archive(str(folder / "package"), "zip", ROOT, "gmm_spark")
    tables.days(folder / "in")

    def submitted(*words: str | Path) -> subprocess.CompletedProcess[str]:
        return submission.submit(["--py-files", "package.zip", *words], master=CLUSTER, cwd=folder, python=python)

    fit = submitted(
        JOBS / "fit.py", "--input.path=in", "--features.columns=x,y", "--fit.invalid=drop", "--output.path=model"
    )
    score = submitted(JOBS / "score.py", "--input.path=in", "--model.path=model", "--output.path=scored")
    return Run(folder, python, fit, score)


def summary(process: subprocess.CompletedProcess[str]) -> str:
    """Return the one line that a job wrote, after a check that all went well.

    spark-submit sends Python's stderr to its own stdout, so the line stands among those of the log.
    """
    assert process.returncode == 0, process.stdout
    assert "Traceback" not in process.stdout
    assert "exit code" not in process.stdout.lower()
    (line,) = [line for line in process.stdout.splitlines() if not LOGGED.match(line)]
    return line


def test_only_py_files_bring_the_package(run: Run) -> None:
    """The interpreter of the submissions can import pyspark and numpy, but not gmm_spark."""
    probe = "import numpy, pyspark, importlib.util; assert importlib.util.find_spec('gmm_spark') is None"
    subprocess.run([run.python, "-c", probe], check=True, cwd=run.folder, env={"PYTHONPATH": ""})


def test_fit_writes_a_model_and_one_summary_line(run: Run) -> None:
    """A fit on executor processes succeeds and prints one summary line."""
    line = summary(run.fit)
    assert line.startswith(
        "fit: 2970 rows used, 30 left out (30 null, 0 wrong_length, 0 nan, 0 infinite, 0 bad_weight), "
        "2 components, converged after "
    )
    assert line.endswith(f"model in file:{run.folder}/model")


def test_the_log_and_the_summary_are_on_stdout(run: Run) -> None:
    """spark-submit sends both streams of a Python program to its stdout, and only the JVM's lines to stderr."""
    for process in (run.fit, run.score):
        *log, last = process.stdout.splitlines()
        assert [line for line in log if not LOGGED.match(line)] == []
        assert last == summary(process)
        assert [line for line in process.stderr.splitlines() if LOGGED.match(line) or line == last] == []


def test_describe_prints_the_model_without_spark(run: Run) -> None:
    """The text has components, features, means, deviations, outcome and criteria, with pyspark absent."""
    words: list[str | Path] = [
        sys.executable,
        "-c",
        WITHOUT_SPARK,
        JOBS / "describe.py",
        run.folder / "model",
        "--correlations",
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT)})
    for part in ("2 components, full covariance, 2 features", "Standard deviations", "Correlations of component 1"):
        assert part in done.stdout
    assert "outcome             converged: " in done.stdout
    assert "2970 (total weight 2970; left out: 30 null)" in done.stdout
    assert "smaller is better" in done.stdout


def test_describe_refuses_other_folders(run: Run) -> None:
    """A directory without a model gives status 7 and an error."""
    words: list[str | Path] = [sys.executable, JOBS / "describe.py", run.folder / "in"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env={"PYTHONPATH": str(ROOT)})
    assert done.returncode == 7
    assert "Traceback" not in done.stderr


def test_score_keeps_every_row_column_and_partition(run: Run) -> None:
    """The output has all rows, the input's columns first, and the folders of the input."""
    assert summary(run.score) == f"score: 3000 rows, 2970 ok, {REFUSED}; written to file:{run.folder}/scored"
    scored, source = tables.read(run.folder / "scored"), tables.read(run.folder / "in")
    assert sorted(scored["id"].to_pylist()) == list(range(tables.ROWS))
    names = [name for name in source.column_names if name != "day"]
    assert scored.column_names == [*names, "prediction", "probability", "log_density", "status", "day"]
    assert sorted(each.name for each in (run.folder / "scored").glob("day=*")) == ["day=0", "day=1", "day=2"]
    assert scored.select(source.column_names).sort_by("id").equals(source.sort_by("id"))


def test_posteriors_are_right_and_unusable_rows_say_why(run: Run) -> None:
    """Usable rows have posteriors that sum to 1 and find the clusters; the others have null and a reason."""
    scored = tables.read(run.folder / "scored").sort_by("id")
    status = np.array(scored["status"].to_pylist())
    unusable = np.arange(tables.ROWS) % 100 == 0
    assert set(status[unusable]) == {"null"}
    assert set(status[~unusable]) == {"ok"}
    assert all(value is None for value in scored["probability"].to_numpy()[unusable])
    assert str(scored.schema.field("probability").type) == "list<element: float>"
    np.testing.assert_allclose(np.stack(scored["probability"].to_numpy()[~unusable]).sum(axis=1), 1, atol=1e-6)
    prediction = scored["prediction"].to_numpy()[~unusable]
    odd = np.arange(tables.ROWS)[~unusable] % 2
    assert np.mean(prediction == odd) in {0.0, 1.0}


def test_an_existing_output_stops_a_submission(run: Run) -> None:
    """The status of the job is the status of spark-submit, and the output is unchanged."""
    before = {file: file.stat().st_mtime_ns for file in (run.folder / "scored").rglob("*")}
    words: list[str | Path] = [JOBS / "score.py", "--input.path=in", "--model.path=model", "--output.path=scored"]
    done = submission.submit(words, master="local[1]", cwd=run.folder, library=str(ROOT))
    assert done.returncode == 6
    assert "a folder that exists" in done.stdout
    assert "Traceback" not in done.stdout
    assert {file: file.stat().st_mtime_ns for file in (run.folder / "scored").rglob("*")} == before
