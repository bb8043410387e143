"""The steps of a fit: a start from a sample, its check on all rows, EM to its end, each event reported once."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark.fit.observer import Observer
from gmm_spark.fit.order import FitResult, fit_rows
from gmm_spark.fit.problem import Problem
from gmm_spark.fit.rows_in_memory import ArrayTable, RowsInMemory
from gmm_spark.options import Options
from gmm_spark.search import sample_size

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from gmm_spark import em
    from gmm_spark.em.reseeding import EmptiedComponent
    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.search.missed_clusters import CheckedStart
    from gmm_spark.statistics.moments import Moments


@dataclass
class Recorder(Observer):
    """Records the events of a fit."""

    events: list[str] = field(default_factory=list)
    states: list[em.State] = field(default_factory=list)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Record a phase."""
        self.events.append(name)
        yield

    def start_checked(self, start: CheckedStart) -> None:
        """Record the checked start."""
        self.events.append("replaced" if start.replaced else "kept")

    def state_reached(self, state: em.State) -> None:
        """Record a state."""
        self.states.append(state)

    def pass_measured(self, state: em.State, measured: em.Pass) -> None:  # noqa: ARG002 - as all of these
        """Record a pass."""
        self.events.append("pass")

    def emptied(self, components: Sequence[EmptiedComponent]) -> None:
        """Record components without rows."""
        self.events += [f"emptied {each.component}" for each in components]


@dataclass
class Counted:
    """Rows in memory whose reads are counted."""

    rows: RowsInMemory
    reads: int = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self.rows, name)

    def __call__(self, candidates: Sequence[Parameters]) -> Sequence[Moments]:
        """Read all rows."""
        self.reads += 1
        return self.rows(candidates)

    def with_lowest(self, candidate: Parameters) -> Moments:
        """Read all rows."""
        self.reads += 1
        return self.rows.with_lowest(candidate)


def run(
    x: FloatArray,
    options: Options,
    sample: int | None = None,
    initial: Parameters | None = None,
    state: em.State | None = None,
) -> tuple[FitResult, Recorder, int]:
    """Fit rows in memory; return the fit, its events, and the number of reads of all rows."""
    table, recorder = ArrayTable(x), Recorder()
    surveyed = table.survey()
    problem = Problem.of(options, surveyed, tuple(f"x{i}" for i in range(x.shape[1])))
    rows = RowsInMemory.of(table, problem, sample)
    counted = Counted(rows)
    fitted = fit_rows(problem, counted, recorder, initial, state)  # type: ignore[arg-type] # as the rows
    return fitted, recorder, counted.reads


def two_and_a_few(few: int = 40, n: int = 20_000) -> FloatArray:
    """Return two clusters of many rows at -25 and 25, and one of a few rows between them."""
    rng = np.random.default_rng(5)
    two = rng.standard_normal((n - few, 2)) + np.where(rng.random((n - few, 1)) < 0.4, 25.0, -25.0) * [1.0, 0.0]
    return np.concatenate([two, 0.3 * rng.standard_normal((few, 2))])


OPTIONS = Options(3, starts=5)


def test_a_sample_of_all_rows_is_not_checked() -> None:
    """The phases are pack, starts and EM, with one read per pass."""
    fitted, recorder, reads = run(two_and_a_few(n=3000), OPTIONS)
    passes = len(fitted.fit.history)
    assert recorder.events == ["pack", "starts", "em", *["pass"] * passes]
    assert reads == passes
    assert fitted.summary({}).numPasses == 2 + passes
    assert not fitted.summary({}).startReplaced


def test_a_cluster_that_the_sample_missed_leads_to_another_start() -> None:
    """All rows are read for the first start and for the second one, whose read is the first pass of EM."""
    fitted, recorder, reads = run(two_and_a_few(), OPTIONS, 500)
    passes = len(fitted.fit.history)
    assert recorder.events == ["pack", "starts", "parts", "look", "replaced", "em", *["pass"] * passes]
    assert reads == passes + 1
    summary = fitted.summary({})
    assert (summary.startReplaced, summary.numPasses) == (True, 3 + passes)
    assert fitted.parameters.weights[2] == pytest.approx(40 / 20_000, rel=0.01)


def test_a_fit_resumed_from_any_state_ends_alike() -> None:
    """Without a search, the parameters have the bits of the fit without interruption."""
    x = two_and_a_few(n=4000)
    whole, recorder, _ = run(x, OPTIONS, 800)
    assert len(recorder.states) == len(whole.fit.history) + 1
    for number, state in enumerate(recorder.states):
        fitted, events, reads = run(x, OPTIONS, 800, state=state)
        assert [each for each in events.events if each != "pass"] == ["em"]
        assert reads == len(whole.fit.history) - number
        assert fitted.resumed == number
        for one, other in zip(fitted.parameters.arrays, whole.parameters.arrays, strict=True):
            np.testing.assert_array_equal(one, other)


def test_an_emptied_component_of_the_initial_model_is_reported() -> None:
    """There is no search; the component has its number in the model, and the summary has its message."""
    x = two_and_a_few(n=3000)
    before, _, _ = run(x, OPTIONS)
    left = x[x[:, 0] < 15]  # the lighter one of the two large clusters is gone
    gone = int(np.argmax(before.parameters.means[:, 0]))
    fitted, recorder, _ = run(left, OPTIONS, initial=before.parameters)
    assert recorder.events[:3] == ["em", "pass", f"emptied {gone}"]
    summary = fitted.summary({}, ["doubtful"])
    assert summary.emptied == (gone,)
    assert summary.warnings[0] == "doubtful"
    assert f"component {gone} of the initial model" in summary.warnings[1]


def test_one_component_needs_only_the_survey() -> None:
    """Without a search, the maximum is the mean and the covariance of the rows."""
    x = two_and_a_few(n=1000)
    fitted, recorder, _ = run(x, Options(1, covariance_prior=0.0))
    assert recorder.events[:2] == ["pack", "em"]
    np.testing.assert_allclose(fitted.parameters.means[0], x.mean(axis=0), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(fitted.parameters.covariances[0], np.cov(x.T, bias=True), rtol=1e-9)


def test_a_sample_represents_all_rows() -> None:
    """Its weights add up to the share of the rows, and its mean is that of all rows within five standard errors."""
    x = two_and_a_few(n=20_000)
    table = ArrayTable(x)
    rows = RowsInMemory.of(table, Problem.of(OPTIONS, table.survey(), ("a", "b")), 2000)
    z, weights = rows.sample()
    assert weights.sum() == pytest.approx(0.1 * len(x), rel=0.1)
    assert abs(weights @ z[0] / weights.sum()) < 5 / np.sqrt(len(weights))
    assert sample_size.sample_rows("full", 3, 2, 1e-4, len(x)) == len(x)
