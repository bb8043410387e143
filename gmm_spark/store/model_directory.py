"""The model directory as text: encode, validate, decode. No Spark, no pickle.

    <model>/metadata/part-*     one line of JSON: pyspark.ml's metadata, and the model's under "gmm_spark"
    <model>/components/part-*   one line of JSON per component: index, weight, mean, and covariance or variances

JSON stores float64 exactly (the shortest text that reads back to the same bits). Spark writes it to any
filesystem that it supports, and people, jq, DuckDB and pandas read it directly.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from gmm_spark.errors import ModelError, ParametersError
from gmm_spark.mixture.noise import Noise
from gmm_spark.mixture.parameters import FloatArray, Parameters
from gmm_spark.mixture.spread import Variances
from gmm_spark.store.run_pointer import follow_pointer
from gmm_spark.store.untrusted import json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The key of the covariance in a component's line, per format. Format 2 stores the diagonals, and is written only if all
# covariances are diagonal: so older models can be read, and older versions can read all other models.
_FORMATS = {1: "covariance", 2: "variances"}
_FOREIGN = f"no gmm_spark header of format {' or '.join(map(str, _FORMATS))}"
# A model directory is untrusted input: files larger than a model can need are refused before they are read.
# Its texts are ASCII, as json.dumps writes them: one byte per character.
MOST_METADATA = 16 << 20  # characters: 16,000 features with names of 500 characters, each stored twice
MOST_VALUES = 1 << 18  # in the metadata: names, history, params
_MOST_NUMBERS = 1 << 28  # float64 of all covariances: 2 GB
_NUMBER = 32  # characters of a float64 as JSON, with comma and brackets


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A fitted mixture with its feature names and its summary.

    Args:
        parameters: the mixture, in the user's units.
        features: d names, one per feature.
        summary: the fields of `Summary` of the fit; empty for a model built from arrays.
    """

    parameters: Parameters
    features: tuple[str, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)


def encode_model(model: StoredModel) -> tuple[dict[str, Any], list[str]]:
    """Return the header for the metadata and the lines of the components."""
    parameters = model.parameters
    spread, form = parameters.spread, 2 if isinstance(parameters.spread, Variances) else 1
    lines = [
        json.dumps(
            {
                "component": k,
                "weight": float(parameters.weights[k]),
                "mean": parameters.means[k].tolist(),
                _FORMATS[form]: spread.values[k].tolist(),
            }
        )
        for k in range(parameters.k)
    ]
    header: dict[str, Any] = {
        "format": form,
        "family": parameters.family,
        "k": parameters.k,
        "features": list(model.features),
        "summary": dict(model.summary),
    }
    if parameters.noise is not None:
        header["noise"] = {"weight": parameters.noise.weight, "box": parameters.noise.box.tolist()}
    return {**header, "sha256": _checksum(header, lines)}, lines


def decode_model(header: object, lines: Iterable[str], where: str) -> StoredModel:
    """Return the model from its header and its component lines (in any order), or refuse them.

    Args:
        header: the header that `encode` returned, after a round trip through JSON.
        lines: the component lines.
        where: the model's path, for the error.

    Raises:
        ModelError: something is missing, was changed after writing, or is not a Gaussian mixture.
    """
    try:
        k, d, numbers = _shape(header, where)
        fields = dict(cast("dict[str, Any]", header))
        most = _NUMBER * (numbers + d + 4), numbers + 2 * d + 16
        first = islice(lines, k + 1)  # one line too many is refused below
        components = sorted((json_object(line, *most) for line in first), key=lambda c: _whole(c["component"]))
        ordered = [json.dumps(component) for component in components]
        if fields.pop("sha256", None) != _checksum(fields, ordered):
            raise _damaged(where, "a checksum that does not match its contents")
        return _assembled(fields, components)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError) as error:
        if isinstance(error, ModelError):
            raise
        detail = (
            f"{error.what}: {error.got}" if isinstance(error, ParametersError) else f"{type(error).__name__}: {error}"
        )
        raise _damaged(where, detail) from error


def read_model(path: str | Path) -> StoredModel:
    """Read a model directory of the local filesystem, without Spark.

    Raises:
        ModelError: there is no model, or it is damaged.
        InputError: the folder contains several runs, and the pointer to the current one is damaged.
    """
    root = follow_pointer(Path(path))
    metadata = _lines(root / "metadata", MOST_METADATA)
    if len(metadata) != 1:
        raise _no_model(root, f"{len(metadata)} lines of metadata")
    header = header_of(metadata[0], str(root))
    rows, characters = limits(header, str(root))
    return decode_model(header, _lines(root / "components", rows * (characters + 1)), str(root))


def _no_model(root: Path, got: str) -> ModelError:
    do = "Name a directory on the local filesystem to which a model was written."
    if not root.exists():
        got = "nothing there"
    elif (root / "model" / "metadata").is_dir():
        got, do = "the output of a selection, with a model in it", f"Name {root / 'model'}."
    return ModelError(f"model directory {root}", got=got, expected="one line in metadata/part-*", do=do)


def header_of(metadata: str, where: str) -> object:
    """Return the gmm_spark header from a line of pyspark.ml metadata."""
    try:
        return json_object(metadata, MOST_METADATA, MOST_VALUES).get("gmm_spark")
    except ValueError as error:
        raise _damaged(where, f"metadata that is not the JSON of a model ({error})") from error


def limits(header: object, where: str) -> tuple[int, int]:
    """Return the number of component lines of a model, and the largest number of characters per line.

    Raises:
        ModelError: the header lacks k or features, or its numbers are larger than those of any model.
    """
    k, d, numbers = _shape(header, where)
    return k, _NUMBER * (numbers + d + 4)


def _shape(header: object, where: str) -> tuple[int, int, int]:
    """Return k, d, and the number of values in the covariance of a component.

    Raises:
        ModelError: as `limits`.
    """
    if not isinstance(header, dict) or header.get("format") not in (*_FORMATS,):
        raise _damaged(where, _FOREIGN)
    try:
        k, d = _whole(header["k"]), len(_names(header["features"]))
    except (KeyError, TypeError, ValueError) as error:
        raise _damaged(where, f"a header without k and features ({error})") from error
    numbers = d if header["format"] == 2 else d * d  # noqa: PLR2004 - variances alone
    if k < 1 or k * max(numbers, 1) > _MOST_NUMBERS:
        raise _damaged(where, f"{k} components of {d} features announced")
    return k, d, numbers


def _assembled(header: Mapping[str, Any], components: list[dict[str, Any]]) -> StoredModel:
    features, k = _names(header["features"]), _whole(header["k"])
    if [c["component"] for c in components] != list(range(k)):
        raise ValueError(f"{len(components)} components, expected 0 to {k - 1}, each once")
    names = "weight", "mean", _FORMATS[header["format"]]
    weights, means, spread = (_numbers([c[name] for c in components]) for name in names)
    if spread.ndim != (2 if header["format"] == 2 else 3):  # noqa: PLR2004 - variances, or matrices
        raise ValueError(f"{names[-1]} of shape {spread.shape[1:]}")
    parameters = Parameters(weights, means, spread, header["family"], _noise(header.get("noise")))
    if len(features) != parameters.d:
        raise ValueError(f"{len(features)} features announced, {parameters.d} found")
    if not isinstance(header["summary"], dict):
        raise TypeError("a summary that is not an object")
    return StoredModel(parameters, features, header["summary"])


def _noise(fields: object) -> Noise | None:
    if fields is None:
        return None
    if not isinstance(fields, dict) or fields.keys() != {"weight", "box"}:
        raise TypeError("a noise without exactly a weight and a box")
    return Noise(float(_numbers([fields["weight"]])[0]), _numbers(fields["box"]))


def _numbers(values: list[Any]) -> FloatArray:
    array = np.array(values)
    if array.dtype.kind not in "fi":  # no conversion of texts, booleans and null
        raise TypeError(f"{array.dtype} instead of numbers")
    return array.astype(np.float64)


def _whole(value: object) -> int:
    if type(value) is not int:
        raise TypeError(f"a {type(value).__name__} instead of a whole number")
    return value


def _names(values: object) -> tuple[str, ...]:
    if not isinstance(values, list) or not all(isinstance(name, str) for name in values):
        raise TypeError("features that are not a list of names")
    return tuple(values)


def _lines(folder: Path, most: int) -> list[str]:
    try:
        files = sorted(file for file in folder.glob("part-*") if file.is_file())
        size = sum(file.stat().st_size for file in files)
        if size > most:
            raise _damaged(str(folder), f"{size} bytes, more than a model can need")
        return [line for file in files for line in file.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, UnicodeDecodeError) as error:
        raise _damaged(str(folder), str(error)) from error


def _checksum(header: Mapping[str, Any], lines: Iterable[str]) -> str:
    text = "\n".join([json.dumps(header, sort_keys=True), *lines])
    return hashlib.sha256(text.encode()).hexdigest()


def _damaged(where: str, detail: str) -> ModelError:
    return ModelError(
        f"model directory {where}",
        got=detail,
        expected="a model as gmm_spark wrote it",
        do="Restore it from a copy, or fit it again.",
    )
