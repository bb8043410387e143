"""Write P(Z = k | x) for every row of a table, as Parquet.

spark-submit jobs/score.py --config conf/score.yaml --input.path=data/flights --model.path=models/flights \
--output.path=data/flights-scored
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.batch.job import Task, main
from gmm_spark.batch.options.jobs import ScoreConfig

if TYPE_CHECKING:
    from collections.abc import Sequence


def score(task: Task[ScoreConfig]) -> str:
    """Score and publish the table; return the summary."""
    from gmm_spark.batch.steps import facts, input_table, quality, scored_table

    config, run, target = task.config, task.run, task.target
    rows = input_table.read(task.spark, config.input)
    table = facts.watch_input(run, rows, config.input)
    passing = scored_table.passing_columns(rows, config, target.location, target.mode)
    model, model_input = facts.load_model(task.spark, config.model.path)
    run.note(inputs=[table, model_input])
    scored = scored_table.score_rows(rows, model, passing, config.output)
    with run.phase("check"):
        scored_table.check_length(rows, model)
    with target.publication() as staging:
        with run.phase("write"):
            scored_table.write(scored, staging, passing, config.output)
        with run.phase("verify"):
            counts = scored_table.check_written(scored, staging, rows.count())
        run.note(rows=facts.score_facts(counts))
        warnings = quality.check_scored(counts, config.quality)
        run.note(warnings=list(warnings))
    return summary(counts, str(target.location), warnings)


def summary(counts: dict[str, int], path: str, warnings: Sequence[str] = ()) -> str:
    """Return the summary line: rows by status, and warnings."""
    from gmm_spark.statistics.survey import REASONS

    reasons = ", ".join(f"{counts.get(status, 0)} {status}" for status in REASONS)
    return "; ".join([f"score: {sum(counts.values())} rows, {reasons}", *warnings, f"written to {path}"])


if __name__ == "__main__":
    main("score", ScoreConfig, score)
