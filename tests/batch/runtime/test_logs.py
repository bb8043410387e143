"""The log of a job: one line per event, JSON on demand, no secrets, no control characters. No Spark."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from gmm_spark.batch.options.jobs import FitConfig
from gmm_spark.batch.options.layers import load_options
from gmm_spark.batch.options.redaction import redacted_options, scrub, secrets
from gmm_spark.batch.runtime import logs
from gmm_spark.batch.runtime.status import run_job
from gmm_spark.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOSTILE = "a\n2026-01-01 INFO gmm_spark: all is well\x1b[2J\x1b[31m\r\u2028\u202eb\x85\ud800"
FIT = ["--input.path=in", "--features.columns=a,b", "--output.path=out"]
SECRETS = """
input:
  path: ${env:LAKE}/table
  options: {password: in-the-file, sep: ";", fs.s3a.access.key: "${env:ACCESS}", url: "jdbc:x://joe:letmein@host/db"}
features: {columns: ["${env:COLUMN}", b]}
output: {path: "${env:OUT}"}
"""
VARIABLES = {"LAKE": "s3a://bucket-of-ours", "ACCESS": "AKIA-123456", "COLUMN": "fare", "OUT": "overridden"}


@pytest.fixture(autouse=True)
def _own_handlers() -> Iterator[None]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    root.handlers[:] = before
    root.setLevel(level)


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FitConfig:
    """Return options of which some are secret."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "fit.yaml"
    file.write_text(SECRETS)
    return load_options(FitConfig, ["--config", str(file), "--output.path=models/out"], prog="fit.py")


def events(text: str) -> list[dict[str, Any]]:
    """Return the JSON lines of a log, each strictly JSON."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def test_a_secret_is_shown_as_its_reference_or_not_at_all(config: FitConfig) -> None:
    """A reference is shown as such, a password as ***, and a value that replaces a reference is shown."""
    shown = redacted_options(config)
    assert shown["input"]["path"] == "${env:LAKE}/table"
    assert shown["input"]["options"] == {
        "password": "***",
        "sep": ";",
        "fs.s3a.access.key": "${env:ACCESS}",
        "url": "jdbc:x://***@host/db",
    }
    assert shown["features"]["columns"] == ["${env:COLUMN}", "b"]
    assert shown["output"]["path"] == "models/out"
    assert config.input.options["fs.s3a.access.key"] == "AKIA-123456"


def test_no_secret_reaches_the_log(config: FitConfig, capsys: pytest.CaptureFixture[str]) -> None:
    """Messages, fields, tracebacks, errors and the summary do not contain the values of secrets."""
    words = "read s3a://bucket-of-ours/table with in-the-file and AKIA-123456, ?x=1&sas_token=abc%20d;b=2"

    def job(_: object) -> str:
        logs.configure(config)
        logging.getLogger("gmm_spark").info(words, extra={"fields": {"key": words}})
        try:
            VARIABLES[words]
        except KeyError:
            logging.getLogger("gmm_spark").exception("lost %s", words)
        return words

    run_job("fit", job, [])
    captured = capsys.readouterr()
    for text in (captured.out, captured.err):
        assert "${env:LAKE}/table with *** and ${env:ACCESS}" in text
        assert "sas_token=***;b=2" in text
        assert not any(secret in text for secret in ("bucket-of-ours", "in-the-file", "AKIA", "abc%20d"))


def test_short_values_are_no_secrets(config: FitConfig) -> None:
    """A value of one or two characters is not replaced in the log."""
    assert ";" not in secrets(config)
    assert scrub("k = 3; monkeys = 5", secrets(config)) == "k = 3; monkeys = 5"


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_hostile_name_stays_within_its_line(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Control characters in a column's name add no line to the log and move no cursor."""

    def job(_: object) -> str:
        logs.configure(load_options(FitConfig, [*FIT, f"--logs.format={form}"], prog="fit.py"))
        logging.getLogger("gmm_spark").info("column %s", HOSTILE, extra={"fields": {"column": HOSTILE}})
        raise SchemaError(f"column {HOSTILE}", got=HOSTILE, expected="a name", do="Rename it.")

    with pytest.raises(SystemExit):
        run_job("fit", job, [])
    lines = capsys.readouterr().err.split("\n")
    assert len(lines) == 3
    assert lines[-1] == ""
    assert all(" " <= letter <= "~" for line in lines for letter in line)
    assert "INFO gmm_spark: all is well" in lines[0]


def test_json_lines_have_the_numbers_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    """An event has time, level, logger, message, the fields of the run and its own fields; infinity is null."""

    def job(_: object) -> str:
        logs.configure(load_options(FitConfig, [*FIT, "--logs.format=json"], prog="fit.py"))
        logs.bind(job="fit", run_id="r1")
        fields = {"event": "pass", "pass": 3, "to_gain": float("inf"), "counts": {"nan": 1}}
        logging.getLogger("gmm_spark").info("pass %d", 3, extra={"fields": fields})
        return str(1 // 0)

    with pytest.raises(SystemExit):
        run_job("fit", job, [])
    (first, last) = events(capsys.readouterr().err)
    assert {name: first[name] for name in ("level", "logger", "message", "job", "run_id", "event", "pass")} == {
        "level": "INFO",
        "logger": "gmm_spark",
        "message": "pass 3",
        "job": "fit",
        "run_id": "r1",
        "event": "pass",
        "pass": 3,
    }
    assert first["to_gain"] is None
    assert first["counts"] == {"nan": 1}
    assert last["level"] == "ERROR"
    assert "ZeroDivisionError" in last["traceback"]


def test_the_error_that_ends_a_job_is_a_json_event_with_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    """The last line of a JSON log has the status and the error of a failed job."""

    def job(_: object) -> str:
        logs.configure(load_options(FitConfig, [*FIT, "--logs.format=json"], prog="fit.py"))
        raise SchemaError("column 'a'", got="text", expected="numbers", do="Cast it.")

    with pytest.raises(SystemExit):
        run_job("fit", job, [])
    (event,) = events(capsys.readouterr().err)
    assert (event["event"], event["status"]) == ("failed", 3)
    assert event["message"] == "fit: column 'a': got text; expected numbers. Cast it."


@pytest.mark.parametrize(("form", "as_json"), [("text", False), ("json", True), ("auto", True)])
def test_the_format_is_an_option(form: str, capsys: pytest.CaptureFixture[str], as_json: bool) -> None:  # noqa: FBT001
    """The option auto means JSON if stderr is no terminal, as here."""

    def job(_: object) -> str:
        logs.configure(load_options(FitConfig, [*FIT, f"--logs.format={form}"], prog="fit.py"))
        return "done"

    run_job("fit", job, [])
    logging.getLogger("gmm_spark").info("hello")
    assert capsys.readouterr().err.startswith("{") == as_json


def test_a_wrong_secret_is_not_repeated_by_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error about a wrong secret shows the reference or *** instead of the value."""
    monkeypatch.setenv("PASSWORD", "hunter2-hunter2")
    file = tmp_path / "fit.yaml"
    for text in (
        'input: {options: {password: ["hunter2-hunter2"]}}',
        'input: {path: x, format: ["${env:PASSWORD}"]}',
        'mixture: {k: "${env:PASSWORD}"}',
        "input: {options: {password: hunter2-hunter2: x}}",
        "input: {options: {password: hunter2-hunter2, password: hunter2-hunter2}}",
    ):
        file.write_text(text)
        with pytest.raises(ValueError, match="expected") as caught:
            load_options(FitConfig, [*FIT, "--config", str(file)], prog="fit.py")
        assert "hunter2" not in str(caught.value)
