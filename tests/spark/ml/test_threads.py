"""Fits at the same time, whatever the threads are: each equals its run alone, and leaves no trace of it elsewhere."""

from __future__ import annotations

import base64
import importlib.util
import json
import logging
import re
import struct
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from gmm_spark import GaussianMixture
from gmm_spark.mixture import coordinates
from gmm_spark.spark.blocks.pack import Packing, pack
from gmm_spark.spark.session import send_to_tasks
from gmm_spark.spark.table.rows import RowLayout
from tests.spark.frames import assert_same_bits, clusters, names, numbered, plain_steps, start, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from pyspark.sql import SparkSession

    from gmm_spark import GaussianMixtureModel

SCRIPT = Path(__file__).parents[3] / "scripts" / "stress_threads.py"
BATCH_BYTES = "spark.sql.execution.arrow.maxBytesPerBatch"


@pytest.fixture(scope="module")
def stress() -> Iterator[ModuleType]:
    """Give scripts/stress_threads.py as a module."""
    spec = importlib.util.spec_from_file_location("stress_threads", SCRIPT)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["stress_threads"] = module  # dataclasses look for their module there
    spec.loader.exec_module(module)
    yield module
    del sys.modules["stress_threads"]


@pytest.mark.classic_only
@pytest.mark.parametrize(
    "way",
    [
        "shared properties",
        "TrainValidationSplit",
        *(
            pytest.param(way, marks=pytest.mark.slow)
            for way in (
                "threads", "InheritableThread", "one estimator", "sessions", "scores and a selection", "CrossValidator",
            )
        ),
    ],
)  # fmt: skip
def test_each_result_is_that_of_its_run_alone(spark: SparkSession, stress: ModuleType, way: str) -> None:
    """Eight fits of other shapes, starts and floors that run together have the bits of each alone; also when tuning.

    scripts/stress_threads.py runs 20 rounds of all ways.
    """
    df = stress.table(spark).persist()
    try:
        count, differences = stress.run_way(df, way, stress.alone(df, [way]))
    finally:
        df.unpersist()
    assert count == (1 if "Valid" in way else 8)
    assert not differences


class _OnPass(logging.Handler):
    """Calls a function at each pass of a fit."""

    def __init__(self, call: Callable[[], object]) -> None:
        super().__init__(logging.INFO)
        self.call, self.seen = call, list[Any]()

    def emit(self, record: logging.LogRecord) -> None:
        if getattr(record, "fields", {}).get("event") == "pass":
            self.seen.append(self.call())


@contextmanager
def _on_pass(call: Callable[[], object]) -> Iterator[list[Any]]:
    """Call a function at each pass of a fit that is run inside; give what it returned."""
    logger, watcher = logging.getLogger("gmm_spark"), _OnPass(call)
    level = logger.level
    logger.addHandler(watcher)
    logger.setLevel(logging.INFO)
    try:
        yield watcher.seen
    finally:
        logger.removeHandler(watcher)
        logger.setLevel(level)


def _fit_watched(spark: SparkSession, call: Callable[[], object]) -> tuple[GaussianMixtureModel, list[Any]]:
    """Fit, and return the model and what the function returned at each pass."""
    with _on_pass(call) as seen:
        model = plain_steps(table(spark, **numbered(clusters(100))), start(), 2)
    assert len(seen) == 3
    return model, seen


def test_the_conf_of_the_session_is_left_alone(spark: SparkSession) -> None:
    """While a fit runs every other user of the session reads the conf as it was, and what one sets stays set."""
    before = dict(spark.conf.getAll)
    _, seen = _fit_watched(spark, lambda: dict(spark.conf.getAll))
    assert seen == [before] * 3
    try:
        _fit_watched(spark, lambda: spark.conf.set(BATCH_BYTES, "17m"))
        assert spark.conf.get(BATCH_BYTES) == "17m"
    finally:
        spark.conf.unset(BATCH_BYTES)


def test_equal_fits_do_not_share_their_blocks(spark: SparkSession) -> None:
    """Spark keeps what is equal once, and drops it when the first fit ends: the blocks of two equal fits are not."""
    df = table(spark, **numbered(clusters(60)))
    layout = RowLayout(3, array=False, weighted=False)
    frame = coordinates.coordinates_for("full", np.zeros(3), np.eye(3), ("a", "b", "c"))
    packing = Packing(layout, frame, seed=0, sample_share=1.0)
    with send_to_tasks(spark, packing) as one, send_to_tasks(spark, packing) as other:
        assert pack(df, one).sameSemantics(pack(df, one))
        assert not pack(df, one).sameSemantics(pack(df, other))


@pytest.mark.classic_only
@pytest.mark.parametrize("how", ["interrupted", "cancelled"])
def test_a_fit_that_was_stopped_leaves_no_trace(spark: SparkSession, how: str) -> None:
    """After Ctrl-C in a notebook, or a job group that is cancelled, nothing is kept, and the next fit is as ever."""
    context = spark.sparkContext
    df = spark.createDataFrame(pa.table(numbered(clusters(100))))  # no shuffle, whose rows may come in any order
    expected, before = plain_steps(df, start(), 2), context._jsc.getPersistentRDDs().size()  # noqa: SLF001
    context.setJobGroup("notebook", "a cell")

    def stop() -> None:
        if how == "interrupted":
            raise KeyboardInterrupt
        context._jsc.sc().cancelJobGroupAndFutureJobs("notebook")  # noqa: SLF001 - Python lacks it

    try:
        with pytest.raises(KeyboardInterrupt if how == "interrupted" else Exception, match=r"notebook|^$"):
            _fit_watched(spark, stop)
    finally:
        context.setLocalProperty("spark.jobGroup.id", None)  # type: ignore[arg-type] # None clears it
        context.setLocalProperty("spark.job.description", None)  # type: ignore[arg-type]
    assert context._jsc.getPersistentRDDs().size() == before  # noqa: SLF001
    assert_same_bits(plain_steps(df, start(), 2), expected)


def test_params_that_change_meanwhile_are_of_the_next_fit(spark: SparkSession) -> None:
    """A fit reads its params when it starts: what another thread sets then is in no part of its model."""
    estimator = GaussianMixture(k=3, inputCols=names(3), maxIter=2, tol=0.0).setInitialModel(start())
    df = table(spark, **numbered(clusters(100)))
    with _on_pass(lambda: estimator.setPredictionCol("later").setMaxIter(9)):  # type: ignore[attr-defined]
        model = estimator.fit(df)
    assert (model.getOrDefault("predictionCol"), model.summary.numIter) == ("prediction", 2)
    assert estimator.getOrDefault("maxIter") == 9


@pytest.mark.classic_only
def test_the_event_log_holds_no_parameters(spark: SparkSession) -> None:
    """Neither the properties of a job nor a plan's text shows the parameters of a pass, as digits or as bytes."""
    model, _ = _fit_watched(spark, lambda: None)
    events = _event_log(spark)
    assert '"gmm fit, pass 2"' in events  # the right log, and written so far
    properties = {name for line in events.splitlines() for name in json.loads(line).get("Properties") or ()}
    assert not {name for name in properties if "gmm" in name}
    # The weights are the same in all coordinates. As bytes they are within a pickle, whose text is base64.
    encoded = [_decoded(token) for token in re.findall(r"[A-Za-z0-9+/]{32,}=*", events)]
    weights = [*map(float, model.weights), *map(float, start().weights)]
    assert not [weight for weight in weights if any(struct.pack("<d", weight) in each for each in encoded)]
    assert not [weight for weight in map(float, model.weights) if repr(weight) in events]


def _event_log(spark: SparkSession) -> str:
    context = spark.sparkContext
    context._jsc.sc().listenerBus().waitUntilEmpty()  # noqa: SLF001 - events are written by a thread of the JVM
    (log,) = Path(context.getConf().get("spark.eventLog.dir") or "").glob(f"{context.applicationId}*")
    return log.read_text()


def _decoded(token: str) -> bytes:
    return base64.b64decode(token[: len(token) // 4 * 4], validate=False)
