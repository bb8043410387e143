"""Draw rows from a fitted model and write them as Parquet.

spark-submit jobs/simulate.py --model.path=models/flights --sample.rows=100000 --output.path=data/simulated
"""

from __future__ import annotations

from gmm_spark.batch.job import Task, main
from gmm_spark.batch.options.jobs import SimulateConfig


def simulate(task: Task[SimulateConfig]) -> str:
    """Draw and publish the rows; return the summary."""
    from gmm_spark.batch.steps import facts

    sample, run, target = task.config.sample, task.run, task.target
    model, model_input = facts.load_model(task.spark, task.config.model.path)
    run.note(inputs=[model_input], rows={"written": sample.rows})
    with target.publication() as staging, run.phase("write"):
        model.sample(sample.rows, sample.seed).write.parquet(staging)
    return f"simulate: {sample.rows} rows; written to {target.location}"


if __name__ == "__main__":
    main("simulate", SimulateConfig, simulate)
