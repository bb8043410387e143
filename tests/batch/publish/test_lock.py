"""One writer per output: who gets the lock, who is refused, and when a lock is taken over. No Spark."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.publish import lock as locks
from gmm_spark.batch.publish.lock import acquire_lock, hold_lock
from gmm_spark.batch.publish.modes import Runs
from gmm_spark.batch.publish.target import claim
from gmm_spark.errors import OutputError
from tests.batch.runs import run

if TYPE_CHECKING:
    from pathlib import Path

on_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux shows when a process began")


def file_in(folder: Path) -> LocalLocation:
    """Return the lock file of these tests."""
    return LocalLocation(folder / "lock")


def rewrite(folder: Path, **fields: object) -> None:
    """Change fields of the owner in the lock file."""
    owner: dict[str, Any] = json.loads((folder / "lock").read_text())
    (folder / "lock").write_text(json.dumps(owner | fields))


def test_the_second_writer_is_refused_and_learns_of_the_first(tmp_path: Path) -> None:
    """While a living process holds the lock, another run of the same output is refused with the owner's name."""
    with (
        hold_lock(file_in(tmp_path), "first"),
        pytest.raises(OutputError, match=rf"run first, .* process {os.getpid()}"),
    ):
        acquire_lock(file_in(tmp_path), "second")
    acquire_lock(file_in(tmp_path), "third").release()


def test_of_many_writers_at_once_one_wins(tmp_path: Path) -> None:
    """Of twenty threads that ask for the lock at the same moment, exactly one gets it."""
    start, won = threading.Barrier(20), list[str]()

    def reach(name: str) -> None:
        start.wait()
        try:
            won.append(acquire_lock(file_in(tmp_path), name).text)
        except OutputError:
            return

    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(reach, str(i)) for i in range(20)]:
            done.result()
    assert won == [(tmp_path / "lock").read_text()]


@on_linux
def test_the_lock_of_a_dead_process_is_taken_over_at_once(tmp_path: Path) -> None:
    """The lock of a process of this machine is taken over if the process is gone or its number belongs to another."""
    acquire_lock(file_in(tmp_path), "a")
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    rewrite(tmp_path, pid=gone.pid)
    acquire_lock(file_in(tmp_path), "b")
    rewrite(tmp_path, began="1")
    assert acquire_lock(file_in(tmp_path), "c").text == (tmp_path / "lock").read_text()


def test_of_many_takeovers_one_may_publish(tmp_path: Path) -> None:
    """If many runs take over the lock of a dead process at once, one of them has it at the end."""
    acquire_lock(file_in(tmp_path), "dead")
    rewrite(tmp_path, machine="elsewhere")
    os.utime(tmp_path / "lock", (0, 0))
    start, mine = threading.Barrier(20), list[locks.Lock]()

    def reach(name: str) -> None:
        start.wait()
        try:
            mine.append(acquire_lock(file_in(tmp_path), name))
        except OutputError:
            return

    with ThreadPoolExecutor(20) as pool:
        for done in [pool.submit(reach, str(i)) for i in range(20)]:
            done.result()
    assert [lock.text for lock in mine if lock.text == (tmp_path / "lock").read_text()]
    for lock in mine:
        if lock.text != (tmp_path / "lock").read_text():
            with pytest.raises(OutputError, match="another writer"):
                lock.check()


def test_the_lock_of_another_machine_expires(tmp_path: Path) -> None:
    """The lock of another machine is taken over only after it has not been renewed for a long time."""
    acquire_lock(file_in(tmp_path), "a")
    rewrite(tmp_path, machine="elsewhere", pid=1)
    with pytest.raises(OutputError, match="delete the lock file"):
        acquire_lock(file_in(tmp_path), "b")
    long_ago = (tmp_path / "lock").stat().st_mtime - locks.PATIENCE - 1
    os.utime(tmp_path / "lock", (long_ago, long_ago))
    acquire_lock(file_in(tmp_path), "b")


def test_a_lock_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The owner renews the lock from a thread, which stops when the lock is released."""
    monkeypatch.setattr(locks, "RENEWAL", 0.01)
    with hold_lock(file_in(tmp_path), "a"):
        before = (tmp_path / "lock").stat().st_ino
        wait = threading.Event()
        for _ in range(500):
            if (tmp_path / "lock").stat().st_ino != before:
                break
            wait.wait(0.01)
        assert (tmp_path / "lock").stat().st_ino != before
    assert not (tmp_path / "lock").exists()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"machine": 3}', "[" * 5000])
def test_a_damaged_lock_is_respected(tmp_path: Path, text: str) -> None:
    """A damaged lock file may belong to a living writer."""
    (tmp_path / "lock").write_text(text)
    with pytest.raises(OutputError, match="run unknown"):
        acquire_lock(file_in(tmp_path), "a")


def test_a_run_that_has_lost_its_lock_publishes_nothing(tmp_path: Path) -> None:
    """A run whose lock another run has taken stops before the last step."""
    target = LocalLocation(tmp_path / "out")

    def late() -> None:
        with claim(run("a"), target, Runs()) as claimed, claimed.publication() as staging:
            LocalLocation(tmp_path / ".out.gmm_spark" / "lock").replace("another's")
            target.child("runs/a").make_folder()
            assert staging.endswith("/out/runs/a")

    with pytest.raises(OutputError, match="another writer"):
        late()
    assert not (tmp_path / "out" / "current.gmm_spark.json").exists()
    assert (tmp_path / ".out.gmm_spark" / "lock").read_text() == "another's"
