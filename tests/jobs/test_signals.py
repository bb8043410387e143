"""A job under spark-submit that a signal ends: its files, its message and its status."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.jobs import tables
from tests.jobs.submission import JOBS, ROOT, submission

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="finds processes in /proc"),
]
PATIENCE = 120


def driver_of(jvm: int) -> int:
    """Return the Python process that a JVM of spark-submit has started."""
    (found,) = [
        int(each.name)
        for each in Path("/proc").iterdir()
        if each.name.isdigit() and parent(each) == jvm and b"run_with_hook.py" in (each / "cmdline").read_bytes()
    ]
    return found


def parent(process: Path) -> int | None:
    """Return the parent of a process from /proc; None if the process is gone."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def end_by_signal(folder: Path, who: str, number: int) -> subprocess.CompletedProcess[str]:
    """Submit a fit, send the signal while it waits, and return its result."""
    tables.days(folder / "in")
    fit = ["--input.path=in", "--features.columns=x,y", "--fit.invalid=drop", "--output.path=model"]
    words: list[str | Path] = [
        ROOT / "tests" / "jobs" / "run_with_hook.py",
        "stalled",
        JOBS / "fit.py",
        *fit,
        "--run.id=night",
    ]
    command, environment = submission(words, master="local[1]", cwd=folder, library=str(ROOT))
    with subprocess.Popen(
        command, cwd=folder, env=environment, stdout=-1, stderr=-1, text=True, start_new_session=True
    ) as process:
        give_up = time.monotonic() + PATIENCE
        while not (folder / "stalled").exists():
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.05)
        if who == "group":
            os.killpg(process.pid, number)
            os.killpg(process.pid, number)  # as where a scheduler signals a process and its group
        else:
            os.kill(process.pid if who == "jvm" else driver_of(process.pid), number)
        out, err = process.communicate(timeout=60)
    return subprocess.CompletedProcess(command, process.returncode, out, err)


@pytest.mark.parametrize(
    ("who", "number"),
    [
        ("python", signal.SIGTERM),
        ("group", signal.SIGTERM),
        ("jvm", signal.SIGTERM),
        ("group", signal.SIGINT),
        ("python", signal.SIGHUP),
    ],
)
def test_a_job_that_is_asked_to_end_leaves_a_manifest_and_no_lock(tmp_path: Path, who: str, number: int) -> None:
    """Status 128 + signal, one line if the JVM is alive to print it, and no folder of sockets."""
    done = end_by_signal(tmp_path, who, number)
    assert done.returncode == 128 + number, done.stdout
    manifest = tmp_path / ".model.gmm_spark" / "manifests" / "night.json"
    give_up = time.monotonic() + 10  # after the JVM alone has ended, its Python notices
    while not manifest.exists() and time.monotonic() < give_up:
        time.sleep(0.05)
    record = json.loads(manifest.read_text())
    assert record["status"] == (1 if who == "jvm" else 128 + number)
    assert "Traceback" not in done.stdout
    if who != "jvm":
        lines = [line for line in done.stdout.splitlines() if "ended by signal" in line]
        assert lines == [f"fit: ended by signal {number} ({signal.Signals(number).name}); nothing was published"]
    else:
        assert "a JVM that ended before the job" in record["error"]
    time.sleep(0.5)
    assert [path.name for path in (tmp_path / ".model.gmm_spark").iterdir()] == ["manifests"]
    assert not Path((tmp_path / "stalled").read_text()).exists()
    assert not (tmp_path / "model").exists()
