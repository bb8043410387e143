"""One run of a job: its id, its results and the seconds of each phase, which the manifest reports.

with job_run("fit", config, spark) as run, claim_output(run, spark, config.output, find_inputs) as target:
    with run.phase("fit"):
        ...
    run.note(rows={"read": 10, "used": 9}, warnings=["..."])
"""

from __future__ import annotations

import hashlib
import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING, Any

from gmm_spark.batch.manifest import provenance
from gmm_spark.batch.manifest.manifest import Manifest, RowCounts
from gmm_spark.batch.options.layers import merge_trees
from gmm_spark.batch.options.mistakes import key_of
from gmm_spark.batch.options.redaction import redacted_options
from gmm_spark.batch.runtime import faults, logs, signals
from gmm_spark.batch.runtime.advice import add_advice
from gmm_spark.batch.runtime.status import status_of
from gmm_spark.errors import InputError, options_called
from gmm_spark.spark.fit.progress import report_phase
from gmm_spark.spark.session import has_ended
from gmm_spark.store.plain import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from pyspark.sql import SparkSession

    from gmm_spark.batch.manifest.manifest import Versions
    from gmm_spark.batch.options.jobs import JobConfig
    from gmm_spark.batch.options.yaml_file import Tree

_LOG = logging.getLogger(__name__)
# The sections `run` and `logs` do not change what is written.
_NOT_OF_THE_RESULT = ("run", "logs")
_LONGEST_CAUSE = 500  # characters of the error of a run whose input had changed
_LONGEST_NAME = 80  # filesystems allow 255 bytes, and file names add suffixes to this name


@dataclass
class Run:
    """One run of a job.

    Args:
        job: the job's name.
        config: its options.
        id: the name of this run from the user or the scheduler; a generated name if they give none.
        versions: the versions of its software.
        parents: its ids in scheduler and lineage.
        started: the time of its start, in UTC.
        seconds: wall-clock seconds by phase, so far.
        facts: fields and notes of the manifest, so far.
        checks: called before anything is published; each one raises if an input has changed.
        on_failure: stores the manifest of a failed run; None while there is no place for it.
    """

    job: str
    config: JobConfig
    id: str
    versions: Versions
    parents: Mapping[str, str]
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    seconds: dict[str, float] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    checks: list[Callable[[], object]] = field(default_factory=list)
    on_failure: Callable[[Manifest], None] | None = None

    @property
    def key(self) -> str:
        """The id as a valid name of a file or folder on any filesystem."""
        return file_name(self.id)

    def note(self, **facts: object) -> None:
        """Add facts to the manifest; maps are merged, any other value replaces the old one.

        A name that is a field of `Manifest` sets that field, any other name adds to its `notes`.
        """
        self.facts = merge_trees(self.facts, facts)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Count the seconds of the block under a name, and log them."""
        return report_phase(self.seconds, name)

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Add the seconds of phases that were timed elsewhere."""
        self.seconds.update(seconds)

    def check_inputs(self) -> None:
        """Check that the inputs have not changed.

        Raises:
            InputError: an input has changed since it was read.
        """
        for check in self.checks:
            check()

    def changed_input(self) -> InputError | None:
        """Return the error about an input that has changed, which explains other errors of the run; else None."""
        try:
            self.check_inputs()
        except InputError as error:
            return error
        except Exception as error:  # noqa: BLE001 - for example Spark has ended: the job reports its first error
            _LOG.debug("cannot check the input for changes: %s", error)
        return None

    def record_failure(self, error: BaseException) -> None:
        """Write the manifest of a failed run if possible; a failure to write it is only logged."""
        if self.on_failure is not None:
            try:
                self.on_failure(self.manifest(status_of(error), logs.redact(str(error))))
            except Exception as another:  # noqa: BLE001 - most likely the same disk is full
                _LOG.warning("cannot write the manifest of this run: %s", another)

    def configuration(self) -> Tree:
        """Return the resolved options without their secrets."""
        return redacted_options(self.config)

    def configuration_hash(self) -> str:
        """Return the SHA-256 of the options that decide the content of the output."""
        return configuration_hash(self.config)

    def manifest(self, status: int = 0, error: str | None = None) -> Manifest:
        """Return the manifest with the facts noted so far."""
        fields = {name: value for name, value in self.facts.items() if name in Manifest.model_fields}
        return Manifest(
            **{
                "job": self.job,
                "run_id": self.id,
                "status": status,
                "error": error,
                "started": self.started,
                "finished": datetime.now(timezone.utc),
                "versions": self.versions,
                "configuration": self.configuration(),
                "configuration_sha256": self.configuration_hash(),
                "parents": dict(self.parents),
                "rows": RowCounts(),
                "seconds": self.seconds,
                "notes": plain({name: value for name, value in self.facts.items() if name not in fields}),
                **fields,
            }
        )


@contextmanager
def job_run(job: str, config: JobConfig, spark: SparkSession) -> Iterator[Run]:
    """Yield the run of a job; an error in the block becomes a GmmSparkError if it is recognised, and a manifest.

    Raises:
        GmmSparkError: an error of the job; or of Spark, Hadoop or the operating system, if it is recognised.
    """
    run = Run(
        job, config, config.run.id or provenance.run_id(spark), provenance.versions(spark), provenance.parents(spark)
    )
    logs.bind(job=job, run_id=run.id)
    _LOG.info("%s: run %s", job, run.id, extra={"fields": {"event": "start", **run.parents}})
    signals.install_handlers()  # again: Spark has replaced the handler of Ctrl-C at its start
    try:
        with options_called(partial(key_of, type(config))), add_advice(getattr(config, "input", None)):
            yield run
    except signals.EndedBySignal as end:
        run.record_failure(end)
        raise
    except Exception as error:
        cause = _cause(faults.as_known_error(error), run, spark)
        run.record_failure(cause)
        if cause is error:
            raise
        raise cause from error


def _cause(error: BaseException, run: Run, spark: SparkSession) -> BaseException:
    """Return the cause of an error, an ended Spark or a changed input, if there is one; else the error itself."""
    if has_ended(spark):
        cause: BaseException | None = faults.spark_ended()
    else:
        cause = None if isinstance(error, InputError) else run.changed_input()
    if cause is None:
        return error
    _LOG.warning("%s: %s", type(error).__name__, logs.redact(str(error))[:_LONGEST_CAUSE])
    return cause


def configuration_hash(config: JobConfig) -> str:
    """Return the SHA-256 of the options that decide the content of the output: all but `run` and `logs`."""
    options = config.model_copy(update={name: None for name in _NOT_OF_THE_RESULT if name in type(config).model_fields})
    return hashlib.sha256(options.model_dump_json(warnings=False).encode()).hexdigest()


def file_name(run_id: str) -> str:
    """Return a run's id as a name without separators; different ids get different names."""
    safe = re.sub(r"[^A-Za-z0-9._=-]", "-", run_id)
    if safe == run_id and safe[0].isalnum() and len(safe) <= _LONGEST_NAME:
        return safe
    return f"r{safe[:_LONGEST_NAME]}-{hashlib.sha256(run_id.encode()).hexdigest()[:10]}"
