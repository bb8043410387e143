"""One writer per output: a lock file that its owner renews, and that no other run takes from the living.

Where the filesystem takes a name in one step (local, HDFS), the second writer cannot get the lock. Where it does not
(object stores), both may believe they have it; the file then holds the later one's mark, and the other is refused
when it looks again before it publishes.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmm_spark.batch.runtime.signals import deferred
from gmm_spark.errors import OutputError, shortened
from gmm_spark.store.untrusted import json_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.files.location import Location

BEAT = 60.0  # seconds between two signs of life
PATIENCE = 900.0  # seconds without one after which an owner on another machine counts as dead
_ATTEMPTS = 3
# A lock may be anybody's: it is not parsed where it has more characters or values than ours, nor shown at length.
_MOST_TEXT, _MOST_VALUES, _MOST_SHOWN = 1 << 13, 64, 250
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds.

    Args:
        file: the lock file.
        text: what stands in it as long as it is ours.
    """

    file: Location
    text: str

    def check(self) -> None:
        """Refuse to go on if another process has taken the lock.

        Raises:
            OutputError: it has.
        """
        found = self.file.read(_MOST_TEXT)
        if found != self.text:
            self.file.remove_at_exit(wanted=False)
            raise _taken(self.file, found)

    def renew(self) -> None:
        """Give a sign of life, if the lock is still ours."""
        if self.file.read(_MOST_TEXT) == self.text:
            self.file.replace(self.text)
        else:
            self.file.remove_at_exit(wanted=False)

    def release(self) -> None:
        """Remove the file, if the lock is still ours; where that fails, say so and go on."""
        try:
            if self.file.read(_MOST_TEXT) == self.text:
                self.file.discard()
            self.file.remove_at_exit(wanted=False)
        except Exception as error:  # noqa: BLE001 - such as Spark's end, which is what the job reports
            _LOG.warning("the lock %s is left behind: %s", self.file.name, error)


@contextmanager
def hold_lock(file: Location, run_id: str) -> Iterator[Lock]:
    """Hold the lock for the block, and renew it meanwhile.

    Raises:
        OutputError: a living process holds it.
    """
    held = list[Lock]()
    done = threading.Event()
    beat = threading.Thread(target=_beat, args=(held, done), name="gmm_spark lock", daemon=True)
    try:
        with deferred():  # a signal between the two would leave a lock that nothing releases
            held.append(acquire_lock(file, run_id))
            file.remove_at_exit(wanted=True)  # a signal may end the JVM before this process, which needs it to remove
        beat.start()
        yield held[0]
    finally:
        with deferred():
            done.set()
            if beat.is_alive():
                beat.join()  # or it might write the lock once more
            for lock in held:
                lock.release()


def acquire_lock(file: Location, run_id: str) -> Lock:
    """Take the lock, from a dead owner if need be.

    Raises:
        OutputError: a living process holds it.
    """
    text = json.dumps({"run_id": run_id, **_owner(), "mark": uuid.uuid4().hex})
    for _ in range(_ATTEMPTS):
        if file.create(text):
            return Lock(file, text)
        found = file.read(_MOST_TEXT)
        if found is None:  # released meanwhile
            continue
        try:
            dead = _is_dead(found, file)
        except FileNotFoundError:  # released meanwhile
            continue
        if not dead:
            break
        _LOG.warning("the lock %s was left by a run that is dead (%s); taking it over", file, _described(found))
        file.discard()
    raise _taken(file, file.read(_MOST_TEXT))


def _beat(held: list[Lock], done: threading.Event) -> None:
    while not done.wait(BEAT):
        try:
            held[0].renew()
        except Exception as error:  # noqa: BLE001, PERF203 - the next may succeed; publishing checks the lock
            _LOG.warning("the lock %s could not be renewed: %s", held[0].file.name, error)


def _owner() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "began": _began(pid)}


def _is_dead(text: str, file: Location) -> bool:
    """Say whether the owner is certainly gone: its process here, or its signs of life elsewhere.

    Raises:
        FileNotFoundError: the lock is gone.
    """
    owner = _parsed(text)
    here = _machine()
    if here is not None and owner.get("machine") == here:
        return owner.get("began") != _began(owner.get("pid"))
    return file.age() > PATIENCE


def _machine() -> str | None:
    """Return what distinguishes this boot of this machine, and this space of process numbers, from all others."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux: signs of life decide alone
        return None


def _began(pid: object) -> str | None:
    """Return when a process of this machine began, in its kernel's ticks; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the name before may hold spaces
    return None if fields[0] == "Z" else fields[19]


def _parsed(text: str) -> dict[str, Any]:
    try:
        return json_object(text, _MOST_TEXT, _MOST_VALUES)
    except ValueError:
        return {}


def _described(text: str | None) -> str:
    owner = _parsed(text or "")
    parts = (shortened(str(owner.get(name, "unknown")), _MOST_SHOWN) for name in ("run_id", "host", "pid"))
    return "run {}, host {}, process {}".format(*parts)


def _taken(file: Location, text: str | None) -> OutputError:
    return OutputError(
        f"the lock {file}",
        got=f"another writer of this output ({_described(text)})",
        expected="one writer at a time",
        do=f"Wait for it. If it is dead, its lock is taken over {PATIENCE / 60:.0f} minutes after its last sign of "
        "life; to hurry, delete the lock file.",
    )
