"""Errors that teach: each says what is wrong, what was got, what was expected, and what to do."""

from __future__ import annotations

import re

# Control characters, line and paragraph separators, marks that turn the direction of text, lone surrogates: in a name
# from a stranger's table they would forge lines of a log, or move a terminal's cursor.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def one_line(text: str) -> str:
    """Return the text in one line: its control characters as Python would escape them."""
    return _CONTROLS.sub(lambda match: match.group().encode("unicode_escape", "surrogatepass").decode("ascii"), text)


class GmmSparkError(ValueError):
    """The parent of every error that gmm_spark raises on purpose.

    Args:
        what: the thing that is wrong, as a phrase.
        got: what was found.
        expected: what would have been right.
        do: what the reader can do about it.
    """

    def __init__(self, what: str, *, got: object, expected: str, do: str) -> None:
        super().__init__(what, got, expected, do)
        self.what = what
        self.got = got
        self.expected = expected
        self.do = do

    def __str__(self) -> str:
        return one_line(f"{self.what}: got {self.got}; expected {self.expected}. {self.do}")

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.got, self.expected, self.do)


def _rebuild(kind: type[GmmSparkError], what: str, got: object, expected: str, do: str) -> GmmSparkError:
    return kind(what, got=got, expected=expected, do=do)


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
