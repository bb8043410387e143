"""Retirement of candidates, nats per added component, and the choice between candidates."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from gmm_spark.errors import DataError
from gmm_spark.mixture import families
from gmm_spark.selection.evaluation import Candidate, Evaluation, Standing, gains, grid, hopeless, winner

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import Family

ONE, TWO = Candidate("full", 1), Candidate("full", 2)


def evaluation(family: Family, k: int, log_likelihood: float) -> Evaluation:
    """Return an evaluation on 1000 rows of 2 features."""
    free = families.free_parameters(family, k, 2)
    return Evaluation(Candidate(family, k), "converged", "", log_likelihood, 1000.0, free, 0.0, 5, 0)


def standing(candidate: Candidate, log_likelihood: float, remaining: float = 0.0, parameters: int = 10) -> Standing:
    """Return the standing of a candidate on 1000 rows."""
    return Standing(candidate, log_likelihood, remaining, parameters, 1000.0)


def test_a_grid_has_every_family_with_every_k_and_start() -> None:
    """Each candidate occurs once, with a unique name that is valid for a folder."""
    found = grid([2, 1, 2], ("full", "diag"), starts=2)
    assert len(found) == len({each.name for each in found}) == 8
    assert {(each.family, each.k, each.start) for each in found} == {
        (family, k, start) for family in ("full", "diag") for k in (1, 2) for start in (0, 1)
    }


def test_a_start_is_retired_if_another_is_beyond_its_reach() -> None:
    """Ten times Aitken's remaining gain is within reach; an unknown gain is infinite."""
    rival = standing(Candidate("full", 2, 1), -100.0)
    assert hopeless([rival, standing(TWO, -120.0, 1.9)], "icl") == {TWO}
    assert hopeless([rival, standing(TWO, -120.0, 2.1)], "icl") == set()
    assert hopeless([rival, standing(TWO, -1e9, math.inf)], "icl") == set()


@pytest.mark.parametrize(("criterion", "penalty"), [("bic", math.log(1000)), ("aic", 2.0)])
def test_another_k_retires_a_candidate_by_bic_and_aic_alone(criterion: str, penalty: float) -> None:
    """A candidate is retired if its criterion at its reach is worse than one already measured."""
    small, large = standing(ONE, -100.0, 0.0, 5), standing(TWO, -90.0, 0.2, 9)  # within reach: -88
    lost = TWO if (9 - 5) * penalty / 2 > 12 else ONE
    assert hopeless([small, large], criterion) == {lost}  # type: ignore[arg-type]
    assert hopeless([small, large], "heldout") == set()
    better = replace(large, log_likelihood=-80.0)
    assert hopeless([small, better], criterion) == {ONE}  # type: ignore[arg-type]


def test_gains_are_per_added_component_within_a_family() -> None:
    """From K = 1 to 3 the gain is halved; the best start counts; families are separate; held-out values go first."""
    three = evaluation("full", 3, -4000.0)
    worse = replace(three, candidate=Candidate("full", 3, 1), log_likelihood=-4500.0)
    rows = [
        evaluation("full", 1, -5000.0),
        three,
        worse,
        evaluation("diag", 2, -4900.0),
        evaluation("diag", 3, -4850.0),
    ]
    assert gains(rows) == {Candidate("full", 3): pytest.approx(0.5), Candidate("diag", 3): pytest.approx(0.05)}
    held = [replace(rows[0], heldout=-5.2), replace(three, heldout=-5.0)]
    assert gains(held) == {Candidate("full", 3): pytest.approx(0.1)}


def test_the_winner_is_that_of_the_named_criterion() -> None:
    """Each of four candidates is the best by another criterion."""
    likely = evaluation("full", 4, -4900.0)  # p = 23
    frugal = evaluation("full", 3, -4912.0)  # p = 17: bic 6 ln 1000 - 24 less, aic 12 more
    clear = replace(evaluation("full", 2, -4945.0), entropy=0.0)
    steady = replace(evaluation("full", 1, -5000.0), heldout=-4.9)
    rows = [
        replace(likely, entropy=100.0, heldout=-5.0),
        replace(frugal, entropy=100.0, heldout=-5.1),
        replace(clear, heldout=-5.2),
        replace(steady, entropy=100.0),
    ]
    chosen = {criterion: winner(rows, criterion).candidate.k for criterion in ("aic", "bic", "icl", "heldout")}
    assert chosen == {"aic": 4, "bic": 3, "icl": 2, "heldout": 1}


def test_components_are_added_as_long_as_each_gains_enough() -> None:
    """The first gain below the threshold ends a family, even if later ones are above; then BIC decides."""
    full = [evaluation("full", k, value) for k, value in enumerate((-5000.0, -4900.0, -4899.0, -4700.0), start=1)]
    assert winner(full, "gain", 0.05).candidate.k == 2
    assert winner(full, "gain", 0.0005).candidate.k == 4
    assert winner(full, "gain", 0.2).candidate.k == 1
    diag = [evaluation("diag", 1, -4700.0), evaluation("diag", 2, -4699.0)]
    assert winner([*full, *diag], "gain", 0.05).candidate == Candidate("diag", 1)


def test_mixtures_that_collapsed_or_were_retired_or_failed_do_not_win_against_sound_ones() -> None:
    """Sound mixtures win against collapsed, retired and failed ones; without any, the collapsed one wins."""
    sound = evaluation("full", 1, -5000.0)
    collapsed = replace(evaluation("full", 3, 9000.0), outcome="degenerate")
    retired = replace(evaluation("full", 2, -4000.0), outcome="retired")
    failed = replace(evaluation("full", 9, math.nan), outcome="failed", message="Use fewer.")
    assert winner([failed, collapsed, retired, sound], "bic") == sound
    assert winner([failed, collapsed], "bic") == collapsed
    with pytest.raises(DataError, match=r"all failed.*Use fewer"):
        winner([failed], "bic")


def test_a_candidate_with_a_suspicious_component_wins_only_against_others_like_it() -> None:
    """It neither retires a sound candidate nor wins against it; between starts, EM's objective decides."""
    sound, thin = evaluation("full", 1, -100.0), replace(evaluation("full", 2, -10.0), suspicious=1)
    assert winner([sound, thin], "bic") is sound
    assert winner([thin], "bic") is thin
    assert hopeless([standing(ONE, -100.0), replace(standing(TWO, -10.0), sound=False)], "bic") == set()
    assert hopeless([standing(ONE, -100.0), standing(TWO, -10.0)], "bic") == {ONE}
    collapsed = replace(sound, candidate=replace(sound.candidate, start=1), log_likelihood=-90.0, penalty=20.0)
    assert winner([sound, collapsed], "bic") is sound
