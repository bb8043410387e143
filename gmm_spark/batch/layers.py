"""Configuration in layers: defaults < file < environment < command line.

pydantic-settings reads and merges the layers; this module adds the YAML file (`files.py`), and options that no
one knows, so that they are reported with all other mistakes.
"""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pydantic import ValidationError
from pydantic_settings import CliSettingsSource, EnvSettingsSource, SettingsError

from gmm_spark.batch.config import JobConfig
from gmm_spark.batch.files import File, Tree, read_file
from gmm_spark.batch.mistakes import explained
from gmm_spark.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Sequence

Config = TypeVar("Config", bound=JobConfig)

_LAYERS = """layers, the later wins:
  defaults < --config FILE < environment (GMM_SPARK_SECTION__KEY=value) < command line (--section.key=value)
  lists are written a,b or as JSON; maps name=value or as JSON; null unsets an option
"""


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
    source = CliSettingsSource[Any](config, root_parser=parser, cli_avoid_json=True, cli_parse_none_str="null")
    arguments, unknown = parser.parse_known_args(argv)
    _refuse_stray_words(parser, unknown)
    file = read_file(arguments.config) if arguments.config else File({})
    layers: dict[str, Tree] = {}
    try:
        source = source(parsed_args=arguments)
        layers = {
            "command line": merged(_as_layer(unknown), source()),
            "environment": EnvSettingsSource(config)(),
            str(arguments.config): file.tree,
        }
        # Sections that nobody names are laid down empty: pydantic then tells which options they lack.
        below = merged({name: {} for name in config.model_fields}, file.tree, _as_layer(unknown))
        given = {**below, "_cli_settings_source": source}
        made = config(**given)
    except SettingsError as error:
        raise _unreadable(error) from error
    except ValidationError as error:
        raise explained(error, config, layers, file.references) from None
    above = layers["environment"], layers["command line"]
    own = {place: text for place, text in file.references.items() if not any(_overrides(tree, place) for tree in above)}
    made.note_origin(own, file.environment, dry_run=arguments.dry_run)
    return made


def merged(*trees: Tree) -> Tree:
    """Return the trees laid over each other: the later wins, option by option."""
    result: Tree = {}
    for tree in trees:
        for name, value in tree.items():
            both = isinstance(value, dict) and isinstance(result.get(name), dict)
            result[name] = merged(result[name], value) if both else value
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


def _as_layer(words: Sequence[str]) -> Tree:
    """Return the words that the parser does not know in the form of a layer."""
    tree: Tree = {}
    for word in words:
        if word.startswith("--"):  # else it is the value of the unknown option before it
            key, _, value = word[2:].partition("=")
            section, _, option = key.partition(".")
            tree = merged(tree, {section: {option: value}} if option else {section: value})
    return tree


def _overrides(layer: object, place: Sequence[str]) -> bool:
    """Tell whether a layer gives the option at this place, or something in place of a section around it."""
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
