"""JSON of files that anyone may have written: never more of it than its format can need."""

from __future__ import annotations

import json
from typing import Any

# Before each value but the first there is one of these; in texts they count too, and limits leave room for that.
_BEFORE_VALUES = ",:[{"


def loads(text: str, characters: int, values: int) -> Any:  # noqa: ANN401 - any JSON value
    """Return the value of a JSON text that is not longer, and has not more values, than these.

    They are counted before any is made: an empty list takes 3 characters of a file, and 60 bytes of memory.

    Raises:
        ValueError: it is larger, or no JSON.
        RecursionError: it is nested too deeply.
    """
    return json.loads(_fitting(text, characters, values))


def parsed(text: str, characters: int, values: int) -> dict[str, Any]:
    """Return a JSON object as `loads` does, each key once, without the words NaN and Infinity.

    Raises:
        ValueError: it is larger, or something else.
        RecursionError: it is nested too deeply.
    """
    value = json.loads(_fitting(text, characters, values), object_pairs_hook=_once, parse_constant=_refuse_constant)
    if not isinstance(value, dict):
        raise ValueError("a JSON value that is not an object")  # noqa: TRY004 - callers turn it into errors of theirs
    return value


def _fitting(text: str, characters: int, values: int) -> str:
    if len(text) > characters:
        raise ValueError(f"{len(text)} characters, where {characters} are the most that it can need")
    if (found := sum(map(text.count, _BEFORE_VALUES))) > values:
        raise ValueError(f"{found} values, where {values} are the most that it can need")
    return text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the word {name}, which is no JSON")
