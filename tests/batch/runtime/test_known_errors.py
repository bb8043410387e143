"""Errors of the operating system become GmmSparkErrors with a remedy and a status. No Spark."""

from __future__ import annotations

import errno
import os
import re

import pytest

from gmm_spark.batch.runtime.faults import as_known_error
from gmm_spark.batch.runtime.status import run_job, status_of
from gmm_spark.errors import DataError

STATUSES = {
    errno.ENOSPC: (8, "a disk"),
    errno.EDQUOT: (8, "a disk"),
    errno.EACCES: (6, "the output"),
    errno.EROFS: (6, "the output"),
    errno.ENOTDIR: (6, "the output"),
    errno.EPERM: (6, "the output"),
}


@pytest.mark.parametrize("number", STATUSES)
def test_a_filesystem_error_names_the_path(number: int) -> None:
    """The error number decides the status, and the message has the path, the system's words and a remedy."""
    status, what = STATUSES[number]
    known = as_known_error(OSError(number, os.strerror(number), "/lake/out"))
    assert status_of(known) == status
    assert re.match(rf"{what}: got .*{os.strerror(number)}.*/lake/out.*; expected .*\. \w+", str(known))


@pytest.mark.parametrize(
    "error", [KeyError("x"), OSError(errno.EINTR, "interrupted"), DataError("d", got=1, expected="", do="")]
)
def test_an_unknown_error_is_unchanged(error: Exception) -> None:
    """An unknown error and a GmmSparkError are returned as they are."""
    assert as_known_error(error) is error


def test_only_an_unknown_error_logs_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    """The log has a traceback for an unknown error, and only the message for a known one."""
    for number, traceback in ((errno.EROFS, False), (errno.EINTR, True)):

        def job(_: object, number: int = number) -> str:
            raise OSError(number, os.strerror(number), "/lake/out")

        with pytest.raises(SystemExit) as ended:
            run_job("fit", job, [])
        assert ended.value.code == (1 if traceback else 6)
        assert ("Traceback" in capsys.readouterr().err) == traceback
