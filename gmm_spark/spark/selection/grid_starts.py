"""Starts for many mixtures: one task for each family and number of components, all on the same sample."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from gmm_spark.errors import DataError
from gmm_spark.mixture.parameters import ALIGNED, FloatArray, Parameters
from gmm_spark.search.best_start import ranked
from gmm_spark.selection.stability import stability
from gmm_spark.spark.session import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pyspark.sql import SparkSession

    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Family
    from gmm_spark.search.sample import Plan, Sample
    from gmm_spark.spark.session import Shipped

_SCHEMA = pa.schema(
    [("search", pa.int32()), ("found", pa.list_(pa.binary())), ("stability", pa.float64()), ("error", pa.string())]
)
_DDL = "search int, found array<binary>, stability double, error string"


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    Args:
        mixtures: where EM starts on all rows, the best first.
        stability: the share of its starts that led to the partition of the best; NaN where none was drawn.
    """

    mixtures: list[Parameters]
    stability: float = float("nan")


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

    def run(self, number: int) -> Found:
        """Return what one search found."""
        plan = self.plans[number]
        turn = self.turns.get(plan.family)
        sample = self.sample if turn is None else replace(self.sample, z=turn @ self.sample.z)
        led: list[Parameters] = []
        fits = ranked(sample, self.frames[plan.family], plan, on_starts=led.extend)
        mixtures = [fit.best.parameters for fit in fits]
        return Found(mixtures, stability(led, mixtures[0], sample.z))


def search(spark: SparkSession, searches: Searches) -> list[Found | str]:
    """Return for each plan what was found, or why there is nothing.

    The costliest searches begin first, so that the short ones fill the cores at the end.
    """
    plans = searches.plans
    order = sorted(range(len(plans)), key=lambda i: (-plans[i].k, plans[i].family != "full"))
    with shipped(spark, (searches, tuple(order))) as parcel:
        tasks = spark.range(0, len(plans), 1, len(plans))
        table = tasks.mapInArrow(partial(_search, parcel), _DDL).toArrow()
    results: list[Found | str] = ["no result"] * len(plans)
    for number, found, share, error in zip(*(column.to_pylist() for column in table.columns), strict=True):
        plan, d = plans[number], len(searches.sample.z)
        results[number] = error or Found([_from_bytes(each, plan, d) for each in found], share)
    return results


def _search(
    parcel: Shipped[tuple[Searches, tuple[int, ...]]], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    searches, order = parcel.value
    for batch in batches:
        for place in batch.column(0).to_pylist():
            found, share, error = _outcome(searches, order[place])
            row = {"search": [order[place]], "found": [found], "stability": [share], "error": [error]}
            yield from pa.Table.from_pydict(row, schema=_SCHEMA).to_batches()


def _outcome(searches: Searches, number: int) -> tuple[list[bytes], float, str | None]:
    try:
        found = searches.run(number)
    except DataError as error:  # one search that finds nothing must not end the others
        return [], float("nan"), error.sentences
    return [_to_bytes(each) for each in found.mixtures], found.stability, None


def _to_bytes(parameters: Parameters) -> bytes:
    noise = np.empty(0) if parameters.noise is None else np.array([parameters.noise.weight])
    parts = parameters.weights, parameters.means.ravel(), parameters.spread.values.ravel(), noise
    return np.concatenate(parts).astype("<f8").tobytes()


def _from_bytes(data: bytes, plan: Plan, d: int) -> Parameters:
    shape = (plan.k, d) if plan.family in ALIGNED else (plan.k, d, d)
    ends = np.cumsum([plan.k, plan.k * d, np.prod(shape)])
    weights, means, spread, weight = np.split(np.frombuffer(data, dtype="<f8"), ends)
    noise = None if plan.noise is None else plan.noise.weighing(weight[0])
    return Parameters(weights, means.reshape(plan.k, d), spread.reshape(shape), plan.family, noise)
