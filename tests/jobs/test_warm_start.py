"""A refit starts from yesterday's model, and its components keep their numbers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from gmm_spark.mixture.parameters import Parameters
from gmm_spark.store.model_directory import StoredModel, encode_model, read_model
from tests.jobs import tables
from tests.jobs.submission import JOBS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tests.jobs.application import Application

pytestmark = pytest.mark.timeout(300)
FIT, XY = ["--input.path=in", "--fit.invalid=drop"], "--features.columns=x,y"
ACCEPTED: Mapping[str, list[str]] = {
    "first": ["--output.path=first"],
    "warm": ["--start.model=first", "--output.path=warm"],
    "in place": ["--start.model=warm", "--start.align_to=warm", "--output.path=warm", "--output.mode=overwrite"],
    "aligned": ["--start.align_to=yesterday", "--output.path=aligned"],
    "grown": ["--start.align_to=yesterday", "--mixture.k=3", "--output.path=grown"],
}
REFUSED: Mapping[str, tuple[list[str], list[str]]] = {
    "another k": (["--start.model=first", "--mixture.k=3"], ["start.model first", "2 components, full", "mixture.k=2"]),
    "another family": (["--start.model=first", "--mixture.family=diag"], ["mixture.family=full"]),
    "a noise": (
        ["--start.model=first", "--fit.noise=true"],
        ["first", "without noise component", "fit.noise=false"],
    ),
    "other features": (["--start.model=first", "--features.columns=y,x"], ["start.model first", "'y', 'x'"]),
    "aligned to others": (["--start.align_to=first", "--features.columns=y,x"], ["start.align_to first", "'y', 'x'"]),
    "a number left over": (["--start.align_to=first", "--mixture.k=1"], ["start.align_to first", "at most 1"]),
    "no model": (["--start.model=nowhere"], ["nowhere"]),
}


def write_yesterday(folder: Path) -> None:
    """Write a model near the same clusters, the lighter one first."""
    mixture = Parameters(
        np.array([0.4, 0.6]), np.array([[0.3, -0.2], [7.5, -8.4]]), np.stack([2 * np.eye(2), 0.5 * np.eye(2)])
    )
    header, components = encode_model(StoredModel(mixture, ("x", "y")))
    metadata = {"class": "gmm_spark.spark.ml.model.GaussianMixtureModel", "timestamp": 0, "sparkVersion": "4.1.0"}
    metadata |= {"uid": "yesterday", "paramMap": {}, "defaultParamMap": {}, "gmm_spark": header}
    for name, lines in (("metadata", [json.dumps(metadata)]), ("components", components)):
        (folder / name).mkdir(parents=True)
        (folder / name / "part-00000").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, application: Application) -> tuple[Path, dict[str, Any]]:
    """Run all jobs of this file; return their folder and their output."""
    folder = tmp_path_factory.mktemp("warm")
    tables.days(folder / "in")
    write_yesterday(folder / "yesterday")
    jobs = dict(ACCEPTED) | {name: [*words, "--output.path=out"] for name, (words, _) in REFUSED.items()}
    jobs = {name: words if any("columns" in word for word in words) else [XY, *words] for name, words in jobs.items()}
    results = application.run(folder, {name: (JOBS / "fit.py", [*FIT, *words]) for name, words in jobs.items()})
    for name in ACCEPTED:
        assert results[name]["status"] == 0, results[name]["err"]
    return folder, results


def test_a_warm_start_starts_from_yesterdays_model(runs: tuple[Path, dict[str, Any]]) -> None:
    """The first log-likelihood is that of yesterday's model; all passes are the survey and few EM passes."""
    folder, _ = runs
    first, warm = (read_model(folder / name) for name in ("first", "warm"))
    assert warm.summary["history"][0] == pytest.approx(first.summary["meanLogLikelihood"], abs=1e-9)
    assert warm.summary["meanLogLikelihood"] >= first.summary["meanLogLikelihood"] - 1e-9
    assert warm.summary["numPasses"] == 1 + len(warm.summary["history"])
    assert "starts" not in warm.summary["seconds"]


def test_components_keep_yesterdays_numbers(runs: tuple[Path, dict[str, Any]]) -> None:
    """They are in the order of the named model, not by weight; a refit in place keeps its own order."""
    folder, _ = runs
    first, aligned, place = (read_model(folder / name).parameters for name in ("first", "aligned", "warm"))
    assert first.means[0, 0] > 7  # the heavier one, for its rows lack no value
    assert aligned.weights[0] < aligned.weights[1]
    np.testing.assert_allclose(aligned.means, first.means[::-1], atol=1e-3)
    np.testing.assert_allclose(place.means, first.means, atol=1e-3)


def test_components_without_a_match_follow(runs: tuple[Path, dict[str, Any]]) -> None:
    """With a third component the two of yesterday keep 0 and 1: each is nearest to its own mean."""
    folder, _ = runs
    grown = read_model(folder / "grown").parameters
    assert grown.k == 3
    assert np.linalg.norm(grown.means[0] - [0.0, 0.0]) < 4
    assert np.linalg.norm(grown.means[1] - [8.0, -8.0]) < 4


@pytest.mark.parametrize("name", REFUSED)
def test_models_that_do_not_fit_are_refused(runs: tuple[Path, dict[str, Any]], name: str) -> None:
    """Status 7, an error that names option and remedy, and nothing written."""
    folder, results = runs
    assert results[name]["status"] == 7, results[name]["err"]
    for part in REFUSED[name][1]:
        assert part in results[name]["err"]
    assert not (folder / "out").exists()
