"""Outputs that appear whole or not at all: written to a staging folder, checked, then published.

`hidden_folder` describes the files beside an output while a run writes it; `modes` does the last step.
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
from gmm_spark.batch.publish.ownership import container_of, is_gmm_spark_output, manifest_in
from gmm_spark.batch.runtime.faults import as_output_error
from gmm_spark.batch.runtime.signals import defer_signals
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
    """An output that this run may write and has locked.

    Args:
        location: its path.
        run: the run.
        mode: how it is published.
        hidden: its hidden folder.
        lock: its lock; None if the run is published already.
        inputs: all tables and models that the run reads.
    """

    location: Location
    run: Run
    mode: modes.Mode
    hidden: HiddenFolder
    lock: Lock | None
    inputs: tuple[Source, ...] = ()

    @property
    def done_message(self) -> str | None:
        """The summary line if a run of this id is published already; None if there is work to do."""
        if self.lock is not None:
            return None
        return f"{self.run.job}: run {self.run.id} is published in {self.location} already; nothing to do"

    @contextmanager
    def publication(self) -> Iterator[str]:
        """Yield the path of the staging folder; publish it with the manifest if the block ends without an error.

        If the block raises, the staging folder is removed and the target is unchanged.

        Raises:
            InputError: an input has changed meanwhile.
            OutputError: another writer has taken the lock meanwhile, or the filesystem refuses a step.
        """
        place = modes.Place(self.location, self.hidden.work_folder(self.run.key), self.run.key)
        staging = self.mode.staging(place)
        if staging.exists():  # of another program: the folders of dead runs have been removed
            raise _not_free(staging)
        place.work_folder.make_folder()
        try:
            staging.parent().make_folder()
            yield str(staging)
            with self.run.phase("publish"):
                self._publish(staging, place)
        finally:
            with defer_signals():
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
        # A signal here would undo half a replacement, or leave a whole one without record, which looks like a failure.
        with defer_signals():
            if self.lock is not None:
                self.lock.check()
            self.mode.publish(place)
            self.hidden.record(self.run.manifest(), self.run.key)
        fields = {"event": "published", "path": written.path, "files": len(files), "bytes": written.bytes}
        _LOG.info("published %s: %d files, %d bytes", written.path, len(files), written.bytes, extra={"fields": fields})


def claim_output(
    run: Run, spark: SparkSession, output: OutputConfig, inputs: Callable[[], Iterable[Source]]
) -> AbstractContextManager[Target]:
    """Lock the output of a job for this run, or refuse it before anything is read.

    Args:
        run: the run.
        spark: the session, whose settings name the filesystems.
        output: the options of the output.
        inputs: finds all tables and models that the job reads.

    Raises:
        SchemaError: an input does not exist.
        OutputError: the target is an input, is inside one or holds one; it exists and may not be replaced;
            another run is writing it; or a run of this id wrote it with other options.
    """
    return claim(run, locate(spark, output.path), modes.mode_of(output), inputs)


@contextmanager
def claim(
    run: Run, location: Location, mode: modes.Mode, inputs: Callable[[], Iterable[Source]] = tuple
) -> Iterator[Target]:
    """Lock an output for this run, or refuse it.

    Raises:
        GmmSparkError: as in `claim_output`.
    """
    with output_errors(location):
        location = location.resolved()
        check_place(location)
        hidden = HiddenFolder.beside(location)
        if location.parent().exists():  # else no manifest yet: its new folder might be inside an input
            run.on_failure = hidden.recorder(run.key)
        if (before := _published(hidden, location, run, any_manifest=mode.replace_foreign)) is not None:
            _tidy(hidden, location, before, run)
    if before is not None:
        yield Target(location, run, mode, hidden, None)
        return
    sources = tuple(inputs())
    run.on_failure = None  # nothing may be written beside an output that overlaps an input
    with output_errors(location):
        check_no_overlap(location, sources)
        run.on_failure = hidden.recorder(run.key)
        mode.check(location)
        hidden.folder.make_folder()
    with ExitStack() as stack:
        with output_errors(location):
            lock = stack.enter_context(hold_lock(hidden.lock, run.id))
            hidden.clean(location)
            mode.check_locked(location)
        yield Target(location, run, mode, hidden, lock, sources)


@contextmanager
def output_errors(location: Location) -> Iterator[None]:
    """Turn errors of the filesystem into errors about the output."""
    try:
        yield
    except (OSError, *JAVA_ERRORS) as error:
        raise as_output_error(error, str(location)) from error


def check_output(location: Location, mode: modes.Mode, inputs: Iterable[Source]) -> Location:
    """Return the location of an output, or refuse it as the job itself would.

    Raises:
        OutputError: as in `claim_output`.
    """
    with output_errors(location):
        location = location.resolved()
        check_place(location)
        check_no_overlap(location, inputs)
        mode.check(location)
    return location


def check_place(location: Location) -> None:
    """Refuse an output that is a root or a circular link, or is inside a table or another output.

    Raises:
        OutputError: it is one of these.
    """
    if location.is_root():
        raise OutputError(
            f"the output {location}",
            got="the root of a filesystem or bucket",
            expected="a folder below it",
            do="Add a name to output.path.",
        )
    if location.is_link():  # still a link after all links were followed
        raise OutputError(
            f"the output {location}",
            got="a symbolic link that leads in a circle",
            expected="a folder, or a path that does not exist yet",
            do="Remove that link, or choose another output.path.",
        )
    if container := container_of(location):
        raise OutputError(
            f"the output {location}",
            got=f"a place inside {container[0]}, which is {container[1]}",
            expected="a place outside: a file inside becomes part of it, or is removed with it",
            do="Choose another output.path.",
        )


def check_no_overlap(location: Location, inputs: Iterable[Source]) -> None:
    """Refuse an output that would destroy an input.

    Raises:
        OutputError: it is an input, is inside one or holds one; or an input's place is unknown, and the output is a
            folder with files that are not of gmm_spark, so that it may be that input.
    """
    for source in inputs:
        is_unknown = isinstance(source, str)
        if not (_may_be_an_input(location) if isinstance(source, str) else location.overlaps(source)):
            continue
        raise OutputError(
            f"the output {location}",
            got=f"{'a folder that may belong to ' if is_unknown else ''}the input {source}",
            expected="an output that is neither the input, nor inside it, nor around it",
            do="Choose another output.path.",
        )


def _may_be_an_input(location: Location) -> bool:
    return bool(location.exists() and location.children() and not is_gmm_spark_output(location))


def _not_free(staging: Location) -> OutputError:
    return OutputError(
        f"the folder {staging}",
        got="a file or folder that no published run of this output wrote",
        expected="no file or folder there",
        do="Move it away, or give this run another run.id.",
    )


def _published(hidden: HiddenFolder, location: Location, run: Run, *, any_manifest: bool) -> Manifest | None:
    """Return the manifest of a run that was published in this target with the same id and options; None without one.

    Args:
        hidden: the hidden folder of the target.
        location: the target.
        run: the run.
        any_manifest: ignore a file of another program with the name of the manifest, instead of refusing it.
    """
    if not location.exists():
        return None
    if any_manifest and location.child(MANIFEST).is_file() and manifest_in(location) is None:
        return None
    candidates = (*published_runs.manifest_files(location, run.key), hidden.manifest(run.key))
    for manifest in filter(None, map(read_manifest_of, candidates)):
        if manifest.run_id == run.id and not manifest.status:
            _check_same(manifest, run, location)
            return manifest
    return None


def _tidy(hidden: HiddenFolder, location: Location, before: Manifest, run: Run) -> None:
    """Complete a run that was killed after it had published, unless another run has the lock."""
    if not hidden.manifest(run.key).exists():
        hidden.record(before, run.key)
    if hidden.lock.exists() or any(entry.name.endswith(STAGING) for entry in hidden.folder.children()):
        with suppress(OutputError), hold_lock(hidden.lock, run.id):
            hidden.clean(location)


def _check_same(before: Manifest, run: Run, location: Location) -> None:
    if before.configuration_sha256 != run.configuration_hash():
        now = run.configuration()
        differing = [name for name in now if name != "run" and now[name] != before.configuration.get(name)]
        raise OutputError(
            f"the run {run.id} in {location}",
            got=f"options that differ from those of the published run, in {', '.join(differing) or 'a secret'}",
            expected="the same options for the same run",
            do="Give this run another run.id.",
        )
