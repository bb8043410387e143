"""Folders that are more than their files: tables whose log says which files count.

Spark reads such a folder as plain Parquet without a word, deleted rows and all; what is written into it becomes part of
it, or is removed by its next clean-up.
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
        name: what people call it.
        format: Spark's name of it.
    """

    name: str
    format: str


DELTA, HUDI, ICEBERG = Kind("a Delta table", "delta"), Kind("a Hudi table", "hudi"), Kind("an Iceberg table", "iceberg")


def kind_of(folder: Location) -> Kind | None:
    """Return which kind of table a folder is; None for plain files."""
    if folder.child("_delta_log").is_folder():
        return DELTA
    if folder.child(".hoodie").is_folder():
        return HUDI
    return ICEBERG if folder.child("metadata").holds("*.metadata.json*") else None


def tables_below(folder: Location) -> Iterator[tuple[Location, Kind]]:
    """Yield the tables that a folder is, or that are below it, at any depth."""
    if kind := kind_of(folder):
        yield folder, kind
        return
    for each in folder.children():
        if each.is_folder():
            yield from tables_below(each)


def table_around(place: Location) -> tuple[Location, Kind] | None:
    """Return the innermost table that a place is, or is inside of; None where there is none, or it may not be seen."""
    while True:
        with suppress(OSError, *JAVA_ERRORS):  # a bucket whose root may not be listed
            if kind := kind_of(place):
                return place, kind
        if place.is_root():
            return None
        place = place.parent()
