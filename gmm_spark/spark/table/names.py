"""Finds columns by name as Spark does: letter case by spark.sql.caseSensitive, struct fields by dots."""

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
# Similar names are searched only for shorter names, and among fewer columns than this: more would take seconds.
_LONGEST, _MOST, _DEEPEST = 200, 5000, 5


@dataclass(frozen=True)
class Field:
    """A column of a table, or a field within one of its structs.

    Args:
        path: the name of the column, then of the nested fields, as the table spells them.
        kind: its type.
        name: the name by which `Names.find` finds it.
        metadata: its metadata in the schema.
    """

    path: tuple[str, ...]
    kind: t.DataType
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict, compare=False)

    @property
    def leaf(self) -> str:
        """Its name after a select: Spark drops the name of the struct from a struct field."""
        return self.path[-1]

    @property
    def column(self) -> Column:
        """The Spark column of this path; names may have dots, spaces and backticks."""
        # Not by a dotted path: in a table with an alias its first part could mean the alias.
        return reduce(lambda outer, part: outer.getField(part), self.path[1:], f.col(_ticked(self.path[0])))


@dataclass(frozen=True)
class Names:
    """The columns of a table, and whether letter case matters in their names.

    Args:
        schema: the columns.
        case_sensitive: the setting spark.sql.caseSensitive.
    """

    schema: t.StructType
    case_sensitive: bool = False

    @staticmethod
    def of(df: DataFrame) -> Names:
        """Return the names of a table, with the setting of its session."""
        return Names(df.schema, str(df.sparkSession.conf.get("spark.sql.caseSensitive", "false")).lower() == "true")

    def find(self, name: str) -> Field:
        """Return the column of this name; where there is none, the struct field of this path, as in p.x or `p.q`.x.

        Raises:
            SchemaError: no such column (the error lists the closest names), or several.
        """
        path: tuple[str, ...] = ()
        field: t.StructField | None = None
        for part in [name] if self._fields(self.schema, name) else _parts(name):
            kind = self.schema if field is None else field.dataType
            if not isinstance(kind, t.StructType):
                raise _no_struct(name, path, kind)
            field = _only(name, self._fields(kind, part) or self._missing(name))
            path = (*path, field.name)
        if field is None:
            self._missing(name)
        return Field(path, field.dataType, self._spelling(path), field.metadata)

    def case_key(self, name: str) -> str:
        """Return a text that is equal for two names if Spark reads them as the same column.

        Letter by letter as Java does, because Python's casefold makes two letters of some letters.
        """
        return name if self.case_sensitive else "".join(map(_lower, name))

    def duplicates(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return the names that mean the same column as another name in the list, in their order."""
        listed = list(names)
        keys = [self.case_key(name) for name in listed]
        counts: dict[str, int] = {}
        for key in keys:
            counts[key] = counts.get(key, 0) + 1
        return tuple(name for name, key in zip(listed, keys, strict=True) if counts[key] > 1)

    @cached_property
    def _indices(self) -> dict[int, dict[str, list[t.StructField]]]:
        """A cache: the fields of each struct by case key, because thousands of names may be looked up."""
        return {}

    def _fields(self, struct: t.StructType, name: str) -> list[t.StructField]:
        index = self._indices.get(id(struct))
        if index is None:
            index = self._indices[id(struct)] = {}
            for field in struct.fields:
                index.setdefault(self.case_key(field.name), []).append(field)
        return index.get(self.case_key(name), [])

    def _spelling(self, path: tuple[str, ...]) -> str:
        short = ".".join(part if re.fullmatch(r"[^.`]+", part) else _ticked(part) for part in path)
        is_ambiguous = len(path) > 1 and self._fields(self.schema, short)
        return path[0] if len(path) == 1 else ".".join(map(_ticked, path)) if is_ambiguous else short

    def _missing(self, name: str) -> NoReturn:
        similar = self._similar(name)
        raise SchemaError(
            f"column {name!r}",
            got=f"a table with the columns {quoted(self.schema.names)}",
            expected="one column of this name",
            do=f"Did you mean {' or '.join(map(repr, similar))}?" if similar else "Name another.",
        )

    def _similar(self, name: str) -> list[str]:
        if len(name) > _LONGEST:
            return []
        paths = {
            self.case_key(self._spelling(path)): path
            for path, _ in zip(_paths(self.schema), range(_MOST), strict=False)
            if sum(map(len, path)) <= _LONGEST
        }
        wanted = self.case_key(name)
        ends = [key for key, path in paths.items() if len(path) > 1 and self.case_key(path[-1]) == wanted]
        return [self._spelling(paths[key]) for key in ends[:3] or difflib.get_close_matches(wanted, paths, 3, 0.5)]


def _only(name: str, fields: Sequence[t.StructField]) -> t.StructField:
    """Return the only field.

    Raises:
        SchemaError: there are several.
    """
    if len(fields) == 1:
        return fields[0]
    spellings = {field.name for field in fields}
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
        expected="a struct, which has fields",
        do="Select the value you need as a column, such as element_at(...).",
    )


def _paths(struct: t.StructType, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every column, then the paths of the fields in structs, down to depth 5."""
    for column in struct.fields:
        yield (*before, column.name)
    for column in struct.fields:
        if isinstance(column.dataType, t.StructType) and len(before) < _DEEPEST:
            yield from _paths(column.dataType, (*before, column.name))


def _parts(name: str) -> list[str]:
    return [_unticked(part) for part in re.findall(_PART, name)] if _PATH.fullmatch(name) else []


def _ticked(part: str) -> str:
    return "`" + part.replace("`", "``") + "`"


def _unticked(part: str) -> str:
    return part[1:-1].replace("``", "`") if part.startswith("`") else part


def _lower(letter: str) -> str:
    upper = letter.upper()
    lower = (upper if len(upper) == 1 else letter).lower()
    return lower if len(lower) == 1 else letter
