"""Errors about an output that may not be replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.errors import OutputError
from gmm_spark.store.run_pointer import POINTER

if TYPE_CHECKING:
    from gmm_spark.batch.files.location import Location


def not_runs(target: Location, got: str) -> OutputError:
    """Return the error about a target that is no output of runs."""
    return OutputError(
        f"the output {target}",
        got=got,
        expected="an output that keeps its runs, an empty folder, or a path that does not exist yet",
        do="Choose another output.path, or move that away.",
    )


def refuse_runs(target: Location, place: Location) -> None:
    """Refuse an output that keeps its runs; `place` is where it is now.

    Raises:
        OutputError: it does.
    """
    if place.child(POINTER).exists():
        raise OutputError(
            f"the output {target}",
            got="an output that keeps its runs",
            expected="a folder that one run may replace",
            do="Use output.mode=runs, or another output.path.",
        )


def refuse_occupied(target: Location) -> None:
    """Refuse a folder that this process lives in.

    Raises:
        OutputError: it does.
    """
    if occupant := target.occupant():
        raise OutputError(
            f"the output {target}",
            got=f"a folder that is, or holds, {occupant}",
            expected="a folder that may be moved away",
            do="Choose another output.path.",
        )


def refuse_foreign(target: Location, got: str | None) -> None:
    """Refuse a target that this program did not write.

    Args:
        target: the output.
        got: what is foreign in it; None where nothing is.

    Raises:
        OutputError: something is.
    """
    if got is not None:
        raise OutputError(
            f"the output {target}",
            got=got,
            expected="nothing, an output of gmm_spark with nothing else in it, or a plain Parquet table",
            do="Choose another output.path, or set output.replace_foreign=true to lose what is there.",
        )
