"""Starts for many mixtures: one task for each family and number of components, all on the same sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gmm_spark.errors import DataError
from gmm_spark.search.best_start import ranked
from gmm_spark.selection.stability import stability
from gmm_spark.spark.session import shipped
from gmm_spark.spark.tasks import call_in_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from gmm_spark import em
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
    from gmm_spark.search.sample import Plan, Sample


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Args:
        mixtures: where EM starts on all rows, the best first.
        stability: the share of its starts that led to the partition of the best; NaN where none was drawn.
        passed: a likelier mixture than the best that was not chosen.
    """

    mixtures: list[Parameters]
    stability: float = float("nan")
    passed: em.PassedOver | None = None


@dataclass(frozen=True, eq=False)
class Searches:
    """What to look for, and where.

    Args:
        sample: rows in the coordinates of the blocks.
        plans: one for each search.
        frames: the coordinates that suit each family.
        turns: (d, d) from the blocks' coordinates to those of a family, where they differ.
    """

    sample: Sample
    plans: tuple[Plan, ...]
    frames: Mapping[Family, Coordinates]
    turns: Mapping[Family, FloatArray]

    def run(self, number: int) -> Found | str:
        """Return what one search found, or why there is nothing: that must not end the others."""
        try:
            return self._found(self.plans[number])
        except DataError as error:
            return error.sentences

    def _found(self, plan: Plan) -> Found:
        turn = self.turns.get(plan.family)
        sample = self.sample if turn is None else replace(self.sample, z=turn @ self.sample.z)
        led: list[Parameters] = []
        fits = ranked(sample, self.frames[plan.family], plan, on_starts=led.extend)
        mixtures = [fit.best.parameters for fit in fits]
        return Found(mixtures, stability(led, mixtures[0], sample.z), fits[0].passed)


def search(spark: SparkSession, searches: Searches) -> list[Found | str]:
    """Return for each plan what was found, or why there is nothing.

    The costliest searches begin first, so that the short ones fill the cores at the end.
    """
    plans = searches.plans
    order = sorted(range(len(plans)), key=lambda i: (-plans[i].k, plans[i].family != "full"))
    with shipped(spark, searches.run) as run:
        results = dict(zip(order, call_in_tasks(spark, run, [(number,) for number in order], len(order)), strict=True))
    return [results[number] for number in range(len(plans))]
