"""Configuration in layers: defaults < file < environment < command line.

pydantic-settings reads and merges the layers; this module adds the YAML file (`yaml_file.py`) and the unknown options,
so that they are reported with all other mistakes.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource, NoDecode, SettingsError

from gmm_spark.batch.options.jobs import FitConfig, JobConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.mistakes import configuration_error, options
from gmm_spark.batch.options.yaml_file import ConfigurationFile, Tree, read_file
from gmm_spark.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo

Config = TypeVar("Config", bound=JobConfig)

_LAYERS = """layers, a later one wins:
  defaults < --config FILE < environment (GMM_SPARK_SECTION__KEY=value) < command line (--section.key=value)
  lists are written a,b or as JSON; maps name=value or as JSON, single entries also
  as --section.map.name=value and GMM_SPARK_SECTION__MAP__NAME=value; null unsets an option
"""


_JOBS = (FitConfig, SelectConfig, ScoreConfig, SimulateConfig)
_PREFIX = str(JobConfig.model_config["env_prefix"])
_SECTIONS = frozenset(name for job in _JOBS for name in job.model_fields)
# The names of environment variables in which two underscores were written as one.
_SINGLE = frozenset(key.replace(".", "_") for job in _JOBS for key in options(job))


class _CommandLine(CliSettingsSource[Any]):
    """The command line; this module reads lists and single entries of maps.

    pydantic-settings does not decode JSON in lists, and does not know single entries of maps.
    """

    extra: Tree

    def __call__(self, **arguments: Any) -> Any:  # noqa: ANN401 - the library's signature
        values = super().__call__(**arguments)
        return merge_trees(values, self.extra) if isinstance(values, dict) else values


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(
            "the command line", got=message, expected="--section.key=value", do="--help lists every option."
        )


def load_options(config: type[Config], argv: Sequence[str], *, prog: str) -> Config:
    """Return the configuration of a job from all its layers.

    Args:
        config: the options of the job.
        argv: the command line after the program's name.
        prog: the program's name, for --help.

    Raises:
        ConfigurationError: the file cannot be read; an option is unknown, missing, of the wrong type
            or out of its range (all such mistakes in one error).
    """
    parser = _parser(config, prog)
    source = _CommandLine(config, root_parser=parser, cli_avoid_json=True, cli_parse_none_str="null")
    arguments, words = parser.parse_known_args(argv)
    _refuse_stray_words(parser, words)
    entries, unknown = _entries(words, config, parser)
    file = read_file(arguments.config) if arguments.config else ConfigurationFile({})
    layers: dict[str, Tree] = {}
    try:
        source.extra = merge_trees(_lists(arguments, config), _as_layer(entries, levels=3))
        source = source(parsed_args=arguments)
        layers = {
            "command line": merge_trees(_as_layer(unknown), source()),
            "environment": EnvSettingsSource(config)(),
            str(arguments.config): file.tree,
        }
        # A section that no layer names starts empty: pydantic then reports which of its options are missing.
        below = merge_trees({name: {} for name in config.model_fields}, file.tree, _as_layer(unknown))
        unseen = [*_other_cases(below, config), *_variables(file.environment)]
        result = config(**{**below, "_cli_settings_source": source})
    except SettingsError as error:
        raise _unreadable(error) from error
    except ValidationError as error:
        raise configuration_error(error.errors(), config, layers, file.references, unseen) from None
    if unseen:
        raise configuration_error([], config, layers, file.references, unseen)
    above = layers["environment"], layers["command line"]
    used = {
        place: text for place, text in file.references.items() if not any(_overrides(tree, place) for tree in above)
    }
    result.note_origin(used, file.environment, dry_run=arguments.dry_run)
    return result


def merge_trees(*trees: Tree) -> Tree:
    """Merge trees option by option; a later tree wins."""
    result: Tree = {}
    for tree in trees:
        for name, value in tree.items():
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merge_trees(result[name], value) if both else value
    return result


def _parser(config: type[JobConfig], prog: str) -> ArgumentParser:
    parser = _Parser(
        prog=prog,
        description=config.__doc__,
        epilog=_LAYERS,
        allow_abbrev=False,
        formatter_class=RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", metavar="FILE", help="YAML file with sections of options.")
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="Print the resolved options, the checked schema and the cost of the job; read no row, write nothing.",
    )
    return parser


def _refuse_stray_words(parser: ArgumentParser, words: Sequence[str]) -> None:
    for before, word in zip(["=", *words], words, strict=False):
        takes_value = before.startswith("--") and "=" not in before
        if not word.startswith("--") and not takes_value:
            parser.error(f"the word {word!r}, which belongs to no option")


def _as_layer(words: Sequence[str], levels: int = 2) -> Tree:
    """Return words that the parser does not know as a layer, with at most `levels` levels of names."""
    tree: Tree = {}
    for word in words:
        if word.startswith("--"):  # any other word is the value of the unknown option before it
            key, _, value = word[2:].partition("=")
            branch: Any = value
            for name in reversed(key.split(".", levels - 1)):
                branch = {name: branch}
            tree = merge_trees(tree, branch)
    return tree


def _entries(words: Sequence[str], config: type[JobConfig], parser: ArgumentParser) -> tuple[list[str], list[str]]:
    """Split words into single entries of maps, --section.map.name=value, and all others."""
    maps = tuple(f"--{key}." for key, field in options(config).items() if get_origin(field.annotation) is dict)
    entries, others = list[str](), list[str]()
    rest = iter(words)
    for word in rest:
        if not word.startswith(maps):
            others.append(word)
        else:
            value = "" if "=" in word else next(rest, "--")
            if value.startswith("--"):
                parser.error(f"argument {word}: expected one argument")
            entries.append(word if "=" in word else f"{word}={value}")
    return entries, others


def _other_cases(tree: Tree, config: type[JobConfig]) -> list[str]:
    """Return options that pydantic-settings drops without a warning: their section is written in another case."""
    odd = {name: value for name, value in tree.items() if name not in config.model_fields and name.lower() in _SECTIONS}
    return [
        key
        for name, value in odd.items()
        for key in ([f"{name}.{option}" for option in value] if isinstance(value, dict) and value else [name])
    ]


def _variables(used: Mapping[str, str]) -> Iterator[str]:
    """Yield the environment variables that look like options, but that pydantic-settings ignores.

    Sections of other jobs are skipped: jobs may share an environment.

    Args:
        used: the variables that the file refers to.
    """
    for name in sorted(set(os.environ) - set(used)):
        prefix, words = name[: len(_PREFIX)], name[len(_PREFIX) :].lower()
        section, nested, _ = words.partition("__")
        if prefix.upper() == _PREFIX and (section not in _SECTIONS if nested else words in _SINGLE):
            yield name


def _lists(arguments: Namespace, config: type[JobConfig]) -> Tree:
    """Remove the options that are lists from the arguments, and return them as a layer."""
    tree: Tree = {}
    for key, field in options(config).items():
        values = getattr(arguments, key, None)
        if _is_list(field) and isinstance(values, list):
            delattr(arguments, key)
            section, _, option = key.partition(".")
            tree = merge_trees(tree, {section: {option: _list(values)}})
    return tree


def _is_list(field: FieldInfo) -> bool:
    marks = [
        *field.metadata,
        *(mark for kind in get_args(field.annotation) for mark in getattr(kind, "__metadata__", ())),
    ]
    return NoDecode in marks


def _list(values: list[str]) -> object:
    """Return a list option that is given once or several times as one value; None for the word null."""
    if values == ["null"]:
        return None
    texts = [_unquoted(value.strip()) for value in values]
    return texts[0] if len(texts) == 1 else ",".join(texts) if not any(map(_is_json, texts)) else _joined(texts)


def _unquoted(text: str) -> str:
    return text[1:-1] if _is_json(text) and text.endswith("]") and '"' not in text else text


def _is_json(text: str) -> bool:
    return text.startswith("[")


def _joined(texts: list[str]) -> object:
    try:
        parts = [json.loads(text) if _is_json(text) else text.split(",") for text in texts]
    except ValueError as error:
        raise SettingsError("a list is not valid JSON") from error
    return [item for part in parts for item in part]


def _overrides(layer: object, place: Sequence[str]) -> bool:
    """Return whether a layer sets the option at this place, or replaces a section around it."""
    if not place or not isinstance(layer, dict):
        return True
    return place[0] in layer and _overrides(layer[place[0]], place[1:])


def _unreadable(error: SettingsError) -> ConfigurationError:
    return ConfigurationError(
        "a value in the environment or on the command line",
        got=f"{error} ({error.__cause__})",
        expected="text, or JSON for a list or a map",
        do="Put JSON between single quotes for the shell.",
    )
