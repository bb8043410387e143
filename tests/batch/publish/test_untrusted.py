"""Large files with the names of gmm_spark's files are refused before they are parsed: little memory and time."""

from __future__ import annotations

import json
import time
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.manifest.manifest import MOST_CHARACTERS, MOST_FILES, File, Manifest, Output, read_manifest
from gmm_spark.batch.publish import lock
from gmm_spark.batch.steps import selection_output
from gmm_spark.em import checkpoint
from gmm_spark.errors import GmmSparkError, OutputError
from gmm_spark.store import run_pointer
from gmm_spark.store.model_directory import read_model
from gmm_spark.store.untrusted import json_object
from tests.batch.runs import run

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LENGTH = 24 << 20  # characters
MEGABYTES, SECONDS = 100, 3.0
FILLERS = {
    "lists": "[" + "[]," * (LENGTH // 3) + "[]]",
    "objects": "[" + "{}," * (LENGTH // 3) + "{}]",
    "numbers": "[" + "1," * (LENGTH // 2) + "1]",
    "fields": '{"a":1' + ',"a":1' * (LENGTH // 6) + "}",
    "text": '"' + "x" * LENGTH + '"',
    "deep": "[" * LENGTH,
}


def model(folder: Path, filler: str) -> Callable[[], object]:
    """Return a reader of a model whose summary has the filler."""
    for name in ("metadata", "components"):
        (folder / name).mkdir()
    header = f'"format":1,"family":"full","k":1,"features":["a"],"summary":{{"history":{filler}}},"sha256":"0"'
    (folder / "metadata" / "part-0").write_text(f'{{"class":"x","gmm_spark":{{{header}}}}}')
    (folder / "components" / "part-0").write_text('{"component":0,"weight":1.0,"mean":[0.0],"covariance":[[1.0]]}\n')
    return lambda: read_model(folder)


def components(folder: Path, filler: str) -> Callable[[], object]:
    """Return a reader of a model with one long component."""
    read = model(folder, "[]")
    (folder / "components" / "part-0").write_text(f'{{"component":0,"weight":1.0,"mean":[0.0],"covariance":{filler}}}')
    return read


def pointer(folder: Path, filler: str) -> Callable[[], object]:
    """Return a reader of a pointer."""
    (folder / run_pointer.POINTER).write_text(f'{{"folder":"runs/a","published":["runs/a"],"more":{filler}}}')
    return lambda: read_model(folder)


def manifest(_: Path, filler: str) -> Callable[[], object]:
    """Return a reader of a manifest."""
    text = f'{{"job":"fit","run_id":"a","status":0,"notes":{{"a":{filler}}}}}'
    return lambda: read_manifest(text, "here")


def checkpoints(_: Path, filler: str) -> Callable[[], object]:
    """Return a reader of a checkpoint under its valid mark."""
    lines = [f'{{"format":{checkpoint.FORMAT},"identity":{filler},"state":{{}}}}']
    lines.append(checkpoint._checksum(lines))  # noqa: SLF001 - a forger would compute it too
    return lambda: checkpoint.decode_state(lines, {"k": 1, "d": 1}, "here")


def lock_of_another(folder: Path, filler: str) -> Callable[[], object]:
    """Return a function that asks for a lock of another run."""
    (folder / "lock").write_text(f'{{"run_id":{filler}}}')
    return lambda: lock.acquire_lock(LocalLocation(folder / "lock"), "me")


@pytest.mark.parametrize("filler", FILLERS)
@pytest.mark.parametrize("made", [model, components, pointer, manifest, checkpoints, lock_of_another])
def test_a_large_file_is_refused_cheaply(
    tmp_path: Path, made: Callable[..., Callable[[], object]], filler: str
) -> None:
    """To parse 24 MB of JSON would cost 1 GB and seconds; instead the reader raises a short GmmSparkError."""
    read = made(tmp_path, FILLERS[filler])
    tracemalloc.start()
    began = time.process_time()
    try:
        with pytest.raises(GmmSparkError) as caught:
            read()
        seconds, (_, peak) = time.process_time() - began, tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (peak < MEGABYTES << 20, seconds < SECONDS) == (True, True), (peak, seconds)
    assert len(str(caught.value)) < 1500


def test_a_damaged_candidate_is_ignored(tmp_path: Path) -> None:
    """A finished fit in a file that is no JSON, too large or too deep is not used."""
    for i, text in enumerate(["", "[" * 10_000_000, FILLERS["lists"], '{"header":{}}', "[]"]):
        (tmp_path / f"{i}.json").write_text(text)
    assert selection_output.FinishedFits(LocalLocation(tmp_path)).load() == []


def test_the_manifest_of_an_output_of_many_files_can_be_read() -> None:
    """The largest list of files that a run writes is within the limits of the reader."""
    many = tuple(File(path=f"day=2020-01-01/part-{i:05}-{'0' * 60}.parquet", bytes=i) for i in range(MOST_FILES))
    output = Output(path="out", mode="create", folder="", files=many, bytes=1)
    monday = run("monday")
    monday.note(output=output)
    text = monday.manifest().to_json()
    assert len(text) < MOST_CHARACTERS
    assert read_manifest(text, "here").output == output


@pytest.mark.parametrize(
    "wrong", ["[1]", "1", '{"a":1,"a":2}', '{"a":NaN}', '{"a":-Infinity}', "{", "", "[" * 100_000, '{"a":"12345678"}']
)
def test_other_json_is_refused(wrong: str) -> None:
    """Refused are repeated keys, words that JSON does not have, and objects with too many characters or values."""
    with pytest.raises(ValueError, match=r"\S"):
        json_object(wrong, 200_000 if wrong.startswith("[[") else 15, 200_000)
    assert json_object('{"a":"1234567"}', 15, 3) == {"a": "1234567"}
    with pytest.raises(ValueError, match="4 values, more than the 3"):
        json_object("[1,2,3,4]", 15, 3)


@pytest.mark.parametrize("value", ['{"b":1,"b":2}', "NaN", "-Infinity"])
@pytest.mark.parametrize("made", [model, components, pointer, manifest, checkpoints, lock_of_another])
def test_all_files_are_read_by_one_strict_reader(
    tmp_path: Path, made: Callable[..., Callable[[], object]], value: str
) -> None:
    """Models, pointers, manifests, checkpoints and locks with a repeated key or a word outside JSON are refused."""
    with pytest.raises(GmmSparkError, match=r"a key twice|which is not JSON|\(run unknown"):
        made(tmp_path, value)()


def test_a_manifest_of_mistakes_is_refused_cheaply() -> None:
    """The error about a hundred thousand mistakes does not list them."""
    document = json.loads(run("a").manifest().to_json())
    wrong = {"path": "a", "mode": "b", "folder": "", "bytes": 1, "files": [1] * 100_000}
    text = json.dumps({**document, "output": wrong, "inputs": [1] * 100_000, "notes": {"a": [[]] * 100_000}})
    began = time.process_time()
    with pytest.raises(OutputError, match="got 2 mistakes"):
        read_manifest(text, "here")
    assert time.process_time() - began < 1


def test_the_error_has_the_number_of_mistakes() -> None:
    """The error has no texts of the mistakes, which repeat the wrong values."""
    text: dict[str, Any] = {**json.loads(run("a").manifest().to_json()), "seconds": {"x" * 10_000: "y" * 10_000}}
    with pytest.raises(OutputError, match="got 1 mistakes in its fields") as caught:
        read_manifest(json.dumps(text), "here")
    assert len(str(caught.value)) < 500
    assert isinstance(run("a").manifest(), Manifest)
