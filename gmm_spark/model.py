"""The model directory as text: encode, validate, decode. No Spark, no pickle.

    <model>/metadata/part-*     one line of JSON: pyspark.ml's metadata, and the model's under "gmm_spark"
    <model>/components/part-*   one line of JSON a component: index, weight, mean, covariance

JSON keeps float64 exactly (the shortest text that reads back to the same bits), is written by Spark to
any filesystem that it reaches, and is read by people, jq, DuckDB and pandas as it stands.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.errors import ModelError, ParametersError
from gmm_spark.parameters import Parameters
from gmm_spark.pointer import followed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = 1


@dataclass(frozen=True, eq=False)
class StoredModel:
    """A fitted mixture with what explains it.

    Args:
        parameters: the mixture, in the user's units.
        features: d names, one a feature.
        summary: how the fit went: the fields of `Summary`; empty for a model made from arrays.
    """

    parameters: Parameters
    features: tuple[str, ...]
    summary: Mapping[str, Any] = field(default_factory=dict)


def encode(model: StoredModel) -> tuple[dict[str, Any], list[str]]:
    """Return the header for the metadata and the lines of the components."""
    parameters = model.parameters
    lines = [
        json.dumps(
            {
                "component": k,
                "weight": float(parameters.weights[k]),
                "mean": parameters.means[k].tolist(),
                "covariance": parameters.covariances[k].tolist(),
            }
        )
        for k in range(parameters.k)
    ]
    header: dict[str, Any] = {
        "format": FORMAT,
        "family": parameters.family,
        "k": parameters.k,
        "features": list(model.features),
        "summary": dict(model.summary),
    }
    return {**header, "sha256": _checksum(header, lines)}, lines


def decode(header: object, lines: Iterable[str], where: str) -> StoredModel:
    """Return the model of a header and component lines, in any order, or refuse them.

    Args:
        header: what `encode` returned first, after a round trip through JSON.
        lines: the component lines.
        where: the model's path, for the error.

    Raises:
        ModelError: anything missing, changed since it was written, or no Gaussian mixture.
    """
    try:
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise _damaged(where, "no gmm_spark header of format 1")
        components = sorted((_object(line) for line in lines), key=lambda c: int(c["component"]))
        ordered = [json.dumps(component) for component in components]
        if header.get("sha256") != _checksum({k: v for k, v in header.items() if k != "sha256"}, ordered):
            raise _damaged(where, "a checksum that does not match its contents")
        return _assembled(header, components)
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
        InputError: the folder keeps several runs, and its pointer to the last is damaged.
    """
    root = followed(Path(path))
    metadata = _lines(root / "metadata")
    if len(metadata) != 1:
        raise ModelError(
            f"model directory {root}",
            got=f"{len(metadata)} lines of metadata",
            expected="one line in metadata/part-*",
            do="Name a directory that fit.py or model.save wrote, on the local filesystem.",
        )
    return decode(header_of(metadata[0], str(root)), _lines(root / "components"), str(root))


def header_of(metadata: str, where: str) -> object:
    """Return the gmm_spark header within a line of pyspark.ml metadata."""
    try:
        return _object(metadata).get("gmm_spark")
    except (ValueError, RecursionError) as error:
        raise _damaged(where, f"metadata that is not JSON ({error})") from error


def _assembled(header: Mapping[str, Any], components: list[dict[str, Any]]) -> StoredModel:
    parameters = Parameters(
        np.array([c["weight"] for c in components]),
        np.array([c["mean"] for c in components]),
        np.array([c["covariance"] for c in components]),
        header["family"],
    )
    features = tuple(str(name) for name in header["features"])
    if header["k"] != parameters.k or len(features) != parameters.d:
        raise ValueError(
            f"{header['k']} components of {len(features)} features announced, {parameters.means.shape} found"
        )
    return StoredModel(parameters, features, dict(header["summary"]))


def _object(line: str) -> dict[str, Any]:
    value = json.loads(line)
    if not isinstance(value, dict):
        raise ValueError("a JSON value that is not an object")  # noqa: TRY004 - decode turns it into a ModelError
    return value


def _lines(folder: Path) -> list[str]:
    try:
        files = sorted(file for file in folder.glob("part-*") if file.is_file())
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
