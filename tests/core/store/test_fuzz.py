"""Untrusted model directories raise GmmSparkError within little time and memory. scripts/fuzz.sh runs 10,000 cases."""

from __future__ import annotations

import json
import resource
import shutil
import time
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gmm_spark.errors import GmmSparkError
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.report.model_description import description
from gmm_spark.store.model_directory import StoredModel, encode_model, read_model
from gmm_spark.store.run_pointer import POINTER, Pointer
from tests.core.mutations import CASES, bytes_of, hostile_entry, model_files, values_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SUMMARY = {
    "logLikelihood": -10.0, "meanLogLikelihood": -1.0, "numIter": 3, "numPasses": 6, "outcome": "converged",
    "message": "It did.", "history": [-2.0, -1.0], "aic": 1.0, "bic": 2.0, "icl": 3.0, "weight": 10.0, "numRows": 10,
    "numInvalid": {"null": 0}, "floorHits": 0, "seconds": {"em": 0.5}, "warnings": [],
}  # fmt: skip
MODEL = StoredModel(
    Parameters(
        np.array([0.5, 0.25, 0.25]), np.arange(6.0).reshape(3, 2), np.array([[[2.0, 0.5], [0.5, 1.0]]] * 3), "full"
    ),
    ("a", "b"),
    SUMMARY,
)
SECONDS, MEGABYTES = 5.0, 400


def _write(folder: Path, metadata: str | bytes, lines: list[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    data = metadata.encode("utf-8", "replace") if isinstance(metadata, str) else metadata
    for name, content in (("metadata", data), ("components", "\n".join(lines).encode("utf-8", "replace"))):
        (folder / name).mkdir(parents=True)
        (folder / name / "part-00000").write_bytes(content)


def _flipped(folder: Path, random: Random) -> None:
    metadata, lines = _plain()
    _write(folder, metadata, lines)
    file = folder / random.choice(["metadata", "components"]) / "part-00000"
    file.write_bytes(bytes_of(file.read_bytes(), random))


def _forged(folder: Path, random: Random) -> None:
    header, lines = encode_model(MODEL)
    tree = values_of({"header": header, "lines": list(map(json.loads, lines))}, random)
    changed = tree.get("lines")
    header = tree.get("header") if isinstance(tree.get("header"), dict) else {}
    _write(folder, *model_files(header, changed if isinstance(changed, list) else [changed]))


def _pointed(folder: Path, random: Random) -> None:
    _write(folder, *_plain())
    run = folder / "runs" / "r1"
    run.mkdir(parents=True)
    for name in ("metadata", "components"):
        (folder / name).rename(run / name)
    pointer = Pointer("runs/r1", ("runs/r1",)).to_json()
    changed = values_of(json.loads(pointer), random)
    data = bytes_of(pointer.encode(), random) if random.randrange(2) else json.dumps(changed).encode()
    (folder / POINTER).write_bytes(data)


def _misplaced(folder: Path, random: Random) -> None:
    _write(folder, *_plain())
    hostile_entry(folder / random.choice(["metadata", "components"]), random)


def _plain() -> tuple[str, list[str]]:
    header, lines = encode_model(MODEL)
    return model_files(header, list(map(json.loads, lines)))


def _read(folder: Path) -> bool:
    """Read and describe a model; return whether it was valid."""
    message = ""
    try:
        model = read_model(folder)
        text = description(model, correlations=True)
    except GmmSparkError as error:
        message = str(error)
    assert message.isprintable()
    if message:
        return False
    mixture = model.parameters
    assert all(np.isfinite(a).all() for a in (mixture.weights, mixture.means, mixture.covariances))
    assert "\x1b" not in text
    return True


def test_an_unchanged_model_is_read(tmp_path: Path) -> None:
    """A model written like the forged ones, but unchanged, is read, so the others are refused for their change."""
    _write(tmp_path / "m", *_plain())
    assert _read(tmp_path / "m")


@pytest.mark.parametrize("mutated", [_flipped, _forged, _pointed, _misplaced])
def test_a_hostile_model_directory_is_refused(tmp_path: Path, mutated: Callable[[Path, Random], None]) -> None:
    """Any content is a valid model or raises GmmSparkError, within seconds and little memory."""
    before, read, slowest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0, 0.0
    for case in range(CASES):
        mutated(tmp_path / "m", Random(case))  # noqa: S311 - a repeatable sequence
        began = time.process_time()
        try:
            read += _read(tmp_path / "m")
        except Exception as error:
            raise AssertionError(f"case {case} of {mutated.__name__}") from error
        slowest = max(slowest, time.process_time() - began)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert read < CASES
    assert slowest < SECONDS
    assert grown < MEGABYTES * 1024


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"k": 2**40}, "announced"),
        ({"k": 10**400}, "announced"),
        ({"features": ["x"] * 100_000}, "announced"),
        ({"k": "3"}, "whole number"),
        ({"k": True}, "whole number"),
        ({"features": "ab"}, "list of names"),
        ({"family": ["full"]}, "family"),
        ({"summary": []}, "summary"),
    ],
)
def test_a_header_is_checked_before_anything_is_allocated(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    """Sizes beyond reason and fields of other types are refused from the header alone."""
    header, lines = encode_model(MODEL)
    _write(tmp_path / "m", *model_files({**header, **change}, list(map(json.loads, lines))))
    with pytest.raises(GmmSparkError, match=reason):
        read_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("name", "value"),
    [("aic", 10**400), ("seconds", {"em": 10**400}), ("history", [True]), ("numRows", 1.5), ("surprise", 1)],
)
def test_a_summary_of_other_types_is_refused(tmp_path: Path, name: str, value: object) -> None:
    """Every field of the summary is checked before it is shown."""
    header, lines = encode_model(MODEL)
    _write(tmp_path / "m", *model_files({**header, "summary": {**SUMMARY, name: value}}, list(map(json.loads, lines))))
    with pytest.raises(GmmSparkError, match=name):
        description(read_model(tmp_path / "m"))


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("weight", "0.5", "instead of numbers"),
        ("weight", None, "instead of numbers"),
        ("weight", 10**400, "OverflowError|instead of numbers|characters, more than"),
        ("mean", [0.0, 1.0, 2.0], "inhomogeneous"),
        ("covariance", [[1e308, 1e308], [1e308, 1e308]], "positive definite|covariances"),
        ("covariance", [[1.0, 1e308], [-1e308, 1.0]], "covariances"),
        ("component", 1, "each once"),
        ("component", "0", "whole number"),
    ],
)
def test_values_of_components_are_not_converted(tmp_path: Path, name: str, value: object, reason: str) -> None:
    """Texts instead of numbers, and repeated components, are refused even with the right checksum."""
    header, lines = encode_model(MODEL)
    components = list(map(json.loads, lines))
    components[0][name] = value
    _write(tmp_path / "m", *model_files(header, components))
    with pytest.raises(GmmSparkError, match=reason):
        read_model(tmp_path / "m")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("0.5", "NaN", "NaN, which is not JSON"),
        ('"weight": 0.5', '"weight": 0.5, "weight": 0.5', "a key twice"),
        ("[1.0]", "[" * 300_000, "more than a model can need|that it can need"),
        ("0.5", "[" * 500, "damaged|JSON|model"),
    ],
)
def test_components_are_strict_json(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """NaN, duplicate keys and very deep nesting are refused."""
    metadata, lines = _plain()
    _write(tmp_path / "m", metadata, [line.replace(old, new, 1) if old in line else line + new for line in lines])
    with pytest.raises(GmmSparkError, match=reason):
        read_model(tmp_path / "m")


def test_deeply_nested_metadata_is_refused(tmp_path: Path) -> None:
    """A million levels of nesting raise GmmSparkError, and do not crash."""
    _write(tmp_path / "m", "[" * 1_000_000, [])
    with pytest.raises(GmmSparkError, match="metadata that is not the JSON of a model"):
        read_model(tmp_path / "m")
