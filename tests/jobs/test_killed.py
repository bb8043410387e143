"""A run that is killed at any step of publishing: readers see the old output or the new one, and a rerun completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from tests.jobs.submission import ROOT

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
NEW, OLD = ({"day=1": [content], "day=2": [content]} for content in ("new", "old"))
NOTHING: dict[str, list[str]] = {}
OTHER = {"day=3": ["other"]}
HALF = {"day=1": ["new"], "day=2": ["old"]}
# mode: what a reader may see after a kill
READERS_SEE: dict[str, list[dict[str, list[str]]]] = {
    "create": [NOTHING, NEW],
    "overwrite": [OLD, NEW],
    "runs": [OLD, NEW],
    "partitions": [OLD | OTHER, HALF | OTHER, NEW | OTHER],
    "two renames": [OLD, NOTHING, NEW],
}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Publish in each mode once for each step, and kill it there; return the attempts by mode."""
    words = [sys.executable, "-m", "tests.jobs.killed", str(tmp_path_factory.mktemp("killed"))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    return {mode: [each for each in told if each["mode"] == mode] for mode in READERS_SEE}


@pytest.mark.parametrize("mode", READERS_SEE)
def test_readers_see_the_old_output_or_the_new_one(killed: dict[str, list[dict[str, Any]]], mode: str) -> None:
    """Of overwrite, runs and create the whole; of partitions each; of two renames there may be nothing between."""
    attempts = killed[mode]
    assert [attempt["ended"] for attempt in attempts].count(0) == 1  # all steps were reached
    assert len(attempts) >= 8
    seen = [attempt["seen"] for attempt in attempts]
    assert [each for each in seen if each not in READERS_SEE[mode]] == []
    assert [each for each in READERS_SEE[mode] if each not in seen] == []


@pytest.mark.parametrize("mode", READERS_SEE)
def test_a_rerun_completes(killed: dict[str, list[dict[str, Any]]], mode: str) -> None:
    """The same run begun anew ends well and publishes, and no lock, staging folder or half run is left."""
    for attempt in killed[mode]:
        assert attempt["rerun"] == 0
        assert attempt["seen_then"] == (NEW | OTHER if mode == "partitions" else NEW)
        assert attempt["office"] == ["manifests"]
        assert set(attempt["runs"]) <= {"new", "old"}
