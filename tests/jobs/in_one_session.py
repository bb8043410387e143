"""Run several jobs in one application, for a submission costs more than a job: PLAN.json RESULT.json.

The plan holds SQL statements to run first, and for each job its file and its command line. The result
holds for each what it wrote, its status (0 for a normal return), how many Spark jobs it
started, and its seconds.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import runpy
import sys
import time
from pathlib import Path
from typing import Any

from pyspark.sql import SparkSession


def spark_jobs(spark: SparkSession) -> int:
    """Return how many Spark jobs this application has started."""
    return len(spark.sparkContext.statusTracker().getJobIdsForGroup(None))


def result(spark: SparkSession, job: str, words: list[str]) -> dict[str, Any]:
    """Run one job as if it had been submitted."""
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


def main(plan_file: str, result_file: str) -> None:
    """Run the plan."""
    plan = json.loads(Path(plan_file).read_text(encoding="utf-8"))
    spark = SparkSession.builder.getOrCreate()
    for statement in plan["sql"]:
        spark.sql(statement)
    results = {name: result(spark, job, words) for name, (job, words) in plan["jobs"].items()}
    Path(result_file).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:3])
