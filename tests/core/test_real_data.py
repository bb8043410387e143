"""A thin slice of the matrix of hard real tables; scripts/real_data.py runs all of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gmm_spark.mixture.parameters import FAMILIES

if TYPE_CHECKING:
    from tests.core.conftest import RealData

SCRIPT = Path(__file__).parents[2] / "scripts" / "real_data.py"


def test_every_fit_of_a_slice_is_sound(data: RealData) -> None:
    """Four tables, eight components, all families, one seed: a valid model, its own likelihood, a true outcome."""
    narrow = ("--k", "8", "--seeds", "1", "--engine", "core", "--rows", "4000", "--sample", "1500", "--starts", "3")
    ran = subprocess.run(
        [sys.executable, SCRIPT, "--data", data.folder, *narrow], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith(f"{4 * len(FAMILIES)} fits, 0 not sound\n")
