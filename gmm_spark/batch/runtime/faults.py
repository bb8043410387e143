"""Turn complaints of Spark, Hadoop and the operating system into our errors: what, got, expected, do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gmm_spark.errors import EndedError, GmmSparkError, InputError, OutputError, StorageError
from gmm_spark.spark.complaints import _line_at, complaints, first_line, reason


@dataclass(frozen=True)
class _Fault:
    """A kind of complaint, recognised by its words."""

    words: re.Pattern[str]
    kind: type[GmmSparkError]
    what: str
    expected: str
    do: str


# The first match counts. A full disk comes first, because any writer reports it. A task that cannot read its input
# while it writes its output complains of both, so reading comes before writing.
_FAULTS = (
    _Fault(
        re.compile(r"No space left on device|Disk quota exceeded|QuotaExceeded|not enough space|\[Errno (28|122)\]"),
        StorageError,
        "a disk",
        "room for the output and for Spark's scratch files (spark.local.dir)",
        "Free some, or point spark.local.dir or output.path elsewhere; the old output is as it was.",
    ),
    _Fault(
        re.compile(
            r"FAILED_READ_FILE|CANNOT_READ_FILE_FOOTER|is not a Parquet file|BlockMissingException|PATH_NOT_FOUND"
            r"|FAILED_TO_READ|CANNOT_MERGE_SCHEMA|FileReadException|Could not read footer|MALFORMED_RECORD"
        ),
        InputError,
        "the input",
        "readable files that do not change while the job runs",
        "Restore or remove the file named, or run again once it is complete; nothing was published.",
    ),
    _Fault(
        re.compile(
            r"Mkdirs failed|mkdir of .* failed|AccessControlException|AccessDenied|Permission denied"
            r"|Read-only file system|\(Not a directory\)|ParentNotDirectory|NotADirectory|Operation not permitted"
            r"|\[Errno (1|2|13|16|18|20|21|30)\]"
        ),
        OutputError,
        "the output",
        "a folder that this user may write",
        "Check output.path, its owner and its permissions; nothing was published.",
    ),
)


def spark_ended() -> EndedError:
    """Return the error for a JVM that ended before the job: all other errors of the job are consequences."""
    return EndedError(
        "Spark",
        got="a JVM that ended before the job",
        expected="a driver that runs as long as the job",
        do="The JVM got SIGTERM or ran out of memory: its log says which. Nothing was published; run the job again.",
    )


def as_known_error(error: BaseException) -> BaseException:
    """Return a GmmSparkError that explains the error; the error itself if it is one already or is not recognised."""
    if isinstance(error, GmmSparkError):
        return error
    texts = list(complaints(error))
    for fault in _FAULTS:
        for place, complaint in enumerate(texts):
            if match := fault.words.search(complaint):
                got = _line_at(complaint, match.start())
                if "NO_HINT" in got and place + 1 < len(texts):  # with this word Spark refers to the cause
                    got = f"{got}: {first_line(texts[place + 1])}"
                return fault.kind(fault.what, got=got, expected=fault.expected, do=fault.do)
    return error


def as_output_error(error: BaseException, place: str) -> BaseException:
    """Return an error of an output's filesystem as `as_known_error` does, or as an OutputError if it is unknown."""
    known_error = as_known_error(error)
    if isinstance(known_error, GmmSparkError):
        return known_error
    return OutputError(
        f"the output {place}",
        got=reason(error),
        expected="a folder that this user may write; its bucket, host or parent folder must exist",
        do="Check output.path and the filesystem's settings; nothing was published.",
    )
