"""The model directory stores every bit, and every kind of damage is a ModelError."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gmm_spark.errors import ModelError
from gmm_spark.store.model_directory import StoredModel, decode_model, encode_model, header_of, read_model
from tests.strategies import families, random_mixture, seeds

if TYPE_CHECKING:
    from pathlib import Path

    from gmm_spark.mixture.parameters import Family

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
HEADER_KEYS = ("format", "family", "k", "features", "summary", "sha256")
COMPONENT_KEYS = ("component", "weight", "mean", "covariance")


def example(seed: int = 0, k: int = 3, d: int = 2, family: Family = "full") -> StoredModel:
    """Return a model with a summary of every JSON type and names that need escapes."""
    mixture = random_mixture(np.random.default_rng(seed), k, d, family)
    names = tuple(f'x {i} "\u00e9\u2028' for i in range(d))
    return StoredModel(mixture, names, {"numIter": 3, "history": [-1.5, -0.25], "outcome": "converged", "note": None})


@dataclass
class Text:
    """The two parts of a model as JSON values, which tests damage."""

    header: Any
    components: list[Any]

    @staticmethod
    def of(model: StoredModel) -> Text:
        """Return the text of a model."""
        header, lines = encode_model(model)
        return Text(json.loads(json.dumps(header)), [json.loads(line) for line in lines])

    def sealed(self) -> Text:
        """Return the text with a matching checksum, as a forger who knows the format would write it."""
        if isinstance(self.header, dict):
            rest = {key: value for key, value in self.header.items() if key != "sha256"}
            text = "\n".join([json.dumps(rest, sort_keys=True), *(json.dumps(c) for c in self.components)])
            self.header["sha256"] = hashlib.sha256(text.encode()).hexdigest()
        return self

    def decoded(self) -> StoredModel:
        """Return the decoded model."""
        return decode_model(self.header, [json.dumps(component) for component in self.components], "here")


@given(seeds, families, st.integers(1, 6), st.integers(1, 5))
def test_a_model_is_read_back_bit_for_bit(seed: int, family: Family, k: int, d: int) -> None:
    """After encode, JSON and decode all parameters have the same bits; names and summary are equal."""
    model = example(seed, k, d, family)
    back = Text.of(model).decoded()
    for name in ("weights", "means", "covariances"):
        assert getattr(back.parameters, name).tobytes() == getattr(model.parameters, name).tobytes()
    assert back.parameters.family == family
    assert back.features == model.features
    assert back.summary == model.summary


@given(seeds)
def test_lines_may_come_in_any_order(seed: int) -> None:
    """The index in each line decides, because Spark does not guarantee the order of files."""
    model = example(k=5)
    header, lines = encode_model(model)
    shuffled = np.random.default_rng(seed).permutation(lines).tolist()
    np.testing.assert_array_equal(decode_model(header, shuffled, "here").parameters.means, model.parameters.means)


@given(st.data())
def test_any_changed_value_breaks_the_checksum(data: st.DataObject) -> None:
    """Another JSON value under any key of the header or of a component is a ModelError."""
    text = Text.of(example())
    holder = data.draw(st.sampled_from([text.header, *text.components]))
    key, value = data.draw(st.sampled_from(sorted(holder))), data.draw(JSON)
    if value == holder[key]:
        return
    holder[key] = value
    with pytest.raises(ModelError):
        text.decoded()


@pytest.mark.parametrize("key", HEADER_KEYS)
def test_a_missing_key_of_the_header_is_refused(key: str) -> None:
    """Each key of the header is required, even with a matching checksum."""
    text = Text.of(example())
    del text.header[key]
    with pytest.raises(ModelError):
        (text if key == "sha256" else text.sealed()).decoded()


@pytest.mark.parametrize("key", COMPONENT_KEYS)
def test_a_missing_key_of_a_component_is_refused(key: str) -> None:
    """Each key of a component is required, even with a matching checksum."""
    text = Text.of(example())
    del text.components[1][key]
    with pytest.raises(ModelError):
        text.sealed().decoded()


@given(st.data())
def test_forged_models_are_mixtures_or_refused(data: st.DataObject) -> None:
    """Any value under any key with a matching checksum is a valid mixture or raises ModelError."""
    text = Text.of(example())
    holder = data.draw(st.sampled_from([text.header, *text.components]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(JSON)
    try:
        model = text.sealed().decoded()
    except ModelError as error:
        assert "here" in str(error)  # noqa: PT017 - both outcomes are right
    else:
        assert np.isfinite(model.parameters.covariances).all()
        assert len(model.features) == model.parameters.d
        assert all(isinstance(name, str) for name in model.features)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("weight", float("nan")),
        ("weight", -0.1),
        ("weight", 0.9),
        ("weight", 10**400),
        ("weight", "many"),
        ("mean", [0.0]),
        ("mean", [0.0, float("inf")]),
        ("mean", [[0.0, 1.0]]),
        ("mean", None),
        ("covariance", [[1.0, 2.0], [2.0, 1.0]]),
        ("covariance", [[1.0, 0.5], [0.0, 1.0]]),
        ("covariance", [[0.0, 0.0], [0.0, 0.0]]),
        ("covariance", [[1.0], [0.0, 1.0]]),
        ("covariance", "unit"),
        ("component", "first"),
        ("component", float("inf")),
    ],
)
def test_an_invalid_mixture_is_refused_despite_its_checksum(key: str, value: object) -> None:
    """NaN, invalid weights, wrong shapes or types, and covariances that are not positive definite are refused."""
    text = Text.of(example())
    text.components[0][key] = value
    with pytest.raises(ModelError, match=r"model directory here: got .*fit it again"):
        text.sealed().decoded()


@pytest.mark.parametrize("header", [None, [], "x", 1, {}, {"format": 3}, {"format": "1"}])
def test_a_foreign_header_is_refused(header: object) -> None:
    """The error for another format, or for a missing header, names the supported formats."""
    with pytest.raises(ModelError, match="no gmm_spark header of format 1"):
        decode_model(header, encode_model(example())[1], "here")


def test_missing_and_added_components_are_refused() -> None:
    """A lost, repeated or invented component line is refused."""
    header, lines = encode_model(example())
    for damaged in ([], lines[1:], [*lines, lines[0]], ["[1]", *lines[1:]], ["", *lines]):
        with pytest.raises(ModelError):
            decode_model(header, damaged, "here")


@pytest.mark.parametrize("deep", ["[" * 100_000, '{"a":' * 100_000, '{"component":' * 50_000 + "0" + "}" * 50_000])
def test_deep_nesting_is_refused(deep: str) -> None:
    """JSON nested a hundred thousand deep is a ModelError, not a RecursionError."""
    header, lines = encode_model(example())
    with pytest.raises(ModelError):
        decode_model(header, [deep, *lines], "here")
    with pytest.raises(ModelError):
        header_of(deep, "here")


def written(folder: Path, model: StoredModel) -> Path:
    """Write the model like Spark: one line of metadata, and component lines in two part files."""
    header, lines = encode_model(model)
    for name, parts in (
        ("metadata", [[json.dumps({"class": "x", "gmm_spark": header})]]),
        ("components", [lines[:1], lines[1:]]),
    ):
        (folder / name).mkdir(parents=True)
        (folder / name / "_SUCCESS").write_bytes(b"")
        for i, part in enumerate(parts):
            (folder / name / f"part-{i:05d}-uuid-c000.txt").write_text("\n".join(part) + "\n", encoding="utf-8")
    return folder


def test_a_directory_is_read_without_spark(tmp_path: Path) -> None:
    """read_model reads the part files that Spark wrote, from a str or a Path."""
    model = example()
    root = written(tmp_path / "model", model)
    for path in (root, str(root)):
        assert read_model(path).parameters.covariances.tobytes() == model.parameters.covariances.tobytes()


def test_the_error_for_the_output_of_a_selection_names_its_model(tmp_path: Path) -> None:
    """The model of a selection is one folder deeper."""
    (tmp_path / "grid" / "model" / "metadata").mkdir(parents=True)
    with pytest.raises(ModelError, match=f"the output of a selection.* Name {tmp_path}/grid/model"):
        read_model(tmp_path / "grid")


def test_a_foreign_directory_is_refused(tmp_path: Path) -> None:
    """A missing or empty directory, a file, a table and another Spark ML model are refused."""
    (tmp_path / "file").write_text("x")
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "part-0.parquet").write_bytes(b"PAR1")
    with pytest.raises(ModelError, match="got nothing there"):
        read_model(tmp_path / "missing")
    for name in ("", "file", "table"):
        with pytest.raises(ModelError, match="0 lines of metadata"):
            read_model(tmp_path / name)
    (tmp_path / "kmeans" / "metadata").mkdir(parents=True)
    (tmp_path / "kmeans" / "metadata" / "part-0").write_text('{"class": "KMeansModel"}\n')
    with pytest.raises(ModelError, match="no gmm_spark header"):
        read_model(tmp_path / "kmeans")


@given(st.data())
def test_flipped_and_lost_bytes_are_detected(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """A changed byte, or a truncated file, is a ModelError or leaves the model unchanged."""
    model = example()
    root = written(tmp_path_factory.mktemp("model") / "m", model)
    file = data.draw(st.sampled_from(sorted(root.glob("*/part-*"))))
    content = bytearray(file.read_bytes())
    at = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[at:]
    file.write_bytes(bytes(content))
    try:
        back = read_model(root)
    except ModelError:
        return
    assert back.parameters.covariances.tobytes() == model.parameters.covariances.tobytes()
    assert back.parameters.means.tobytes() == model.parameters.means.tobytes()
    assert (back.features, back.summary) == (model.features, model.summary)
