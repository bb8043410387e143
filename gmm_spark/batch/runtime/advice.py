"""Which option of the input helps, where its columns or files are not what the job needs."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING

from gmm_spark.errors import SchemaError
from gmm_spark.spark.complaints import java_error, reason
from gmm_spark.spark.java import JAVA_ERRORS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gmm_spark.batch.options.sections import InputConfig

_NOT_PARQUET = re.compile(r"\S*?([^/\s]*) is not a Parquet file")
_FORMATS = ("csv", "json", "orc", "avro", "xml")  # which names of files end with


@contextmanager
def advising(config: InputConfig | None) -> Iterator[None]:
    """Add to an error about columns which option of the reader may be missing; name one that the reader refuses.

    Raises:
        SchemaError: the error, with the advice.
    """
    try:
        yield
    except JAVA_ERRORS as error:
        # A reader asks for many options only when it begins to read.
        if config is None or not config.options or not _in_options(error):
            raise
        raise SchemaError(
            "input.options",
            got=reason(error),
            expected=f"options that Spark's reader of the format {config.format} takes",
            do="Correct the option.",
        ) from error
    except SchemaError as error:
        advice = _for_columns(str(error.got), config) if config is not None else ""
        if not advice:
            raise
        raise type(error)(error.what, got=error.got, expected=error.expected, do=advice) from error


def _in_options(error: Exception) -> bool:
    """Say whether an error of Java's comes from a class of options, such as CSVOptions."""
    java = java_error(error)
    return java is not None and any("Options" in str(each.getClassName()) for each in java.getStackTrace())


def _for_columns(got: str, config: InputConfig) -> str:
    if "_corrupt_record" in got:
        return f"The files are no {config.format}, or of many lines a record: correct input.format or input.options."
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
