"""Name the option that helps if the columns or files of the input are not what the job needs."""

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
_FORMATS = ("csv", "json", "orc", "avro", "xml")  # these are also the ends of file names


@contextmanager
def add_advice(config: InputConfig | None) -> Iterator[None]:
    """Add to an error about columns which option of the reader may be missing; name an option that the reader refuses.

    Raises:
        SchemaError: the error, with the advice.
    """
    try:
        yield
    except JAVA_ERRORS as error:
        # A reader checks many of its options only when it starts to read.
        if config is None or not config.options or not _in_options(error):
            raise
        raise SchemaError(
            "input.options",
            got=reason(error),
            expected=f"options that Spark's reader of the format {config.format} accepts",
            do="Correct the option.",
        ) from error
    except SchemaError as error:
        advice = _for_columns(str(error.got), config) if config is not None else ""
        if not advice:
            raise
        raise type(error)(error.what, got=error.got, expected=error.expected, do=advice) from error


def _in_options(error: Exception) -> bool:
    """Say whether a Java error comes from a class of options, such as CSVOptions."""
    java = java_error(error)
    return java is not None and any("Options" in str(frame.getClassName()) for frame in java.getStackTrace())


def _for_columns(got: str, config: InputConfig) -> str:
    if "_corrupt_record" in got:
        return (
            f"The files are not {config.format}, or a record has several lines: correct input.format or input.options."
        )
    if config.format.lower() != "csv" or config.schema_ddl is not None:
        return ""
    values = {name.casefold(): str(value).lower() for name, value in config.options.items()}
    wanted = [
        f"--input.options.{option}=true"
        for option, sign in (("header", "_c0"), ("inferSchema", "type string"))
        if sign in got and values.get(option.casefold()) != "true"
    ]
    if "--input.options.header=true" in wanted and values.get("inferschema") != "true":
        wanted.append("--input.options.inferSchema=true")
    return f"Set {' and '.join(wanted)}, or name the columns and their types in input.schema_ddl." if wanted else ""


def advice_for_files(complaint: str) -> str | None:
    """Return the remedy if Spark complains that a file is not Parquet; None for any other complaint."""
    match = _NOT_PARQUET.search(complaint)
    if match is None:
        return None
    words = match.group(1).lower().split(".")
    kind = next((name for name in _FORMATS if name in words[1:]), None)
    return f"Set input.format={kind}." if kind else "Set input.format to the format of the files: csv, json, orc ..."
