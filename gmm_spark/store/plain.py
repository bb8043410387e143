"""Conversion of any value to JSON types, for files and log lines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(value: object, text: Callable[[str], str] = str) -> Any:  # noqa: ANN401 - a JSON value
    """Return a value as JSON types; every value is converted, so that no report can fail.

    Args:
        value: any value; numbers that are not finite become None, because JSON has no word for them.
        text: a function that is applied to each text, except the keys of objects.
    """
    if isinstance(value, dict):
        return {str(name): plain(item, text) for name, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, text) for item in value]
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return plain(value.tolist(), text)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else text(str(value))
