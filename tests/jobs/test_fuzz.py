"""Configurations and manifests from a stranger: only our own errors, no hang. scripts/fuzz.sh runs 10,000. No Spark."""

from __future__ import annotations

import json
import time
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING

import yaml

from gmm_spark.batch.config import FitConfig
from gmm_spark.batch.layers import load
from gmm_spark.batch.manifest import read_manifest
from gmm_spark.batch.redaction import redacted
from gmm_spark.errors import GmmSparkError
from tests.core.mutations import CASES, HOSTILE, bytes_of, values_of
from tests.jobs import runs
from tests.jobs.submission import ROOT

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

TEXT = (ROOT / "conf" / "fit.yaml").read_text(encoding="utf-8")
SECONDS = 10.0


def _hostile_file(random: Random) -> bytes:
    if random.randrange(2):
        return bytes_of(TEXT.encode(), random)
    changed = values_of(yaml.safe_load(TEXT), random)
    return json.dumps(changed).encode("utf-8", "replace")


def _hostile_words(random: Random) -> list[str]:
    keys = ["mixture.k", "input.options", "features.columns", "fit.tol", "output", "x.y.z", "", "run.id", "config."]
    return [f"--{random.choice(keys)}={random.choice(HOSTILE)}"[:5000] for _ in range(random.randrange(3))]


def test_a_hostile_configuration_is_refused_by_an_error_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever file, environment and command line hold: options, or an error of ours, within seconds."""
    file, accepted, slowest = tmp_path / "fit.yaml", 0, 0.0
    for case in range(CASES):
        random, told = Random(case), ""  # noqa: S311 - to be repeatable
        file.write_bytes(_hostile_file(random))
        value = str(random.choice(HOSTILE)).replace("\0", "").encode("utf-8", "replace").decode()
        monkeypatch.setenv("GMM_SPARK_MIXTURE__K", value if random.randrange(4) == 0 else "2")
        began = time.process_time()
        try:
            redacted(load(FitConfig, ["--config", str(file), *_hostile_words(random)], prog="fit.py"))
            accepted += 1
        except GmmSparkError as error:
            told = str(error)
        except BaseException as error:
            raise AssertionError(f"case {case}") from error
        assert all(line.isprintable() for line in told.split("\n"))
        slowest = max(slowest, time.process_time() - began)
    assert 0 < accepted < CASES
    assert slowest < SECONDS


def test_a_hostile_manifest_is_refused_by_an_error_of_ours() -> None:
    """A manifest that was changed by anyone is read as a manifest or refused."""
    run = runs.run("r")
    run.started = datetime(2026, 1, 1, tzinfo=timezone.utc)
    text, read = run.manifest().to_json(), 0
    assert read_manifest(text, "m").run_id == "r"
    for case in range(CASES):
        random = Random(case)  # noqa: S311
        if random.randrange(2):
            changed = bytes_of(text.encode(), random).decode("utf-8", "replace")
        else:
            changed = json.dumps(values_of(json.loads(text), random))
        try:
            read_manifest(changed, "m")
            read += 1
        except GmmSparkError:
            pass
        except BaseException as error:
            raise AssertionError(f"case {case}") from error
    assert 0 < read < CASES
