"""Replace a folder by another one, as a whole or by partitions."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from gmm_spark.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from gmm_spark.batch.files.location import Location

_LOG = logging.getLogger(__name__)


def put_in_place(new: Location, target: Location, aside: Location, check: Callable[[Location], None]) -> None:
    """Rename a folder to the target; the old one goes to the work folder, which is removed later.

    Args:
        new: the folder.
        target: its new name.
        aside: a name in the work folder for the old one.
        check: refuses an old folder that may not be replaced. It is called after that folder has been moved away,
            because until then another program can change it by its name.

    Raises:
        OutputError: the filesystem or the check refuses; then the target is unchanged.
    """
    if not target.exists():
        target.parent().make_folder()
        new.rename(target)
    elif new.exchange(target):
        with _or_back(lambda: new.exchange(target)):
            check(new)
    else:
        _LOG.info("%s is replaced by two renames: between them it does not exist", target)
        aside.parent().make_folder()
        target.rename(aside)
        with _or_back(lambda: aside.rename(target)):
            check(aside)
            new.rename(target)


@contextmanager
def _or_back(move_back: Callable[[], object]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        move_back()
        raise


def move_back(aside: Location, target: Location) -> None:
    """Move back a folder that a dead run had moved away."""
    _LOG.warning("restoring %s, which a dead run had moved away", target)
    aside.rename(target)


def partitions(folder: Location, path: str = "") -> Iterator[str]:
    """Yield the relative paths of the innermost partitions of a table."""
    inner = [entry.name for entry in folder.children() if "=" in entry.name and entry.is_folder()]
    for name in inner:
        yield from partitions(folder.child(name), f"{path}/{name}" if path else name)
    if not inner and path:
        yield path


def check_layout(new: list[str], target: Location) -> None:
    """Refuse to add partitions to a table with other partition columns, or with another spelling of their values.

    Raises:
        OutputError: the columns or the spelling differ.
    """
    old = list(partitions(target))
    check_columns({_key(path)[0] for path in new}, target)
    spelling = {_key(path): path for path in old}
    for path in new:
        if (other := spelling.get(_key(path), path)) != path:
            raise OutputError(
                f"the output {target}",
                got=f"the partition {other}",
                expected=f"the spelling {path}: with both folders readers would find the rows twice",
                do="Rename that folder, or choose another output.path.",
            )


def check_columns(new: set[tuple[str, ...]], target: Location) -> None:
    """Refuse to add partitions to a table with other partition columns.

    Args:
        new: the partition columns of the new files, outermost first.
        target: the table.

    Raises:
        OutputError: the columns differ.
    """
    old = {_key(path)[0] for path in partitions(target)}
    if any(True for name, _ in target.files() if "=" not in name):
        old.add(())
    if old and new - old:
        raise OutputError(
            f"the output {target}",
            got=f"partitions by {', '.join(map(_named, sorted(old)))}",
            expected=f"partitions by {', '.join(map(_named, sorted(new)))}",
            do="Correct output.partition_by, or choose another output.path.",
        )


def _named(columns: tuple[str, ...]) -> str:
    return "/".join(columns) or "no column"


def _key(path: str) -> tuple[tuple[str, ...], tuple[str | int, ...]]:
    """Return columns and values of a partition as Spark reads them: month=01 of another program is month=1."""
    parts = [part.partition("=") for part in path.split("/")]
    values = (int(value) if re.fullmatch(r"-?\d+", value, re.ASCII) else value for _, _, value in parts)
    return tuple(unquote(name) for name, _, _ in parts), tuple(values)
