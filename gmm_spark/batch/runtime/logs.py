"""The log of a job on stderr: one line per event, as text or as JSON, without secrets and control characters.

In client mode spark-submit sends the stderr of a Python program to its own stdout.

A record's numbers travel beside its message, as `extra={"fields": {...}}`: JSON lines carry them by name.
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
    """Text for people: time, level, logger, message; tracebacks in lines of their own."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self.hidden: dict[str, str] = {}
        self.common: dict[str, object] = {}

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return "\n".join(map(self.redact, super().format(record).splitlines()))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """Return the line without its traceback: whatever the message holds, one line."""
        return one_line(super().formatMessage(record))

    def redact(self, text: str) -> str:
        """Return a text in one line, without secrets."""
        return one_line(redaction.scrubbed(text, self.hidden))


class JsonLines(Lines):
    """One JSON object a line for programs: time, level, logger, message, and the event's own fields."""

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
        scrubbed = partial(redaction.scrubbed, hidden=self.hidden)
        return json.dumps(plain(event, scrubbed), allow_nan=False)


def start() -> None:
    """Log to stderr, as text until the options are known."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, force=True)
    _use(Lines())
    logging.getLogger("py4j").setLevel(logging.WARNING)  # it reports every connection it closes


def adopt(config: JobConfig) -> None:
    """Log in the form that the options ask for, without their secrets."""
    wanted = config.logs.format
    as_json = wanted == "json" or (wanted == "auto" and not sys.stderr.isatty())
    formatter = JsonLines() if as_json else Lines()
    formatter.hidden = redaction.secrets(config)
    _use(formatter)


def bind(**fields: object) -> None:
    """Put these fields, such as the job and its run_id, into every JSON line from now on."""
    _current().common.update(fields)


def redact(text: str) -> str:
    """Return a text as the log would show it: in one line, without the secrets of the options."""
    return _current().redact(text)


def failed(job: str, error: BaseException, status: int) -> None:
    """Report why a job ended: as text just the error, which is read last; as JSON an event like the others."""
    formatter = _current()
    if isinstance(formatter, JsonLines):
        _LOG.error("%s: %s", job, error, extra={"fields": {"event": "failed", "status": status}})
    else:
        # An error of several mistakes has a line for each; each is escaped by itself.
        sys.stderr.write("".join(f"{formatter.redact(line)}\n" for line in f"{job}: {error}".splitlines()))


def _use(formatter: Lines) -> None:
    for handler in logging.getLogger().handlers:
        if isinstance(handler.formatter, Lines):
            formatter.common = handler.formatter.common
        handler.setFormatter(formatter)


def _current() -> Lines:
    formatters = (handler.formatter for handler in logging.getLogger().handlers)
    return next((each for each in formatters if isinstance(each, Lines)), Lines())
