"""What a fit reports while it runs: each event a sentence, with its numbers by name beside it for a log of JSON."""

from __future__ import annotations

import logging
import math
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.em.convergence import passes_to
from gmm_spark.em.reseeding import dead
from gmm_spark.spark.session import described

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pyspark.sql import DataFrame

    from gmm_spark import em
    from gmm_spark.em.diagnosis import Finding
    from gmm_spark.em.reseeding import Reseeding
    from gmm_spark.search.missed_clusters import Look

_log = logging.getLogger("gmm_spark")


def report_phase(phase: str, seconds: float) -> None:
    """Report that a phase of the fit is over."""
    fields = {"event": "phase", "phase": phase, "seconds": seconds}
    _log.info("%s: %.2f s", phase, seconds, extra={"fields": fields})


def report_pass(number: int, measured: em.Pass, remaining: float, value: float, seconds: float, tol: float) -> None:
    """Report one full read of the data: `value` is its log-likelihood, in nats per row of the user's units."""
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


def report_look(looked: Look) -> None:
    """Report what all rows show about a start that was found on a sample."""
    seen = looked.evidence
    verdict = "replaced" if looked.replaced else "kept"
    fields = {"event": "look", "start": verdict, "alarming": seen.alarming, "tail": seen.tail, "gap": seen.gap}
    _log.info(
        "the start checked on all rows: tail %.3g, gap %.3g, limit %.3g nats per row: %s",
        seen.tail,
        seen.gap,
        seen.allowed,
        f"a cluster was missed, the start is {verdict}" if seen.alarming else "no missed cluster",
        extra={"fields": fields},
    )


def report_reseeding(entry: Reseeding) -> None:
    """Report that components which did no work are restarted."""
    fields = {"event": "reseeded", "phase": "em", "components": list(entry.components), "else": entry.outcome.value}
    _log.info(
        "components %s held next to no rows: restarted at the least likely ones (the fit would have ended: %s)",
        list(entry.components),
        entry.outcome.value,
        extra={"fields": fields},
    )


def report_emptied(measured: em.Pass) -> dict[int, str]:
    """Log and return, by its number, what is to be said of each component of a model that holds next to no rows now."""
    said = {}
    shares = measured.moments.mass / measured.moments.weight
    for k in np.flatnonzero(dead(measured.moments)).tolist():
        before, now = float(measured.parameters.weights[k]), float(shares[k])
        said[k] = (
            f"component {k} of the initial model, {before:.3g} of its weight, holds {now:.3g} of these rows: its "
            "cluster has left the data; it is tried where rows are least likely, and gets weight 0 if no cluster is "
            "there; use fewer components, or fit without the initial model"
        )
        fields = {"event": "emptied", "phase": "em", "component": k, "before": before, "now": now}
        _log.warning("%s", said[k], extra={"fields": fields})
    return said


def report_findings(findings: Sequence[Finding]) -> None:
    """Log what is suspicious about each component."""
    for each in findings:
        fields = {"event": each.kind, "component": each.component, "features": list(each.features)}
        _log.warning("%s", each.message, extra={"fields": fields})


@dataclass
class Clock:
    """Seconds by phase; also names the phase in the log and the Spark UI."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def __call__(self, phase: str, df: DataFrame) -> Iterator[None]:
        """Time what is done inside."""
        began = time.perf_counter()
        try:
            with described(df.sparkSession, f"gmm fit, {phase}"):
                yield
        finally:
            self.seconds[phase] = round(time.perf_counter() - began, 3)
            report_phase(phase, self.seconds[phase])
