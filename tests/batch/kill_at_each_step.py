"""Publish over an old output in each mode, killed between all steps that change a filesystem: FOLDER SIGNAL.

Each attempt is a forked process that sends itself the signal at one step; this process then looks at the output as a
reader does, and runs the same run again. Written to stdout: one JSON line per attempt, with its mode.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.publish import modes
from gmm_spark.batch.publish.target import claim
from gmm_spark.batch.runtime.signals import EndedBySignal, catch_signals
from gmm_spark.store.run_pointer import follow_pointer
from tests.batch.runs import run

if TYPE_CHECKING:
    from collections.abc import Callable

# All that changes a filesystem passes through these.
STEPS = ("_move", "create", "discard", "exchange", "make_folder", "replace")
MODES: dict[str, modes.Mode] = {
    "create": modes.Create(),
    "overwrite": modes.Overwrite(),
    "two renames": modes.Overwrite(),
    "partitions": modes.Partitions(),
    "runs": modes.Runs(retain=1),
}


def publish(mode: str, target: Path, content: str) -> None:
    """Publish two partitions with this content, as a run of its name."""
    with claim(run(content), LocalLocation(target), MODES[mode]) as claimed:
        if claimed.done_message is None:
            with claimed.publication() as staging:
                write(Path(staging.removeprefix("file:")), content)


def write(folder: Path, content: str, days: tuple[int, ...] = (1, 2)) -> None:
    """Write a table by day."""
    for day in days:
        (folder / f"day={day}").mkdir(parents=True)
        (folder / f"day={day}" / f"part-{content}.parquet").write_text(content)


def contents(target: Path) -> dict[str, list[str]]:
    """Return the content that a reader finds in each partition."""
    root = follow_pointer(target)
    return {day.name: [part.read_text() for part in day.glob("part-*")] for day in sorted(root.glob("day=*"))}


def kill_before(step: int, number: int) -> None:
    """Make this process send itself a signal before its n-th counted step."""
    steps = count()

    def wrapped(method: Callable[..., Any], name: str) -> Callable[..., Any]:
        def call(*arguments: object) -> object:
            if next(steps) == step:
                os.kill(os.getpid(), number)
            return method(*arguments)

        call.__name__ = name
        return call

    for name in STEPS:
        setattr(LocalLocation, name, wrapped(getattr(LocalLocation, name), name))


def fork(work: Callable[[], None]) -> int:
    """Do the work in a new process; return how it ended: 0, its status, or minus the signal that killed it."""
    child = os.fork()
    if child == 0:
        try:
            with catch_signals():
                work()
        except EndedBySignal as end:
            os._exit(int(end.code or 0))
        except BaseException:  # noqa: BLE001 - else the child would go on with the parent's work
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def attempt(mode: str, folder: Path, step: int, number: int) -> dict[str, Any]:
    """Kill one publication at one step, read the output, run it again, read the output again."""
    target = folder / "out"
    if mode != "create":
        publish("runs" if mode == "runs" else "create", target, "old")
    if mode == "partitions":
        write(target, "other", (3,))

    def killed() -> None:
        kill_before(step, number)
        publish(mode, target, "new")

    ended = fork(killed)
    after_kill, left = contents(target), hidden_files(folder)
    rerun = fork(lambda: publish(mode, target, "new"))
    return {
        "ended": ended,
        "contents": after_kill,
        "left": left,
        "rerun": rerun,
        "contents_after": contents(target),
        "hidden": hidden_files(folder),
        "runs": sorted(path.name for path in (target / "runs").glob("*")),
    }


def hidden_files(folder: Path) -> list[str]:
    """Return the names in the hidden folder beside the output."""
    return sorted(path.name for path in (folder / ".out.gmm_spark").glob("*"))


def at_every_step(mode: str, root: Path, number: int) -> None:
    """Kill at each step, until a publication ends normally."""
    exchange = LocalLocation.exchange
    if mode == "two renames":
        LocalLocation.exchange = lambda *_: False  # type: ignore[method-assign] # as on a filesystem without it
    for step in count():
        folder = root / mode / str(step)
        folder.mkdir(parents=True)
        found = attempt(mode, folder, step, number)
        sys.stdout.write(json.dumps({"mode": mode, **found}) + "\n")
        if found["ended"] == 0:
            break
    LocalLocation.exchange = exchange  # type: ignore[method-assign]


if __name__ == "__main__":
    os.fsync = lambda fd: None  # noqa: ARG005 - what a killed process has written is not lost
    for each in MODES:
        at_every_step(each, Path(sys.argv[1]), int(sys.argv[2]))
