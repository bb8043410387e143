"""Run several jobs in one application, for a submission costs more than a job.

PLAN.json RESULT.json   runs one plan
FOLDER PID              runs every NAME.plan that appears in the folder, and leaves NAME.result, until there is
                        a file `end` or that process is gone

The plan holds SQL statements to run first, and for each job its file and its command line. The result
holds for each what it wrote, its status (0 for a normal return), how many Spark jobs it
started, and its seconds. A plan may name the folder that its relative paths start from.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import runpy
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def spark_jobs(spark: SparkSession) -> int:
    """Return the number of Spark jobs that this application has started."""
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(None))


def result(spark: SparkSession, job: str, words: list[str]) -> dict[str, Any]:
    """Run one job like a submission."""
    before, status, began = spark_jobs(spark), 0, time.perf_counter()
    sys.argv = [job, *words]
    logging.getLogger().handlers.clear()  # the one of the job before writes to that job's stderr
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            runpy.run_path(job, run_name="__main__")
        except SystemExit as end:
            status = int(end.code or 0)
    started = spark_jobs(spark) - before
    return {
        "status": status,
        "out": out.getvalue(),
        "err": err.getvalue(),
        "spark_jobs": started,
        "seconds": time.perf_counter() - began,
    }


def results(spark: SparkSession, plan: dict[str, Any]) -> dict[str, Any]:
    """Run a plan."""
    if "folder" in plan:
        enter(spark, plan["folder"])
    for statement in plan["sql"]:
        spark.sql(statement)
    return {name: result(spark, job, words) for name, (job, words) in plan["jobs"].items()}


def enter(spark: SparkSession, folder: str) -> None:
    """Make this folder the start of relative paths, for Python and for Spark."""
    os.chdir(folder)
    jvm: Any = spark._jvm  # noqa: SLF001 - no public way
    hadoop = jvm.org.apache.hadoop.fs
    local = hadoop.FileSystem.get(spark._jsc.hadoopConfiguration())  # noqa: SLF001
    local.setWorkingDirectory(hadoop.Path(folder))


def serve(spark: SparkSession, folder: Path, owner: int) -> None:
    """Run each plan that appears."""
    while not (folder / "end").exists() and is_alive(owner):
        for file in sorted(folder.glob("*.plan")):
            try:
                answer = results(spark, json.loads(file.read_text(encoding="utf-8")))
            except Exception:  # noqa: BLE001 - of one plan alone
                answer = {"failed": traceback.format_exc()}
            file.unlink()
            write_result(answer, file.with_suffix(".result"))
        time.sleep(0.02)


def is_alive(process: int) -> bool:
    """Say whether a process of this user exists."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def write_result(answer: dict[str, Any], file: Path) -> None:
    """Write a result; the file is complete as soon as it exists."""
    draft = file.with_suffix(".draft")
    draft.write_text(json.dumps(answer), encoding="utf-8")
    draft.rename(file)


def main(first: str, second: str) -> None:
    """Run the plan, or the plans."""
    spark = SparkSession.builder.getOrCreate()
    if Path(first).is_dir():
        serve(spark, Path(first), int(second))
    else:
        write_result(results(spark, json.loads(Path(first).read_text(encoding="utf-8"))), Path(second))


if __name__ == "__main__":
    main(*sys.argv[1:3])
