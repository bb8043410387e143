"""JSON of files that anyone may have written: never more of it than its format can need."""

from __future__ import annotations

import json
from typing import Any

# Before each value but the first there is one of these; in texts they count too, and limits leave room for that.
_BEFORE_VALUES = ",:[{"


def json_object(text: str, characters: int, values: int) -> dict[str, Any]:
    """Return a JSON object that is not longer, and has not more values, than these; each key once, without NaN.

    They are counted before any is made: an empty list takes 3 characters of a file, and 60 bytes of memory.

    Raises:
        ValueError: it is larger, nested too deeply, or something else.
    """
    if len(text) > characters:
        raise ValueError(f"{len(text)} characters, where {characters} are the most that it can need")
    if (found := sum(map(text.count, _BEFORE_VALUES))) > values:
        raise ValueError(f"{found} values, where {values} are the most that it can need")
    try:
        value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("values within values, too deeply nested") from error
    if not isinstance(value, dict):
        raise ValueError("a JSON value that is not an object")  # noqa: TRY004 - all that may be wrong is one error
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the word {name}, which is no JSON")
