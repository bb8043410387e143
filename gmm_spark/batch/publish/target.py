"""Outputs that appear whole or not at all: written to a folder of their own, checked, then published.

What is beside an output while a run is at work is in `hidden_folder`. How the last step is done is in `modes`.
"""

from __future__ import annotations

import logging
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.batch.files.locate import Location, Source, locate
from gmm_spark.batch.manifest.manifest import MANIFEST, MOST_FILES, File, Manifest, Output
from gmm_spark.batch.publish import modes, published_runs
from gmm_spark.batch.publish.hidden_folder import STAGING, HiddenFolder, read_manifest_of
from gmm_spark.batch.publish.lock import hold_lock
from gmm_spark.batch.publish.ownership import holder_of, is_ours, manifest_in
from gmm_spark.batch.runtime.faults import as_output_error
from gmm_spark.batch.runtime.signals import deferred
from gmm_spark.errors import OutputError
from gmm_spark.spark.java import JAVA_ERRORS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from pyspark.sql import SparkSession

    from gmm_spark.batch.options.sections import OutputConfig
    from gmm_spark.batch.publish.lock import Lock
    from gmm_spark.batch.runtime.run import Run

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """An output that this run may write, and holds the lock of.

    Args:
        location: where it is, or will be.
        run: the run.
        mode: how it is published.
        hidden: its hidden folder.
        lock: held as long as the run goes on; None where the run has nothing left to do.
        inputs: all that the run reads.
    """

    location: Location
    run: Run
    mode: modes.Mode
    hidden: HiddenFolder
    lock: Lock | None
    inputs: tuple[Source, ...] = ()

    @property
    def done(self) -> str | None:
        """What to say where a run of this id has been published before; None where there is something to do."""
        if self.lock is not None:
            return None
        return f"{self.run.job}: run {self.run.id} is published in {self.location} already; nothing to do"

    @contextmanager
    def publication(self) -> Iterator[str]:
        """Give the path of a folder to write, and publish it with the manifest when the block ends well.

        If the block raises, the folder is removed and the target stays as it was.

        Raises:
            InputError: what the run has read has changed meanwhile.
            OutputError: another writer has taken the lock meanwhile, or the filesystem refuses a step.
        """
        place = modes.Place(self.location, self.hidden.work_folder(self.run.key), self.run.key)
        staging = self.mode.staging(place)
        if staging.exists():  # another program's: all dead runs have been undone
            raise _not_free(staging)
        place.work_folder.make_folder()
        try:
            staging.parent().make_folder()
            yield str(staging)
            with self.run.phase("publish"):
                self._publish(staging, place)
        finally:
            with deferred():
                self.mode.undo(place)
                place.work_folder.discard()

    def _publish(self, staging: Location, place: modes.Place) -> None:
        self.run.check_inputs()
        files = tuple(File(path=path, bytes=file.size()) for path, file in staging.files())
        written = Output(
            path=str(self.location),
            mode=self.mode.name,
            folder=self.mode.folder(self.run.key),
            files=files[:MOST_FILES],
            bytes=sum(file.bytes for file in files),
        )
        self.run.note(output=written)
        staging.child(MANIFEST).replace(self.run.manifest().to_json())
        with deferred():  # half a replacement would be undone, a whole one without its record would look like a failure
            if self.lock is not None:
                self.lock.check()
            self.mode.publish(place)
            self.hidden.record(self.run.manifest(), self.run.key)
        fields = {"event": "published", "path": written.path, "files": len(files), "bytes": written.bytes}
        _LOG.info("published %s: %d files, %d bytes", written.path, len(files), written.bytes, extra={"fields": fields})


def claim_output(
    run: Run, spark: SparkSession, output: OutputConfig, inputs: Callable[[], Iterable[Source]]
) -> AbstractContextManager[Target]:
    """Give the target of a job to one writer, or refuse it before anything is read.

    Args:
        run: the run that wants to write.
        spark: the session that knows the filesystems.
        output: what the options say.
        inputs: finds all that the job reads.

    Raises:
        SchemaError: an input is not there.
        OutputError: the target is an input, is inside one or holds one; it exists and may not be replaced;
            another run is writing it; or a run of this id wrote it with other options.
    """
    return claim(run, locate(spark, output.path), modes.mode_of(output), inputs)


@contextmanager
def claim(
    run: Run, location: Location, mode: modes.Mode, inputs: Callable[[], Iterable[Source]] = tuple
) -> Iterator[Target]:
    """Give the target of a job to one writer.

    Raises:
        GmmSparkError: as `claimed`.
    """
    with output_errors(location):
        location = location.resolved()
        check_place(location)
        hidden = HiddenFolder.beside(location)
        if location.parent().exists():  # no folder is made where it might be within an input
            run.on_failure = hidden.recorder(run.key)
        if (before := _published(hidden, location, run, any_manifest=mode.replace_foreign)) is not None:
            _tidy(hidden, location, before, run)
    if before is not None:
        yield Target(location, run, mode, hidden, None)
        return
    sources = tuple(inputs())
    run.on_failure = None  # beside an output that overlaps an input nothing is written
    with output_errors(location):
        check_apart(location, sources)
        run.on_failure = hidden.recorder(run.key)
        mode.check(location)
        hidden.folder.make_folder()
    with ExitStack() as held:
        with output_errors(location):
            lock = held.enter_context(hold_lock(hidden.lock, run.id))
            hidden.clean(location)
            mode.settled(location)
        yield Target(location, run, mode, hidden, lock, sources)


@contextmanager
def output_errors(location: Location) -> Iterator[None]:
    """Turn what the filesystem complains of into an error about the output."""
    try:
        yield
    except (OSError, *JAVA_ERRORS) as error:
        raise as_output_error(error, str(location)) from error


def check_output(location: Location, mode: modes.Mode, inputs: Iterable[Source]) -> Location:
    """Return where an output will be, or refuse it as a run of its job would.

    Raises:
        OutputError: as `claimed`.
    """
    with output_errors(location):
        location = location.resolved()
        check_place(location)
        check_apart(location, inputs)
        mode.check(location)
    return location


def check_place(location: Location) -> None:
    """Refuse an output that no folder can be: a root; and one inside a table or another output.

    Raises:
        OutputError: it is.
    """
    if location.is_root():
        raise OutputError(
            f"the output {location}",
            got="the root of a filesystem or bucket",
            expected="a folder below it",
            do="Add a name to output.path.",
        )
    if location.is_link():  # still one after it was followed
        raise OutputError(
            f"the output {location}",
            got="a symbolic link that leads in a circle",
            expected="a folder, or a path that does not exist yet",
            do="Remove that link, or choose another output.path.",
        )
    if found := holder_of(location):
        raise OutputError(
            f"the output {location}",
            got=f"a place inside {found[0]}, which is {found[1]}",
            expected="a place outside: what is written inside becomes part of it, or is lost with it",
            do="Choose another output.path.",
        )


def check_apart(location: Location, inputs: Iterable[Source]) -> None:
    """Refuse an output that would destroy an input.

    Raises:
        OutputError: it is an input, is inside one or holds one; or it exists, is not ours, and might be an input whose
            place is not known.
    """
    for source in inputs:
        unknown = isinstance(source, str)
        if not (_may_be_an_input(location) if isinstance(source, str) else location.overlaps(source)):
            continue
        raise OutputError(
            f"the output {location}",
            got=f"{'a folder that may belong to ' if unknown else ''}the input {source}",
            expected="an output that is neither the input, nor inside it, nor around it",
            do="Choose another output.path.",
        )


def _may_be_an_input(location: Location) -> bool:
    return bool(location.exists() and location.children() and not is_ours(location))


def _not_free(staging: Location) -> OutputError:
    return OutputError(
        f"the folder {staging}",
        got="something that no published run of this output has written",
        expected="nothing there",
        do="Move it away, or give this run another run.id.",
    )


def _published(hidden: HiddenFolder, location: Location, run: Run, *, any_manifest: bool) -> Manifest | None:
    """Return the manifest of a run of this id that was published in this target, with these options.

    Args:
        hidden: the hidden folder of the target.
        location: the target.
        run: the run.
        any_manifest: whether another program's file may have the name of the manifest.
    """
    if not location.exists():
        return None
    if any_manifest and location.child(MANIFEST).is_file() and manifest_in(location) is None:
        return None
    candidates = (*published_runs.manifests(location, run.key), hidden.manifest(run.key))
    for found in filter(None, map(read_manifest_of, candidates)):
        if found.run_id == run.id and not found.status:
            _check_same(found, run, location)
            return found
    return None


def _tidy(hidden: HiddenFolder, location: Location, before: Manifest, run: Run) -> None:
    """Finish what a run that was killed after it had published has left undone, unless another one is at work."""
    if not hidden.manifest(run.key).exists():
        hidden.record(before, run.key)
    if hidden.lock.exists() or any(each.name.endswith(STAGING) for each in hidden.folder.children()):
        with suppress(OutputError), hold_lock(hidden.lock, run.id):
            hidden.clean(location)


def _check_same(found: Manifest, run: Run, location: Location) -> None:
    if found.configuration_sha256 != run.configuration_hash():
        now = run.configuration()
        differing = [name for name in now if name != "run" and now[name] != found.configuration.get(name)]
        raise OutputError(
            f"the run {run.id} in {location}",
            got=f"other options than it was published with, in {', '.join(differing) or 'a secret'}",
            expected="the same options for the same run",
            do="Give this run another run.id.",
        )
