"""One writer per output: a lock file that its owner renews, and that another run takes over only from a dead owner.

If the filesystem creates a file in one atomic step (local, HDFS), a second writer cannot get the lock. If it does not
(object stores), both may believe they have it; the file then contains the mark of the later writer, and the earlier
one is refused when it checks the lock before it publishes.
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

from gmm_spark.batch.runtime.signals import defer_signals
from gmm_spark.errors import OutputError, shortened
from gmm_spark.store.untrusted import json_object

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.files.location import Location

RENEWAL = 60.0  # seconds between two renewals
PATIENCE = 900.0  # seconds without renewal after which an owner on another machine counts as dead
_ATTEMPTS = 3
# A lock file is untrusted input: a file with more characters or values is not parsed, and only its start is shown.
_MOST_TEXT, _MOST_VALUES, _MOST_SHOWN = 1 << 13, 64, 250
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Lock:
    """A lock that this process holds.

    Args:
        file: the lock file.
        text: the content of the file while this process holds the lock.
    """

    file: Location
    text: str

    def check(self) -> None:
        """Refuse to continue if another process has taken the lock.

        Raises:
            OutputError: another process has taken it, or the file is gone.
        """
        text = self.file.read(_MOST_TEXT)
        if text != self.text:
            self.file.remove_at_exit(wanted=False)
            raise _taken(self.file, text)

    def renew(self) -> None:
        """Renew the lock, if this process still holds it."""
        if self.file.read(_MOST_TEXT) == self.text:
            self.file.replace(self.text)
        else:
            self.file.remove_at_exit(wanted=False)

    def release(self) -> None:
        """Remove the file, if this process still holds the lock; a failure is only logged."""
        try:
            if self.file.read(_MOST_TEXT) == self.text:
                self.file.discard()
            self.file.remove_at_exit(wanted=False)
        except Exception as error:  # noqa: BLE001 - for example Spark has ended: the job reports that
            _LOG.warning("the lock %s is left behind: %s", self.file.name, error)


@contextmanager
def hold_lock(file: Location, run_id: str) -> Iterator[Lock]:
    """Hold the lock for the block, and renew it meanwhile.

    Raises:
        OutputError: a living process holds it.
    """
    locks = list[Lock]()
    done = threading.Event()
    renewal = threading.Thread(target=_renew, args=(locks, done), name="gmm_spark lock", daemon=True)
    try:
        with defer_signals():  # a signal between the two lines would leave a lock that nothing releases
            locks.append(acquire_lock(file, run_id))
            file.remove_at_exit(wanted=True)  # the JVM may end before this process, which cannot remove the file then
        renewal.start()
        yield locks[0]
    finally:
        with defer_signals():
            done.set()
            if renewal.is_alive():
                renewal.join()  # the thread could write the lock file again after its release
            for lock in locks:
                lock.release()


def acquire_lock(file: Location, run_id: str) -> Lock:
    """Acquire the lock, also from a dead owner.

    Raises:
        OutputError: a living process holds it.
    """
    text = json.dumps({"run_id": run_id, **_owner(), "mark": uuid.uuid4().hex})
    for _ in range(_ATTEMPTS):
        if file.create(text):
            return Lock(file, text)
        other = file.read(_MOST_TEXT)
        if other is None:  # released meanwhile
            continue
        try:
            is_dead = _is_dead(other, file)
        except FileNotFoundError:  # released meanwhile
            continue
        if not is_dead:
            break
        _LOG.warning("taking over the lock %s of a dead run (%s)", file, _description(other))
        file.discard()
    raise _taken(file, file.read(_MOST_TEXT))


def _renew(locks: list[Lock], done: threading.Event) -> None:
    while not done.wait(RENEWAL):
        try:
            locks[0].renew()
        except Exception as error:  # noqa: BLE001, PERF203 - the next try may succeed; publishing checks the lock
            _LOG.warning("cannot renew the lock %s: %s", locks[0].file.name, error)


def _owner() -> dict[str, Any]:
    pid = os.getpid()
    return {"host": socket.gethostname(), "machine": _machine(), "pid": pid, "began": _began(pid)}


def _is_dead(text: str, file: Location) -> bool:
    """Say whether the owner is dead: on this machine by its process, on another by the age of the file.

    Raises:
        FileNotFoundError: the lock file is gone.
    """
    owner = _parsed(text)
    here = _machine()
    if here is not None and owner.get("machine") == here:
        return owner.get("began") != _began(owner.get("pid"))
    return file.age() > PATIENCE


def _machine() -> str | None:
    """Return the id of this boot of this machine and of this process namespace; None if the system is not Linux."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # not Linux: only the age of the file decides
        return None


def _began(pid: object) -> str | None:
    """Return the start time of a process of this machine in kernel ticks; None if there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()  # the process name before the bracket may contain spaces
    return None if fields[0] == "Z" else fields[19]


def _parsed(text: str) -> dict[str, Any]:
    try:
        return json_object(text, _MOST_TEXT, _MOST_VALUES)
    except ValueError:
        return {}


def _description(text: str | None) -> str:
    owner = _parsed(text or "")
    parts = (shortened(str(owner.get(name, "unknown")), _MOST_SHOWN) for name in ("run_id", "host", "pid"))
    return "run {}, host {}, process {}".format(*parts)


def _taken(file: Location, text: str | None) -> OutputError:
    return OutputError(
        f"the lock {file}",
        got=f"another writer of this output ({_description(text)})",
        expected="one writer at a time",
        do=f"Wait for that run. If it is dead, its lock is taken over {PATIENCE / 60:.0f} minutes after the last "
        "renewal; to hurry, delete the lock file.",
    )
