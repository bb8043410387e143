"""The request of a selection, its result, and the store of its finished fits."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Protocol

from gmm_spark.em.diagnosis import unsound_findings
from gmm_spark.errors import ConfigurationError
from gmm_spark.mixture import families
from gmm_spark.mixture.criteria import at_mean_weight
from gmm_spark.mixture.parameters import FAMILIES
from gmm_spark.selection.evaluation import CRITERIA, Candidate, Criterion, Evaluation, Standing
from gmm_spark.statistics.hashing import Folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.em.summary import Summary
    from gmm_spark.mixture.parameters import Family, Parameters


_WORDS = ", ".join(FAMILIES), ", ".join(CRITERIA)


@dataclass(frozen=True)
class Choice:
    """Which mixtures to fit, and how to choose one of them.

    Args:
        ks: numbers of components.
        families: covariance families.
        finalists: the number of starts per candidate that EM continues on all rows.
        criterion: bic, aic, icl, heldout or gain, as in `selection.winner`.
        least_gain: for the criterion gain: the nats per row that each additional component must gain.
        holdout: the share of rows held out of all fits; 0: none.
        folds: n, for cross-validation: each of n parts of the rows is held out of an extra fit per candidate; 0: none.
        retire: end candidates early that can no longer win.
    """

    ks: tuple[int, ...]
    families: tuple[Family, ...] = ("full",)
    finalists: int = 1
    criterion: Criterion = "bic"
    least_gain: float = 0.01
    holdout: float = 0.0
    folds: int = 0
    retire: bool = True

    def __post_init__(self) -> None:
        has_held_out = self.holdout > 0 or self.folds > 0
        for is_valid, what, got, expected in (
            (self.ks and all(map(_is_count, self.ks)), "numbers of components", self.ks, "whole numbers above 0"),
            (self.families and {*self.families} <= {*FAMILIES}, "families", self.families, f"some of {_WORDS[0]}"),
            (self.criterion in CRITERIA, "criterion", repr(self.criterion), f"one of {_WORDS[1]}"),
            (self.finalists >= 1, "finalists", self.finalists, "at least 1"),
            (0 <= self.holdout < 1, "held-out share", self.holdout, "at least 0 and below 1"),
            (self.folds == 0 or self.folds > 1, "folds", self.folds, "0, or at least 2"),
            (not (self.holdout and self.folds), "held-out rows", "a share and folds", "one of them"),
            (self.criterion != "heldout" or has_held_out, "criterion heldout", "no held-out rows", "a share or folds"),
        ):
            if not is_valid:
                raise ConfigurationError(what, got=got, expected=expected, do="Correct the choice.")

    def row_folds(self, seed: int) -> Folds | None:
        """Return the folds of the held-out rows; None without any."""
        if self.folds:
            return Folds(self.folds, 1.0, seed)
        return Folds(1, self.holdout, seed) if self.holdout else None

    @property
    def held_out_fold(self) -> int | None:
        """The fold held out of the fits of the candidates themselves; None without any."""
        return 0 if self.holdout and not self.folds else None


def _is_count(k: object) -> bool:
    return isinstance(k, Integral) and not isinstance(k, bool) and int(k) >= 1


@dataclass(frozen=True, eq=False)
class FittedCandidate:
    """A candidate's mixture in the user's units, and how its fit went.

    Args:
        candidate: the candidate.
        fold: the fold held out of an extra fit for cross-validation; None: the fit of the candidate itself.
        parameters: the mixture, components by falling weight.
        summary: how the fit went.
    """

    candidate: Candidate
    fold: int | None
    parameters: Parameters
    summary: Summary

    @property
    def key(self) -> tuple[Candidate, int | None]:
        """Candidate and fold, which identify the fit."""
        return self.candidate, self.fold

    def standing(self) -> Standing:
        """Return its result, with which running candidates are compared."""
        summary = self.summary
        value = at_mean_weight(summary.logLikelihood, summary.weight, summary.effectiveRows)
        free, sound = _free(self.parameters), not (unsound_findings(summary.findings) or summary.smallComponentCharge)
        return Standing(self.candidate, value, 0.0, free, summary.effectiveRows, sound=sound)

    def evaluation(self, heldout: float | None) -> Evaluation:
        """Return its row in the table."""
        summary = self.summary
        return Evaluation(
            self.candidate,
            summary.outcome,
            summary.message,
            summary.logLikelihood,
            summary.weight,
            _free(self.parameters),
            entropy=at_mean_weight((summary.icl - summary.bic) / 2, summary.effectiveRows, summary.weight),
            passes=summary.numPasses,
            floor_hits=summary.floorHits,
            heldout=heldout,
            effective_rows=summary.effectiveRows,
            penalty=summary.covariancePenalty,
            charge=summary.smallComponentCharge,
            suspicious=len(unsound_findings(summary.findings)),
            stability=summary.startStability,
        )


class FitStore(Protocol):
    """Stores finished fits, so that a rerun after a crash skips them."""

    def load(self) -> Sequence[FittedCandidate]:
        """Return the fits of an earlier run."""
        ...

    def save(self, fitted: FittedCandidate) -> None:
        """Store a finished fit."""
        ...


@dataclass(frozen=True, eq=False)
class Selection:
    """All candidates and the chosen one.

    Args:
        evaluations: one per candidate, by family, k and start.
        fitted: the mixtures; failed candidates have none.
        winner: the chosen candidate.
        features: d feature names.
        passes: full reads of the data, over all candidates.
        seconds: wall-clock seconds by phase.
    """

    evaluations: tuple[Evaluation, ...]
    fitted: dict[Candidate, FittedCandidate]
    winner: Candidate
    features: tuple[str, ...]
    passes: int
    seconds: dict[str, float]


def _free(parameters: Parameters) -> int:
    return families.free_parameters(parameters.family, parameters.k, parameters.d, noise=parameters.noise is not None)
