"""Fits at the same time, whatever the threads are: each equals its run alone, and leaves no trace of it elsewhere."""

from __future__ import annotations

import base64
import importlib.util
import json
import logging
import re
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.spark.frames import clusters, numbered, plain_steps, start, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from pyspark.sql import SparkSession

    from gmm_spark import GaussianMixtureModel

SCRIPT = Path(__file__).parents[2] / "scripts" / "stress_threads.py"
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


def _fit_watched(spark: SparkSession, call: Callable[[], object]) -> tuple[GaussianMixtureModel, list[Any]]:
    """Fit, and return the model and what the function returned at each pass."""
    logger, watcher = logging.getLogger("gmm_spark"), _OnPass(call)
    level = logger.level
    logger.addHandler(watcher)
    logger.setLevel(logging.INFO)
    try:
        model = plain_steps(table(spark, **numbered(clusters(100))), start(), 2)
    finally:
        logger.removeHandler(watcher)
        logger.setLevel(level)
    assert len(watcher.seen) == 3
    return model, watcher.seen


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
