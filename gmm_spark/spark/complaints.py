"""What an exception and its causes say, Java's too; apart from what imports Spark."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEEPEST = 20  # causes of causes; some Java exceptions name themselves
_LONGEST = 400
_ONLY_A_NAME = re.compile(r"[\w.$]+:?\s*")
_PACKAGE = re.compile(r"\b(?:[a-z]\w*\.)+(?=[A-Z]\w*(?:Exception|Error)\b)")  # of the class of an error


def complaints(error: BaseException) -> Iterator[str]:
    """Yield what an exception and its causes say, Java's too, outermost first."""
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
    """Return the Java exception behind one of py4j's or PySpark's; None for any other."""
    return getattr(error, "java_exception", None) or getattr(error, "_origin", None)


def reason(error: BaseException) -> str:
    """Return in one line what an exception says, Java's too."""
    return first_line(next(complaints(error), str(error)))


def sentence(complaint: str, words: str) -> str:
    """Return the line of a complaint that holds these words, as much of it as helps."""
    return _line_at(complaint, max(complaint.find(words), 0))


def _line_at(complaint: str, place: int) -> str:
    start = complaint.rfind("\n", 0, place) + 1
    line = complaint[start:].partition("\n")[0].strip()
    return _cut(line)


def first_line(text: str) -> str:
    """Return the first line of a complaint that says something, as much of it as helps."""
    lines = [_cut(line) for line in text.splitlines() if line.strip()] or [""]
    return lines[0] if len(lines) == 1 or not _ONLY_A_NAME.fullmatch(lines[0]) else f"{lines[0]} {lines[1]}"


def _cut(line: str) -> str:
    line = _PACKAGE.sub("", line.strip().removeprefix("Caused by: "))
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]} ..."
