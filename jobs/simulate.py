"""Draw rows from a fitted model and write them as Parquet.

spark-submit jobs/simulate.py --model.path=models/flights --sample.rows=100000 --output.path=data/simulated
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gmm_spark.batch.options.jobs import SimulateConfig
from gmm_spark.batch.options.layers import load
from gmm_spark.batch.runtime import logs
from gmm_spark.batch.runtime.status import run

if TYPE_CHECKING:
    from collections.abc import Sequence


def simulate(argv: Sequence[str]) -> str:
    """Draw as the command line says; return the summary."""
    config = load(SimulateConfig, argv, prog="simulate.py")
    logs.adopt(config)
    # Spark is imported only now, so that a mistake in the options is reported within a second.
    from gmm_spark import GaussianMixtureModel  # noqa: PLC0415
    from gmm_spark.batch.files.locate import locate  # noqa: PLC0415
    from gmm_spark.batch.publish import target as publish  # noqa: PLC0415
    from gmm_spark.batch.runtime.run import job_run  # noqa: PLC0415
    from gmm_spark.batch.steps import dry_run, facts  # noqa: PLC0415
    from gmm_spark.errors import ModelError  # noqa: PLC0415
    from gmm_spark.spark.session import job_session  # noqa: PLC0415

    spark = job_session("gmm_spark simulate")
    if config.dry_run:
        return dry_run.of_simulate(spark, config)
    with (
        job_run("simulate", config, spark) as run,
        publish.claimed(run, spark, config.output, lambda: [locate(spark, config.model.path, ModelError)]) as target,
    ):
        if target.done:
            return target.done
        model = GaussianMixtureModel.load(config.model.path)
        run.note(
            inputs=[facts.of_model(model, locate(spark, config.model.path, ModelError))],
            rows={"written": config.sample.rows},
        )
        with target.publication() as staging, run.phase("write"):
            model.sample(config.sample.rows, config.sample.seed).write.parquet(staging)
        return f"simulate: {config.sample.rows} rows; written to {target.location}"


if __name__ == "__main__":
    run("simulate", simulate, sys.argv[1:])
