"""Names to columns as Spark resolves them: letter case as spark.sql.caseSensitive says, struct fields by dots."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any, NoReturn

from pyspark.sql import functions as f
from pyspark.sql import types as t

from gmm_spark.errors import SchemaError, quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pyspark.sql import Column, DataFrame

_PART = r"`(?:[^`]|``)+`|[^.`]+"
_PATH = re.compile(rf"(?:{_PART})(?:\.(?:{_PART}))*")
# Of longer names, and of more of them, no misspelling is looked for: it takes seconds.
_LONGEST, _MOST, _DEEPEST = 200, 5000, 5


@dataclass(frozen=True)
class Field:
    """A column of a table, or a field within one of its structs.

    Args:
        path: the names from the column inwards, as the table spells them.
        kind: its type.
        name: what `Names.find` finds it by.
        metadata: what the schema says of it.
    """

    path: tuple[str, ...]
    kind: t.DataType
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def leaf(self) -> str:
        """The name that Spark gives it where it is selected: a struct field loses the name of its struct."""
        return self.path[-1]

    @property
    def column(self) -> Column:
        """The column of exactly these names, dots, spaces and backticks included."""
        # Not by a path in one text: of a table with an alias its first part would mean the alias.
        return reduce(lambda outer, part: outer.getField(part), self.path[1:], f.col(_ticked(self.path[0])))


@dataclass(frozen=True)
class Names:
    """The columns of a table and the rule by which names mean them.

    Args:
        schema: the columns.
        case_sensitive: what spark.sql.caseSensitive says.
    """

    schema: t.StructType
    case_sensitive: bool = False

    @staticmethod
    def of(df: DataFrame) -> Names:
        """Return the names of a table by the rule of its session."""
        return Names(df.schema, str(df.sparkSession.conf.get("spark.sql.caseSensitive", "false")).lower() == "true")

    def find(self, name: str) -> Field:
        """Return the column of this name; where there is none, the struct field of this path, as in p.x or `p.q`.x.

        Raises:
            SchemaError: there is none, and then the closest names are given; or the name means several.
        """
        path: tuple[str, ...] = ()
        each: t.StructField | None = None
        for part in [name] if self._of(self.schema, name) else _parts(name):
            kind = self.schema if each is None else each.dataType
            if not isinstance(kind, t.StructType):
                raise _no_struct(name, path, kind)
            each = _only(name, self._of(kind, part) or self._missing(name))
            path = (*path, each.name)
        if each is None:
            self._missing(name)
        return Field(path, each.dataType, self._spelt(path), each.metadata)

    def folded(self, name: str) -> str:
        """Return a text that is the same for the names that Spark takes for one column.

        Letter by letter as Java does: Python's casefold makes two letters of one.
        """
        return name if self.case_sensitive else "".join(map(_fold, name))

    def repeated(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names that are one and the same column as another of them, in their order."""
        given = list(names)
        keys = [self.folded(name) for name in given]
        counts: dict[str, int] = {}
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
        return tuple(name for name, key in zip(given, keys, strict=True) if counts[key] > 1)

    @cached_property
    def _indices(self) -> dict[int, dict[str, list[t.StructField]]]:
        """The fields of each struct looked at, by folded name: thousands of names are looked up."""
        return {}

    def _of(self, struct: t.StructType, name: str) -> list[t.StructField]:
        index = self._indices.get(id(struct))
        if index is None:
            index = self._indices[id(struct)] = {}
            for each in struct.fields:
                index.setdefault(self.folded(each.name), []).append(each)
        return index.get(self.folded(name), [])

    def _spelt(self, path: tuple[str, ...]) -> str:
        short = ".".join(part if re.fullmatch(r"[^.`]+", part) else _ticked(part) for part in path)
        taken = len(path) > 1 and self._of(self.schema, short)
        return path[0] if len(path) == 1 else ".".join(map(_ticked, path)) if taken else short

    def _missing(self, name: str) -> NoReturn:
        known = self._near(name)
        raise SchemaError(
            f"column {name!r}",
            got=f"a table with the columns {quoted(self.schema.names)}",
            expected="one column of this name",
            do=f"Did you mean {' or '.join(map(repr, known))}?" if known else "Name another.",
        )

    def _near(self, name: str) -> list[str]:
        if len(name) > _LONGEST:
            return []
        paths = {
            self.folded(self._spelt(path)): path
            for path, _ in zip(_paths(self.schema), range(_MOST), strict=False)
            if sum(map(len, path)) <= _LONGEST
        }
        wanted = self.folded(name)
        ends = [key for key, path in paths.items() if len(path) > 1 and self.folded(path[-1]) == wanted]
        return [self._spelt(paths[key]) for key in ends[:3] or difflib.get_close_matches(wanted, paths, 3, 0.5)]


def _only(name: str, found: Sequence[t.StructField]) -> t.StructField:
    """Return the one that was found.

    Raises:
        SchemaError: there are several.
    """
    if len(found) == 1:
        return found[0]
    spellings = {each.name for each in found}
    raise SchemaError(
        f"column {name!r}",
        got="two columns of this name" if len(spellings) == 1 else f"an ambiguous name: {quoted(sorted(spellings))}",
        expected="one column of this name",
        do="Rename one of them."
        if len(spellings) == 1
        else "Rename one of them, or set spark.sql.caseSensitive=true and spell it exactly.",
    )


def _no_struct(name: str, path: tuple[str, ...], kind: t.DataType) -> SchemaError:
    return SchemaError(
        f"column {name!r}",
        got=f"{'.'.join(path)!r} of type {kind.simpleString()}",
        expected="a struct, of which to take a field",
        do="Select what is meant into a column of its own, such as element_at(...).",
    )


def _paths(struct: t.StructType, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every column, then those of the fields in structs, down to a depth."""
    for each in struct.fields:
        yield (*before, each.name)
    for each in struct.fields:
        if isinstance(each.dataType, t.StructType) and len(before) < _DEEPEST:
            yield from _paths(each.dataType, (*before, each.name))


def _parts(name: str) -> list[str]:
    return [_unticked(part) for part in re.findall(_PART, name)] if _PATH.fullmatch(name) else []


def _ticked(part: str) -> str:
    return "`" + part.replace("`", "``") + "`"


def _unticked(part: str) -> str:
    return part[1:-1].replace("``", "`") if part.startswith("`") else part


def _fold(letter: str) -> str:
    upper = letter.upper()
    lower = (upper if len(upper) == 1 else letter).lower()
    return lower if len(lower) == 1 else letter
