"""Which option of the input helps, where its columns or files are not what the job needs."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gmm_spark.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.sections import InputConfig

_NOT_PARQUET = re.compile(r"\S*?([^/\s]*) is not a Parquet file")
_FORMATS = ("csv", "json", "orc", "avro", "xml")  # which names of files end with


@contextmanager
def advising(config: InputConfig | None) -> Iterator[None]:
    """Add to an error about columns which option of a CSV file's reader may be missing.

    Raises:
        SchemaError: the error, with the advice.
    """
    try:
        yield
    except SchemaError as error:
        advice = _for_csv(str(error.got), config) if config is not None else ""
        if not advice:
            raise
        raise type(error)(error.what, got=error.got, expected=error.expected, do=advice) from error


def _for_csv(got: str, config: InputConfig) -> str:
    if config.format.lower() != "csv" or config.schema_ddl is not None:
        return ""
    given = {name.casefold(): str(value).lower() for name, value in config.options.items()}
    wanted = [
        f"--input.options.{option}=true"
        for option, sign in (("header", "_c0"), ("inferSchema", "type string"))
        if sign in got and given.get(option.casefold()) != "true"
    ]
    if "--input.options.header=true" in wanted and given.get("inferschema") != "true":
        wanted.append("--input.options.inferSchema=true")
    return f"Set {' and '.join(wanted)}, or name the columns and their types in input.schema_ddl." if wanted else ""


def for_files(complaint: str) -> str | None:
    """Return what to do about files that are no Parquet; None where the complaint is another one."""
    found = _NOT_PARQUET.search(complaint)
    if found is None:
        return None
    words = found.group(1).lower().split(".")
    kind = next((each for each in _FORMATS if each in words[1:]), None)
    return f"Set input.format={kind}." if kind else "Set input.format to what they are, such as csv, json or orc."
