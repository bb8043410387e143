"""Outputs that appear whole or not at all: written beside their target, checked, then renamed into place."""

from __future__ import annotations

import logging
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.batch.paths import Location, locate
from gmm_spark.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pyspark.sql import SparkSession

    from gmm_spark.batch.sections import OutputConfig

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A folder that a job may write.

    Args:
        location: where it is, or will be.
        overwrite: whether a folder that is there may be replaced.
    """

    location: Location
    overwrite: bool

    @contextmanager
    def publication(self) -> Iterator[str]:
        """Give the path of a folder to write, and put it in the target's place when the block ends well.

        The folder is inside a hidden sibling of the target, so that the last step is a rename within
        one filesystem. If the block raises, it is removed and the target stays as it was.
        """
        run = uuid.uuid4().hex[:12]
        workshop = self.location.sibling(f".{self.location.name}-{run}.staging")
        # One level down, for Spark warns of every table whose own name is hidden.
        staging = workshop.child(self.location.name)
        try:
            yield str(staging)
            self._replace_by(staging, self.location.sibling(f".{self.location.name}-{run}.replaced"))
        finally:
            workshop.discard()

    def check_absent(self) -> None:
        """Refuse a target that exists, unless it may be replaced.

        Raises:
            OutputError: it exists.
        """
        if self.location.exists() and not self.overwrite:
            raise OutputError(
                f"the output {self.location}",
                got="a folder that exists",
                expected="a path that does not exist yet",
                do="Choose another output.path, or allow its replacement by output.overwrite=true.",
            )

    def _replace_by(self, staging: Location, aside: Location) -> None:
        # Looked at again: another job may have made the target since, and a rename would move into it.
        self.check_absent()
        replaces = self.location.exists()
        if replaces:
            self.location.rename(aside)
        try:
            staging.rename(self.location)
        except BaseException:
            if replaces:
                aside.rename(self.location)
            raise
        _LOG.info("published %s", self.location)
        if replaces:
            aside.discard()


def target(spark: SparkSession, output: OutputConfig, inputs: Iterable[Location]) -> Target:
    """Return the target of a job, or refuse it before anything is read.

    Args:
        spark: the session.
        output: what the options say.
        inputs: all that the job reads.

    Raises:
        OutputError: the target is an input, lies inside one or holds one; or it exists and may not be replaced.
    """
    wanted = Target(locate(spark, output.path), output.overwrite)
    for source in inputs:
        if wanted.location.overlaps(source):
            raise OutputError(
                f"the output {wanted.location}",
                got=f"the input {source}",
                expected="an output that is neither the input, nor inside it, nor around it",
                do="Choose another output.path.",
            )
    wanted.check_absent()
    return wanted
