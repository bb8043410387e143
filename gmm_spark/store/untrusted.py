"""JSON from untrusted files, refused if it is larger than its format can need."""

from __future__ import annotations

import json
from typing import Any

# One of these precedes each value but the first. Those inside texts are counted too; the limits leave room for them.
_BEFORE_VALUES = ",:[{"


def json_object(text: str, characters: int, values: int) -> dict[str, Any]:
    """Return a JSON object with no more characters and values than these, with unique keys and without NaN.

    Values are counted before parsing: an empty list is 3 characters in a file, and 60 bytes in memory.

    Raises:
        ValueError: the text is too large, nested too deeply, or not such an object.
    """
    if len(text) > characters:
        raise ValueError(f"{len(text)} characters, more than the {characters} that it can need")
    if (count := sum(map(text.count, _BEFORE_VALUES))) > values:
        raise ValueError(f"{count} values, more than the {values} that it can need")
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("values within values, too deeply nested") from error
    if not isinstance(value, dict):
        raise ValueError("a JSON value that is not an object")  # noqa: TRY004 - one type of error for every fault
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise ValueError("a key twice")
    return fields


def _refuse_constant(name: str) -> None:
    raise ValueError(f"the word {name}, which is not JSON")
