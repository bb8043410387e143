"""A fit job whose driver is killed goes on when it is run again: the model of an unbroken run, bit for bit.

Killed are drivers with executor processes of their own.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs.submission import JOBS, ROOT, submission, submit

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(600)

CLUSTER = "local-cluster[2,1,1024]"
PASSES = 12
WORDS = [
    "--input.path=rows",
    "--features.columns=x,y,z",
    "--mixture.k=4",
    "--fit.tol=0",  # exactly as many passes as asked for
    f"--fit.max_iter={PASSES - 1}",
    "--fit.starts=2",
    "--fit.checkpoint_seconds=0",
]


def write_rows(folder: Path) -> None:
    """Write four clusters that overlap, in three files."""
    generator = np.random.default_rng(0)
    x = generator.standard_normal((20_000, 3)) + generator.integers(4, size=(20_000, 1)) * [1.0, 0.5, -1.0]
    folder.mkdir()
    for part in range(3):
        pq.write_table(pa.table(dict(zip("xyz", x[part::3].T, strict=True))), folder / f"part-{part}.parquet")


def kill_after(number: int, delay: float, output: str, cwd: Path) -> int:
    """Submit a fit, kill the driver a while after it logged this pass; return the last pass that it logged."""
    command, environment = submission([JOBS / "fit.py", *WORDS, f"--output.path={output}"], master=CLUSTER, cwd=cwd)
    log = cwd / f"{output}.log"
    with (
        log.open("wb") as out,  # spark-submit turns the stderr of Python into its stdout
        subprocess.Popen(
            command, cwd=cwd, env=environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        ) as driver,
    ):
        give_up = time.monotonic() + 150
        while f"pass {number}:" not in log.read_text() and driver.poll() is None and time.monotonic() < give_up:
            time.sleep(0.01)
        time.sleep(delay)
        assert driver.poll() is None, log.read_text()
        os.killpg(driver.pid, signal.SIGKILL)  # the JVM and its Python: a group of their own
    return max(int(number) for number in re.findall(r"pass (\d+):", log.read_text()))


def components(model: Path) -> list[bytes]:
    """Return the parameters as stored."""
    return [file.read_bytes() for file in sorted(model.glob("components/part-*"))]


def manifest(model: Path) -> dict[str, Any]:
    """Return the record of the fit in the manifest."""
    (file,) = model.glob("*manifest*.json")
    fit: dict[str, Any] = json.loads(file.read_text())["fit"]
    return fit


def on_executors(folder: Path, jobs: dict[str, tuple[str, list[str]]]) -> dict[str, Any]:
    """Run jobs one after the other on executor processes; return their output."""
    (folder / "plan.json").write_text(json.dumps({"sql": [], "jobs": jobs}), encoding="utf-8")
    words: list[str | Path] = [ROOT / "tests" / "jobs" / "in_one_session.py", "plan.json", "result.json"]
    done = submit(words, master=CLUSTER, cwd=folder, library=str(ROOT), patience=400)
    assert done.returncode == 0, done.stdout + done.stderr
    results: dict[str, Any] = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    return results


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_a_killed_driver_repeats_at_most_one_pass(kills: int, tmp_path: Path, application: Application) -> None:
    """Killed at random moments and run again, in the same or another application, a fit has the same bits."""
    moments = random.Random(kills)  # noqa: S311 - no secret
    write_rows(tmp_path / "rows")
    passes = [
        kill_after(moments.randint(1, PASSES - 4), moments.uniform(0, 0.5), f"out{i}", tmp_path) for i in range(kills)
    ]
    outputs = [*(f"out{i}" for i in range(kills)), "whole"]
    jobs = {output: (f"{JOBS}/fit.py", [*WORDS, f"--output.path={output}"]) for output in outputs}
    result = application.run(tmp_path, jobs) if kills == 1 else on_executors(tmp_path, jobs)
    whole = manifest(tmp_path / "whole")
    for i, last in enumerate(passes):
        assert result[f"out{i}"]["status"] == 0, result[f"out{i}"]["err"]
        (resumed,) = re.findall(r"resuming from the checkpoint of pass (\d+)", result[f"out{i}"]["err"])
        assert int(resumed) >= last - 1
        assert components(tmp_path / f"out{i}") == components(tmp_path / "whole")
        again = manifest(tmp_path / f"out{i}")
        assert again["resumed_passes"] == int(resumed)
        assert (again["history"], again["passes"]) == (whole["history"], whole["passes"])
        assert not (tmp_path / f".out{i}.gmm_spark" / "checkpoint").exists()
