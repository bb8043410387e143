"""A run that is killed at any step of publishing: readers see the old output or the new one, and a rerun completes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.jobs.submission import ROOT

if TYPE_CHECKING:
    from pathlib import Path

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


def attempts_by_mode(folder: Path, number: int) -> dict[str, list[dict[str, Any]]]:
    """Publish in each mode once per step with a signal at that step; return the attempts by mode."""
    words = [sys.executable, "-m", "tests.batch.kill_at_each_step", str(folder), str(number)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in done.stdout.splitlines()]
    return {mode: [each for each in records if each["mode"] == mode] for mode in READERS_SEE}


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Return the attempts that SIGKILL ended."""
    return attempts_by_mode(tmp_path_factory.mktemp("killed"), signal.SIGKILL)


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Return the attempts that SIGTERM ended."""
    return attempts_by_mode(tmp_path_factory.mktemp("asked"), signal.SIGTERM)


@pytest.mark.parametrize("mode", READERS_SEE)
def test_readers_see_the_old_output_or_the_new_one(killed: dict[str, list[dict[str, Any]]], mode: str) -> None:
    """A reader sees old or new as a whole; with partitions each is old or new; between two renames there is nothing."""
    attempts = killed[mode]
    assert [attempt["ended"] for attempt in attempts].count(0) == 1  # all steps were reached
    assert len(attempts) >= 8
    contents = [attempt["contents"] for attempt in attempts]
    assert [content for content in contents if content not in READERS_SEE[mode]] == []
    assert [content for content in READERS_SEE[mode] if content not in contents] == []


@pytest.mark.parametrize("mode", READERS_SEE)
def test_a_rerun_completes(killed: dict[str, list[dict[str, Any]]], mode: str) -> None:
    """The same run publishes when it is run again, and leaves no lock, staging folder or half output."""
    for attempt in killed[mode]:
        assert attempt["rerun"] == 0
        assert attempt["contents_after"] == (NEW | OTHER if mode == "partitions" else NEW)
        assert attempt["hidden"] == ["manifests"]
        assert set(attempt["runs"]) <= {"new", "old"}


@pytest.mark.parametrize("mode", READERS_SEE)
def test_a_run_that_is_asked_to_end_leaves_no_lock_and_no_staging_folder(
    asked: dict[str, list[dict[str, Any]]], mode: str
) -> None:
    """After SIGTERM at any step: status 143, the old or the new output, and only manifests in the hidden folder."""
    attempts = asked[mode]
    assert {attempt["ended"] for attempt in attempts} == {0, 143}
    whole = [each for each in READERS_SEE[mode] if each not in (NOTHING, HALF | OTHER)]
    allowed = [NOTHING, *whole] if mode == "create" else whole
    assert [attempt["contents"] for attempt in attempts if attempt["contents"] not in allowed] == []
    assert [attempt["left"] for attempt in attempts if attempt["left"] not in ([], ["manifests"])] == []
    for attempt in attempts:
        assert attempt["rerun"] == 0
        assert attempt["contents_after"] == (NEW | OTHER if mode == "partitions" else NEW)
