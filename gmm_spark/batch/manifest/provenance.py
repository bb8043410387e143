"""Where a run comes from: the versions of its software, and its ids in scheduler and lineage."""

from __future__ import annotations

import hashlib
import os
import platform
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from gmm_spark.batch import BLAS_THREADS
from gmm_spark.batch.manifest.manifest import Versions
from gmm_spark.spark.session import jvm
from gmm_spark.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pyspark.sql import SparkSession

# Airflow exports these to the tasks that it runs (airflow.utils.operator_helpers.context_to_airflow_vars).
_AIRFLOW = ("AIRFLOW_CTX_DAG_ID", "AIRFLOW_CTX_TASK_ID", "AIRFLOW_CTX_DAG_RUN_ID", "AIRFLOW_CTX_TRY_NUMBER")
# OpenLineage: the variables of its client, and the settings that Airflow's provider adds to a Spark application.
_LINEAGE = ("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID")
_LINEAGE_CONF = tuple(
    f"spark.openlineage.{name}" for name in ("parentJobNamespace", "parentJobName", "parentRunId", "rootParentRunId")
)


def versions(spark: SparkSession) -> Versions:
    """Return the versions of the software that the run uses, and its limits of BLAS threads."""
    blas: Mapping[str, Any] = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return Versions(
        gmm_spark=__version__,
        spark=spark.version,
        python=platform.python_version(),
        numpy=np.__version__,
        pyarrow=pa.__version__,
        java=str(jvm(spark).System.getProperty("java.version")),
        blas=f"{blas.get('name')} {blas.get('version')}",
        blas_threads={
            "driver": _first(os.environ),
            "executors": _first({name: spark.conf.get(f"spark.executorEnv.{name}", None) for name in BLAS_THREADS}),
        },
    )


def parents(spark: SparkSession) -> dict[str, str]:
    """Return the ids of scheduler and lineage by the names of their variables or settings, and Spark's own id."""
    return {**parents_in(os.environ, _lineage(spark)), "spark.app.id": spark.sparkContext.applicationId}


def run_id(spark: SparkSession) -> str:
    """Return the scheduler's id of this run, which is the same for each try; a new id if there is none."""
    return run_id_in(os.environ, _lineage(spark))


def parents_in(environment: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """Return the ids of scheduler and lineage in environment variables and Spark's settings."""
    variables = {name: environment[name] for name in (*_AIRFLOW, *_LINEAGE) if environment.get(name)}
    return {**variables, **settings}


def run_id_in(environment: Mapping[str, str], settings: Mapping[str, str]) -> str:
    """Return the id of a run from environment variables and Spark's settings; a new id if they have none."""
    dag, task, run, _ = (environment.get(name) for name in _AIRFLOW)
    if dag and task and run:
        # A mapped task runs many times in one DAG run, and no variable of Airflow distinguishes these runs.
        return f"{dag}.{task}.{run}"
    lineage = environment.get("OPENLINEAGE_PARENT_ID") or settings.get("spark.openlineage.parentRunId")
    return lineage or f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{uuid.uuid4().hex[:8]}"


def digest(parts: list[str]) -> str:
    """Return the SHA-256 of some texts; their order does not matter."""
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def _lineage(spark: SparkSession) -> dict[str, str]:
    settings = {name: spark.conf.get(name, None) for name in _LINEAGE_CONF}
    return {name: value for name, value in settings.items() if value}


def _first(values: Mapping[str, str | None]) -> str | None:
    return next((value for name in BLAS_THREADS if (value := values.get(name))), None)
