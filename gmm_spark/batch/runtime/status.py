"""How a job ends: one line on success; a message and the exit status of the error's kind on failure."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING

from gmm_spark.batch.runtime import logs
from gmm_spark.batch.runtime.faults import as_known_error
from gmm_spark.batch.runtime.signals import EndedBySignal, catch_signals
from gmm_spark.errors import (
    CheckpointError,
    ConfigurationError,
    DataError,
    GmmSparkError,
    InputError,
    ModelError,
    NotConvergedError,
    OutputError,
    ParametersError,
    SchemaError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


OTHER = 1
STATUSES: dict[type[GmmSparkError], int] = {
    ConfigurationError: 2,
    SchemaError: 3,
    InputError: 3,
    DataError: 4,
    NotConvergedError: 5,
    OutputError: 6,
    ModelError: 7,
    CheckpointError: 7,
    ParametersError: 7,
    StorageError: 8,
}

_LOG = logging.getLogger(__name__)


def status_of(error: BaseException) -> int:
    """Return the exit status for this error."""
    if isinstance(error, EndedBySignal):
        return int(error.code or OTHER)
    return next((status for kind, status in STATUSES.items() if isinstance(error, kind)), OTHER)


def run_job(name: str, job: Callable[[Sequence[str]], str], argv: Sequence[str]) -> None:
    """Run a job: the summary goes to stdout, log and errors to stderr; spark-submit sends both to its stdout.

    Returns normally on success, because some platforms treat any explicit exit as a failure.

    Args:
        name: the job's name, for messages.
        job: takes the command line, returns the summary.
        argv: the command line after the program's name.

    Raises:
        SystemExit: the job failed; the code is from `STATUSES`, else 1, or 128 + the signal that ended the job.
    """
    logs.start()
    try:
        with catch_signals():
            sys.stdout.write("".join(f"{logs.redact(line)}\n" for line in job(argv).split("\n")))
    except EndedBySignal as end:
        logs.log_failure(name, end, status_of(end))
        raise
    except SystemExit as end:  # argparse ends --help with exit status 0
        if end.code:
            raise
    except Exception as error:  # noqa: BLE001 - for any error the scheduler gets a status and the log a message
        known_error = as_known_error(error)
        if isinstance(known_error, GmmSparkError):
            logs.log_failure(name, known_error, status_of(known_error))
        else:
            _LOG.exception("%s: an unexpected error", name)
        raise SystemExit(status_of(known_error)) from None
