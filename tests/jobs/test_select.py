"""select_model.py as a scheduler runs it: the published tables of Old Faithful and iris, and reruns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from gmm_spark.batch.files.local import LocalLocation
from gmm_spark.batch.steps.selection_output import FinishedFits
from gmm_spark.em.summary import Summary
from gmm_spark.mixture.parameters import Parameters
from gmm_spark.selection.evaluation import Candidate
from gmm_spark.spark.selection.choice import FittedCandidate
from gmm_spark.store.model_directory import read_model
from tests.jobs.submission import JOBS

if TYPE_CHECKING:
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(300)
# mclust BIC (Scrucca et al. 2023; larger is better: the negative of this one). At K = 3 it stops early: may be beaten.
FAITHFUL = {
    "full": (-2607.623, -2322.192, -2349.696),
    "tied": (-2607.623, -2325.220, -2314.316),
    "diag": (-3055.835, -2346.065, -2342.366),
    "spherical": (-4024.721, -3458.305, -3336.598),
    "tied-diag": (-3055.835, -2354.601, -2323.014),
    "tied-spherical": (-4024.721, -3452.998, -3377.701),
}
IRIS = {
    "full": (-829.9782, -574.0178, -580.8396),
    "diag": (-1522.1202, -857.5515, -744.6382),
    "spherical": (-1804.0854, -1012.2352, -853.8144),
    "tied": (-829.9782, -688.0972, -632.9647),
    "tied-diag": (-1522.1202, -1042.9679, -813.0504),
    "tied-spherical": (-1804.0854, -1123.4117, -878.7650),
}
CSV = ["--input.format=csv", "--input.options", "header=true", "--input.options", "inferSchema=true"]
EXACT = [
    "--fit.covariance_floor=0",
    "--fit.covariance_prior=0",
    "--fit.tol=1e-6",
    "--fit.max_iter=300",
    "--grid.families=all",
]


@pytest.fixture(scope="module")
def runs(data: Path, tmp_path_factory: pytest.TempPathFactory, application: Application) -> tuple[Path, dict[str, Any]]:
    """Run all selections of this file; return their folder and their output."""
    folder = tmp_path_factory.mktemp("select")
    faithful = [f"--input.path={data / 'faithful.csv'}", *CSV, "--features.columns=eruptions,waiting"]
    iris = [
        f"--input.path={data / 'iris.csv'}",
        *CSV,
        "--features.columns=Sepal.Length,Sepal.Width,Petal.Length,Petal.Width",
    ]
    again = [*faithful, "--grid.k=1-2", "--fit.max_iter=0", "--output.path=again"]
    jobs = {
        "faithful": [*faithful, *EXACT, "--grid.k=1-4", "--output.path=faithful"],
        "iris": [*iris, *EXACT, "--grid.k=1-3", "--fit.starts=10", "--output.path=iris"],
        "unpublished": [*again, "--fit.require_convergence=true"],
        "rerun": again,
        "refused": [*faithful, "--grid.k=2", "--output.path=faithful"],
    }
    return folder, application.run(folder, {name: (JOBS / "select_model.py", words) for name, words in jobs.items()})


@pytest.mark.parametrize(("name", "published"), [("faithful", FAITHFUL), ("iris", IRIS)])
def test_one_run_gives_the_published_table(
    runs: tuple[Path, dict[str, Any]], name: str, published: dict[str, tuple[float, ...]]
) -> None:
    """BIC of all families equals mclust's at K = 1 and 2, is no worse at K = 3, and each model is written."""
    folder, results = runs
    assert results[name]["status"] == 0, results[name]["err"]
    rows = {(row["family"], row["k"]): row for row in pq.read_table(folder / name / "table").to_pylist()}
    for family, values in published.items():
        for k, value in enumerate(values, start=1):
            row = rows[family, k]
            assert -row["bic"] >= value - 1e-3, row
            assert k == 3 or row["outcome"] == "retired" or -row["bic"] <= value + 1e-2, row
            stored = read_model(folder / name / row["model"])
            assert (stored.parameters.family, stored.parameters.k) == (family, k)
            assert stored.summary["bic"] == row["bic"]
    text = (folder / name / "table.txt").read_text().splitlines()
    notes = text.index("", len(rows))
    assert notes == 1 + len(rows)
    assert {line.partition(":")[0] for line in text[notes + 1 :]} >= {"gain", "suspicious", "stability"}


def test_the_published_winner_of_old_faithful_is_found(runs: tuple[Path, dict[str, Any]]) -> None:
    """BIC chooses tied-3: its model is in the folder model/, and its name in the summary line."""
    folder, results = runs
    (chosen,) = [row for row in pq.read_table(folder / "faithful" / "table").to_pylist() if row["chosen"]]
    assert chosen["name"] == "tied-3"
    assert -chosen["bic"] == pytest.approx(-2314.296, abs=2e-3)
    best, same = (read_model(folder / "faithful" / path) for path in ("model", "models/tied-3"))
    assert best.parameters.means.tolist() == same.parameters.means.tolist()
    assert best.features == ("eruptions", "waiting")
    assert "; tied-3 by bic, converged," in results["faithful"]["out"]
    assert results["faithful"]["out"].strip().endswith("faithful/model")
    manifest = json.loads((folder / "faithful" / "_manifest.json").read_text())
    assert manifest["notes"]["chosen"] == "tied-3"


def test_the_passes_are_shared(runs: tuple[Path, dict[str, Any]]) -> None:
    """Sixteen candidates take as many passes as the longest of them."""
    folder, _ = runs
    manifest = json.loads((folder / "faithful" / "_manifest.json").read_text())
    passes = [row["passes"] for row in pq.read_table(folder / "faithful" / "table").to_pylist()]
    assert len(passes) == 4 * len(FAITHFUL)
    assert manifest["notes"]["passes"] == max(passes) < sum(passes) / 4


def test_a_rerun_skips_finished_fits(runs: tuple[Path, dict[str, Any]]) -> None:
    """A run that ended before it published is completed by the next run without a single fit, and cleaned up."""
    folder, results = runs
    assert results["unpublished"]["status"] == 5, results["unpublished"]["err"]
    assert results["rerun"]["status"] == 0, results["rerun"]["err"]
    assert "2 candidates in 2 passes" in results["rerun"]["out"]
    assert "2 finished fits of an earlier run" in results["rerun"]["err"]
    assert len(pq.read_table(folder / "again" / "table")) == 2
    assert not list((folder / ".again.gmm_spark").glob("candidates-*"))


def test_an_output_that_exists_is_refused(runs: tuple[Path, dict[str, Any]]) -> None:
    """As for every job: status 6, and nothing is read."""
    _, results = runs
    assert results["refused"]["status"] == 6
    assert results["refused"]["spark_jobs"] == 0


def test_a_damaged_finished_fit_is_ignored(tmp_path: Path) -> None:
    """A saved fit is read back bit for bit; a truncated or changed file is ignored."""
    store = FinishedFits.beside(LocalLocation(tmp_path), "f00d")
    mixture = Parameters([0.7, 0.3], [[0.1, 1 / 3], [2.0, 3.0]], [[[1.0, 0.1], [0.1, 2.0]]] * 2, "tied")
    history, values = (-0.3, -0.1), (1.0, 2.0, 3.0, 95.0)
    summary = Summary(-9.5, -0.1, 3, 5, "converged", "", history, *values, 95, {"nan": 0}, 0, {"em": 1.0})
    for k_start in range(3):
        store.save(FittedCandidate(Candidate("tied", 2, k_start), None if k_start else 1, mixture, summary))
    kept = {each.key: each for each in store.load()}
    assert set(kept) == {(Candidate("tied", 2, 0), 1), (Candidate("tied", 2, 1), None), (Candidate("tied", 2, 2), None)}
    one = kept[Candidate("tied", 2, 1), None]
    assert one.parameters.means.tolist() == mixture.means.tolist()
    assert one.summary == summary
    file = tmp_path / "candidates-f00d" / "tied-2-start1.json"
    file.write_text(file.read_text().replace("0.1", "0.2", 1))
    (tmp_path / "candidates-f00d" / "tied-2-start2.json").write_text("{")
    assert [each.key for each in store.load()] == [(Candidate("tied", 2, 0), 1)]
