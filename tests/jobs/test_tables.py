"""Tables with a log are neither replaced nor read as plain files, and what the input reads is never the output.

The folders here only look like tables of Delta, Iceberg and Hudi: no package of theirs is needed (tests/lake has them).
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.jobs import tables
from tests.jobs.submission import JOBS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(400)

XY = ["--features.columns=x,y", "--fit.invalid=drop", "--fit.starts=2", "--fit.max_iter=2", "--fit.tol=0"]
IN, MODEL, OUT = "--input.path=in", "--model.path=model", "--output.path=out"
FOREIGN = "--output.replace_foreign=true"
OVER, PARTS = "--output.mode=overwrite", "--output.mode=partitions"
CSV = ["--input.path=text", "--input.format=csv"]
HEADER, INFER = "--input.options.header=true", "--input.options.inferSchema=true"
TYPES = "--input.schema_ddl=y DOUBLE, x DOUBLE"
NO_HOST = "hdfs://no-such-host.invalid/x"
LOGS = {
    "delta": "_delta_log/00000000000000000000.json",
    "iceberg": "metadata/00000-1.metadata.json",
    "hudi": ".hoodie/hoodie.properties",
}

# name: job, command line; in the order they run
ACCEPTED: Mapping[str, tuple[str, list[str]]] = {
    "fit": ("fit", [IN, *XY, "--output.path=model"]),
    "colons": ("fit", ["--input.path=./a:b", *XY, "--output.path=./m:1"]),
    "score colons": ("score", ["--input.path=./a:b", "--model.path=./m:1", "--output.path=./s:1"]),
    "one option": ("score", [*CSV, HEADER, INFER, MODEL, "--output.path=of-text"]),
    "replaced": (
        "score",
        ["--input.path=other", MODEL, "--output.path=iceberg", OVER, FOREIGN],
    ),
}
# name: job, command line, status, what the message holds
REFUSED: Mapping[str, tuple[str, list[str], int, list[str]]] = {
    "over Delta": ("score", [IN, MODEL, "--output.path=delta", OVER], 6, ["a Delta table", "replace_foreign"]),
    "over Iceberg": ("fit", [IN, *XY, "--output.path=iceberg", OVER], 6, ["an Iceberg table", "replace_foreign"]),
    "parts of Hudi": ("score", [IN, MODEL, "--output.path=hudi", PARTS], 6, ["a Hudi table", "replace_foreign"]),
    "over files": ("simulate", [MODEL, "--sample.rows=9", "--output.path=text", OVER], 6, ["'a.csv'"]),
    "over a file": ("simulate", [MODEL, "--sample.rows=9", "--output.path=lonely.csv", OVER], 6, ["a file"]),
    "over files, dry": ("score", [IN, MODEL, "--output.path=text", OVER, "--dry-run"], 6, ["'a.csv'"]),
    "over a parent": ("simulate", [MODEL, "--sample.rows=9", "--output.path=lake", OVER], 6, ["'sub/'"]),
    "over the root": ("simulate", [MODEL, "--sample.rows=9", "--output.path=/", OVER], 6, ["the root"]),
    "into Iceberg": ("score", [IN, MODEL, "--output.path=iceberg/data/x"], 6, ["inside", "an Iceberg table"]),
    "into a model": ("fit", [IN, *XY, "--output.path=model/x"], 6, ["inside", "an output of gmm_spark"]),
    "around a start": (
        "fit",
        [IN, *XY, "--output.path=starts", "--start.model=starts/m", OVER, FOREIGN],
        6,
        ["starts/m"],
    ),
    "quarantine in Delta": (
        "fit",
        [IN, "--features.columns=x,y", OUT, "--fit.invalid=quarantine", "--quality.quarantine_path=delta"],
        6,
        ["quality.quarantine_path", "a Delta table"],
    ),
    "table of a view": ("score", ["--input.table=v", MODEL, "--output.path=in", OVER], 6, ["the input", "/in;"]),
    "table of a subquery": (
        "score",
        ["--input.path=other", "--input.where=id IN (SELECT id FROM parquet.`in`)", MODEL, "--output.path=in", OVER],
        6,
        ["the input", "/in;"],
    ),
    "Delta as files": ("fit", ["--input.path=delta", *XY, OUT], 3, ["a Delta table", "Set input.format=delta"]),
    "a day of Delta": ("fit", ["--input.path=delta/day=1", *XY, OUT], 3, ["Set input.format=delta", "/delta,"]),
    "days of Hudi": ("score", ["--input.path=hudi/day=*", MODEL, OUT], 3, ["Set input.format=hudi", "/hudi,"]),
    "data of Iceberg": ("score", ["--input.path=iceberg/data", MODEL, OUT], 3, ["Set input.format=iceberg"]),
    "all below": (
        "score",
        ["--input.path=lake", "--input.options.recursiveFileLookup=true", MODEL, OUT],
        3,
        ["lake/sub, or", "Set input.format=delta"],
    ),
    "Delta as a table": ("score", ["--input.table=wrong", MODEL, OUT], 3, ["input.table wrong", "a Delta table"]),
    "Delta, dry": ("fit", ["--input.path=delta", *XY, OUT, "--dry-run"], 3, ["Set input.format=delta"]),
    "text as Parquet": ("fit", ["--input.path=text", *XY, OUT], 3, ["a.csv is not a Parquet file", "input.format=csv"]),
    "no header": ("fit", [*CSV, *XY, OUT], 3, ["'x'", HEADER, INFER, "input.schema_ddl"]),
    "no header, dry": ("fit", [*CSV, *XY, OUT, "--dry-run"], 3, ["'x'", HEADER, INFER]),
    "no header to score": ("score", [*CSV, MODEL, OUT], 3, ["'x'", HEADER, INFER]),
    "no types": ("fit", [*CSV, *XY, OUT, HEADER], 3, ["'x'", "string", INFER]),
    "Parquet as JSON": ("fit", [IN, "--input.format=json", *XY, OUT], 3, ["not json", "input.format"]),
    "wrong types": ("fit", [*CSV, *XY, OUT, "--input.schema_ddl=x DUBBLE"], 3, ["DUBBLE", "input"]),
    "an option refused": ("fit", [*CSV, *XY, OUT, "--input.options.inferSchema=maybe"], 3, ["inferSchema", "options"]),
    "an option refused late": (
        "fit",
        [*CSV, TYPES, *XY, OUT, "--input.options.maxColumns=few"],
        3,
        ["input.options", "maxColumns"],
    ),
    "an option refused in a task": (
        "fit",
        [*CSV, TYPES, *XY, OUT, "--input.options.maxColumns=1"],
        3,
        ["a.csv", "MALFORMED_CSV_RECORD"],
    ),
    "no package for Delta": ("fit", [IN, "--input.format=delta", *XY, OUT], 3, ["--packages io.delta:delta-spark_"]),
    "no package for Avro": (
        "fit",
        [IN, "--input.format=avro", *XY, OUT],
        3,
        ["--packages org.apache.spark:spark-avro"],
    ),
    "no package, input": ("fit", ["--input.path=s3a://b/x", *XY, OUT], 2, ["--packages org.apache.hadoop:hadoop-aws:"]),
    "no package, output": ("fit", [IN, *XY, "--output.path=s3a://b/x"], 2, ["hadoop-aws:"]),
    "no package, model": ("score", [IN, "--model.path=s3a://b/x", OUT], 2, ["hadoop-aws:"]),
    "no package, model, dry": ("score", [IN, "--model.path=s3a://b/x", OUT, "--dry-run"], 2, ["hadoop-aws:"]),
    "no package, start": ("fit", [IN, *XY, OUT, "--start.model=abfss://c@b/x"], 2, ["hadoop-azure:"]),
    "another scheme": ("fit", [IN, *XY, "--output.path=s3://b/x"], 2, ["s3a://"]),
    "no host, output": ("fit", [IN, *XY, f"--output.path={NO_HOST}"], 6, ["no-such-host", "must exist"]),
    "no host, input": ("fit", [f"--input.path={NO_HOST}", *XY, OUT], 3, ["no-such-host", "must exist"]),
    "no host, model": ("score", [IN, f"--model.path={NO_HOST}", OUT], 7, ["no-such-host", "must exist"]),
    "no folder can be": ("fit", [IN, *XY, "--output.path=/proc/none/x"], 6, ["the output", "/proc/none"]),
    "a relative colon": ("fit", ["--input.path=a:b", *XY, OUT], 2, ["a colon", "./"]),
    "no such model": ("score", [IN, "--model.path=nowhere", OUT], 7, ["nowhere/metadata"]),
}
BEFORE_ANY_JOB = [name for name in REFUSED if name.startswith(("over", "parts", "into", "no host", "no package"))]


@dataclass(frozen=True)
class Runs:
    """The folder of the jobs, their results, and the files before them."""

    folder: Path
    results: Mapping[str, Any]
    before: Mapping[str, bytes]


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files in the places that no job may change."""
    places = ("in", "delta", "hudi", "text", "lake", "starts", "a:b")
    return {str(path): path.read_bytes() for name in places for path in (folder / name).rglob("*") if path.is_file()}


def inputs(folder: Path) -> None:
    """Write the tables, of which some look like tables with a log."""
    tables.days(folder / "in")
    shutil.copytree(folder / "in", folder / "a:b")
    for name, log in {**LOGS, "lake/sub": LOGS["delta"]}.items():
        shutil.copytree(folder / "in", folder / name / ("data" if name == "iceberg" else ""))
        (folder / name / log).parent.mkdir()
        (folder / name / log).write_text("{}")
    shutil.copytree(folder / "in" / "day=1", folder / "other")
    (folder / "text").mkdir()
    (folder / "text" / "a.csv").write_text("y,x\n0,0\n-8,8\n,1\n", encoding="utf-8")
    shutil.copy(folder / "text" / "a.csv", folder / "lonely.csv")
    (folder / "starts" / "m").mkdir(parents=True)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, application: Application) -> Runs:
    """Run all jobs of this file."""
    folder = tmp_path_factory.mktemp("tables")
    inputs(folder)
    before = contents(folder)
    given = {**{name: each[:2] for name, each in REFUSED.items()}, **ACCEPTED}
    order = ["fit", *(name for name in given if name != "fit")]
    jobs = {name: (f"{JOBS}/{given[name][0]}.py", given[name][1]) for name in order}
    sql = [
        f"CREATE TABLE wrong USING parquet LOCATION '{folder}/delta'",
        f"CREATE TABLE source USING parquet LOCATION '{folder}/in'",
        f"CREATE TABLE first USING parquet LOCATION '{folder}/other'",
        "CREATE VIEW v AS SELECT * FROM first WHERE id IN (SELECT id FROM source)",
    ]
    try:
        return Runs(folder, application.run(folder, jobs, sql), before)
    finally:
        application.run(folder, {}, ["DROP VIEW v", *(f"DROP TABLE {name}" for name in ("wrong", "source", "first"))])


@pytest.mark.parametrize("name", ACCEPTED)
def test_valid_jobs_succeed(runs: Runs, name: str) -> None:
    """Names with colons, single options of the reader and an allowed replacement give one line, no traceback."""
    result = runs.results[name]
    assert result["status"] == 0, result["err"]
    assert "Traceback" not in result["err"]


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_jobs_are_refused_with_status_and_remedy(runs: Runs, name: str) -> None:
    """The error has the status of its kind, names fault and option, and shows no Java stack trace."""
    _, _, status, parts = REFUSED[name]
    result = runs.results[name]
    assert result["status"] == status, result["err"]
    last = result["err"].splitlines()[-1]
    assert [part for part in parts if part not in last] == [], result["err"]
    assert result["out"] == ""
    assert len(result["err"].splitlines()) < 12, result["err"]
    assert "awaitResult" not in result["err"]


@pytest.mark.parametrize("name", BEFORE_ANY_JOB)
def test_places_are_refused_before_any_spark_job(runs: Runs, name: str) -> None:
    """A wrong place starts no Spark job."""
    assert runs.results[name]["spark_jobs"] == 0


def test_nothing_was_destroyed(runs: Runs) -> None:
    """Tables, files and inputs are unchanged, and none of them has a hidden folder inside."""
    assert contents(runs.folder) == runs.before
    assert not (runs.folder / "out").exists()


def test_a_foreign_table_is_replaced_on_demand(runs: Runs) -> None:
    """With output.replace_foreign=true nothing of the old table remains."""
    rows = tables.read(runs.folder / "iceberg")
    assert rows.num_rows == tables.ROWS // tables.DAYS
    assert not (runs.folder / "iceberg" / "metadata").exists()


def test_every_row_of_a_path_with_a_colon_is_scored(runs: Runs) -> None:
    """Hadoop accepts no name with a colon in a pattern or in a relative path."""
    assert tables.read(runs.folder / "s:1").num_rows == tables.ROWS
    assert tables.read(runs.folder / "of-text").num_rows == 3
