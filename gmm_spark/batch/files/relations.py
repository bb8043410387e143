"""Where the tables behind a DataFrame are: the relations of its analysed plan, those of views and subqueries too.

No public way knows them: `inputFiles()` is empty for Iceberg, and names files where the folder of the table counts.
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
# Parts of the names of classes that know the log of a table: files that it has left out are not read.
_WITH_LOG = ("delta", "hoodie", "hudi", "iceberg")


@dataclass(frozen=True)
class Relation:
    """A table that is read.

    Args:
        name: what Spark calls it.
        roots: the folders or files that it consists of.
        plain: whether all files below them are read, whatever a log beside them says.
        known: whether it is known where it is; a table of a database is on no filesystem, but that is not known.
    """

    name: str
    roots: tuple[str, ...]
    plain: bool = False
    known: bool = True


def relations(rows: DataFrame) -> Iterator[Relation]:
    """Yield the tables that a DataFrame reads."""
    plan = query_of(rows).analyzed()
    for each in (plan, *_items(plan.subqueriesAll())):
        for leaf in leaves(each):
            if found := _relation(leaf):
                yield found


def identity_columns(rows: DataFrame) -> tuple[str, ...]:
    """Return the columns by whose values a table is partitioned, not by a transform of which, such as days(ts)."""
    leaf = leaves(query_of(rows).analyzed())[0]
    transforms = answer(lambda: list(leaf.table().partitioning())) or ()
    names = [list(each.references()[0].fieldNames()) for each in transforms if each.name() == "identity"]
    return tuple(name[0] for name in names if len(name) == 1)


def folder_columns(rows: DataFrame) -> tuple[str, ...]:
    """Return the columns by whose values the files of a table are in folders, the outermost first."""
    leaf = leaves(query_of(rows).analyzed())[0]
    return tuple(answer(lambda: list(leaf.relation().partitionSchema().fieldNames())) or ())


def version(rows: DataFrame) -> str | None:
    """Return what version Spark knows of a table's snapshot; None where it has none."""
    leaf = leaves(query_of(rows).analyzed())[0]
    return cast("str | None", answer(lambda: leaf.table().version()))


def leaves(plan: Any) -> list[Any]:  # noqa: ANN401 - Java objects
    """Return the leaves of a plan of Spark's."""
    return _items(plan.collectLeaves())


def answer(question: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever it is
    """Return the answer of a Java object; None where it has no such method, or none that it can give."""
    try:
        return question()
    except Py4JError as error:
        _LOG.debug("no answer: %s", error)
        return None


def _relation(leaf: Any) -> Relation | None:  # noqa: ANN401 - a node of a plan
    if roots := answer(lambda: _texts(leaf.relation().location().rootPaths())):
        classes = [_class(leaf.relation().fileFormat()), _class(leaf.relation().location())]
        return Relation(", ".join(roots), roots, plain=not any(word in name for word in _WITH_LOG for name in classes))
    if root := answer(lambda: leaf.tableMeta().location().toString()):
        return Relation(str(answer(lambda: leaf.tableMeta().qualifiedName())), (str(root),), plain=True)
    if name := answer(lambda: leaf.table().name()):
        roots = answer(lambda: _texts(leaf.table().fileIndex().rootPaths())) or ()
        roots += tuple(_places(answer(lambda: dict(leaf.table().properties())) or {}))
        return Relation(str(name), roots, known=bool(roots))
    return None  # rows of a range, of a list, of a database


def _places(properties: dict[str, str]) -> Iterator[str]:
    """Yield the folders in the properties of a table: its own, and those that it writes to elsewhere."""
    for name, value in properties.items():
        if name == "location" or (name.startswith("write.") and name.endswith(".path")):
            yield value


def _class(thing: Any) -> str:  # noqa: ANN401 - a Java object
    return str(thing.getClass().getName()).lower()


def _texts(things: Any) -> tuple[str, ...]:  # noqa: ANN401 - a Scala sequence
    return tuple(str(each.toString()) for each in _items(things))


def _items(things: Any) -> list[Any]:  # noqa: ANN401 - as above
    return [things.apply(i) for i in range(things.size())]
