"""The jobs that are refused, with their statuses and the files that remain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.jobs import tables
from tests.jobs.submission import JOBS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(300)

XY = "--features.columns=x,y"
IN, OUT, MODEL = "--input.path=in", "--output.path=out", "--model.path=model"
REPLACE, DROP = "--output.mode=overwrite", "--fit.invalid=drop"
CSV = ["--input.format=csv", "--input.schema_ddl=y DOUBLE, x DOUBLE", "--input.options", "header=true"]
RAISES_LATE = "--input.where=if(id = 2999, raise_error('too late'), true)"

# name: job, command line; in the order they run
ACCEPTED: Mapping[str, tuple[str, list[str]]] = {
    "fit": ("fit", [IN, XY, DROP, "--output.path=model"]),
    "fit an array": ("fit", [IN, "--features.column=both", "--fit.tol=1e-3", "--output.path=models/array"]),
    "fit odd names": ("fit", [IN, "--features.columns=x,a b.c", DROP, "--output.path=models/odd"]),
    "damage": ("damage", ["model", "damaged"]),
    "score an array": ("score", [IN, "--model.path=models/array", "--output.path=once"]),
    "score a table": (
        "score",
        ["--input.table=flights", MODEL, "--output.path=of-table", "--output.probability=double"],
    ),
    "score text": (
        "score",
        ["--input.path=text/*.csv", *CSV, MODEL, "--output.path=of-text", "--output.partition_by=y"],
    ),
    "score": ("score", [IN, MODEL, "--output.path=old", "--output.keep=id"]),
    "score odd names": ("score", [IN, "--model.path=models/odd", "--output.path=odd", "--output.keep=a b.c"]),
    "replace": ("score", [IN, MODEL, "--output.path=odd", REPLACE, "--output.keep=name", "--output.partition_by=[]"]),
    "simulate": ("simulate", [MODEL, "--sample.rows=500", "--output.path=simulated"]),
}
# name: job, command line, status, what the message holds
REFUSED: Mapping[str, tuple[str, list[str], int, list[str]]] = {
    "missing column": ("fit", [IN, "--features.columns=x,yy", OUT], 3, ["'yy'", "Did you mean 'y'"]),
    "text column": ("fit", [IN, "--features.columns=x,name", OUT], 3, ["'name'", "string", "numeric"]),
    "missing weight": ("fit", [IN, XY, "--features.weight=wait", OUT], 3, ["'wait'"]),
    "scalar as array": ("fit", [IN, "--features.column=x", OUT], 3, ["'x'", "array", "Options: features.columns."]),
    "wrong condition": ("fit", [IN, XY, "--input.where=z > 1", OUT], 3, ["z", "input.where"]),
    "no such path": ("fit", ["--input.path=nowhere", XY, OUT], 3, ["nowhere", "nothing there"]),
    "no such table": ("fit", ["--input.table=nowhere", XY, OUT], 3, ["nowhere"]),
    "no such format": ("fit", [IN, "--input.format=paper", XY, OUT], 3, ["paper"]),
    "no such filesystem": ("fit", [IN, XY, "--output.path=moon://out"], 2, ["moon"]),
    "null rows": ("fit", [IN, XY, OUT], 4, ["30 null", "leave them out. Options: fit.invalid."]),
    "ragged arrays": ("fit", [IN, "--features.column=ragged", OUT], 4, ["wrong_length"]),
    "negative weights": ("fit", [IN, "--features.columns=y", "--features.weight=debt", OUT], 4, ["2999 bad_weight"]),
    "no rows": ("fit", [IN, XY, "--input.where=id < 0", OUT], 4, ["no rows"]),
    "more components than rows": (
        "fit",
        [IN, "--features.columns=id", "--mixture.k=3", "--input.where=id < 2", OUT],
        4,
        ["2 distinct rows"],
    ),
    "not converged": (
        "fit",
        [IN, XY, DROP, OUT, "--fit.max_iter=0", "--fit.require_convergence=true"],
        5,
        ["iteration_limit", "Options: fit.max_iter, fit.tol."],
    ),
    "output is the input": ("fit", [IN, XY, "--output.path=in", REPLACE], 6, ["/in"]),
    "output in the input": ("fit", [IN, XY, "--output.path=in/day=0/model", REPLACE], 6, ["/in"]),
    "output around the input": ("fit", [IN, XY, "--output.path=.", REPLACE], 6, ["/in"]),
    "output beside a partition": ("fit", ["--input.path=in/day=*", XY, "--output.path=in/model"], 6, ["/in;"]),
    "output linked to the input": ("fit", [IN, XY, "--output.path=link", REPLACE], 6, ["/in"]),
    "output exists": ("fit", [IN, XY, "--output.path=model"], 6, ["output.mode=overwrite"]),
    "output in a table": (
        "score",
        ["--input.table=flights", MODEL, "--output.path=warehouse/flights/x"],
        6,
        ["warehouse/flights"],
    ),
    "output is the model": ("score", [IN, MODEL, "--output.path=model", REPLACE], 6, ["/model"]),
    "no such model": ("score", [IN, "--model.path=nowhere", OUT], 7, ["nowhere"]),
    "damaged model": ("score", [IN, "--model.path=damaged", OUT], 7, ["checksum"]),
    "features not in the table": ("score", ["--input.path=other", MODEL, OUT], 3, ["'x'"]),
    "unknown column to keep": ("score", [IN, MODEL, OUT, "--output.keep=id,dai"], 3, ["'dai'", "'day'"]),
    "column of the score's name": ("score", ["--input.path=once", MODEL, OUT], 3, ["'prediction'"]),
    "lost row": ("miscount", [], 6, ["3000 rows", "3001 rows", "nothing was published"]),
    "failure while writing": ("score", [IN, MODEL, "--output.path=old", REPLACE, RAISES_LATE], 1, ["too late"]),
}
WITHOUT_SPARK_JOB = [name for name in REFUSED if name.startswith(("output ", "no such path", "no such filesystem"))]
MISCOUNT = """
import sys
from gmm_spark.batch.runtime import status
from gmm_spark.batch.steps import scored_table
from pyspark.sql import SparkSession

table = SparkSession.builder.getOrCreate().read.parquet("once")
status.run_job("miscount", lambda _: str(scored_table.check_written(table, "once", table.count() + 1)), [])
"""
DAMAGE = """
import pathlib, shutil, sys
shutil.copytree(*sys.argv[1:])
for file in pathlib.Path(sys.argv[2], "components").glob("*part-*"):
    if file.suffix == ".crc":
        file.unlink()
    else:
        file.write_text(file.read_text().replace("0.5", "0.6", 1))
"""


@dataclass(frozen=True)
class Runs:
    """The folder of the jobs, and their results."""

    folder: Path
    results: Mapping[str, Any]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, application: Application) -> Runs:
    """Run all jobs of this file."""
    folder = tmp_path_factory.mktemp("refusals")
    tables.days(folder / "in")
    (folder / "link").symlink_to(folder / "in")
    (folder / "text").mkdir()
    (folder / "text" / "a.csv").write_text("y,x\n0,0\n-8,8\n,1\n", encoding="utf-8")
    pq.write_table(pa.table({"xx": [1.0]}), folder / "other")
    own = {"damage": DAMAGE, "miscount": MISCOUNT}
    for job, text in own.items():
        (folder / f"{job}.py").write_text(text, encoding="utf-8")
    given = {**ACCEPTED, **{name: each[:2] for name, each in REFUSED.items()}}
    jobs = {name: (f"{folder if job in own else JOBS}/{job}.py", words) for name, (job, words) in given.items()}
    table = f"CREATE TABLE flights USING parquet PARTITIONED BY (day) LOCATION '{folder}/warehouse/flights'"
    rows = "SELECT id, x, y, day FROM parquet.`in`"
    return Runs(folder, application.run(folder, jobs, [f"{table} AS {rows}"]))


@pytest.mark.parametrize("name", ACCEPTED)
def test_valid_jobs_succeed(runs: Runs, name: str) -> None:
    """The job returns normally, with one line on stdout and no traceback on stderr."""
    result = runs.results[name]
    assert result["status"] == 0, result["err"]
    assert len(result["out"].splitlines()) == (name != "damage")
    assert "Traceback" not in result["err"]


@pytest.mark.parametrize("name", REFUSED)
def test_wrong_jobs_are_refused_with_status_and_remedy(runs: Runs, name: str) -> None:
    """The job ends with the status of its kind and an error that names the fault."""
    _, _, status, parts = REFUSED[name]
    result = runs.results[name]
    assert result["status"] == status, result["err"]
    assert [part for part in parts if part not in result["err"]] == [], result["err"]
    assert result["out"] == ""
    assert ("Traceback" in result["err"]) == (status == 1)


@pytest.mark.parametrize("name", WITHOUT_SPARK_JOB)
def test_paths_are_refused_before_any_spark_job(runs: Runs, name: str) -> None:
    """A wrong path starts no Spark job, not even one that reads the schema."""
    assert runs.results[name]["spark_jobs"] == 0


@pytest.mark.parametrize(
    "name", ["missing column", "text column", "missing weight", "scalar as array", "wrong condition"]
)
def test_columns_are_refused_when_the_schema_is_known(runs: Runs, name: str) -> None:
    """A wrong column starts only the Spark job that reads a file's schema, and none that reads rows."""
    assert runs.results[name]["spark_jobs"] <= 1


def test_a_refused_job_leaves_nothing_behind(runs: Runs) -> None:
    """There is no output of a refused job, and no staging folder of any job."""
    assert not (runs.folder / "out").exists()
    assert [path.name for path in runs.folder.rglob(".*") if path.suffix in {".staging", ".replaced"}] == []


def test_a_failure_while_writing_leaves_the_old_output(runs: Runs) -> None:
    """The old output is replaced by a complete one or not at all."""
    old = tables.read(runs.folder / "old")
    assert old.num_rows == tables.ROWS
    assert old.column_names == ["id", "prediction", "probability", "log_density", "status", "day"]


def test_an_output_is_replaced_on_demand(runs: Runs) -> None:
    """With output.mode=overwrite only the new output is at the path, in the layout of the options."""
    new = tables.read(runs.folder / "odd")
    assert new.column_names == ["name", "prediction", "probability", "log_density", "status"]
    assert new.num_rows == tables.ROWS


def test_a_catalog_table_keeps_its_partitions(runs: Runs) -> None:
    """A catalog table is scored like a path, with its partitions; posteriors may be in double precision."""
    scored = tables.read(runs.folder / "of-table")
    assert scored.num_rows == tables.ROWS
    assert scored.column_names == ["id", "x", "y", "prediction", "probability", "log_density", "status", "day"]
    assert str(scored.schema.field("probability").type) == "list<element: double>"
    sums = [sum(row) for row in scored["probability"].to_pylist() if row is not None]
    np.testing.assert_allclose(sums, 1, atol=1e-12)


def test_text_files_are_scored_with_a_given_schema(runs: Runs) -> None:
    """Reader options, a schema, a pattern of paths and other partition columns work; rows with nulls stay."""
    scored = tables.read(runs.folder / "of-text").to_pylist()
    assert sorted((row["x"], row["status"]) for row in scored) == [(0.0, "ok"), (1.0, "null"), (8.0, "ok")]
    assert len(list((runs.folder / "of-text").glob("y=*"))) == 3


def test_simulated_rows_have_the_features_of_the_model(runs: Runs) -> None:
    """The output has the requested number of rows, with the model's column names."""
    rows = tables.read(runs.folder / "simulated")
    assert rows.num_rows == 500
    assert rows.column_names == ["x", "y", "component"]
