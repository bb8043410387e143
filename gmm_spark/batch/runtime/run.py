"""One run of a job: who it is, what it found out and how long each phase took; all of it ends in the manifest.

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
from gmm_spark.batch.options.redaction import redacted
from gmm_spark.batch.runtime import faults, logs, signals
from gmm_spark.batch.runtime.advice import advising
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
# Which run wrote something, and where it stands among others, does not change what is written.
_NOT_OF_THE_RESULT = ("run", "logs")
_LONGEST_CAUSE = 500  # characters of the error of a run whose input had changed
_LONGEST_NAME = 80  # filesystems take 255 bytes, and names grow by what is added to them


@dataclass
class Run:
    """One run of a job.

    Args:
        job: the job's name.
        config: its options.
        id: what the scheduler or the user calls this run; a name that gmm_spark makes otherwise.
        versions: what it runs on.
        parents: the ids of scheduler and lineage around it.
        started: when it began, in UTC.
        seconds: wall-clock seconds by phase, so far.
        facts: what the manifest will report, so far.
        checks: looks at what the run has read, taken before anything is published; each raises where that has changed.
        on_failure: keeps the manifest of a failed run; set while there is a place for it.
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
        """The id as the name of a file or folder, on any filesystem."""
        return file_name(self.id)

    def note(self, **facts: object) -> None:
        """Add facts to the manifest; maps are merged, anything else replaces what was noted before.

        A name that is a field of `Manifest` goes there, any other under its `notes`.
        """
        self.facts = merge_trees(self.facts, facts)

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Count the seconds of the block under a name, and log them."""
        return report_phase(self.seconds, name)

    def add_seconds(self, seconds: Mapping[str, float]) -> None:
        """Add the seconds of phases that were timed elsewhere."""
        self.seconds.update(seconds)

    def check_inputs(self) -> None:
        """Look once more at what was read.

        Raises:
            InputError: it has changed since.
        """
        for check in self.checks:
            check()

    def changed_input(self) -> InputError | None:
        """Return the error of an input that has changed: then whatever else went wrong is a consequence."""
        try:
            self.check_inputs()
        except InputError as error:
            return error
        except Exception as error:  # noqa: BLE001 - such as Spark's end: then that is what the job reports
            _LOG.debug("the input could not be listed again: %s", error)
        return None

    def record_failure(self, error: BaseException) -> None:
        """Leave a manifest of a failed run where that is possible; the error itself is worth telling more."""
        if self.on_failure is not None:
            try:
                self.on_failure(self.manifest(status_of(error), logs.redact(str(error))))
            except Exception as another:  # noqa: BLE001 - most likely the same disk is full
                _LOG.warning("no manifest of this run could be left: %s", another)

    def configuration(self) -> Tree:
        """Return the resolved options without their secrets."""
        return redacted(self.config)

    def configuration_hash(self) -> str:
        """Return the SHA-256 of the options that decide what is written."""
        return configuration_hash(self.config)

    def manifest(self, status: int = 0, error: str | None = None) -> Manifest:
        """Return what is known by now."""
        own = {name: value for name, value in self.facts.items() if name in Manifest.model_fields}
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
                "notes": plain({name: value for name, value in self.facts.items() if name not in own}),
                **own,
            }
        )


@contextmanager
def job_run(job: str, config: JobConfig, spark: SparkSession) -> Iterator[Run]:
    """Give the run of a job; what goes wrong inside becomes a GmmSparkError and a manifest with its status.

    Raises:
        GmmSparkError: what Spark, Hadoop or the operating system reported, as far as it is understood.
    """
    run = Run(
        job, config, config.run.id or provenance.run_id(spark), provenance.versions(spark), provenance.parents(spark)
    )
    logs.bind(job=job, run_id=run.id)
    _LOG.info("%s: run %s", job, run.id, extra={"fields": {"event": "start", **run.parents}})
    signals.install()  # once more: Spark sets its own handler of Ctrl-C when it starts
    try:
        with options_called(partial(key_of, type(config))), advising(getattr(config, "input", None)):
            yield run
    except signals.EndedBySignal as end:
        run.record_failure(end)
        raise
    except Exception as error:
        known = _cause(faults.as_known_error(error), run, spark)
        run.record_failure(known)
        if known is error:
            raise
        raise known from error


def _cause(error: BaseException, run: Run, spark: SparkSession) -> BaseException:
    """Return what an error is a consequence of, if that is known; else the error itself."""
    if has_ended(spark):
        cause: BaseException | None = faults.spark_ended()
    else:
        cause = None if isinstance(error, InputError) else run.changed_input()
    if cause is None:
        return error
    _LOG.warning("%s: %s", type(error).__name__, logs.redact(str(error))[:_LONGEST_CAUSE])
    return cause


def configuration_hash(config: JobConfig) -> str:
    """Return the SHA-256 of the options that decide what is written, independent of who runs it."""
    options = config.model_copy(update={name: None for name in _NOT_OF_THE_RESULT if name in type(config).model_fields})
    return hashlib.sha256(options.model_dump_json(warnings=False).encode()).hexdigest()


def file_name(run_id: str) -> str:
    """Return a run's id as a name without separators; ids that differ keep different names."""
    safe = re.sub(r"[^A-Za-z0-9._=-]", "-", run_id)
    if safe == run_id and safe[0].isalnum() and len(safe) <= _LONGEST_NAME:
        return safe
    return f"r{safe[:_LONGEST_NAME]}-{hashlib.sha256(run_id.encode()).hexdigest()[:10]}"
