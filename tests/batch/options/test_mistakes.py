"""Wrong options of each job: reported together by key, value and remedy, before Spark is imported."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time

import pytest

from gmm_spark.batch.options.jobs import FitConfig, JobConfig, ScoreConfig, SelectConfig, SimulateConfig
from gmm_spark.batch.options.layers import load_options
from gmm_spark.batch.runtime.status import STATUSES
from gmm_spark.errors import ConfigurationError
from tests.jobs.submission import ROOT

Mistakes = list[tuple[list[str], str, str]]  # command line, the key that is reported, and part of the remedy

TABLE = ["--input.path=in", "--output.path=out"]
GIVEN: dict[str, tuple[type[JobConfig], list[str]]] = {
    "fit": (FitConfig, [*TABLE, "--features.columns=a,b"]),
    "score": (ScoreConfig, [*TABLE, "--model.path=m"]),
    "select_model": (SelectConfig, [*TABLE, "--features.columns=a,b"]),
    "simulate": (SimulateConfig, ["--model.path=m", "--sample.rows=5", "--output.path=out"]),
}
OF_ALL: Mistakes = [
    (["--output.path="], "output.path", "at least 1 character"),
    (["--output.mode=append"], "output.mode", "'overwrite'"),
    (["--output.retain=2"], "output", "output.mode=runs only"),
    (["--output.retain=0", "--output.mode=runs"], "output.retain", "greater than or equal to 1"),
    (["--output.overwrite=true"], "output.overwrite", "perhaps output."),
    (["--output.overwrite"], "command line", "--help"),
    (["--outptu.path=x"], "outptu.path", "perhaps output.path"),
    (["--Output.Path=x"], "Output.Path (command line)", "perhaps output.path"),
    (["--logs.format=xml"], "logs.format", "'json'"),
    (["--run.id=two words"], "run.id", "pattern"),
    (["stray"], "'stray'", "--help"),
    (["--config", "nowhere.yaml"], "nowhere.yaml", "conf/ holds"),
]
OF_TABLES: Mistakes = [
    (["--input.table=t"], "input", "exactly one of"),
    (["--input.path=null"], "input", "exactly one of"),
    (["--input.path=null", "--input.table=t", "--input.format=csv"], "input", "the catalog knows both"),
    (["--input.options={x"], "the environment or on the command line", "JSON"),
    (["--input.where="], "input.where", "at least 1 character"),
    (["--input.pth=x"], "input.pth", "perhaps input.path"),
    (["--input.options.=x"], "input.options", "a name for each option"),
    (["--input.options.header"], "input.options.header", "expected one argument"),
    (["--input.options.header", "--input.where=x"], "input.options.header", "expected one argument"),
    (["--quality.max_invalid_fraction=5"], "quality.max_invalid_fraction", "less than or equal to 1"),
]
OF_ESTIMATES: Mistakes = [
    (["--fit.tol=-1"], "fit.tol", "greater than or equal to 0"),
    (["--fit.tol=inf"], "fit.tol", "finite"),
    (["--fit.max_iter=99999999999999999999"], "fit.max_iter", "less than or equal to 2147483647"),
    (["--fit.seed=x"], "fit.seed", "valid integer"),
    (["--fit.starts=0"], "fit.starts", "greater than or equal to 1"),
    (["--fit.init_mode=magic"], "fit.init_mode", "'random'"),
    (["--fit.require_convergence=perhaps"], "fit.require_convergence", "a valid boolean"),
    (["--fit.invalid=skip"], "fit.invalid", "'fail', 'drop' or 'quarantine'"),
    (["--fit.invalid=quarantine"], "the sections", "quality.quarantine_path together"),
    (["--quality.quarantine_path=aside"], "the sections", "fit.invalid=quarantine"),
    (["--features.columns=a,a"], "features.columns", "each column once"),
    (["--features.column=c"], "features", "exactly one of features.columns and features.column"),
]
OF_JOB: dict[str, Mistakes] = {
    "fit": [
        (["--mixture.k=0"], "mixture.k (command line)", "greater than or equal to 1"),
        (["--mixture.k=2.5"], "mixture.k", "valid integer"),
        (["--mixture.k=99999999999999999999"], "mixture.k", "less than or equal to 2147483647"),
        (["--mixture.family=round"], "mixture.family", "'spherical'"),
        (["--mixtur.k=2"], "mixtur.k", "perhaps mixture.k"),
        (["--fit.resume=perhaps"], "fit.resume", "'never'"),
        (["--start.modle=m"], "start.modle", "perhaps start.model"),
    ],
    "score": [
        (["--model.path="], "model.path", "at least 1 character"),
        (["--model.pth=m"], "model.pth", "perhaps model.path"),
        (["--output.keep=a,a"], "output.keep", "each column once"),
        (["--output.partition_by=a,a"], "output.partition_by", "each column once"),
        (["--output.probability=half"], "output.probability", "'double'"),
        (["--output.compression=rar"], "output.compression", "'snappy'"),
        (["--mixture.k=2"], "mixture.k", "does not exist"),
    ],
    "select_model": [
        (["--grid.k=0-3"], "grid.k", "greater than or equal to 1"),
        (["--grid.k=2-5000"], "grid.k", "less than or equal to 1000"),
        (["--grid.k=5000-6000"], "grid.k", "less than or equal to 1000"),
        (["--grid.k=2,4-3"], "grid.k", "the smaller number first instead of 4-3"),
        (["--grid.k=two"], "grid.k", "a valid integer"),
        (["--grid.k="], "grid.k", "at least 1 item"),
        (
            ["--grid.families=round"],
            "grid.families",
            "'full', 'tied', 'diag', 'spherical', 'tied-diag' or 'tied-spherical'",
        ),
        (["--choice.criterion=best"], "choice.criterion", "'bic', 'aic', 'icl', 'heldout' or 'gain'"),
        (["--choice.criterion=heldout"], "choice", "choice.holdout or choice.folds"),
        (["--choice.folds=1"], "choice", "at least 2"),
        (["--choice.holdout=1"], "choice.holdout", "less than 1"),
        (["--mixture.k=2"], "mixture.k", "perhaps grid.k"),
    ],
    "simulate": [
        (["--sample.rows=0"], "sample.rows", "greater than or equal to 1"),
        (["--sample.seed=x"], "sample.seed", "a valid integer"),
        (["--sample.seed=9223372036854775808"], "sample.seed", "less than or equal to"),
        (["--sample.rows=9223372036854775808"], "sample.rows", "less than or equal to"),
    ],
}
KINDS = {
    "fit": [*OF_ALL, *OF_TABLES, *OF_ESTIMATES, *OF_JOB["fit"]],
    "score": [*OF_ALL, *OF_TABLES, *OF_JOB["score"]],
    "select_model": [*OF_ALL, *OF_TABLES, *OF_ESTIMATES, *OF_JOB["select_model"]],
    "simulate": [*OF_ALL, *OF_JOB["simulate"]],
}


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("GMM_SPARK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("GMM_SPARK_GRID__K", "2")  # --grid on the command line replaces it


@pytest.mark.parametrize("job", KINDS)
def test_mistakes_are_reported_by_key_and_remedy(job: str) -> None:
    """More than twenty kinds for each job that reads a table give key and remedy, each in less than three seconds."""
    config, given = GIVEN[job]
    for words, key, remedy in KINDS[job]:
        began = time.process_time()
        with pytest.raises(ConfigurationError) as caught:
            load_options(config, [*given, *words], prog=job)
        assert time.process_time() - began < 3
        assert key in str(caught.value), words
        assert remedy in str(caught.value), words
    assert job == "simulate" or len(KINDS[job]) > 20


def _seconds_of_children() -> float:
    # Not by the clock: a machine with ten other jobs takes ten times as long.
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.mark.parametrize("job", GIVEN)
def test_a_mistake_ends_a_job_within_three_seconds_without_spark(job: str) -> None:
    """The error is on stderr, with status 2, before Spark is imported, within three seconds of processor time."""
    began = _seconds_of_children()
    _, given = GIVEN[job]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", str(ROOT / "jobs" / f"{job}.py"), *given, "--output.mode=append"],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == STATUSES[ConfigurationError] == 2
    assert "output.mode (command line): got 'append'" in done.stderr
    assert "Traceback" not in done.stderr
    assert "pyspark" not in done.stderr
    assert done.stdout == ""
    assert _seconds_of_children() - began < 3
