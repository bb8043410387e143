"""An option: name, type, default, help, check, and its names as param and key; read from the fields of dataclasses."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, fields
from itertools import chain
from numbers import Real
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import numpy as np

from gmm_spark.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

# The types of the values that each type of option accepts.
_ACCEPTED: dict[type, Any] = {bool: bool | np.bool_, int: Real, float: Real, str: str, list: list | tuple | np.ndarray}


@dataclass(frozen=True)
class Option:
    """An option.

    Args:
        name: its name in Python without Spark.
        param: its name in the estimator.
        keys: its names in the jobs, as section.option; a job has at most one of them.
        kinds: its types: bool, int, float, str, or list (of texts).
        words: the texts that it may be.
        default: its value if none is set; None: no value.
        doc: its help text.
        least: the smallest number.
        most: the largest number.
    """

    name: str
    param: str
    keys: tuple[str, ...]
    kinds: frozenset[type]
    words: tuple[str, ...]
    default: Any
    doc: str
    least: float = -math.inf
    most: float = math.inf

    @property
    def expected(self) -> str:
        """The values that the option may have, as a phrase."""
        names = {int: "a whole number", float: "a finite number", bool: "True or False", str: "text", list: "names"}
        bounds = [f"at least {self.least:g}"] if self.least > -math.inf else []
        bounds += [f"at most {self.most:.10g}"] if self.most < math.inf else []
        number = " of ".join(filter(None, [*(names[kind] for kind in self.kinds), " and ".join(bounds)]))
        words = f"one of {', '.join(self.words)}" if len(self.words) > 1 else "".join(self.words)
        return ", or ".join(filter(None, (words, number)))

    def check(self, value: object, label: str = "") -> Any:  # noqa: ANN401 - of the option's type
        """Return a value in the option's type.

        Args:
            value: any value.
            label: the name of the option in the error.

        Raises:
            ConfigurationError: the value is of another type, no number, or out of range.
        """
        kind = next((kind for kind in _ACCEPTED if kind in self.kinds and isinstance(value, _ACCEPTED[kind])), None)
        is_truth = isinstance(value, bool | np.bool_)
        if isinstance(value, str) and value in self.words:
            return str(value)
        if kind is not None and is_truth == (kind is bool) and self._in_range(kind, value):
            return kind(value)
        raise ConfigurationError(
            label or f"option {self.name}", got=repr(value), expected=self.expected, do="Set it to such a value."
        )

    def _in_range(self, kind: type, value: Any) -> bool:  # noqa: ANN401 - of a type that becomes this kind
        if kind in {bool, str}:
            return True
        if kind is list:
            return all(type(each) is str for each in value)
        inside = self.least <= value <= self.most and -math.inf < value < math.inf
        return bool(inside and (kind is float or value == int(value)))


def option(
    default: object,
    doc: str,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    param: str = "",
    keys: str | None = None,
) -> Any:  # noqa: ANN401 - a field of whatever type
    """Return a field that is an option.

    Args:
        default: its default value.
        doc: its help text.
        least: the smallest number.
        most: the largest number.
        param: its name in the estimator; empty: the name in camelCase.
        keys: its names in the jobs, separated by spaces; None: fit.name.
    """
    return field(default=default, metadata={"doc": doc, "least": least, "most": most, "param": param, "keys": keys})


def options_of(kind: type) -> Iterable[Option]:
    """Return the options that are fields of a dataclass."""
    hints = get_type_hints(kind)
    for each in fields(kind):
        types = list(_flat(hints[each.name]))
        metadata = dict(each.metadata)
        keys, param = metadata.pop("keys"), metadata.pop("param")
        yield Option(
            name=each.name,
            param=param or re.sub("_(.)", lambda match: match[1].upper(), each.name),
            keys=tuple((f"fit.{each.name}" if keys is None else keys).split()),
            kinds=frozenset(each for each in types if isinstance(each, type)),
            words=tuple(each for each in types if isinstance(each, str)),
            default=each.default,
            **metadata,
        )


def _flat(hint: Any) -> Iterable[Any]:  # noqa: ANN401 - a type as it is annotated
    """Return the types and words of a union of types and literals."""
    arguments = get_args(hint)
    if getattr(hint, "__origin__", None) is tuple:
        return [list]
    return chain.from_iterable(map(_flat, arguments)) if arguments else [] if hint is type(None) else [hint]
