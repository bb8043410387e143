"""The manifest: each run writes one that is valid by the shipped schema. No Spark."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jsonschema
import numpy as np
import pytest

from gmm_spark.batch.manifest.manifest import SCHEMA_FILE, Manifest, read_manifest, schema
from gmm_spark.batch.manifest.provenance import parents_in, run_id_in
from gmm_spark.batch.runtime.run import file_name
from gmm_spark.errors import OutputError
from tests.batch.runs import run

if TYPE_CHECKING:
    from collections.abc import Mapping

FIT: Mapping[str, Any] = {
    "model_sha256": "0" * 64,
    "outcome": "degenerate",
    "message": "m",
    "passes": 3,
    "iterations": 1,
    "mean_log_likelihood": -np.inf,
    "history": (float("nan"), -1.5),
    "floor_hits": 0,
}


def valid(manifest: Manifest) -> dict[str, Any]:
    """Return a manifest after a check by the shipped schema, as a program of another language reads it."""
    content: dict[str, Any] = json.loads(manifest.to_json(), parse_constant=pytest.fail)
    rules = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(rules)
    jsonschema.validate(content, rules)
    assert read_manifest(manifest.to_json(), "here").to_json() == manifest.to_json()
    return content


def test_the_shipped_schema_is_that_of_the_manifest() -> None:
    """manifest.schema.json equals the schema of the model; scripts/schema.py writes it."""
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema()


def test_whatever_a_run_notes_ends_in_a_valid_manifest() -> None:
    """Numbers that JSON does not have become null, other values text, and maps are merged."""
    one = run("a")
    one.note(
        fit=FIT, rows={"read": 3, "weight": float("inf")}, odd={"array": np.arange(2), "type": set}, b=np.float64(2)
    )
    one.note(rows={"used": 2}, odd={"nan": np.nan})
    content = valid(one.manifest())
    assert content["rows"] == {"read": 3, "used": 2, "refused": {}, "written": None, "weight": None}
    assert content["fit"]["history"] == [None, -1.5]
    assert content["notes"] == {"odd": {"array": [0, 1], "type": "<class 'set'>", "nan": None}, "b": 2.0}


def test_a_failed_run_writes_its_status_and_error() -> None:
    """The manifest of a failed run is valid too, and has no output."""
    content = valid(run("a").manifest(3, "the input: got nothing"))
    assert (content["status"], content["error"], content["output"]) == (3, "the input: got nothing", None)


def test_a_manifest_that_cannot_be_written_hides_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """The job reports the error that ended it, even if the manifest cannot be written to the same full disk."""
    one = run("a")

    def full(_: Manifest) -> None:
        raise OSError(28, "No space left on device")

    one.on_failure = full
    one.record_failure(OutputError("o", got=1, expected="", do=""))
    assert "cannot write the manifest of this run" in caplog.text


def test_seconds_are_counted_by_phase() -> None:
    """The seconds of a repeated phase are added, and those of a failed phase count too."""
    one = run("a")
    for _ in range(2):
        with one.phase("write"):
            pass
    with pytest.raises(ZeroDivisionError), one.phase("verify"):
        raise ZeroDivisionError
    assert set(valid(one.manifest())["seconds"]) == {"write", "verify"}


@pytest.mark.parametrize("change", [{"extra": 1}, {"status": "none"}, {"run_id": None}, {"format": 2}])
def test_an_invalid_manifest_is_refused_by_both_readers(change: dict[str, Any]) -> None:
    """The schema and our reader refuse unknown fields, wrong types and other formats."""
    wrong = json.loads(run("a").manifest().to_json()) | change
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json.loads(schema()))
    with pytest.raises(OutputError, match="the manifest here"):
        read_manifest(json.dumps(wrong), "here")


def test_the_hash_of_the_options_leaves_out_the_name_of_the_run() -> None:
    """Two runs with the same options have the same hash; another option changes it."""
    hashes = [run(name, *words).configuration_hash() for name, *words in (["a"], ["b"], ["a", "--sample.seed=1"])]
    assert hashes[0] == hashes[1] != hashes[2]
    assert run("a", "--run.id=x", "--logs.format=json").configuration_hash() == hashes[0]


def test_a_run_has_the_id_of_its_scheduler() -> None:
    """The id of a run is Airflow's DAG run and task, equal for each try; else OpenLineage's parent; else new."""
    airflow = {f"AIRFLOW_CTX_{name}": name.lower() for name in ("DAG_ID", "TASK_ID", "DAG_RUN_ID")}
    tries = [airflow | {"AIRFLOW_CTX_TRY_NUMBER": number} for number in "12"]
    assert [run_id_in(each, {}) for each in tries] == ["dag_id.task_id.dag_run_id"] * 2
    assert parents_in(tries[1], {})["AIRFLOW_CTX_TRY_NUMBER"] == "2"
    assert run_id_in({"OPENLINEAGE_PARENT_ID": "ns/job/1-2"}, {}) == "ns/job/1-2"
    assert run_id_in({}, {"spark.openlineage.parentRunId": "1-2"}) == "1-2"
    assert run_id_in({}, {}) != run_id_in({}, {})


@pytest.mark.parametrize("name", ["scheduled__2024-01-01T00:00:00+00:00", "ns/job/1", "..", "_a", ".a", "a" * 250])
def test_any_id_becomes_a_valid_file_name(name: str) -> None:
    """The name has no separator, no leading dot and no colon, and different ids get different names."""
    found = file_name(name)
    assert found[0].isalnum()
    assert set(found) & set("/:+ ") == set()
    assert len(found) <= 100
    assert file_name(f"{name}:") != found
    assert file_name("2024-01-01") == "2024-01-01"
