"""The check of a start on all rows: did the sample that it was found on miss a cluster?

The first read returns, with its statistics, the rows that the start explains worst; `evidence` judges them. If they
show a missed cluster, the search is repeated on the sample and those rows together.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gmm_spark import em
from gmm_spark.search import best_start
from gmm_spark.search.evidence import LOWEST_ROWS, Evidence, evidence_of, unseen_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.search.sample import Plan, Sample
    from gmm_spark.statistics.moments import Moments

__all__ = ["LOWEST_ROWS", "CheckedStart", "Evidence", "check_start", "evidence_of"]


@dataclass(frozen=True, eq=False)
class CheckedStart:
    """A start that was measured on all rows.

    Args:
        parameters: the better of the first start and that of the second search.
        slowest: SQUAREM's estimate of the slowest direction's stretch there.
        moments: its statistics over all rows.
        evidence: how well all rows agree with the first start.
        replaced: whether the start is that of the second search.
    """

    parameters: Parameters
    slowest: float | None
    moments: Moments
    evidence: Evidence
    replaced: bool = False


def check_start(
    measure: Callable[[Parameters], Moments],
    fit: em.Fit,
    sample: Sample,
    frame: Coordinates,
    plan: Plan,
) -> CheckedStart:
    """Measure a start on all rows; where they show that its sample missed a cluster, search for a better start.

    Args:
        measure: reads all rows once; the statistics include the least likely rows.
        fit: the best fit to the sample.
        sample: the sample.
        frame: the coordinates of the rows.
        plan: the plan of the search on the sample.
    """
    start = fit.best.parameters
    moments = measure(start)
    evidence = evidence_of(start, moments, sample)
    first = CheckedStart(start, fit.slowest, moments, evidence)
    if not evidence.alarming:
        return first
    more = unseen_rows(start, moments, sample)
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
