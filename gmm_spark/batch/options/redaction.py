"""Hide the secrets of a configuration in the log, the manifest and the dry run.

Secrets are the values that the file takes from the environment with `${env:NAME}`, the values of options with names
such as password or token, and passwords within a text such as a URL.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from gmm_spark.batch.options.jobs import JobConfig

HIDDEN = "***"
# A shorter value is no secret, and to replace it everywhere would make the log unreadable.
_LEAST_SECRET = 4
_WORDS = "password|passwd|pwd|passphrase|secret|token|credential|signature|(?:access|account|api|private)[._-]?key"
_NAME = re.compile(f"{_WORDS}|key", re.IGNORECASE)
# user:password@ in a URL; password=... in a connection string or a query.
_USER = re.compile(r"(?<=://)[^/\s@]+(?=@)")
_ASSIGNED = re.compile(rf"([\w.\-]*(?:{_WORDS})[\w.\-]*\s*=\s*)([^\s;&,\"']+)", re.IGNORECASE)

Path = tuple[str, ...]


def redacted_options(config: JobConfig) -> dict[str, Any]:
    """Return the resolved options as JSON types, by section, without their secrets.

    A value from `${env:NAME}` is replaced by that reference, any other secret by ***.
    """
    shown: dict[str, Any] = _redact(config.model_dump(mode="json"), (), config.references)
    return shown


def secrets(config: JobConfig) -> dict[str, str]:
    """Return the replacement of each secret value of a configuration, the longest value first."""
    hidden = {value: HIDDEN for name, value in _named_texts(config.model_dump(mode="json")) if _NAME.search(name)}
    hidden |= {value: f"${{env:{name}}}" for name, value in config.environment.items()}
    long = {value: shown for value, shown in hidden.items() if len(value) >= _LEAST_SECRET}
    return dict(sorted(long.items(), key=lambda pair: -len(pair[0])))


def scrub(text: str, hidden: Mapping[str, str] | None = None) -> str:
    """Return a text without secrets.

    Args:
        text: any text.
        hidden: the result of `secrets`.
    """
    for value, shown in (hidden or {}).items():
        text = text.replace(value, shown)
    return _ASSIGNED.sub(rf"\g<1>{HIDDEN}", _USER.sub(HIDDEN, text))


def is_secret(name: str) -> bool:
    """Return whether the value of an option with this name is a secret."""
    return _NAME.search(name) is not None


def _redact(node: object, path: Path, references: Mapping[Path, str]) -> Any:  # noqa: ANN401 - a JSON value
    if path in references:
        return references[path]
    if isinstance(node, dict):
        return {name: _redact(value, (*path, name), references) for name, value in node.items()}
    if path and node not in (None, "") and is_secret(path[-1]):
        return HIDDEN
    if isinstance(node, list):
        return [_redact(value, (*path, str(i)), references) for i, value in enumerate(node)]
    return scrub(node) if isinstance(node, str) else node


def _named_texts(node: object, name: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _named_texts(value, key)
    elif isinstance(node, list):
        for value in node:
            yield from _named_texts(value, name)
    elif isinstance(node, str):
        yield name, node
