"""Complaints of the operating system become errors that help, each with its status. No Spark."""

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
def test_a_refusing_filesystem_is_told_with_the_path(number: int) -> None:
    """The number decides the status, and the message has the path, the system's words and a remedy."""
    status, what = STATUSES[number]
    known = as_known_error(OSError(number, os.strerror(number), "/lake/out"))
    assert status_of(known) == status
    assert re.match(rf"{what}: got .*{os.strerror(number)}.*/lake/out.*; expected .*\. \w+", str(known))


@pytest.mark.parametrize(
    "error", [KeyError("x"), OSError(errno.EINTR, "interrupted"), DataError("d", got=1, expected="", do="")]
)
def test_what_is_not_understood_stays_as_it_is(error: Exception) -> None:
    """A surprise is not given a wrong name, and our errors keep theirs."""
    assert as_known_error(error) is error


def test_a_surprise_ends_with_a_traceback_and_an_explained_one_without(capsys: pytest.CaptureFixture[str]) -> None:
    """The log has a sentence where there is one."""
    for number, traceback in ((errno.EROFS, False), (errno.EINTR, True)):

        def job(_: object, number: int = number) -> str:
            raise OSError(number, os.strerror(number), "/lake/out")

        with pytest.raises(SystemExit) as ended:
            run_job("fit", job, [])
        assert ended.value.code == (1 if traceback else 6)
        assert ("Traceback" in capsys.readouterr().err) == traceback
