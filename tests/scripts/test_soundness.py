"""A small part of the matrix of hard real tables; scripts/benchmarks/soundness.py runs all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gmm_spark.mixture.parameters import FAMILIES

SCRIPT = Path(__file__).parents[2] / "scripts" / "benchmarks" / "soundness.py"


@pytest.mark.usefixtures("data")
def test_every_fit_of_a_slice_is_sound() -> None:
    """Four tables, eight components, all families, one seed: a valid model, its likelihood, a true outcome."""
    narrow = (
        "--k",
        "8",
        "--seeds",
        "1",
        "--engine",
        "core",
        "--rows",
        "4000",
        "--sample",
        "1500",
        "--option",
        "starts=3",
    )
    ran = subprocess.run([sys.executable, SCRIPT, *narrow], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith(f"{4 * len(FAMILIES)} fits, 0 not sound\n")
