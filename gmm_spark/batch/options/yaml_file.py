"""The configuration file: YAML from any filesystem, its `${env:NAME}` references replaced.

The file is stricter than YAML, where the last of two equal keys wins without a warning, and aliases of aliases expand a
kilobyte into gigabytes.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import yaml

from gmm_spark.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Tree = dict[str, Any]
Place = tuple[str, ...]

# A configuration is a few kilobytes; a larger file was named by mistake, and would take seconds to parse.
MOST_BYTES = 1 << 17
_MOST_DEPTH = 16
_REFERENCE = re.compile(r"\$\{env:([^}]*)\}")


@dataclass(frozen=True)
class ConfigurationFile:
    """A configuration file.

    Args:
        tree: its options, references replaced by their values.
        references: the text of each option that contains references, by its path in the tree.
        environment: the variables that the file refers to.
    """

    tree: Tree
    references: Mapping[Place, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


def read_file(path: str, environment: Mapping[str, str] = os.environ) -> ConfigurationFile:
    """Read a configuration file: a local path, or a URI of a filesystem that Spark reaches.

    Raises:
        ConfigurationError: the file is missing, too large, no YAML or no mapping, has a key twice, or refers to an
            unset variable.
    """
    text = _remote(path) if _is_remote(path) else _local(path)
    tree = _parsed(path, text)
    references = {place: leaf for place, leaf in _leaves(tree) if _REFERENCE.search(leaf)}
    names = {name for leaf in references.values() for name in _REFERENCE.findall(leaf)}
    filled = {str(name): _filled(value, environment) for name, value in tree.items()}
    return ConfigurationFile(filled, references, {name: environment[name] for name in sorted(names)})


class _Strict(yaml.SafeLoader):
    """YAML with plain types only, without repeated keys and aliases."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Return the next node, or refuse an alias."""
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call] # the stubs forgot it
            raise yaml.composer.ComposerError(None, None, "an alias (*name) instead of the value itself", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        """Return the mapping of a node, or refuse a repeated key."""
        keys: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in keys:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} twice", key.start_mark)
            keys.add(str(key.value))
        return super().construct_mapping(node, deep=deep)


def _parsed(path: str, text: str) -> Tree:
    try:
        tree = yaml.load(text, _Strict) or {}  # noqa: S506 - a SafeLoader
        if not isinstance(tree, dict):
            raise _bad_file(path, f"a {type(tree).__name__}")
        _check_depth(tree)
    except yaml.MarkedYAMLError as error:  # its text repeats the line, which may contain a secret
        mark = error.problem_mark
        where = f" in line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _bad_file(path, f"{error.problem}{where}") from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise _bad_file(path, " ".join(str(error).split())) from None
    return tree


def _check_depth(tree: object) -> None:
    level = [tree]
    for _ in range(_MOST_DEPTH):
        level = [child for node in level for child in _children(node)]
    if level:
        raise ValueError(f"more than {_MOST_DEPTH} levels of values")


def _children(node: object) -> list[Any]:
    return list(node.values()) if isinstance(node, dict) else node if isinstance(node, list) else []


def _leaves(node: object, place: Place = ()) -> Iterator[tuple[Place, str]]:
    if isinstance(node, dict):
        for name, value in node.items():
            yield from _leaves(value, (*place, str(name)))
    elif isinstance(node, list):
        for i, value in enumerate(node):
            yield from _leaves(value, (*place, str(i)))
    elif isinstance(node, str):
        yield place, node


def _is_remote(path: str) -> bool:
    scheme = urlsplit(path).scheme
    return len(scheme) > 1 and scheme != "file"  # a single letter is a Windows drive


def _local(path: str) -> str:
    name = unquote(urlsplit(path).path) if path.startswith("file:") else path
    try:
        with Path(name).open("rb") as file:
            data = file.read(MOST_BYTES + 1)
        return check_size(path, data).decode("utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise _bad_file(path, " ".join(str(error).split())) from error


def _remote(path: str) -> str:
    # Imported here because only a remote file needs Spark: a mistake in a local file is reported before Spark starts.
    from gmm_spark.batch.files.locate import locate  # noqa: PLC0415
    from gmm_spark.spark.session import job_session  # noqa: PLC0415

    try:
        data = locate(job_session("gmm_spark"), path).head(MOST_BYTES + 1)
        return check_size(path, data).decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad_file(path, " ".join(str(error).split())) from error


def check_size(path: str, data: bytes) -> bytes:
    """Return the bytes of a file, or refuse a file that is too large for a configuration."""
    if len(data) > MOST_BYTES:
        raise _bad_file(path, f"more than {MOST_BYTES} bytes")
    return data


def _filled(node: object, environment: Mapping[str, str]) -> object:
    if isinstance(node, dict):
        return {str(name): _filled(value, environment) for name, value in node.items()}
    if isinstance(node, list):
        return [_filled(value, environment) for value in node]
    return _REFERENCE.sub(_lookup(environment), node) if isinstance(node, str) else node


def _lookup(environment: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def value(reference: re.Match[str]) -> str:
        name = reference.group(1)
        if name not in environment:
            raise ConfigurationError(
                f"the reference {reference.group()}",
                got="no such environment variable",
                expected=f"{name} to be set",
                do=f"export {name}=... or write the value into the file.",
            )
        return environment[name]

    return value


def _bad_file(path: str, got: str) -> ConfigurationError:
    return ConfigurationError(
        f"the configuration file {path}",
        got=got,
        expected="a YAML file with sections of options",
        do="Correct the path or the file; conf/ holds a commented example for each job.",
    )
