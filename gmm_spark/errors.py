"""Errors whose text says what is wrong, what was found, what was expected, and what to do."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_CHARACTERS = 500  # of each part of an error: untrusted text may be of any length

# Control characters, line and paragraph separators, marks that change the direction of text, lone surrogates. In a name
# from an untrusted table they could forge log lines or move the cursor of a terminal.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return the text on one line, with its control characters escaped as Python escapes them."""
    return _CONTROLS.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


def shortened(text: str, most: int = MAX_CHARACTERS) -> str:
    """Return the text, or the beginning and the length of a text that is longer than the limit."""
    note = f" ... ({len(text)} characters)"
    return text if len(text) <= most else text[: most - len(note)] + note


def quoted(names: Iterable[str], most: int = 20) -> str:
    """Return the names for an error, each in quotes; a long list is cut and its rest counted."""
    shown = list(names)
    return ", ".join(map(repr, shown[:most])) + (f" and {len(shown) - most} more" if len(shown) > most else "")


class GmmSparkError(ValueError):
    """The parent of every error that gmm_spark raises on purpose.

    A text of more than `MAX_CHARACTERS` is cut. An object passed as `got` stays whole; only its text is cut.

    Args:
        what: the thing that is wrong, a noun phrase.
        got: what was found.
        expected: what would have been right.
        do: what the reader can do about it.
        options: names of options that can help, in the layer that raises the error; see `options_called`.
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
        """The text without the names of options, for a text that is read in another layer."""
        # Cut before and after escaping: escapes make a text longer, and a very long text takes long to escape.
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
    """Rename the options in errors of the layer below to the names of this layer.

    Args:
        name: returns the name of an option in this layer, or an empty text if this layer lacks it.
    """
    try:
        yield
    except GmmSparkError as error:
        error.options = tuple(dict.fromkeys(filter(None, map(name, error.options))))
        raise


class ConfigurationError(GmmSparkError):
    """An option has a name, type or value that it cannot have."""


class SchemaError(GmmSparkError):
    """The input lacks columns or types that the job needs; raised before any row is read."""


class InputError(GmmSparkError):
    """The input cannot be read: missing, damaged, forbidden, or removed during the read."""


class DataError(GmmSparkError):
    """The rows themselves make a fit impossible."""


class ParametersError(GmmSparkError):
    """Weights, means or covariances do not describe a Gaussian mixture."""


class ModelError(GmmSparkError):
    """A model directory is damaged, was not written by gmm_spark, or does not fit the table."""


class CheckpointError(GmmSparkError):
    """A checkpoint is damaged, belongs to another fit, or is missing where one is required."""


class OutputError(GmmSparkError):
    """The output would overwrite or mix with existing files, or cannot be written."""


class StorageError(GmmSparkError):
    """A disk is full, or a quota is used up."""


class EndedError(GmmSparkError):
    """Spark stopped before the job was finished."""


class NotConvergedError(GmmSparkError):
    """The fit ended before it converged, and the caller requires convergence."""
