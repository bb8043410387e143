"""A fit between two reads of the data, as text: exact, validated when it is read, never pickled.

JSON lines: one for each set of parameters and each set of statistics, with arrays as base64 of little-endian float64 (a
million numbers take 10 ms; as decimal text 1 s); then one with the identity of the fit and its state, which refers to
the lines before; last a checksum of all lines before it: without it the checkpoint is incomplete.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, Union, get_args, get_origin, get_type_hints

import numpy as np

from gmm_spark.em.convergence import Outcome
from gmm_spark.em.position import Pass
from gmm_spark.em.state import State
from gmm_spark.errors import CheckpointError, GmmSparkError
from gmm_spark.mixture.coordinates import Layout
from gmm_spark.mixture.noise import Noise
from gmm_spark.mixture.parameters import ALIGNED, FloatArray, Parameters
from gmm_spark.statistics.layouts import feature_count
from gmm_spark.statistics.moments import Moments
from gmm_spark.store.untrusted import json_object

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

FORMAT = 3
Identity: TypeAlias = "Mapping[str, Any]"

_MOST_VALUES, _MOST_ARRAYS = 1 << 18, 32  # in the line of the state, with history and names; in any other line
_SLACK = 1 << 16  # bytes for names and scalars
_LONG, _MANY = 60, 20  # the most characters of a value, and the most differences, in an error


def encode_state(state: State, identity: Identity) -> list[str]:
    """Return the lines of a checkpoint.

    Args:
        state: the fit.
        identity: the options and the data of the fit, as JSON values.
    """
    writer = _Writer()
    content = {"format": FORMAT, "identity": identity, "state": writer.plain(state)}
    lines = [*writer.lines, json.dumps(content)]
    return [*lines, _checksum(lines)]


def decode_state(lines: Sequence[str], identity: Identity, where: str) -> State:
    """Return the state that is stored in a checkpoint.

    Args:
        lines: what `encode_state` returned.
        identity: the identity of the fit that resumes.
        where: the path of the checkpoint, for the error.

    Raises:
        CheckpointError: the checkpoint is cut short, changed, not of gmm_spark, or of another fit: then the error names
            the differences.
    """
    try:
        content = _verified_content(lines, where)
        _check_identity(content["identity"], identity, where)
        state: State = _Reader(lines[:-2]).read(content["state"], State)
        _check_sense(state)
    except CheckpointError:
        raise
    except (GmmSparkError, LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
        raise damage_error(where, f"{type(error).__name__}: {error}") from error
    return state


def most_bytes(k: int, d: int, passes: int) -> int:
    """Return an upper bound of the size of a checkpoint: four mixtures, three statistics, and the history."""
    mixture = k + k * d + k * d * d + 2 * (d + 2)  # the last term is for a noise component
    statistics = k * d + (k + 2) * feature_count(d) + 16 * (d + 4)
    numbers = 4 * mixture + 3 * statistics + 8 * passes
    return _SLACK + 3 * 8 * numbers


def differences(stored: object, wanted: Identity) -> list[str]:
    """Return the differences of two identities, one phrase for each."""
    before = stored if isinstance(stored, dict) else {}
    now = json.loads(json.dumps(wanted))
    return [
        f"{key[:_LONG]} {_shortened(before.get(key))} in the checkpoint, {_shortened(now.get(key))} in this fit"
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    ]


def damage_error(where: str, detail: str) -> CheckpointError:
    """Return the error for a checkpoint that can't be used."""
    return CheckpointError(
        f"checkpoint {where}",
        got=detail[:500],
        expected="a checkpoint that gmm_spark wrote",
        do="Remove it, or start again without it.",
        options=("resume",),
    )


def _check_identity(stored: object, wanted: Identity, where: str) -> None:
    if different := differences(stored, wanted):
        more = f"; and {len(different) - _MANY} more" if len(different) > _MANY else ""
        raise CheckpointError(
            f"checkpoint {where}",
            got=f"the state of another fit: {'; '.join(different[:_MANY])}{more}",
            expected="the same options and the same data",
            do="Resume with those, set another checkpoint folder, or start again without it.",
            options=("resume",),
        )


def _verified_content(lines: Sequence[str], where: str) -> dict[str, Any]:
    """Return the line before the checksum, after the checksum is verified."""
    if len(lines) < 2 or lines[-1] != _checksum(lines[:-1]):  # noqa: PLR2004 - content and checksum
        raise damage_error(where, "its last line is no checksum of the lines before: cut short or changed")
    content = json_object(lines[-2], len(lines[-2]), _MOST_VALUES)
    if content.get("format") != FORMAT:
        raise damage_error(where, f"no gmm_spark checkpoint of format {FORMAT}")
    return content


def _checksum(lines: Iterable[str]) -> str:
    return json.dumps({"sha256": hashlib.sha256("\n".join(lines).encode()).hexdigest()})


def _shortened(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


@dataclass
class _Writer:
    """Writes values as JSON and arrays as separate lines; an object that occurs twice is written once."""

    lines: list[str] = field(default_factory=list)
    places: dict[int, int] = field(default_factory=dict)

    def plain(self, value: object) -> object:
        if isinstance(value, (Parameters, Moments)):
            return self._place(value)
        if isinstance(value, Enum):
            return value.value
        if isinstance(value, tuple):
            return [self.plain(each) for each in value]
        if is_dataclass(value):
            return {each.name: self.plain(getattr(value, each.name)) for each in fields(value)}
        return value

    def _place(self, value: Parameters | Moments) -> int:
        if id(value) not in self.places:
            self.places[id(value)] = len(self.lines)
            line = _of_parameters(value) if isinstance(value, Parameters) else _of_moments(value)
            self.lines.append(json.dumps(line))
        return self.places[id(value)]


def _of_parameters(value: Parameters) -> dict[str, object]:
    arrays = {"weights": _text(value.weights), "means": _text(value.means), "covariances": _text(value.spread.values)}
    noise = value.noise and {"weight": value.noise.weight, "box": _text(value.noise.box), "shift": value.noise.shift}
    return {"parameters": [value.k, value.d, value.family], **arrays, "noise": noise}


def _of_moments(value: Moments) -> dict[str, object]:
    k, d = value.centers.shape
    numbers = base64.b64encode(value.to_bytes()).decode()
    return {
        "moments": [k, d, value.layout],
        "centers": _text(value.centers),
        "numbers": numbers,
        "noise": len(value.sums) > k,
    }


def _text(array: FloatArray) -> str:
    return base64.b64encode(array.astype("<f8").tobytes()).decode()


@dataclass(frozen=True)
class _Reader:
    """Reads JSON as the declared types of the fields of `State`: the text names no class."""

    lines: Sequence[str]
    cache: dict[tuple[int, type], Parameters | Moments] = field(default_factory=dict)

    def read(self, value: Any, hint: Any) -> Any:  # noqa: ANN401 - any field of any class
        origin = get_origin(hint)
        if origin in (Union, UnionType):
            return None if value is None else self.read(value, next(a for a in get_args(hint) if a is not NoneType))
        if origin is tuple:
            return tuple(self.read(each, get_args(hint)[0]) for each in _a(list, value))
        if origin is Literal:
            return get_args(hint)[get_args(hint).index(value)]
        if hint in (Parameters, Moments):
            return self._placed(_a(int, value), hint)
        if issubclass(hint, Enum):
            return hint(value)
        return self._object(_a(dict, value), hint) if is_dataclass(hint) else _a(hint, value)

    def _object(self, values: dict[str, Any], kind: Any) -> Any:  # noqa: ANN401 - as above
        hints = _hints(kind)
        if set(values) != set(hints):
            raise ValueError(f"{kind.__name__} with the fields {sorted(values)}")
        return kind(**{name: self.read(values[name], hint) for name, hint in hints.items()})

    def _placed(self, place: int, kind: type[Parameters | Moments]) -> Parameters | Moments:
        if (place, kind) not in self.cache:
            if place < 0:
                raise ValueError("a negative line number")
            line = json_object(self.lines[place], len(self.lines[place]), _MOST_ARRAYS)
            self.cache[place, kind] = _to_parameters(line) if kind is Parameters else _to_moments(line)
        return self.cache[place, kind]


@cache
def _hints(kind: type) -> dict[str, Any]:
    # Some of the modules import these names for type checking only.
    names = {"Parameters": Parameters, "Moments": Moments, "Outcome": Outcome, "Pass": Pass}
    declared = get_type_hints(kind, localns=names)
    return {each.name: declared[each.name] for each in fields(kind)}


def _a(kind: type, value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind or (isinstance(value, int) and abs(value) >> 63):
        raise TypeError(f"{_shortened(value)} instead of a value of type {kind.__name__}")
    return value


def _to_parameters(line: dict[str, Any]) -> Parameters:
    k, d, family = line["parameters"]
    weights, means = _array(line["weights"], (k,)), _array(line["means"], (k, d))
    # A family in ALIGNED has variances in aligned coordinates and matrices in others: the length shows which.
    variances = family in ALIGNED and len(line["covariances"]) == _characters((k, d))
    spread = _array(line["covariances"], (k, d) if variances else (k, d, d))
    stored = line["noise"]
    noise = stored and Noise(_a(float, stored["weight"]), _array(stored["box"], (2, d)), _a(float, stored["shift"]))
    return Parameters(weights, means, spread, family, noise)


def _to_moments(line: dict[str, Any]) -> Moments:
    k, d, layout = line["moments"]
    if layout not in get_args(Layout):
        raise ValueError(f"layout {_shortened(layout)}")
    if len(line["numbers"]) < 8 * (_a(int, k) + 1) * feature_count(_a(int, d), layout):
        raise ValueError(f"too few statistics for {k} components of {d} features")
    zero = Moments.zero(_array(line["centers"], (k, d)), layout, noise=_a(bool, line["noise"]))
    moments = Moments.from_bytes(_array(line["numbers"], (len(zero.to_bytes()) // 8,)).tobytes(), zero)
    finite = all(np.isfinite(each).all() for each in (moments.log_likelihood, moments.sums, moments.total))
    if not (finite and moments.weight > 0):
        raise ValueError("statistics that are not finite")
    return moments


def _characters(shape: tuple[int, ...]) -> int:
    bytes_ = 8 * int(np.prod([_a(int, size) for size in shape], dtype=object))
    return 4 * (-(-bytes_ // 3))


def _array(text: str, shape: tuple[int, ...]) -> FloatArray:
    """Return the array, after a check that the text has the length that the shape needs."""
    if min(shape) < 1 or len(text) != _characters(shape):
        raise ValueError(f"{len(text)} characters for an array of shape {shape}")
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f8").astype(np.float64).reshape(shape)


def _check_sense(state: State) -> None:
    position, best = state.position, state.trace.best
    passes = [each for each in (position.before, best) if each]
    mixtures = [position.candidate, position.fallback, *(each.parameters for each in passes)]
    shapes = {each.means.shape for each in mixtures if each} | {each.moments.centers.shape for each in passes}
    has_before = (position.before is not None) if position.phase in ("step", "leap") else True
    has_before &= position.phase != "lookup" or bool(state.reseedings)
    has_fallback = (position.fallback is not None) if position.phase == "leap" else True
    history, number = state.trace.history, state.trace.best_pass
    is_in_history = 0 < number <= len(history) if best else number == len(history) == 0
    is_measured = is_in_history and (best is None or best.moments.mean_log_likelihood == history[number - 1])
    if len(shapes) != 1 or not (has_before and has_fallback and is_measured):
        raise ValueError("parts that do not belong together")
    if not (position.limit >= 1 and (position.slowest is None or position.slowest >= 1) and np.isfinite(history).all()):
        raise ValueError("numbers that no fit can have")
