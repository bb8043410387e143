"""The events of a fit while it runs."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gmm_spark import em
    from gmm_spark.em.reseeding import EmptiedComponent, Reseeding
    from gmm_spark.search.missed_clusters import CheckedStart


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the wall-clock seconds of the block to those of the phase."""
    start = time.perf_counter()
    try:
        yield
    finally:
        seconds[phase] = round(seconds.get(phase, 0.0) + time.perf_counter() - start, 3)


class Observer:
    """Receives the events of a fit; this one does nothing, others log, measure times and write checkpoints."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002 - for subclasses
        """Surround a phase of the fit."""
        return nullcontext()

    def start_checked(self, start: CheckedStart) -> None:
        """All rows were read to check a start that was found on a sample."""

    def state_reached(self, state: em.State) -> None:
        """The fit can be resumed from this state: the first state, or the state after a pass."""

    def pass_measured(self, state: em.State, measured: em.Pass) -> None:
        """A full read of the data led to this state."""

    def reseeded(self, entry: Reseeding) -> None:
        """Components that did no work are restarted."""

    def emptied(self, components: Sequence[EmptiedComponent]) -> None:
        """Components of the initial model hold next to no rows."""
