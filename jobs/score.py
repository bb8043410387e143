"""Write P(Z = k | x) for every row of a table, as Parquet.

spark-submit jobs/score.py --config conf/score.yaml --input.path=data/flights --model.path=models/flights \
--output.path=data/flights-scored
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from gmm_spark.batch.options.jobs import ScoreConfig
from gmm_spark.batch.options.layers import load
from gmm_spark.batch.runtime import logs
from gmm_spark.batch.runtime.status import run

if TYPE_CHECKING:
    from collections.abc import Sequence


def score(argv: Sequence[str]) -> str:
    """Score as the command line says; return the summary."""
    config = load(ScoreConfig, argv, prog="score.py")
    logs.adopt(config)
    # Spark is imported only now, so that a mistake in the options is reported within a second.
    from gmm_spark import GaussianMixtureModel  # noqa: PLC0415
    from gmm_spark.batch.files.locate import locate  # noqa: PLC0415
    from gmm_spark.batch.publish import target as publish  # noqa: PLC0415
    from gmm_spark.batch.runtime.run import job_run  # noqa: PLC0415
    from gmm_spark.batch.steps import dry_run, facts, input_table, quality, scored_table  # noqa: PLC0415
    from gmm_spark.errors import ModelError  # noqa: PLC0415
    from gmm_spark.spark.session import job_session  # noqa: PLC0415
    from gmm_spark.spark.table.names import Names  # noqa: PLC0415

    spark = job_session("gmm_spark score")
    if config.dry_run:
        return dry_run.of_score(spark, config)
    with (
        job_run("score", config, spark) as run,
        publish.claimed(
            run,
            spark,
            config.output,
            lambda: [*input_table.locations(spark, config.input), locate(spark, config.model.path, ModelError)],
        ) as target,
    ):
        if target.done:
            return target.done
        rows = input_table.read(spark, config.input)
        read = facts.watched(run, rows, config.input)
        passing = scored_table.columns(Names.of(rows), config.output, input_table.partition_columns(rows, config.input))
        with publish.reaching(target.location):
            target.mode.check_columns(target.location, passing.partition_by)
        model = GaussianMixtureModel.load(config.model.path)
        run.note(
            inputs=[
                read,
                facts.of_model(model, locate(spark, config.model.path, ModelError)),
            ]
        )
        scored = scored_table.scored(rows, model, passing, config.output)
        with run.phase("check"):
            scored_table.check_length(rows, model)
        with target.publication() as staging:
            with run.phase("write"):
                scored_table.write(scored, staging, passing, config.output)
            with run.phase("verify"):
                counts = scored_table.verified(scored, staging, rows.count())
            run.note(rows=facts.of_scored(counts))
            warnings = quality.check_scored(counts, config.quality)
            run.note(warnings=list(warnings))
        return summary(counts, str(target.location), warnings)


def summary(counts: dict[str, int], path: str, warnings: Sequence[str] = ()) -> str:
    """Return the one line that says how many rows were scored, why the others were not, and what is doubtful."""
    from gmm_spark.statistics.survey import REASONS  # noqa: PLC0415 - as above

    reasons = ", ".join(f"{counts.get(status, 0)} {status}" for status in REASONS)
    return "; ".join([f"score: {sum(counts.values())} rows, {reasons}", *warnings, f"written to {path}"])


if __name__ == "__main__":
    run("score", score, sys.argv[1:])
