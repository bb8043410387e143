"""Turn the mistakes that pydantic reports into errors that name the option, its layer and the remedy."""

from __future__ import annotations

import re
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from gmm_spark.batch.options.redaction import HIDDEN, is_secret, scrub
from gmm_spark.errors import ConfigurationError
from gmm_spark.options import BY_PARAM, OPTIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo
    from pydantic_core import ErrorDetails

    from gmm_spark.batch.options.yaml_file import Tree

_MOST_SHOWN, _MOST_MISTAKES = 200, 20


class ConfigurationMistakesError(ConfigurationError):
    """Several mistakes in one configuration."""

    def __init__(self, mistakes: Sequence[ConfigurationError]) -> None:
        self.mistakes = tuple(mistakes)
        names = ", ".join(mistake.what for mistake in self.mistakes)
        super().__init__(f"{len(self.mistakes)} mistakes", got=names, expected="none", do="Correct them all.")

    def __str__(self) -> str:
        more = len(self.mistakes) - _MOST_MISTAKES
        lines = [f"{self.what} in the configuration", *map(str, self.mistakes[:_MOST_MISTAKES])]
        return "\n  ".join([*lines, f"and {more} more"] if more > 0 else lines)

    def __reduce__(self) -> tuple[object, ...]:
        return ConfigurationMistakesError, (self.mistakes,)


def options(config: type[BaseModel], section: str = "") -> dict[str, FieldInfo]:
    """Return every option of a configuration by its dotted name."""
    result: dict[str, FieldInfo] = {}
    for name, field in config.model_fields.items():
        inner: Any = field.annotation
        is_section = isinstance(inner, type) and issubclass(inner, BaseModel)
        result |= options(inner, f"{section}{name}.") if is_section else {f"{section}{name}": field}
    return result


def key_of(config: type[BaseModel], name: str) -> str:
    """Return a job's name of a fit option or of an estimator param; empty if the job does not have it."""
    fields = options(config)
    option = OPTIONS.get(name) or BY_PARAM.get(name)
    keys = option.keys if option else [key for key in fields if key.rpartition(".")[2] == name]
    return next((key for key in keys if key in fields), name if name in fields else "")


def configuration_error(
    details: Sequence[ErrorDetails],
    config: type[BaseModel],
    layers: Mapping[str, Tree],
    references: Mapping[tuple[str, ...], str],
    unseen: Sequence[str] = (),
) -> ConfigurationError:
    """Return one error that reports every mistake and no secret.

    Args:
        details: the mistakes that pydantic reports.
        config: the class of the configuration.
        layers: the options of each layer, the winning layer first.
        references: the texts in the file that refer to the environment, by the path of the option.
        unseen: unknown options and environment variables that pydantic does not see.
    """
    fields = options(config)
    # pydantic reports each bad item of a list and each type of a union; for the user this is one mistake: the first.
    by_option: dict[str, ConfigurationError] = {}
    for detail in details:
        for mistake in _mistakes(detail, fields, layers, references):
            by_option.setdefault(mistake.what, mistake)
    for name in unseen:
        by_option.setdefault(name, _unknown(name, fields, _origin(name.split("."), layers) or " (environment)"))
    mistakes = tuple(by_option.values())
    return mistakes[0] if len(mistakes) == 1 else ConfigurationMistakesError(mistakes)


def _mistakes(
    detail: ErrorDetails,
    fields: Mapping[str, FieldInfo],
    layers: Mapping[str, Tree],
    references: Mapping[tuple[str, ...], str],
) -> Iterator[ConfigurationError]:
    place = [str(part) for part in detail["loc"][:2]]
    if not place:  # a check of several sections failed
        yield ConfigurationError(
            "the sections", got="options that contradict each other", expected=_expected(detail), do="Change one."
        )
        return
    key, value = ".".join(place), detail["input"]
    if detail["type"] == "extra_forbidden":
        for name in [f"{key}.{option}" for option in value] if isinstance(value, dict) and value else [key]:
            yield _unknown(name, fields, _origin(name.split("."), layers))
    elif detail["type"] == "missing":
        yield ConfigurationError(
            key, got="nothing", expected="a value", do=f"Set it in the file or as --{key}=... {_help(fields, key)}"
        )
    else:
        yield ConfigurationError(
            f"{key}{_origin(place, layers)}",
            got=_shown(value, [str(part) for part in detail["loc"]], references),
            expected=_expected(detail),
            do=_help(fields, key),
        )


def _unknown(name: str, fields: Mapping[str, FieldInfo], origin: str) -> ConfigurationError:
    meant = name.lower().removeprefix("gmm_spark_").replace("__", ".")
    closest = max(fields, key=lambda option: _likeness(meant, option))
    nested = "the section and the option: {}: {{{}: ...}}".format(*closest.split("."))
    return ConfigurationError(
        f"{name}{origin}",
        got="an option that does not exist",
        expected=f"perhaps {closest}" if name != closest else nested,
        do="Correct or remove it; --help lists every option.",
    )


def _likeness(name: str, option: str) -> float:
    # The last part is also compared alone, to find an option that is in the wrong section.
    pairs = (name, option), (name.rpartition(".")[2], option.rpartition(".")[2])
    return sum(SequenceMatcher(None, *pair).ratio() for pair in pairs)


def _origin(place: Sequence[str], layers: Mapping[str, Tree]) -> str:
    return next((f" ({layer})" for layer, tree in layers.items() if _holds(tree, place)), "")


def _holds(tree: object, place: Sequence[str]) -> bool:
    if not place:
        return True
    return isinstance(tree, dict) and place[0] in tree and _holds(tree[place[0]], place[1:])


def _help(fields: Mapping[str, FieldInfo], key: str) -> str:
    return (fields[key].description or "") if key in fields else "--help lists every option."


def _shown(value: object, place: Sequence[str], references: Mapping[tuple[str, ...], str]) -> str:
    # Values of a whole section are not shown: options of Spark's reader may contain a password.
    if isinstance(value, dict):
        return ", ".join(map(str, value)) or "nothing"
    if texts := [text for other, text in references.items() if all(a == b for a, b in zip(other, place, strict=False))]:
        return ", ".join(texts)
    shown = HIDDEN if any(map(is_secret, place)) else scrub(repr(value))
    return shown if len(shown) <= _MOST_SHOWN else f"{shown[:_MOST_SHOWN]} ..."


def _expected(detail: ErrorDetails) -> str:
    if detail["type"] in {"model_type", "model_attributes_type"}:
        return "a section with options"
    if detail["type"] == "string_type":
        return "text; in YAML, put a number or a word such as true between quotes"
    text = detail["msg"].removeprefix("Value error, ").replace("String should match", "text of the")
    return re.sub(r"^(Input|String|Value) should (be |have )?", "", text)
