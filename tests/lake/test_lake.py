"""Real tables of Delta and Iceberg: read with their logs, never replaced, no file added. By scripts/lake.sh."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.jobs import tables
from tests.jobs.submission import JOBS, ROOT, submit

if TYPE_CHECKING:
    from collections.abc import Mapping

JARS = os.environ.get("GMM_SPARK_JARS", "")
pytestmark = [
    pytest.mark.lake,
    pytest.mark.timeout(900),
    pytest.mark.skipif(
        not JARS, reason="GMM_SPARK_JARS is not set: it names a folder with the jars of scripts/lake.sh"
    ),
]

ROWS, DELETED = 4000, 1000
ROW = (  # ROWS of them
    "SELECT id, IF(id % 2 = 0, 0D, 9D) + rand(1) AS x, rand(2) AS y, timestamp_seconds(id * 600) AS ts, id % 3 AS day "
    "FROM range(4000)"
)
COLUMNS = "(id BIGINT, x DOUBLE, y DOUBLE, ts TIMESTAMP, day BIGINT) USING iceberg PARTITIONED BY"
XY = ["--features.columns=x,y", "--fit.starts=2"]
MODEL, OUT, OVER = "--model.path=model", "--output.path=out", "--output.mode=overwrite"
DELTA = ["--input.path=delta", "--input.format=delta"]
FOREIGN = "--output.replace_foreign=true"

# name: job, command line; in the order they run
ACCEPTED: Mapping[str, tuple[str, list[str]]] = {
    "fit": ("fit", ["--input.table=ice.db.days", *XY, "--output.path=model"]),
    "Delta": ("score", [*DELTA, MODEL, "--output.path=of-delta"]),
    "an older Delta": ("score", [*DELTA, "--input.options.versionAsOf=0", MODEL, "--output.path=of-old"]),
    "Delta by name": ("score", ["--input.table=managed", MODEL, "--output.path=of-managed"]),
    "Iceberg by days": ("score", ["--input.table=ice.db.days", MODEL, "--output.path=of-days"]),
    "Iceberg by days, dry": ("score", ["--input.table=ice.db.days", MODEL, OUT, "--dry-run"]),
    "Iceberg by day": ("score", ["--input.table=ice.db.mixed", MODEL, "--output.path=of-mixed"]),
    "Iceberg by path": (
        "score",
        ["--input.path=ice/db/days", "--input.format=iceberg", MODEL, "--output.path=of-path"],
    ),
    "again": ("score", ["--input.table=ice.db.days", MODEL, "--output.path=of-days", OVER]),
}
# name: job, command line, status, what the message holds
REFUSED: Mapping[str, tuple[str, list[str], int, list[str]]] = {
    "over Delta": ("score", ["--input.table=ice.db.days", MODEL, "--output.path=delta", OVER], 6, ["a Delta table"]),
    "parts of Delta": (
        "score",
        ["--input.table=ice.db.mixed", MODEL, "--output.path=delta", "--output.mode=partitions"],
        6,
        ["a Delta table"],
    ),
    "over Iceberg": ("fit", [*DELTA, *XY, "--output.path=ice/db/days", OVER], 6, ["an Iceberg table"]),
    "into the data of the input": (
        "score",
        ["--input.table=ice.db.days", MODEL, "--output.path=ice/db/days/data/scored", OVER],
        6,
        ["ice/db/days"],
    ),
    "the data of the input": (
        "score",
        ["--input.table=ice.db.days", MODEL, "--output.path=ice/db/days/data", OVER, FOREIGN],
        6,
        ["ice/db/days"],
    ),
    "data elsewhere": (
        "score",
        ["--input.table=ice.db.far", MODEL, "--output.path=far-data", OVER, FOREIGN],
        6,
        ["the input", "far-data"],
    ),
    "the input itself": ("score", [*DELTA, MODEL, "--output.path=delta", OVER, FOREIGN], 6, ["the input", "/delta"]),
    "the input by its name": (
        "score",
        ["--input.table=managed", MODEL, "--output.path=warehouse/managed", OVER, FOREIGN],
        6,
        ["the input", "warehouse/managed"],
    ),
    "below a view": (
        "score",
        ["--input.table=v", MODEL, "--output.path=ice/db/days", OVER, FOREIGN],
        6,
        ["the input", "ice/db/days"],
    ),
    "Delta as Parquet": ("score", ["--input.path=delta", MODEL, OUT], 3, ["Set input.format=delta"]),
    "Iceberg as Parquet": ("score", ["--input.path=ice/db/days/data", MODEL, OUT], 3, ["Set input.format=iceberg"]),
    "a version that is none": ("score", [*DELTA, "--input.options.versionAsOf=x", MODEL, OUT], 3, ["versionAsOf"]),
}
COUNT = """
from pyspark.sql import SparkSession
spark = SparkSession.builder.getOrCreate()
names = ("delta.`{home}/delta`", "managed", "ice.db.days", "ice.db.mixed", "ice.db.far")
snapshot = spark.table("ice.db.days.snapshots").first()["snapshot_id"]
print(*(spark.table(name).count() for name in names), snapshot)
"""


@dataclass(frozen=True)
class Runs:
    """The folder of the jobs, and their results."""

    folder: Path
    results: Mapping[str, Any]


def settings(home: Path) -> list[str]:
    """Return spark-submit's options for the two table formats."""
    lines = {
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension,"
        "org.apache.iceberg.spark.extensions.IcebergSparkSessionExtensions",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalog.ice": "org.apache.iceberg.spark.SparkCatalog",
        "spark.sql.catalog.ice.type": "hadoop",
        "spark.sql.catalog.ice.warehouse": f"file:{home}/ice",
        "spark.databricks.delta.snapshotPartitions": "2",
    }
    words = [word for name, value in lines.items() for word in ("--conf", f"{name}={value}")]
    return ["--jars", ",".join(map(str, sorted(Path(JARS).glob("*.jar")))), *words]


def statements(home: Path) -> list[str]:
    """Return the SQL statements that create the tables."""
    return [
        f"CREATE TABLE delta.`{home}/delta` USING delta PARTITIONED BY (day) AS {ROW}",
        f"DELETE FROM delta.`{home}/delta` WHERE id < {DELETED}",  # noqa: S608 - no user's words
        f"CREATE TABLE managed USING delta AS {ROW}",
        *(f"CREATE TABLE ice.db.{name} {COLUMNS} {by}" for name, by in PARTITIONED.items()),
        f"ALTER TABLE ice.db.far SET TBLPROPERTIES ('write.data.path' = 'file:{home}/far-data')",
        *(f"INSERT INTO ice.db.{name} {ROW}" for name in PARTITIONED),
        "CREATE TEMPORARY VIEW v AS SELECT * FROM managed WHERE id IN (SELECT id FROM ice.db.days)",
    ]


PARTITIONED = {"days": "(days(ts))", "mixed": "(day, bucket(2, id))", "far": "(day)"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Create the tables and run all jobs in one application."""
    home = tmp_path_factory.mktemp("lake")
    (home / "count.py").write_text(COUNT.format(home=home), encoding="utf-8")
    given = {**ACCEPTED, **{name: each[:2] for name, each in REFUSED.items()}}
    jobs: dict[str, Any] = {name: (f"{JOBS}/{job}.py", words) for name, (job, words) in given.items()}
    jobs["count"] = (f"{home}/count.py", [])
    plan = {"folder": str(home), "sql": statements(home), "jobs": jobs}
    (home / "plan.json").write_text(json.dumps(plan), encoding="utf-8")
    words = [*settings(home), str(ROOT / "tests" / "jobs" / "in_one_session.py"), "plan.json", "result.json"]
    done = submit(words, master="local[2]", cwd=home, library=str(ROOT), patience=800)
    assert done.returncode == 0, done.stdout + done.stderr
    return Runs(home, json.loads((home / "result.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ACCEPTED)
def test_valid_jobs_succeed(runs: Runs, name: str) -> None:
    """Tables are read by path, name and version, and scored; an output of gmm_spark is replaced."""
    assert runs.results[name]["status"] == 0, runs.results[name]["err"]


@pytest.mark.parametrize("name", REFUSED)
def test_harmful_jobs_are_refused(runs: Runs, name: str) -> None:
    """The error has status and remedy; an input is protected even if foreign tables may be replaced."""
    _, _, status, parts = REFUSED[name]
    result = runs.results[name]
    assert result["status"] == status, result["err"]
    assert [part for part in parts if part not in result["err"]] == [], result["err"]
    assert "Traceback" not in result["err"]


def test_every_table_has_all_its_rows_afterwards(runs: Runs) -> None:
    """After all these attempts no table has lost a row."""
    assert runs.results["count"]["out"].split()[:-1] == [str(ROWS - DELETED), *[str(ROWS)] * 4]


@pytest.mark.parametrize(
    ("name", "rows", "folders"),
    [
        ("of-delta", ROWS - DELETED, 3),
        ("of-old", ROWS, 3),
        ("of-managed", ROWS, 0),
        ("of-days", ROWS, 0),
        ("of-mixed", ROWS, 3),
        ("of-path", ROWS, 0),
    ],
)
def test_every_valid_row_is_scored_once(runs: Runs, name: str, rows: int, folders: int) -> None:
    """Deleted rows are not scored; identity partition columns become folders, transforms do not."""
    assert tables.read(runs.folder / name)["id"].to_numpy().size == rows
    assert len(list((runs.folder / name).glob("day=*"))) == folders


def test_the_manifest_has_the_version_of_the_table(runs: Runs) -> None:
    """For Iceberg it is the snapshot, as in the table's own list of snapshots."""
    manifest = json.loads((runs.folder / "of-days" / "_manifest.json").read_text(encoding="utf-8"))
    assert runs.results["count"]["out"].split()[-1] in manifest["inputs"][0]["version"]
