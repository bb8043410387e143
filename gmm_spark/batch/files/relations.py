"""Where the tables behind a DataFrame are: the relations of its analysed plan, also in views and subqueries.

No public method returns them: `inputFiles()` is empty for Iceberg, and lists files where we need the table's folder.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from py4j.protocol import Py4JError  # type: ignore[import-untyped]

from gmm_spark.spark.session import query_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pyspark.sql import DataFrame

_LOG = logging.getLogger(__name__)
# Classes with such a part in their names read the log of a table and skip the files that the log has removed.
_WITH_LOG = ("delta", "hoodie", "hudi", "iceberg")


@dataclass(frozen=True)
class Relation:
    """A table that a query reads.

    Args:
        name: Spark's name of the table.
        roots: its folders or files.
        is_plain: whether all files below them are read, without regard to a table's log.
        is_located: whether its place is known; a table of a database counts as unknown, though it has no files.
    """

    name: str
    roots: tuple[str, ...]
    is_plain: bool = False
    is_located: bool = True


def relations(rows: DataFrame) -> Iterator[Relation]:
    """Yield the tables that a DataFrame reads."""
    plan = query_of(rows).analyzed()
    for tree in (plan, *_items(plan.subqueriesAll())):
        for leaf in leaves(tree):
            if relation := _relation(leaf):
                yield relation


def identity_columns(rows: DataFrame) -> tuple[str, ...]:
    """Return the columns that partition a table by their values, not by a transform such as days(ts)."""
    leaf = leaves(query_of(rows).analyzed())[0]
    transforms = answer(lambda: list(leaf.table().partitioning())) or ()
    names = [list(part.references()[0].fieldNames()) for part in transforms if part.name() == "identity"]
    return tuple(name[0] for name in names if len(name) == 1)


def folder_columns(rows: DataFrame) -> tuple[str, ...]:
    """Return the columns whose values are the folder names of a table, outermost first."""
    leaf = leaves(query_of(rows).analyzed())[0]
    return tuple(answer(lambda: list(leaf.relation().partitionSchema().fieldNames())) or ())


def version(rows: DataFrame) -> str | None:
    """Return the version of a table's snapshot as Spark reports it; None if it has none."""
    leaf = leaves(query_of(rows).analyzed())[0]
    return cast("str | None", answer(lambda: leaf.table().version()))


def leaves(plan: Any) -> list[Any]:  # noqa: ANN401 - Java objects
    """Return the leaves of a Spark plan."""
    return _items(plan.collectLeaves())


def answer(question: Callable[[], Any]) -> Any:  # noqa: ANN401 - any type
    """Return what a call to a Java object returns; None if it has no such method or the call fails."""
    try:
        return question()
    except Py4JError as error:
        _LOG.debug("no answer: %s", error)
        return None


def _relation(leaf: Any) -> Relation | None:  # noqa: ANN401 - a node of a plan
    if roots := answer(lambda: _texts(leaf.relation().location().rootPaths())):
        classes = [_class(leaf.relation().fileFormat()), _class(leaf.relation().location())]
        is_plain = not any(word in name for word in _WITH_LOG for name in classes)
        return Relation(", ".join(roots), roots, is_plain=is_plain)
    if root := answer(lambda: leaf.tableMeta().location().toString()):
        return Relation(str(answer(lambda: leaf.tableMeta().qualifiedName())), (str(root),), is_plain=True)
    if name := answer(lambda: leaf.table().name()):
        roots = answer(lambda: _texts(leaf.table().fileIndex().rootPaths())) or ()
        roots += tuple(_places(answer(lambda: dict(leaf.table().properties())) or {}))
        return Relation(str(name), roots, is_located=bool(roots))
    return None  # a range, a list, or a database


def _places(properties: dict[str, str]) -> Iterator[str]:
    """Yield the folders in the properties of a table: its location, and other folders that it writes to."""
    for name, value in properties.items():
        if name == "location" or (name.startswith("write.") and name.endswith(".path")):
            yield value


def _class(thing: Any) -> str:  # noqa: ANN401 - a Java object
    return str(thing.getClass().getName()).lower()


def _texts(things: Any) -> tuple[str, ...]:  # noqa: ANN401 - a Scala sequence
    return tuple(str(thing.toString()) for thing in _items(things))


def _items(things: Any) -> list[Any]:  # noqa: ANN401 - as above
    return [things.apply(i) for i in range(things.size())]
