"""The log of a job on stderr: one line per event, as text or as JSON, without secrets and control characters.

In client mode spark-submit sends the stderr of a Python program to its own stdout.

A log call passes its numbers as `extra={"fields": {...}}`: JSON lines have them by name.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime, timezone
from functools import partial
from typing import TYPE_CHECKING

from gmm_spark.batch.options import redaction
from gmm_spark.errors import one_line
from gmm_spark.store.plain import plain

if TYPE_CHECKING:
    from gmm_spark.batch.options.jobs import JobConfig

_LOG = logging.getLogger("gmm_spark")


class Lines(logging.Formatter):
    """Text for people: time, level, logger, message; a traceback follows on separate lines."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.hidden: dict[str, str] = {}
        self.common: dict[str, object] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return "\n".join(map(self.redact, super().format(record).splitlines()))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the record without its traceback, always as one line."""
        return one_line(super().formatMessage(record))

    def redact(self, text: str) -> str:
        """Return a text in one line, without secrets."""
        return one_line(redaction.scrub(text, self.hidden))


class JsonLines(Lines):
    """One JSON object per line for programs: time, level, logger, message, and the fields of the event."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        event: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **self.common,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        scrubbed = partial(redaction.scrub, hidden=self.hidden)
        return json.dumps(plain(event, scrubbed), allow_nan=False)


def start() -> None:
    """Log to stderr, as text until the options are known."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, force=True)
    _use(Lines())
    logging.getLogger("py4j").setLevel(logging.WARNING)  # at INFO it logs every connection that it closes


def configure(config: JobConfig) -> None:
    """Use the log format of the options, and hide their secrets."""
    wanted = config.logs.format
    as_json = wanted == "json" or (wanted == "auto" and not sys.stderr.isatty())
    formatter = JsonLines() if as_json else Lines()
    formatter.hidden = redaction.secrets(config)
    _use(formatter)


def bind(**fields: object) -> None:
    """Add these fields, such as job and run_id, to all later JSON lines."""
    _current().common.update(fields)


def redact(text: str) -> str:
    """Return a text as the log shows it: in one line, without the secrets of the options."""
    return _current().redact(text)


def log_failure(job: str, error: BaseException, status: int) -> None:
    """Report the error that ended a job: in a text log only the error, as the last line; in JSON an event."""
    formatter = _current()
    if isinstance(formatter, JsonLines):
        _LOG.error("%s: %s", job, error, extra={"fields": {"event": "failed", "status": status}})
    else:
        # An error with several mistakes has one line for each; lines are escaped one by one.
        sys.stderr.write("".join(f"{formatter.redact(line)}\n" for line in f"{job}: {error}".splitlines()))


def _use(formatter: Lines) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, Lines):
            formatter.common = handler.formatter.common
        handler.setFormatter(formatter)


def _current() -> Lines:
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    return next((formatter for formatter in formatters if isinstance(formatter, Lines)), Lines())
