"""Folders that are Delta, Hudi or Iceberg tables: a log says which of their files are valid.

Spark reads such a folder as plain Parquet without a warning, and returns deleted rows too. A file that a job writes
into it becomes part of the table, or is removed by its next clean-up.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.spark.java import JAVA_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.files.location import Location


@dataclass(frozen=True)
class Kind:
    """A kind of table.

    Args:
        name: its name in messages.
        format: Spark's name of its format.
    """

    name: str
    format: str


DELTA, HUDI, ICEBERG = Kind("a Delta table", "delta"), Kind("a Hudi table", "hudi"), Kind("an Iceberg table", "iceberg")


def kind_of(folder: Location) -> Kind | None:
    """Return the kind of table that a folder is; None for plain files."""
    if folder.child("_delta_log").is_folder():
        return DELTA
    if folder.child(".hoodie").is_folder():
        return HUDI
    return ICEBERG if folder.child("metadata").holds("*.metadata.json*") else None


def tables_below(folder: Location) -> Iterator[tuple[Location, Kind]]:
    """Yield this folder if it is a table, else all tables below it at any depth."""
    if kind := kind_of(folder):
        yield folder, kind
        return
    for entry in folder.children():
        if entry.is_folder():
            yield from tables_below(entry)


def table_around(place: Location) -> tuple[Location, Kind] | None:
    """Return the innermost table that a place is or is inside of; None if there is none, or it may not be read."""
    while True:
        with suppress(OSError, *JAVA_ERRORS):  # a bucket whose root this user may not list
            if kind := kind_of(place):
                return place, kind
        if place.is_root():
            return None
        place = place.parent()
