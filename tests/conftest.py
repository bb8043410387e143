"""Spark sessions for the tests, one at a time, the tests of each engine together; and the real data."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

# Before numpy is imported: driver and workers share the cores, and too many BLAS threads take ten times as long.
for _variable in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")

settings.register_profile("repeatable", deadline=None, max_examples=25, derandomize=True, database=None)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent
# classic: two executors in separate processes, so that everything a task needs must be sent to it.
MASTERS = {"classic": "local-cluster[2,1,1024]", "connect": "local[2]"}
# Executors need numpy and pyarrow only: here these can't be imported on them.
ABSENT = ("pandas", "pydantic", "pydantic_settings", "scipy", "sklearn", "yaml")
_QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # tests are too short for the second compiler
SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",  # tests fail tasks on purpose, each a page of warnings
    "spark.driver.host": "127.0.0.1",  # the name of a container often resolves to nothing
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": _QUICK,
    "spark.executor.extraJavaOptions": _QUICK,
    "spark.sql.shuffle.partitions": "2",  # the default of 200 tasks takes longer than any test
    "spark.default.parallelism": "2",
    "spark.python.unix.domain.socket.enabled": "true",  # as in conf/spark-defaults.conf
    "spark.eventLog.enabled": "true",  # what is in it is tested
    "spark.eventLog.compress": "false",
    "spark.eventLog.rolling.enabled": "false",
}


def pytest_configure(config: pytest.Config) -> None:
    """Declare the marker of the tests that need their own executors or take too long to run on both engines."""
    config.addinivalue_line("markers", "classic_only: runs on classic Spark, not on Spark Connect too")
    config.addinivalue_line("markers", "slow: the rest of a matrix whose corners are always run; with -m ''")
    # pyspark's: CrossValidator leaves its threads to the garbage collector
    config.addinivalue_line("filterwarnings", "ignore:unclosed running multiprocessing pool:ResourceWarning")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes `spark` on both engines; pytest groups the tests by this session-wide parameter."""
    if "spark" in metafunc.fixturenames:
        classic_only = metafunc.definition.get_closest_marker("classic_only")
        metafunc.parametrize("spark", ["classic"] if classic_only else list(MASTERS), indirect=True, scope="session")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of one engine, those of the jobs, and those of each other module in one process, the dear first.

    That is for `--dist loadgroup`: what starts Spark is started once.
    """
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))
    order = {"jobs": 0, "classic": 1, "connect": 2}
    items.sort(key=lambda item: order.get(_group(item), len(order)))


def _group(item: pytest.Item) -> str:
    parameters = getattr(item, "callspec", None)
    if parameters and "spark" in parameters.params:
        return str(parameters.params["spark"])
    return "jobs" if item.path.parent.name == "jobs" else item.path.stem


@pytest.fixture(scope="session")
def spark(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """Return a session of the engine that the test runs on; no other session exists at that time."""
    folder = tmp_path_factory.mktemp("spark")
    settings = {**SETTINGS, "spark.sql.warehouse.dir": str(folder / "warehouse")}
    settings["spark.eventLog.dir"] = str(folder)
    start = connect_session if request.param == "connect" else classic_session
    with worker_environment(folder):
        session = start(MASTERS[request.param], settings)
    leftovers = [executor_folder(session)] if request.param == "classic" else []
    yield session
    session.stop()
    for name in ("SPARK_CONNECT_MODE_ENABLED", "SPARK_LOCAL_REMOTE", "SPARK_REMOTE"):
        os.environ.pop(name, None)  # what remote() leaves behind turns every later session into a remote one
    for leftover in leftovers:
        shutil.rmtree(leftover, ignore_errors=True)


def classic_session(master: str, settings: dict[str, str]) -> SparkSession:
    """Start a session of classic Spark."""
    from pyspark.sql import SparkSession  # noqa: PLC0415 - tests without Spark do not wait for it

    builder = SparkSession.builder.master(master)
    for name, value in settings.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def connect_session(master: str, settings: dict[str, str]) -> SparkSession:
    """Start a Spark Connect server of this process and a session of it.

    The settings go to the server alone, by the way that spark-submit has for them: those of the builder
    are set on the session once more, and warned about. SPARK_TESTING makes it take any free port, and the
    client ask for it: at the fixed one there may be another run of these tests.
    """
    from pyspark.sql import SparkSession  # noqa: PLC0415

    given = {"PYSPARK_REMOTE_INIT_CONF_LEN": "1", "PYSPARK_REMOTE_INIT_CONF_0": json.dumps(settings)}
    with environment(SPARK_TESTING="1", **given):
        return SparkSession.builder.remote(master).getOrCreate()


@contextmanager
def worker_environment(folder: Path) -> Iterator[None]:
    """Let the Python workers of a new session find gmm_spark, without the packages that only the driver may need."""
    for name in ABSENT:
        (folder / f"{name}.py").write_text(f"raise ImportError('{name} is not on the executors')\n")
    path = os.pathsep.join(map(str, (folder, ROOT)))
    with environment(PYTHONPATH=path, PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1"):
        yield


@contextmanager
def environment(**variables: str) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def executor_folder(session: SparkSession) -> Path:
    """Return the folder of a local cluster's executor files: within the installed pyspark."""
    import pyspark  # noqa: PLC0415

    home = os.environ.get("SPARK_HOME") or Path(pyspark.__file__).parent
    return Path(home) / "work" / session.sparkContext.applicationId


@pytest.fixture(scope="session")
def data() -> Path:
    """Return the folder of real data, or skip the test."""
    if "GMM_SPARK_DATA" not in os.environ:
        pytest.skip("GMM_SPARK_DATA is not set: it names the folder of real data sets")
    return Path(os.environ["GMM_SPARK_DATA"])
