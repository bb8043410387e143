"""Starts for many mixtures: one task per family and number of components, all on the same sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gmm_spark.errors import DataError
from gmm_spark.search.best_start import ranked
from gmm_spark.selection.stability import stability
from gmm_spark.spark.session import send_to_tasks
from gmm_spark.spark.tasks import call_in_tasks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

    from gmm_spark import em
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
    from gmm_spark.search.sample import Plan, Sample


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The result of a search for starts.

    Args:
        mixtures: the starts of EM on all rows, the best first.
        stability: the share of the random starts that led to the same partition as the best; NaN without any.
        passed: a likelier mixture than the best that was not chosen.
    """

    mixtures: list[Parameters]
    stability: float = float("nan")
    passed: em.PassedOver | None = None


@dataclass(frozen=True, eq=False)
class Searches:
    """The searches for starts, on one sample.

    Args:
        sample: rows in the coordinates of the blocks.
        plans: one per search.
        frames: the coordinates of each family.
        turns: (d, d) from the blocks' coordinates to those of a family, where they differ.
    """

    sample: Sample
    plans: tuple[Plan, ...]
    frames: Mapping[Family, Coordinates]
    turns: Mapping[Family, FloatArray]

    def run(self, number: int) -> SearchResult | str:
        """Return the result of one search, or the text of its error, which must not end the others."""
        try:
            return self._search(self.plans[number])
        except DataError as error:
            return error.sentences

    def _search(self, plan: Plan) -> SearchResult:
        turn = self.turns.get(plan.family)
        sample = self.sample if turn is None else replace(self.sample, z=turn @ self.sample.z)
        from_starts: list[Parameters] = []
        fits = ranked(sample, self.frames[plan.family], plan, on_starts=from_starts.extend)
        mixtures = [fit.best.parameters for fit in fits]
        return SearchResult(mixtures, stability(from_starts, mixtures[0], sample.z), fits[0].passed)


def search(spark: SparkSession, searches: Searches) -> list[SearchResult | str]:
    """Return the result of each plan, or the text of its error.

    The longest searches start first, so that short ones fill the cores at the end.
    """
    plans = searches.plans
    order = sorted(range(len(plans)), key=lambda i: (-plans[i].k, plans[i].family != "full"))
    with send_to_tasks(spark, searches.run) as run:
        results = dict(zip(order, call_in_tasks(spark, run, [(number,) for number in order], len(order)), strict=True))
    return [results[number] for number in range(len(plans))]
