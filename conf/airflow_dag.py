"""A nightly score and a weekly refit as an Airflow DAG: copy it to the dags folder and change what is in capitals.

Tried by scripts/check_airflow.sh. The connection `spark_default` names the master (yarn, k8s://..., spark://...).
Airflow gives each task an id that the job takes as its run.id: a retry of a run that was published does nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.sdk import DAG

HOME = "/opt/gmm_spark"  # jobs/, conf/ and dist/gmm_spark.zip of a release
LAKE = "s3a://LAKE"
COMMON = {
    "conn_id": "spark_default",
    "py_files": f"{HOME}/dist/gmm_spark.zip",
    "properties_file": f"{HOME}/conf/spark-defaults.conf",
    # Executors need numpy and pyarrow: a packed environment brings them if the nodes do not have them.
    "archives": f"{HOME}/dist/environment.tar.gz#environment",
    "conf": {"spark.pyspark.python": "./environment/bin/python", "spark.executor.memoryOverhead": "1g"},
    "executor_memory": "8g",
    "executor_cores": 4,
    "num_executors": 4,
    "driver_memory": "4g",
    # A retry helps after a lost node or a full disk; wrong options (2) or columns (3) fail again, but cost little.
    "retries": 1,
    "retry_delay": timedelta(minutes=10),
    "execution_timeout": timedelta(hours=3),
}

with DAG("gmm_refit", schedule="0 4 * * 0", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), catchup=False):
    SparkSubmitOperator(
        task_id="fit",
        name="gmm_spark fit",
        application=f"{HOME}/jobs/fit.py",
        application_args=[
            f"--input.path={LAKE}/trips",
            "--features.columns=distance,duration,fare",
            "--mixture.k=8",
            "--fit.invalid=quarantine",
            f"--quality.quarantine_path={LAKE}/trips-quarantine",
            "--quality.max_invalid_fraction=0.05",
            "--fit.require_convergence=true",
            f"--output.path={LAKE}/models/trips",
            "--output.mode=runs",
            "--logs.format=json",
        ],
        **COMMON,
    )

with DAG("gmm_score", schedule="0 2 * * *", start_date=datetime(2026, 1, 1, tzinfo=timezone.utc), max_active_runs=1):
    SparkSubmitOperator(
        task_id="score",
        name="gmm_spark score",
        application=f"{HOME}/jobs/score.py",
        application_args=[
            f"--input.path={LAKE}/trips",
            "--input.where=day = '{{ ds }}'",  # the day of the run, so that a rerun of an old day scores that day
            f"--model.path={LAKE}/models/trips",
            "--output.partition_by=day",
            f"--output.path={LAKE}/trips-scored",
            "--output.mode=partitions",
            "--quality.max_invalid_fraction=0.2",
            "--logs.format=json",
        ],
        **COMMON,
    )
