"""The frame of every job: options, log, session, dry run, run, output, summary line, exit status.

main("fit", FitConfig, fit)
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from gmm_spark.batch.options.jobs import FitConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.layers import load_options
from gmm_spark.batch.runtime import logs, status

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pyspark.sql import SparkSession

    from gmm_spark.batch.publish.target import Target
    from gmm_spark.batch.runtime.run import Run

Config = TypeVar("Config", bound=FitConfig | SelectConfig | ScoreConfig | SimulateConfig)


@dataclass(frozen=True)
class Task(Generic[Config]):
    """Everything that the work of a job needs.

    Args:
        spark: the session.
        config: the options.
        run: collects what the manifest reports.
        target: the output; only this run may write it.
    """

    spark: SparkSession
    config: Config
    run: Run
    target: Target


def main(name: str, options: type[Config], work: Callable[[Task[Config]], str]) -> None:
    """Run a job with the command line of this process.

    Args:
        name: the job's name, in logs and manifests.
        options: the class of its options.
        work: does the work, publishes the output, and returns the summary line.

    Raises:
        SystemExit: the job failed; the status is that of `runtime.status.run`.
    """
    status.run_job(name, partial(_summary, name, options, work), sys.argv[1:])


def _summary(name: str, options: type[Config], work: Callable[[Task[Config]], str], argv: Sequence[str]) -> str:
    config = load_options(options, argv, prog=Path(sys.argv[0]).name)
    logs.configure(config)
    # Spark is imported here, after the options are checked: a mistake in the options is reported within a second.
    from gmm_spark.batch.publish.target import claim_output  # noqa: PLC0415
    from gmm_spark.batch.runtime.run import job_run  # noqa: PLC0415
    from gmm_spark.batch.steps import dry_run, input_table  # noqa: PLC0415
    from gmm_spark.spark.session import job_session  # noqa: PLC0415

    spark = job_session(f"gmm_spark {name}")
    if config.dry_run:
        return dry_run.plan(spark, config)
    sources = partial(input_table.sources, spark, config)
    with job_run(name, config, spark) as run, claim_output(run, spark, config.output, sources) as target:
        return target.done_message or work(Task(spark, config, run, target))
