"""Configuration in layers: defaults < file < environment < command line.

pydantic-settings reads and merges the layers; this module adds the YAML file (`files.py`), and options that no
one knows, so that they are reported with all other mistakes.
"""

from __future__ import annotations

import json
import os
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, get_args, get_origin

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource, NoDecode, SettingsError

from gmm_spark.batch.options.jobs import FitConfig, JobConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.mistakes import explained, options
from gmm_spark.batch.options.yaml_file import ConfigurationFile, Tree, read_file
from gmm_spark.errors import ConfigurationError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator, Mapping, Sequence

    from pydantic.fields import FieldInfo

Config = TypeVar("Config", bound=JobConfig)

_LAYERS = """layers, the later wins:
  defaults < --config FILE < environment (GMM_SPARK_SECTION__KEY=value) < command line (--section.key=value)
  lists are written a,b or as JSON; maps name=value or as JSON, single entries also
  as --section.map.name=value and GMM_SPARK_SECTION__MAP__NAME=value; null unsets an option
"""


_JOBS = (FitConfig, SelectConfig, ScoreConfig, SimulateConfig)
_PREFIX = str(JobConfig.model_config["env_prefix"])
_SECTIONS = frozenset(name for job in _JOBS for name in job.model_fields)
# Options as variables with one underscore where two belong.
_SINGLE = frozenset(key.replace(".", "_") for job in _JOBS for key in options(job))


class _CommandLine(CliSettingsSource[Any]):
    """The command line, lists and single entries of maps read by this module.

    pydantic-settings does not decode the JSON of the former, and does not know the latter.
    """

    own: Tree

    def __call__(self, **given: Any) -> Any:  # noqa: ANN401 - the library's signature
        found = super().__call__(**given)
        return merge_trees(found, self.own) if isinstance(found, dict) else found


class _Parser(ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(
            "the command line", got=message, expected="--section.key=value", do="--help lists every option."
        )


def load(config: type[Config], argv: Sequence[str], *, prog: str) -> Config:
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
        source.own = merge_trees(_lists(arguments, config), _as_layer(entries, levels=3))
        source = source(parsed_args=arguments)
        layers = {
            "command line": merge_trees(_as_layer(unknown), source()),
            "environment": EnvSettingsSource(config)(),
            str(arguments.config): file.tree,
        }
        # Sections that no layer names are laid down empty: pydantic then reports which options they lack.
        below = merge_trees({name: {} for name in config.model_fields}, file.tree, _as_layer(unknown))
        given = {**below, "_cli_settings_source": source}
        unseen = [*_other_cases(below, config), *_variables(file.environment)]
        made = config(**given)
    except SettingsError as error:
        raise _unreadable(error) from error
    except ValidationError as error:
        raise explained(error.errors(), config, layers, file.references, unseen) from None
    if unseen:
        raise explained([], config, layers, file.references, unseen)
    above = layers["environment"], layers["command line"]
    own = {place: text for place, text in file.references.items() if not any(_overrides(tree, place) for tree in above)}
    made.note_origin(own, file.environment, dry_run=arguments.dry_run)
    return made


def merge_trees(*trees: Tree) -> Tree:
    """Return the trees laid over each other: the later wins, option by option."""
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
        help="Print the resolved options, the checked schema and what the job will cost; read no row, write nothing.",
    )
    return parser


def _refuse_stray_words(parser: ArgumentParser, words: Sequence[str]) -> None:
    for before, word in zip(["=", *words], words, strict=False):
        takes_value = before.startswith("--") and "=" not in before
        if not word.startswith("--") and not takes_value:
            parser.error(f"the word {word!r}, which belongs to no option")


def _as_layer(words: Sequence[str], levels: int = 2) -> Tree:
    """Return the words that the parser does not know in the form of a layer, with at most `levels` levels of names."""
    tree: Tree = {}
    for word in words:
        if word.startswith("--"):  # else it is the value of the unknown option before it
            key, _, value = word[2:].partition("=")
            branch: Any = value
            for name in reversed(key.split(".", levels - 1)):
                branch = {name: branch}
            tree = merge_trees(tree, branch)
    return tree


def _entries(words: Sequence[str], config: type[JobConfig], parser: ArgumentParser) -> tuple[list[str], list[str]]:
    """Return the words that give a single entry of a map, as --section.map.name=value, and the others."""
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
    """Return the options in sections that pydantic-settings drops without a word: known names in another case."""
    odd = {name: value for name, value in tree.items() if name not in config.model_fields and name.lower() in _SECTIONS}
    return [
        key
        for name, value in odd.items()
        for key in ([f"{name}.{option}" for option in value] if isinstance(value, dict) and value else [name])
    ]


def _variables(used: Mapping[str, str]) -> Iterator[str]:
    """Yield the environment variables that were meant as options, but that pydantic-settings does not look at.

    Those of another job's sections are none: jobs may share an environment.

    Args:
        used: the variables that the file refers to.
    """
    for name in sorted(set(os.environ) - set(used)):
        prefix, words = name[: len(_PREFIX)], name[len(_PREFIX) :].lower()
        section, nested, _ = words.partition("__")
        if prefix.upper() == _PREFIX and (section not in _SECTIONS if nested else words in _SINGLE):
            yield name


def _lists(arguments: Namespace, config: type[JobConfig]) -> Tree:
    """Take the options that are lists out of the arguments, and return them in the form of a layer."""
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
        *(mark for each in get_args(field.annotation) for mark in getattr(each, "__metadata__", ())),
    ]
    return NoDecode in marks


def _list(values: list[str]) -> object:
    """Return a list as text or, of several texts, as one; None for the word null."""
    if values == ["null"]:
        return None
    read = [_unquoted(value.strip()) for value in values]
    return read[0] if len(read) == 1 else ",".join(read) if not any(map(_is_json, read)) else _joined(read)


def _unquoted(text: str) -> str:
    return text[1:-1] if _is_json(text) and text.endswith("]") and '"' not in text else text


def _is_json(text: str) -> bool:
    return text.startswith("[")


def _joined(texts: list[str]) -> object:
    try:
        parts = [json.loads(text) if _is_json(text) else text.split(",") for text in texts]
    except ValueError as error:
        raise SettingsError("a list is no JSON") from error
    return [item for part in parts for item in part]


def _overrides(layer: object, place: Sequence[str]) -> bool:
    """Return whether a layer gives the option at this place, or something in place of a section around it."""
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
