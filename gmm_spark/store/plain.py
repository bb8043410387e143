"""Any value as JSON types, for files and log lines that report it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def plain(value: object, text: Callable[[str], str] = str) -> Any:  # noqa: ANN401 - a JSON value
    """Return a value as JSON types: no fact is so odd that a run should fail to report it.

    Args:
        value: anything; numbers that are not finite, for which JSON has no word, become None.
        text: what is applied to each text that is a value, not to names.
    """
    if isinstance(value, dict):
        return {str(name): plain(each, text) for name, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(each, text) for each in value]
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
        return plain(value.tolist(), text)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int)) else text(str(value))
