"""How a folder takes another one's place, whole or by partitions."""

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


def take_place(new: Location, target: Location, aside: Location, check: Callable[[Location], None]) -> None:
    """Put a folder in a target's place; the old one ends in the work folder, which is discarded later.

    Args:
        new: the folder.
        target: where it shall be.
        aside: where the old one may be moved, in the work folder.
        check: refuses an old one that may not be replaced. It is asked when that has been moved away: another program
            may have changed it until then, and cannot by its name from then on.

    Raises:
        OutputError: the filesystem or the check refuses; then the target is as it was.
    """
    if not target.exists():
        target.parent().make_folder()
        new.rename(target)
    elif new.exchange(target):
        with _or_back(lambda: new.exchange(target)):
            check(new)
    else:
        _LOG.info("%s is replaced by two renames: between them there is nothing", target)
        aside.parent().make_folder()
        target.rename(aside)
        with _or_back(lambda: aside.rename(target)):
            check(aside)
            new.rename(target)


@contextmanager
def _or_back(give_back: Callable[[], object]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        give_back()
        raise


def give_back(aside: Location, target: Location) -> None:
    """Move back what a dead run had moved away."""
    _LOG.warning("giving back %s, which a run that is dead had moved away", target)
    aside.rename(target)


def partitions(folder: Location, path: str = "") -> Iterator[str]:
    """Yield the relative paths of the innermost partitions of a table."""
    inner = [each.name for each in folder.children() if "=" in each.name and each.is_folder()]
    for name in inner:
        yield from partitions(folder.child(name), f"{path}/{name}" if path else name)
    if not inner and path:
        yield path


def check_layout(found: list[str], target: Location) -> None:
    """Refuse to put partitions into a table that is laid out by other columns, or spells their values otherwise.

    Raises:
        OutputError: it is.
    """
    there = list(partitions(target))
    check_columns({_key(path)[0] for path in found}, target)
    spelt = {_key(path): path for path in there}
    for path in found:
        if (other := spelt.get(_key(path), path)) != path:
            raise OutputError(
                f"the output {target}",
                got=f"the partition {other}",
                expected=f"it as {path}, for readers would add the rows of both",
                do="Rename that folder, or choose another output.path.",
            )


def check_columns(new: set[tuple[str, ...]], target: Location) -> None:
    """Refuse to put partitions into a table that is laid out by other columns.

    Args:
        new: the columns of the partitions, outermost first.
        target: the table.

    Raises:
        OutputError: it is.
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
    """Return columns and values of a partition as readers take them: month=01, which others write, is month=1."""
    parts = [part.partition("=") for part in path.split("/")]
    values = (int(value) if re.fullmatch(r"-?\d+", value, re.ASCII) else value for _, _, value in parts)
    return tuple(unquote(name) for name, _, _ in parts), tuple(values)
