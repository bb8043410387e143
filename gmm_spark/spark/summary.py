"""How a fit went."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Summary:
    """How a fit went.

    Args:
        logLikelihood: weighted log-likelihood of the returned parameters, in nats.
        meanLogLikelihood: the same per unit of weight.
        numIter: EM steps on all rows.
        numPasses: full reads of the data: survey, packing, and one for each parameters measured.
        outcome: converged, iteration_limit, no_progress or degenerate.
        message: what the outcome means, in a sentence.
        history: meanLogLikelihood of each pass, the start's first.
        aic: Akaike's criterion; smaller is better, as for the next two.
        bic: Schwarz's criterion, with the total weight as the number of rows.
        icl: bic plus twice the entropy of the posteriors.
        weight: total weight of the rows used.
        numRows: the rows used.
        numInvalid: rows left out, by reason.
        floorHits: covariances that had to be raised to the floor, over all steps.
        seconds: wall-clock seconds by phase.
        warnings: what was doubtful about the table before the fit, in sentences.
    """

    logLikelihood: float
    meanLogLikelihood: float
    numIter: int
    numPasses: int
    outcome: str
    message: str
    history: tuple[float, ...]
    aic: float
    bic: float
    icl: float
    weight: float
    numRows: int
    numInvalid: dict[str, int]
    floorHits: int
    seconds: dict[str, float]
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON types."""
        return {**asdict(self), "history": list(self.history), "warnings": list(self.warnings)}

    @staticmethod
    def from_dict(fields: dict[str, Any]) -> Summary:
        """Read what `to_dict` returned."""
        return Summary(**{**fields, "history": tuple(fields["history"]), "warnings": tuple(fields.get("warnings", ()))})
