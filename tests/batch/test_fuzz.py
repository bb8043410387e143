"""Configurations, manifests and other untrusted files: only GmmSparkErrors, no hang. scripts/fuzz.sh runs 10,000 cases.

scripts/fuzz.sh runs 10,000 cases.
"""

from __future__ import annotations

import json
import os
import resource
import time
from contextlib import suppress
from datetime import datetime, timezone
from random import Random
from typing import TYPE_CHECKING

import pytest
import yaml

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.manifest.manifest import read_manifest
from gmm_spark.batch.options.jobs import FitConfig
from gmm_spark.batch.options.layers import load_options
from gmm_spark.batch.options.redaction import redacted_options
from gmm_spark.batch.publish.modes import Overwrite
from gmm_spark.batch.publish.target import claim
from gmm_spark.errors import GmmSparkError
from tests.batch import runs
from tests.core.mutations import CASES, HOSTILE, bytes_of, values_of
from tests.jobs.submission import ROOT

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_hostile_configuration_raises_only_a_gmm_spark_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any file, environment and command line give options or a GmmSparkError within seconds."""
    file, accepted, slowest = tmp_path / "fit.yaml", 0, 0.0
    for case in range(CASES):
        random, message = Random(case), ""  # noqa: S311 - to be repeatable
        file.write_bytes(_hostile_file(random))
        value = str(random.choice(HOSTILE)).replace("\0", "").encode("utf-8", "replace").decode()
        monkeypatch.setenv("GMM_SPARK_MIXTURE__K", value if random.randrange(4) == 0 else "2")
        began = time.process_time()
        try:
            redacted_options(load_options(FitConfig, ["--config", str(file), *_hostile_words(random)], prog="fit.py"))
            accepted += 1
        except GmmSparkError as error:
            message = str(error)
        except BaseException as error:
            raise AssertionError(f"case {case}") from error
        assert all(line.isprintable() for line in message.split("\n"))
        slowest = max(slowest, time.process_time() - began)
    assert 0 < accepted < CASES
    assert slowest < SECONDS


def test_a_hostile_manifest_raises_only_a_gmm_spark_error() -> None:
    """A changed manifest is read as a manifest or refused."""
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


@pytest.mark.parametrize("kind", ["pipe", "terabyte", "zeros", "loop"])
@pytest.mark.parametrize(
    "name",
    [".out.gmm_spark/lock", ".out.gmm_spark/manifests/a.json", "out/_manifest.json", "out/current.gmm_spark.json"],
)
def test_a_hostile_file_stops_no_run(tmp_path: Path, name: str, kind: str) -> None:
    """A pipe, a terabyte, a device or a circular link as lock, manifest or pointer is refused or ignored."""
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    file = tmp_path / name
    for folder in (file.parent, tmp_path / "out"):
        folder.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "terabyte":
        with file.open("wb") as opened:
            opened.truncate(1 << 40)
    else:
        file.symlink_to("/dev/zero" if kind == "zeros" else file)
    with suppress(GmmSparkError), claim(runs.run("a"), LocalLocation(tmp_path / "out"), Overwrite()) as target:
        assert target.done_message is None
    assert time.process_time() - began < SECONDS
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 400 * 1024
