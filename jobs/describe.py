"""Print a model directory of the local filesystem as text. Needs no Spark.

python jobs/describe.py models/flights --correlations
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from gmm_spark.batch.runtime.status import run_job
from gmm_spark.report.model_description import description
from gmm_spark.store.model_directory import read_model

if TYPE_CHECKING:
    from collections.abc import Sequence


def describe(argv: Sequence[str]) -> str:
    """Describe the model that the command line names; return the text."""
    parser = argparse.ArgumentParser(
        prog="describe.py", description="Print a model directory as text.", allow_abbrev=False
    )
    parser.add_argument("model", metavar="MODEL_DIR", help="model directory that fit.py wrote, on the local filesystem")
    parser.add_argument("--correlations", action="store_true", help="add the correlations within each component")
    arguments = parser.parse_args(argv)
    return description(read_model(arguments.model), correlations=arguments.correlations)


if __name__ == "__main__":
    run_job("describe", describe, sys.argv[1:])
