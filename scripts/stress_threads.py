"""Fits, scores and selections at the same time, in every kind of thread: each must equal its run alone, bit for bit.

    .venv/bin/python scripts/stress_threads.py               # 20 rounds; a line per round, status 1 if one differs
    .venv/bin/python scripts/stress_threads.py --rounds 2 --ways CrossValidator,sessions

A round runs eight fits of different shapes, starts and floors together in each way: plain threads, InheritableThread,
a pool whose threads share one set of local properties (inheritable_thread_target, as in CrossValidator), two sessions
of one context, one estimator object for all, beside scores and a selection, and in pyspark.ml's CrossValidator and
TrainValidationSplit.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from functools import partial
from multiprocessing.pool import ThreadPool
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark import InheritableThread, inheritable_thread_target
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder, TrainValidationSplit

from gmm_spark import GaussianMixture, GaussianMixtureModel, MeanLogLikelihoodEvaluator
from gmm_spark.em.summary import fields_of
from gmm_spark.spark.ml.select import select
from scripts.benchmarks.sessions import CORES, session

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pyspark.sql import DataFrame, SparkSession

ROWS, D, FOLDS = 2_000, 3, 2
# Equal shapes with other seeds, and every param that CrossValidator was seen to mix up.
FITS: tuple[dict[str, Any], ...] = (
    {"k": 3, "seed": 1},
    {"k": 3, "seed": 2},
    {"k": 2},
    {"k": 5, "starts": 1},
    {"k": 3, "starts": 3, "covarianceFloor": 0.3},
    {"k": 3, "covarianceFloor": 1e-3, "acceleration": "none"},
    {"k": 3, "covarianceType": "tied"},
    {"k": 4, "covarianceType": "diag", "maxIter": 2},
)
SCORED = GaussianMixtureModel.fromArrays([0.5, 0.5], [[0.0] * D, [3.0] * D], np.stack([np.eye(D)] * 2))


@dataclass(frozen=True)
class Difference:
    """A task whose result was not that of its run alone.

    Args:
        way: how the tasks were run.
        task: which.
        found: the other result: other bits, or an error.
    """

    way: str
    task: str
    found: str


def table(spark: SparkSession) -> DataFrame:
    """Return overlapping clusters with a column of folds."""
    rng = np.random.default_rng(0)
    x = 2.5 * rng.integers(0, 3, (ROWS, 1)) + rng.standard_normal((ROWS, D))
    columns = {f"x{i}": column for i, column in enumerate(x.T)} | {"fold": np.arange(ROWS, dtype=np.int32) % FOLDS}
    return spark.createDataFrame(pa.table(columns))  # no shuffle, whose rows may come in any order


def mixture(**params: Any) -> GaussianMixture:  # noqa: ANN401 - those of the estimator
    """Return an estimator of short fits to `table`."""
    short: dict[str, Any] = {"inputCols": [f"x{i}" for i in range(D)], "maxIter": 4, "starts": 2}
    return GaussianMixture(**short | params)


def digest(model: GaussianMixtureModel) -> str:
    """Return a fingerprint of everything that a fit returns, except its seconds."""
    arrays = b"".join(each.tobytes() for each in (model.weights, model.means, model.covariances))
    summary = fields_of(model.summary) | {"seconds": None}
    return hashlib.sha256(arrays + repr(sorted(summary.items())).encode()).hexdigest()[:16]


def fit(df: DataFrame, params: dict[str, Any]) -> str:
    """Fit a table and return the fingerprint of the model."""
    return digest(mixture(**params).fit(df))


def fit_shared(df: DataFrame, estimator: GaussianMixture, params: dict[str, Any]) -> str:
    """Fit with one estimator object of all threads, the params beside it; return the fingerprint of the model."""
    return digest(estimator.fit(df, {estimator.getParam(name): value for name, value in params.items()}))


def score(df: DataFrame) -> str:
    """Score a table and return the fingerprint of what is appended."""
    scored = SCORED.copy({SCORED.inputCols: [f"x{i}" for i in range(D)]}).transform(df).toArrow()
    return hashlib.sha256(b"".join(repr(each.to_pylist()).encode() for each in scored.columns)).hexdigest()[:16]


def choose(df: DataFrame) -> str:
    """Select among numbers of components and return the fingerprint of all of it."""
    found = select(df, mixture(), [1, 2, 3])
    models = "".join(f"{each.name} {digest(model)}" for each, model in sorted(found.models.items()))
    return hashlib.sha256((models + repr(found.table)).encode()).hexdigest()[:16]


def validated(df: DataFrame, kind: Callable[..., Any], parallelism: int, **how: Any) -> str:  # noqa: ANN401
    """Tune over numbers of components, starts and floors; return the fingerprint of the metrics and the best model."""
    estimator = mixture()
    grid = ParamGridBuilder().addGrid(estimator.k, [2, 4]).addGrid(estimator.starts, [1, 2])
    maps = grid.addGrid(estimator.covarianceFloor, [1e-6, 0.3]).build()
    tuned = kind(
        estimator=estimator, estimatorParamMaps=maps, evaluator=MeanLogLikelihoodEvaluator(), parallelism=parallelism,
        seed=1, **how,
    ).fit(df)  # fmt: skip
    metrics = getattr(tuned, "avgMetrics", None) or tuned.validationMetrics
    return f"{digest(tuned.bestModel)} {np.asarray(metrics).tobytes().hex()}"


Task = tuple[str, "Callable[[], str]"]


def fits(df: DataFrame) -> list[Task]:
    """Return the eight fits by name."""
    return [(f"fit {number}", partial(fit, df, params)) for number, params in enumerate(FITS)]


def tasks(df: DataFrame, way: str) -> list[Task]:
    """Return what a way runs together."""
    if way == "one estimator":
        estimator = mixture()
        return [(f"fit {i}", partial(fit_shared, df, estimator, params)) for i, params in enumerate(FITS)]
    if way == "sessions":
        other = df.sparkSession.newSession()
        seen = table(other)
        return [(name, partial(fit, seen if i % 2 else df, FITS[i])) for i, (name, _) in enumerate(fits(df))]
    if way == "scores and a selection":
        scores: list[Task] = [("score", partial(score, df))] * 2
        return [*fits(df)[:5], *scores, ("select", partial(choose, df))]
    if way == "CrossValidator":
        return [(way, partial(validated, df, CrossValidator, 4, numFolds=FOLDS, foldCol="fold"))]
    if way == "TrainValidationSplit":
        return [(way, partial(validated, df, TrainValidationSplit, 4))]
    return fits(df)


def alone(df: DataFrame, ways: Sequence[str]) -> dict[str, str]:
    """Return the fingerprint of each task when it runs alone."""
    single: dict[str, Callable[[], str]] = dict(fits(df))
    single |= {"score": partial(score, df), "select": partial(choose, df)}
    single["CrossValidator"] = partial(validated, df, CrossValidator, 1, numFolds=FOLDS, foldCol="fold")
    single["TrainValidationSplit"] = partial(validated, df, TrainValidationSplit, 1)
    return {name: single[name]() for name in sorted({name for way in ways for name, _ in tasks(df, way)})}


def in_threads(kind: Callable[..., threading.Thread], together: Sequence[Callable[[], None]]) -> None:
    """Run functions in threads of a kind, one each."""
    threads = [kind(target=each) for each in together]
    for each in threads:
        each.start()
    for each in threads:
        each.join()


def in_pool(spark: SparkSession, together: Sequence[Callable[[], None]]) -> None:
    """Run functions as pyspark.ml does: the threads of a pool share one Java object of local properties."""
    wrap = inheritable_thread_target(spark)
    with ThreadPool(len(together)) as pool:
        pool.map(lambda run: run(), [wrap(each) for each in together])


WAYS: Mapping[str, Callable[[SparkSession, Sequence[Callable[[], None]]], None]] = {
    "threads": lambda _, together: in_threads(threading.Thread, together),
    "InheritableThread": lambda _, together: in_threads(InheritableThread, together),
    "shared properties": in_pool,
    "one estimator": in_pool,
    "sessions": in_pool,
    "scores and a selection": in_pool,
    "CrossValidator": lambda _, together: in_threads(threading.Thread, together),
    "TrainValidationSplit": lambda _, together: in_threads(threading.Thread, together),
}


def run_way(df: DataFrame, way: str, expected: Mapping[str, str]) -> tuple[int, list[Difference]]:
    """Run the tasks of a way together; return their number, and those with an unexpected result."""
    planned = tasks(df, way)
    found: list[str] = ["no result"] * len(planned)

    def run(place: int) -> None:
        try:
            found[place] = planned[place][1]()
        except Exception:  # noqa: BLE001 - an error is a difference, whatever it is
            found[place] = traceback.format_exc(limit=-2)

    WAYS[way](df.sparkSession, [partial(run, place) for place in range(len(planned))])
    pairs = zip(planned, found, strict=True)
    return len(planned), [Difference(way, name, got) for (name, _), got in pairs if got != expected[name]]


def run_round(df: DataFrame, ways: Sequence[str], expected: Mapping[str, str]) -> tuple[int, list[Difference]]:
    """Run each way; return the number of tasks, and those with an unexpected result."""
    counts, differences = zip(*(run_way(df, way, expected) for way in ways), strict=True)
    return sum(counts), [each for own in differences for each in own]


def main() -> int:
    """Run the rounds; return 1 where a result differed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--ways", default=",".join(WAYS), help="which, comma separated")
    options = parser.parse_args()
    ways = options.ways.split(",")
    df = table(session(max(4, CORES), {"spark.sql.shuffle.partitions": "2"})).persist()
    expected, total, wrong = alone(df, ways), 0, 0
    for number in range(1, options.rounds + 1):
        began = time.perf_counter()
        count, differences = run_round(df, ways, expected)
        total, wrong = total + count, wrong + len(differences)
        seconds = time.perf_counter() - began
        print(f"round {number}: {count} tasks, {len(differences)} differ, {seconds:.1f} s", flush=True)
        for each in differences:
            print(f"  {each.way}, {each.task}: {each.found}", flush=True)
    print(f"{options.rounds} rounds: {total} tasks, {wrong} differ from their run alone")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
