"""Errors that teach: each says what is wrong, what was got, what was expected, and what to do."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MOST = 500  # characters of each part of an error: what is untrusted may be of any length

# Control characters, line and paragraph separators, marks that turn the direction of text, lone surrogates: in a name
# from an untrusted table they would forge lines of a log, or move a terminal's cursor.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return the text in one line: its control characters as Python would escape them."""
    return _CONTROLS.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def shortened(text: str, most: int = MOST) -> str:
    """Return the text; of a longer one its beginning and its length."""
    note = f" ... ({len(text)} characters)"
    return text if len(text) <= most else text[: most - len(note)] + note


def quoted(names: Iterable[str], most: int = 20) -> str:
    """Return the names for an error, each in quotes, many of them shortened."""
    shown = list(names)
    return ", ".join(map(repr, shown[:most])) + (f" and {len(shown) - most} more" if len(shown) > most else "")


class GmmSparkError(ValueError):
    """The parent of every error that gmm_spark raises on purpose.

    A text of more than `MOST` characters is cut; an object as `got` stays whole, and its text is cut.

    Args:
        what: the thing that is wrong, as a phrase.
        got: what was found.
        expected: what would have been right.
        do: what the reader can do about it.
        options: the options that can help, by their names in the layer that raises: see `options_called`.
    """

    def __init__(self, what: str, *, got: object, expected: str, do: str, options: Iterable[str] = ()) -> None:
        self.what, self.expected, self.do = map(shortened, (what, expected, do))
        self.got = shortened(got) if isinstance(got, str) else got
        self.options = tuple(options)
        super().__init__(self.what, self.got, self.expected, self.do)

    def __str__(self) -> str:
        return self.sentences + (f" Options: {', '.join(self.options)}." if self.options else "")

    @property
    def sentences(self) -> str:
        """The text without the names of options: for a text that is read in another layer."""
        # Cut before and after: escapes make a text longer, and of a very long one they take long.
        parts = (self.what, self.got, self.expected, self.do)
        what, got, expected, do = (shortened(one_line(shortened(str(part)))) for part in parts)
        return f"{what}: got {got}; expected {expected}. {do}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.got, self.expected, self.do, self.options)


def _rebuild(
    kind: type[GmmSparkError], what: str, got: object, expected: str, do: str, options: tuple[str, ...]
) -> GmmSparkError:
    return kind(what, got=got, expected=expected, do=do, options=options)


@contextmanager
def options_called(name: Callable[[str], str]) -> Iterator[None]:
    """Let the errors that the layer below raises inside name options as this layer calls them.

    Args:
        name: returns this layer's name of an option by that of the layer below; empty: this layer has it not.
    """
    try:
        yield
    except GmmSparkError as error:
        error.options = tuple(dict.fromkeys(filter(None, map(name, error.options))))
        raise


class ConfigurationError(GmmSparkError):
    """An option has a name, type or value that it cannot have."""


class SchemaError(GmmSparkError):
    """The input's columns are not what the job needs; known before any row is read."""


class InputError(GmmSparkError):
    """The input cannot be read: missing, damaged, forbidden, or gone while it was read."""


class DataError(GmmSparkError):
    """The rows themselves make a fit impossible."""


class ParametersError(GmmSparkError):
    """Weights, means or covariances do not describe a Gaussian mixture."""


class ModelError(GmmSparkError):
    """A model directory is damaged, foreign, or does not fit the table."""


class CheckpointError(GmmSparkError):
    """A checkpoint is damaged, belongs to another fit, or is missing where one is required."""


class OutputError(GmmSparkError):
    """The output would destroy or mix with something that is already there, or cannot be written."""


class StorageError(GmmSparkError):
    """A disk is full, or a quota is used up."""


class EndedError(GmmSparkError):
    """Spark has ended before the job."""


class NotConvergedError(GmmSparkError):
    """The fit ended before it converged, and its caller wants a model that has."""
