"""The texts of an exception and its causes, Java's included; this module does not import Spark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 20  # levels of causes; some Java exceptions are their own cause
_LONGEST = 400
_ONLY_A_NAME = re.compile(r"[\w.$]+:?\s*")
_PACKAGE = re.compile(r"\b(?:[a-z]\w*\.)+(?=[A-Z]\w*(?:Exception|Error)\b)")  # before the class name of an error


def complaints(error: BaseException) -> Iterator[str]:
    """Yield the texts of an exception and its causes, Java's included, outermost first."""
    if isinstance(error, OSError):
        yield str(error)
        return
    java = java_error(error)
    if java is None:
        if type(error).__module__.startswith(("pyspark", "py4j")):
            yield str(error)
        return
    for _ in range(_DEEPEST):
        yield str(java.toString())
        java = java.getCause()
        if java is None:
            return


def java_error(error: BaseException) -> Any:  # noqa: ANN401 - a Java object
    """Return the Java exception behind an exception of py4j or PySpark; None for any other."""
    return getattr(error, "java_exception", None) or getattr(error, "_origin", None)


def reason(error: BaseException) -> str:
    """Return the text of an exception, Java's included, in one line."""
    return first_line(next(complaints(error), str(error)))


def line_with(complaint: str, words: str) -> str:
    """Return the line of a complaint that contains these words, cut to 400 characters."""
    return _line_at(complaint, max(complaint.find(words), 0))


def _line_at(complaint: str, place: int) -> str:
    start = complaint.rfind("\n", 0, place) + 1
    line = complaint[start:].partition("\n")[0].strip()
    return _cut(line)


def first_line(text: str) -> str:
    """Return the first line with text, cut to 400 characters; after a mere class name, the next one too."""
    lines = [_cut(line) for line in text.splitlines() if line.strip()] or [""]
    return lines[0] if len(lines) == 1 or not _ONLY_A_NAME.fullmatch(lines[0]) else f"{lines[0]} {lines[1]}"


def _cut(line: str) -> str:
    line = _PACKAGE.sub("", line.strip().removeprefix("Caused by: "))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
