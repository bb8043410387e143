"""Errors about an output that may not be replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gmm_spark.errors import OutputError
from gmm_spark.store.run_pointer import POINTER

if TYPE_CHECKING:
    from gmm_spark.batch.files.location import Location


def not_runs_error(target: Location, got: str) -> OutputError:
    """Return the error about a target that is no output with runs."""
    return OutputError(
        f"the output {target}",
        got=got,
        expected="an output of output.mode=runs, an empty folder, or a path that does not exist yet",
        do="Choose another output.path, or move that content away.",
    )


def refuse_runs(target: Location, place: Location) -> None:
    """Refuse an output with runs; `place` is where its content is now.

    Raises:
        OutputError: it has runs.
    """
    if place.child(POINTER).exists():
        raise OutputError(
            f"the output {target}",
            got="an output of output.mode=runs",
            expected="an output without runs",
            do="Use output.mode=runs, or another output.path.",
        )


def refuse_occupied(target: Location) -> None:
    """Refuse a folder that is or contains the current or the home folder of this process.

    Raises:
        OutputError: it does.
    """
    if occupant := target.occupant():
        raise OutputError(
            f"the output {target}",
            got=f"a folder that is or contains {occupant}",
            expected="a folder that may be moved away",
            do="Choose another output.path.",
        )


def refuse_foreign(target: Location, got: str | None) -> None:
    """Refuse a target with foreign content.

    Args:
        target: the output.
        got: the foreign content; None for none.

    Raises:
        OutputError: there is foreign content.
    """
    if got is not None:
        raise OutputError(
            f"the output {target}",
            got=got,
            expected="nothing, an output of gmm_spark without other files, or a plain Parquet table",
            do="Choose another output.path, or set output.replace_foreign=true to delete that content.",
        )
