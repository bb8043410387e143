"""Many EM runs together: each run ends as if alone, and all share the reads of the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pytest

from gmm_spark import em
from gmm_spark.mixture.parameters import FAMILIES, Parameters
from gmm_spark.selection.evaluation import RETIRED, Candidate
from gmm_spark.selection.race import Finish, Runner, race
from gmm_spark.statistics import kernel
from gmm_spark.statistics.block import Block
from tests.strategies import Problem, frame_of, random_mixture, run, sample, start_near

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.mixture.parameters import Family, FloatArray
    from gmm_spark.statistics.moments import Moments
    from gmm_spark.statistics.reading import Request

TOL, MOST = 1e-5, 200


def rows() -> FloatArray:
    """Return 600 rows of three overlapping clusters."""
    random = np.random.default_rng(3)
    return sample(random, random_mixture(random, 3, 2, "full"), 600)[0]


@dataclass
class Engine:
    """Reads rows in memory, in the coordinates of each family; counts its reads and the requests of each read."""

    x: FloatArray
    folds: FloatArray
    served: list[int] = field(default_factory=list)

    def __call__(self, requests: Sequence[Request]) -> list[Moments]:
        """Return the statistics of each request."""
        self.served.append(len(requests))
        return [self._one(request) for request in requests]

    def _one(self, request: Request) -> Moments:
        z = frame_of(self.x, np.ones(len(self.x)), request.parameters.family).rows(self.x)
        parts = [z[:, self.folds == fold] for fold in (-1, 0, 1) if request.takes(fold)]
        blocks = [Block(part, np.ones(part.shape[1])) for part in parts]
        (moments,) = kernel.accumulate(blocks, [request.parameters])
        return moments


def problem(x: FloatArray, family: Family, k: int, seed: int = 0) -> Problem:
    """Return the problem of a candidate."""
    return Problem(x, np.ones(len(x)), start_near(np.random.default_rng([seed, k]), x, k, family))


def runner(x: FloatArray, candidate: Candidate, held: int | None = None) -> Runner:
    """Return the run of a candidate at its start."""
    case = problem(x, candidate.family, candidate.k, candidate.start)
    state = em.begin(case.frame.inward(case.start), "squarem")
    return Runner(candidate, state, em.Maximiser(case.frame, 1e-6), held)


def raced(runners: list[Runner], folds: FloatArray | None = None) -> tuple[Engine, dict[Candidate, Finish]]:
    """Run all runs to their ends; return the engine and the finish of each."""
    x = rows()
    reader = Engine(x, np.full(len(x), -1) if folds is None else folds)
    finishes = race(reader, runners, em.Goal(TOL, MOST), None)
    return reader, {each.runner.candidate: each for each in finishes}


def test_each_run_ends_as_a_single_fit() -> None:
    """Parameters, history and outcome of all families and several K are those of a single fit."""
    x = rows()
    candidates = [Candidate(family, k) for family in FAMILIES for k in (2, 3)]
    _, finishes = raced([runner(x, each) for each in candidates])
    for each in candidates:
        alone = run(problem(x, each.family, each.k), tol=TOL, max_iter=MOST, acceleration="squarem", floor=1e-6)
        fit = finishes[each].fit
        assert fit is not None
        assert finishes[each].outcome == alone.outcome.value
        assert fit.history == pytest.approx(alone.history, rel=1e-12)  # and as many
        np.testing.assert_allclose(fit.best.parameters.means, alone.best.parameters.means, atol=1e-10)


def test_reads_are_shared() -> None:
    """The reads are those of the longest run, and each read serves only runs that have not ended."""
    x = rows()
    reader, finishes = raced([runner(x, Candidate(family, k)) for family in FAMILIES for k in (1, 2, 3)])
    lengths = [len(fit.history) for each in finishes.values() if (fit := each.fit)]
    assert len(reader.served) == max(lengths) < sum(lengths) / 3
    assert reader.served == [sum(length > i for length in lengths) for i in range(max(lengths))]


def test_losers_are_retired_before_their_end_and_the_winner_is_the_same() -> None:
    """By BIC spherical mixtures of elongated clusters end early, reported as retired, and the best stays the best."""
    x = rows() * [1.0, 40.0]
    candidates = [Candidate(family, k) for family in ("full", "spherical") for k in (2, 3, 4, 5)]

    def bic(each: Finish) -> float:
        fit = each.fit
        assert fit is not None
        frame, moments = each.runner.maximise.frame, fit.best.moments
        log_likelihood = moments.log_likelihood - moments.weight * frame.log_determinant
        free = {"full": 6, "spherical": 4}[each.runner.candidate.family] * each.runner.candidate.k - 1
        return float(-2 * log_likelihood + free * np.log(len(x)))

    finishes = {}
    for criterion in ("bic", None):
        reader = Engine(x, np.full(len(x), -1))
        goal = em.Goal(1e-6, MOST)
        ended = {
            each.runner.candidate: each for each in race(reader, [runner(x, c) for c in candidates], goal, criterion)
        }
        finishes[criterion] = ended, sum(reader.served)
    (early, fewer), (whole, more) = finishes["bic"], finishes[None]
    retired = {candidate for candidate, each in early.items() if each.outcome == RETIRED}
    assert retired
    assert fewer < more
    assert min(early, key=lambda c: bic(early[c])) == min(whole, key=lambda c: bic(whole[c]))
    assert not {candidate for candidate, each in whole.items() if each.outcome == RETIRED}


def test_a_run_is_fitted_to_the_rows_outside_its_fold_only() -> None:
    """The fit is the same as that of a table without the held-out rows."""
    x = rows()
    folds = np.where(np.arange(len(x)) % 4 == 0, 0, -1)
    candidate = Candidate("full", 2)
    _, finishes = raced([runner(x, candidate, held=0)], folds=folds)
    own = problem(x, "full", 2)
    kept = Problem(x[folds < 0], np.ones((folds < 0).sum()), own.start)
    alone = run(kept, tol=TOL, max_iter=MOST, acceleration="squarem", floor=1e-6, frame=own.frame)
    fit = finishes[candidate].fit
    assert fit is not None
    np.testing.assert_allclose(fit.best.parameters.means, alone.best.parameters.means, atol=1e-9)
    assert fit.best.moments.weight == (folds < 0).sum()


def test_a_bad_start_does_not_end_the_others() -> None:
    """A run whose rows are all the same point ends as degenerate or failed; the other one converges."""
    x = np.concatenate([rows(), np.zeros((50, 2))])
    point = Parameters(
        np.array([0.5, 0.5]), np.array([[0.0, 0.0], [1.0, 1.0]]), np.stack([1e-9 * np.eye(2), np.eye(2)])
    )
    good = runner(x, Candidate("full", 3))
    frame = good.maximise.frame
    bad = Runner(Candidate("full", 2), em.begin(frame.inward(point), "squarem"), em.Maximiser(frame, 0.0))
    reader = Engine(x, np.full(len(x), -1))
    finishes = {each.runner.candidate.k: each for each in race(reader, [bad, good], em.Goal(TOL, MOST), None)}
    assert finishes[2].outcome in {"degenerate", "failed"}
    assert finishes[3].outcome == "converged"
