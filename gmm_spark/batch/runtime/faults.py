"""What Spark, Hadoop and the operating system complain of, as our errors: what, got, expected, do."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gmm_spark.errors import EndedError, GmmSparkError, InputError, OutputError, StorageError
from gmm_spark.spark.complaints import _line_at, complaints, first_line, reason


@dataclass(frozen=True)
class _Fault:
    """A kind of complaint, known by its words."""

    words: re.Pattern[str]
    kind: type[GmmSparkError]
    what: str
    expected: str
    do: str


# The first that fits counts. A full disk is reported by what wrote to it. A task that cannot read its input while it
# writes its output complains of both, so reading comes before writing.
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
        "files that can be read and stay as they are while the job runs",
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
    """Return the error of a Spark that has ended under the job: whatever the job complains of is a consequence."""
    return EndedError(
        "Spark",
        got="its end before that of the job",
        expected="a driver that lives as long as the job runs",
        do="Its JVM was asked to end (SIGTERM) or ran out of memory: its own log says which. Nothing was published; "
        "run the job again.",
    )


def as_known_error(error: BaseException) -> BaseException:
    """Return our error that says what is wrong; the error itself where it is one, or is not understood."""
    if isinstance(error, GmmSparkError):
        return error
    found = list(complaints(error))
    for fault in _FAULTS:
        for place, complaint in enumerate(found):
            if match := fault.words.search(complaint):
                got = _line_at(complaint, match.start())
                if "NO_HINT" in got and place + 1 < len(found):  # Spark's word for: see the cause
                    got = f"{got}: {first_line(found[place + 1])}"
                return fault.kind(fault.what, got=got, expected=fault.expected, do=fault.do)
    return error


def as_output_error(error: BaseException, place: str) -> BaseException:
    """Return what went wrong with an output on its filesystem as an OutputError, or as what it is known to be."""
    known = as_known_error(error)
    if isinstance(known, GmmSparkError):
        return known
    return OutputError(
        f"the output {place}",
        got=reason(error),
        expected="a folder that this user may write: the bucket, the host or the folder around it must exist",
        do="Check output.path and the filesystem's settings; nothing was published.",
    )
