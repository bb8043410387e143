"""What a selection is asked for, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gmm_spark.em.diagnosis import unsound_findings
from gmm_spark.errors import ConfigurationError
from gmm_spark.mixture import families
from gmm_spark.mixture.criteria import at_mean_weight
from gmm_spark.selection.evaluation import Candidate, Criterion, Evaluation, Standing
from gmm_spark.statistics.hashing import Folds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from gmm_spark.em.summary import Summary
    from gmm_spark.mixture.parameters import Family, Parameters


@dataclass(frozen=True)
class Choice:
    """Which mixtures to fit, and how to choose one of them.

    Args:
        ks: numbers of components.
        families: covariance families.
        finalists: how many starts of each go from the sample to all rows.
        criterion: bic, aic, icl, heldout or gain, as in `selection.winner`.
        least_gain: for the criterion gain: nats per row that each added component must gain.
        holdout: the share of the rows that no mixture is fitted to; 0 holds none out.
        folds: each of n parts of the rows is held out of a second fit of each mixture; 0 holds none out.
        retire: end candidates early that can't win any more.
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
        held_out = self.holdout > 0 or self.folds > 0
        for ok, what, got, expected in (
            (self.ks and min(self.ks) >= 1, "numbers of components", self.ks, "at least one, each at least 1"),
            (self.families, "families", self.families, "at least one"),
            (self.finalists >= 1, "finalists", self.finalists, "at least 1"),
            (0 <= self.holdout < 1, "held-out share", self.holdout, "at least 0 and below 1"),
            (self.folds == 0 or self.folds > 1, "folds", self.folds, "0, or at least 2"),
            (not (self.holdout and self.folds), "held-out rows", "a share and folds", "one of them"),
            (self.criterion != "heldout" or held_out, "criterion heldout", "no held-out rows", "a share or folds"),
        ):
            if not ok:
                raise ConfigurationError(what, got=got, expected=expected, do="Correct the choice.")

    def of_rows(self, seed: int) -> Folds | None:
        """Return which rows are held out."""
        if self.folds:
            return Folds(self.folds, 1.0, seed)
        return Folds(1, self.holdout, seed) if self.holdout else None

    @property
    def held(self) -> int | None:
        """The fold that the candidates themselves are not fitted to."""
        return 0 if self.holdout and not self.folds else None


@dataclass(frozen=True, eq=False)
class FittedCandidate:
    """A candidate's mixture in the user's units, and how its fit went.

    Args:
        candidate: which.
        fold: the fold that this fit was made to measure; None for the candidate itself.
        parameters: the mixture, components by falling weight.
        summary: how it went.
    """

    candidate: Candidate
    fold: int | None
    parameters: Parameters
    summary: Summary

    @property
    def key(self) -> tuple[Candidate, int | None]:
        """What distinguishes it from the others."""
        return self.candidate, self.fold

    def standing(self) -> Standing:
        """Return what it came to, as a rival of those that still run."""
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


class Shelf(Protocol):
    """Keeps fits that have ended, so that a rerun after a crash skips them."""

    def kept(self) -> Sequence[FittedCandidate]:
        """Return the fits of an earlier run."""
        ...

    def keep(self, fitted: FittedCandidate) -> None:
        """Keep a fit that has ended."""
        ...


@dataclass(frozen=True, eq=False)
class Selection:
    """All candidates and the one that was chosen.

    Args:
        evaluations: a row for each candidate, by family, k and start.
        fitted: the mixtures; candidates that failed have none.
        winner: the candidate chosen.
        features: d names.
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
