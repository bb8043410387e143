"""What a fit logs while it runs: one sentence per event, with its numbers as named fields for a JSON log."""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from gmm_spark.em.convergence import passes_to
from gmm_spark.fit.observer import Observer, timed
from gmm_spark.spark.session import job_description, set_job_description

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import DataFrame

    from gmm_spark import em
    from gmm_spark.em.diagnosis import Finding
    from gmm_spark.em.reseeding import Emptied, Reseeding
    from gmm_spark.fit.problem import Problem
    from gmm_spark.search.missed_clusters import CheckedStart
    from gmm_spark.spark.fit.checkpoint_store import CheckpointStore

_log = logging.getLogger("gmm_spark")


@contextmanager
def report_phase(seconds: dict[str, float], phase: str) -> Iterator[None]:
    """Add the wall-clock seconds of the code inside to those of its phase, and log them."""
    try:
        with timed(seconds, phase):
            yield
    finally:
        fields = {"event": "phase", "phase": phase, "seconds": seconds[phase]}
        _log.info("%s: %.2f s", phase, seconds[phase], extra={"fields": fields})


def report_pass(number: int, measured: em.Pass, remaining: float, value: float, seconds: float, tol: float) -> None:
    """Report one full read of the data: `value` is its log-likelihood in nats per row, in the user's units."""
    left = None if measured.rate is None else passes_to(tol, remaining, measured.rate)
    to_gain = f"about {remaining:.3g} to gain" if math.isfinite(remaining) else "more to gain"
    fields = {
        "event": "pass",
        "phase": "em",
        "pass": number,
        "log_likelihood": value,
        "gain": measured.gain,
        "to_gain": remaining,
        "passes_left": left,
        "seconds": round(seconds, 3),
        "floor_hits": measured.floored,
    }
    _log.info(
        "pass %d: log-likelihood %.9g nats per row, %s%s, %d raised to the floor, %.2f s",
        number,
        value,
        to_gain,
        f" in about {left} passes" if left else "",
        measured.floored,
        seconds,
        extra={"fields": fields},
    )


def report_part(one_in: int, fit: em.Fit) -> None:
    """Report a fit to a part of the rows."""
    gained = fit.history[-1] - fit.history[0]
    fields = {"event": "part", "phase": "parts", "one_in": one_in, "passes": len(fit.history), "gained": gained}
    _log.info(
        "one in %d blocks: %d passes, %.3g nats per row gained",
        one_in,
        len(fit.history),
        gained,
        extra={"fields": fields},
    )


def report_start(checked: CheckedStart) -> None:
    """Report the check of a start, which was found on a sample, on all rows."""
    evidence = checked.evidence
    verdict = "replaced" if checked.replaced else "kept"
    numbers = {"alarming": evidence.alarming, "tail": evidence.tail, "gap": evidence.gap}
    fields = {"event": "look", "start": verdict, **numbers}
    _log.info(
        "the start checked on all rows: tail %.3g, gap %.3g, limit %.3g nats per row: %s",
        evidence.tail,
        evidence.gap,
        evidence.allowed,
        f"a cluster was missed, the start is {verdict}" if evidence.alarming else "no missed cluster",
        extra={"fields": fields},
    )


def report_reseeding(entry: Reseeding) -> None:
    """Report that components with almost no rows are restarted."""
    fields = {"event": "reseeded", "phase": "em", "components": list(entry.components), "else": entry.outcome.value}
    _log.info(
        "components %s held next to no rows: restarted at the least likely ones (the fit would have ended: %s)",
        list(entry.components),
        entry.outcome.value,
        extra={"fields": fields},
    )


def report_emptied(components: Sequence[Emptied]) -> None:
    """Log each component of an initial model that has almost no rows now."""
    for component in components:
        fields = {"event": "emptied", "phase": "em"} | asdict(component)
        _log.warning("%s", component.message, extra={"fields": fields})


def report_findings(findings: Sequence[Finding]) -> None:
    """Log what is suspicious about each component."""
    for finding in findings:
        fields = {"event": finding.kind, "component": finding.component, "features": list(finding.features)}
        _log.warning("%s", finding.message, extra={"fields": fields})


@dataclass
class Clock:
    """Seconds by phase; also names the phase in the log and the Spark UI."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str, df: DataFrame) -> Iterator[None]:
        """Time the code inside as one phase."""
        with report_phase(self.seconds, phase), job_description(df.sparkSession, f"gmm fit, {phase}"):
            yield


@dataclass
class FitEvents(Observer):
    """Logs the events of a fit, times its phases and saves its states; mutable: the time when a pass started.

    Args:
        clock: times the phases.
        df: the table, whose session names the passes.
        problem: what is fitted.
        store: saves each state; None: no checkpoints.
        pass_start: when the present pass started, in seconds of `time.perf_counter`.
    """

    clock: Clock
    df: DataFrame
    problem: Problem
    store: CheckpointStore | None
    pass_start: float = 0.0

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Time a phase."""
        with self.clock(name, self.df):
            self.pass_start = time.perf_counter()
            yield

    def start_checked(self, start: CheckedStart) -> None:
        """Report the check of a start on all rows."""
        report_start(start)

    def pass_measured(self, state: em.State, measured: em.Pass) -> None:
        """Report a pass."""
        value = measured.moments.mean_log_likelihood - self.problem.frame.log_determinant
        seconds, tol = time.perf_counter() - self.pass_start, self.problem.options.tol
        report_pass(len(state.trace.history), measured, state.remaining(measured), value, seconds, tol)

    def emptied(self, components: Sequence[Emptied]) -> None:
        """Report components without rows."""
        report_emptied(components)

    def reseeded(self, entry: Reseeding) -> None:
        """Report a restart."""
        report_reseeding(entry)

    def state_reached(self, state: em.State) -> None:
        """Save the state, and name the next pass in the Spark UI."""
        if self.store:
            self.store.save(state)
        if passes := len(state.trace.history):
            set_job_description(self.df.sparkSession, f"gmm fit, pass {passes + 1}")
        self.pass_start = time.perf_counter()
