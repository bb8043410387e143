"""The number of threads for matrix products in the driver of a job."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from gmm_spark.batch import BLAS_THREADS
from tests.jobs.submission import JOBS, ROOT

_PRINT = "import numpy, threadpoolctl; print([each['num_threads'] for each in threadpoolctl.threadpool_info()])"


def _threads(code: str, **variables: str) -> str:
    """Return the threads of each native library in a fresh Python after it has run the code."""
    environment = {name: value for name, value in os.environ.items() if name not in BLAS_THREADS}
    command = [sys.executable, "-c", f"{code}; {_PRINT}"]
    ended = subprocess.run(command, cwd=ROOT, env=environment | variables, capture_output=True, text=True, check=True)
    return ended.stdout.splitlines()[-1]


@pytest.mark.parametrize("job", sorted(path.stem for path in JOBS.glob("*.py")))
def test_the_driver_of_a_job_has_one_blas_thread(job: str) -> None:
    """Threads that share a core with other work make small products many times slower."""
    code = f"import runpy, sys; sys.argv[1:] = ['--help']; runpy.run_path('jobs/{job}.py', run_name='__main__')"
    assert _threads(code) == "[1]"


@pytest.mark.parametrize("variable", ["OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"])
def test_the_environment_of_a_job_may_ask_for_more_blas_threads(variable: str) -> None:
    """A number in the environment is the number that numpy uses."""
    asked = {variable: "2"}
    assert _threads("from gmm_spark.batch.runtime import status", **asked) == _threads("pass", **asked)
