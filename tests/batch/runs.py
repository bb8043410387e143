"""Runs without Spark, for tests of the effects of publishing on folders."""

from __future__ import annotations

from gmm_spark.batch.manifest.manifest import Versions
from gmm_spark.batch.options.jobs import SimulateConfig
from gmm_spark.batch.options.layers import load_options
from gmm_spark.batch.runtime.run import Run

VERSIONS = Versions(
    gmm_spark="0.1.0",
    spark="4.1.4",
    python="3.11.7",
    numpy="2.4.6",
    pyarrow="26.0.1",
    java="17.0.15",
    blas="openblas 0.3",
    blas_threads={"driver": "1", "executors": None},
)


def run(name: str, *words: str) -> Run:
    """Return a run with this id and these options, besides the required ones."""
    given = ["--model.path=m", "--sample.rows=1", "--output.path=out", *words]
    return Run(
        "simulate", load_options(SimulateConfig, given, prog="simulate.py"), name, VERSIONS, {"scheduler": "s-1"}
    )
