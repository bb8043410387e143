"""What a fit lets others know while it runs."""

from __future__ import annotations

import time
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gmm_spark import em
    from gmm_spark.em.reseeding import Emptied, Reseeding
    from gmm_spark.search.missed_clusters import CheckedStart


@contextmanager
def timed(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the wall-clock seconds of the block to those of its phase."""
    began = time.perf_counter()
    try:
        yield
    finally:
        seconds[phase] = round(seconds.get(phase, 0.0) + time.perf_counter() - began, 3)


class Observer:
    """Learns of what happens in a fit; this one does nothing: others log, measure times and keep checkpoints."""

    def phase(self, name: str) -> AbstractContextManager[None]:  # noqa: ARG002 - as all of these
        """Surround a phase of the fit."""
        return nullcontext()

    def start_checked(self, start: CheckedStart) -> None:
        """All rows have been read for a start that was found on a sample."""

    def state_reached(self, state: em.State) -> None:
        """The fit can be gone on from this state: the first one, or one after a pass."""

    def pass_measured(self, state: em.State, measured: em.Pass) -> None:
        """A full read of the data led to this state."""

    def reseeded(self, entry: Reseeding) -> None:
        """Components which did no work are restarted."""

    def emptied(self, components: Sequence[Emptied]) -> None:
        """Components of the initial model hold next to no rows."""
