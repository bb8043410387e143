"""A second look at a start once all rows have been read: did the sample that it was found on miss a cluster?

The first read returns, with its statistics, the rows that the start explains worst; `evidence` judges them. On an
alarm, the search is made once more on the sample and those rows together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gmm_spark import em
from gmm_spark.search import best_start
from gmm_spark.search.evidence import KEPT, Evidence, evidence_of, unseen

if TYPE_CHECKING:
    from collections.abc import Callable

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.search.sample import Plan, Sample
    from gmm_spark.statistics.moments import Moments

__all__ = ["KEPT", "CheckedStart", "Evidence", "check_start", "evidence_of"]


@dataclass(frozen=True, eq=False)
class CheckedStart:
    """A start that was measured on all rows.

    Args:
        parameters: the better of the first start and the one found on a second look.
        slowest: SQUAREM's estimate of the slowest direction's stretch there.
        moments: its statistics over all rows.
        evidence: what spoke for a second look, or against it.
        replaced: whether the start is not the first one.
    """

    parameters: Parameters
    slowest: float | None
    moments: Moments
    evidence: Evidence
    replaced: bool = False


def check_start(
    measure: Callable[[Parameters], Moments],
    found: em.Fit,
    sample: Sample,
    frame: Coordinates,
    plan: Plan,
) -> CheckedStart:
    """Measure a start on all rows; where they show that its sample missed something, look for a better one.

    Args:
        measure: one read of all rows; its statistics carry the least likely ones.
        found: the best fit to the sample.
        sample: where it was found.
        frame: the coordinates of the rows.
        plan: how it was found.
    """
    start = found.best.parameters
    moments = measure(start)
    evidence = evidence_of(start, moments, sample)
    first = CheckedStart(start, found.slowest, moments, evidence)
    if not evidence.alarming:
        return first
    more = unseen(start, moments, sample)
    whole = replace(plan, rows=moments.rows)
    other = best_start.search_with(start, more, sample, frame, whole) if more is not None else None
    if other is None:
        return first
    measured, maximise = measure(other.best.parameters), plan.maximiser(frame, moments.rows)
    before = em.Position(start).measured(moments, maximise)
    after = em.Position(other.best.parameters).measured(measured, maximise)
    if after.standing <= before.standing:
        return first
    return CheckedStart(other.best.parameters, other.slowest, measured, evidence, replaced=True)
