"""Signals that end a job: it releases its lock, removes its staging folder, logs a line and ends with 128 + signal.

Schedulers end a job with SIGTERM, and with SIGKILL some seconds later. The signal becomes an exception in the main
thread, so that every `finally` runs. A second signal is ignored: many arrive twice, for the process and for its group.
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
    """A signal asked the job to end.

    Args:
        number: the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number

    def __str__(self) -> str:
        return f"ended by signal {self.number} ({signal.Signals(self.number).name}); nothing was published"


class _State:
    """The signals that this process has received; global, as signal handlers are."""

    deferrals = 0
    pending: int | None = None
    ending = False


@contextmanager
def catch_signals() -> Iterator[None]:
    """Turn signals that end the job into `EndedBySignal` within the block; restore the old handlers afterwards."""
    before = {number: signal.getsignal(number) for number in _ENDING}
    _State.ending, _State.pending = False, None
    install_handlers()
    try:
        yield
    finally:
        if _in_main_thread():
            for number, handler in before.items():
                signal.signal(number, handler if handler is not None else signal.SIG_DFL)


def install_handlers() -> None:
    """Set the handlers, again after Spark has set its own; a signal that the caller ignores (nohup) stays ignored."""
    if _in_main_thread():
        for number in _ENDING:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                signal.signal(number, _on_signal)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Delay signals until the block ends: it is a short step that must not be interrupted."""
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
