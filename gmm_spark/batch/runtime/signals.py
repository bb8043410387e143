"""A job that is asked to end: it gives back its lock, removes what it has staged, says so and ends with 128 + signal.

Schedulers end a job by SIGTERM, and by SIGKILL some seconds later. The signal becomes an exception in the main thread,
so that every `finally` runs; a second one is ignored, since many reach a job twice: once itself and once by its group.
"""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENDING = [getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)]


class EndedBySignal(SystemExit):
    """The job was asked to end.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"ended by signal {self.number} ({signal.Signals(self.number).name}); nothing was published"


class _State:
    """What has come, of one process: handlers are global, too."""

    deferrals = 0
    pending: int | None = None
    ending = False


@contextmanager
def handled() -> Iterator[None]:
    """Turn signals that ask for the end into `EndedBySignal`; afterwards they do what they did before."""
    before = {number: signal.getsignal(number) for number in _ENDING}
    _State.ending, _State.pending = False, None
    install()
    try:
        yield
    finally:
        if _in_main_thread():
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def install() -> None:
    """Set the handlers, also after Spark's start, which sets its own; what a caller ignores (nohup) stays ignored."""
    if _in_main_thread():
        for number in _ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                signal.signal(number, _on_signal)


@contextmanager
def deferred() -> Iterator[None]:
    """Let a signal wait until the block is done: a step that must not be broken off half-way, and takes no time."""
    _State.deferrals += 1
    try:
        yield
    finally:
        _State.deferrals -= 1
        if not _State.deferrals and (number := _State.pending) is not None:
            _State.pending = None
            raise EndedBySignal(number)


def _on_signal(number: int, _: Any) -> None:  # noqa: ANN401 - a frame
    if _State.ending:
        return
    _State.ending = True
    if _State.deferrals:
        _State.pending = number
        return
    raise EndedBySignal(number)


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
