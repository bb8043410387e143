"""How a fit went."""

from __future__ import annotations

import sys
from dataclasses import MISSING, asdict, dataclass, is_dataclass
from dataclasses import fields as dataclass_fields
from typing import TYPE_CHECKING, Any, get_args, get_origin, get_type_hints

from gmm_spark.em.convergence import sentence
from gmm_spark.em.diagnosis import Finding, findings, passed_over_findings
from gmm_spark.em.reseeding import PointMass, point_masses, thin_components, thin_sentence
from gmm_spark.errors import ModelError
from gmm_spark.mixture import criteria, families
from gmm_spark.statistics import kernel

if TYPE_CHECKING:
    from gmm_spark.em.m_step import Maximiser
    from gmm_spark.em.trace import Fit
    from gmm_spark.statistics.survey import Survey


@dataclass(frozen=True)
class Summary:
    """How a fit went.

    Args:
        logLikelihood: weighted log-likelihood of the returned parameters, in nats.
        meanLogLikelihood: the same per unit of weight.
        numIter: EM steps on all rows; 0 where the start, from a sample or from the driver, had nothing left to gain.
        numPasses: full reads of the data: survey, packing, and one per mixture measured, a replaced start included.
        outcome: converged, iteration_limit, no_progress or degenerate.
        message: the outcome in a sentence, and what to do.
        history: meanLogLikelihood of each pass, the start's first.
        aic: Akaike's criterion; smaller is better, as for the next two.
        bic: Schwarz's criterion; like the other two it counts effectiveRows at the mean weight.
        icl: bic plus twice the entropy of the posteriors.
        weight: total weight of the rows used.
        numRows: the usable rows, with those of weight 0.
        numInvalid: rows left out, by reason.
        floorHits: covariances that were raised to the floor, over all steps.
        seconds: wall-clock seconds by phase, of the run that ended the fit.
        warnings: what was doubtful about the table before the fit, in sentences.
        resumedPasses: passes of the history that come from the checkpoint of an interrupted run.
        startReplaced: whether all rows showed a cluster that the sample had missed, and so another start was used.
        reseeded: components that held next to no rows and were restarted elsewhere, whether or not that helped.
        startStability: in a selection the share of the starts that led to the partition of the best one; else None.
        findings: suspicious components, or a likelier mixture that was passed over, and what to do: see `diagnosis`.
        pointMasses: repeated values with components of their own: number, value, share of the weight.
        effectiveRows: the number of rows of equal weight that would be as good (Kish): numRows where all weigh the
            same; 0 in the summary of a model that was written before this field existed.
        covariancePenalty: what the covariance prior takes off the log-likelihood in EM's objective, in nats.
        smallComponentCharge: what components of few rows are charged when mixtures are compared, in nats.
        thinComponents: components with fewer rows than the minimum component weight, because no start led to larger
            ones.
        emptied: numbers of the initial model's components that held next to no rows of this table; none in a fit that
            was resumed after its first pass.
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
    resumedPasses: int = 0
    startReplaced: bool = False
    reseeded: int = 0
    pointMasses: tuple[PointMass, ...] = ()
    findings: tuple[Finding, ...] = ()
    startStability: float | None = None
    effectiveRows: float = 0.0
    covariancePenalty: float = 0.0
    smallComponentCharge: float = 0.0
    thinComponents: tuple[int, ...] = ()
    emptied: tuple[int, ...] = ()

    @property
    def penalizedLogLikelihood(self) -> float:
        """What EM maximised, in nats: the log-likelihood less the penalty of the covariance prior."""
        return self.logLikelihood - self.covariancePenalty


def fields_of(summary: Summary) -> dict[str, Any]:
    """Return the fields of a summary as JSON types."""
    masses = [{**asdict(each), "value": list(each.value)} for each in summary.pointMasses]
    messages = [{**asdict(each), "features": list(each.features)} for each in summary.findings]
    lists = {name: list(getattr(summary, name)) for name in ("history", "warnings", "thinComponents", "emptied")}
    return {**asdict(summary), **lists, "pointMasses": masses, "findings": messages}


def summary_from(fields: dict[str, Any]) -> Summary:
    """Return the summary with these fields, as `fields_of` returned them; they may be untrusted.

    Raises:
        ModelError: fields that are missing, unknown or of another type.
    """
    kinds = get_type_hints(Summary)
    needed = {each.name for each in dataclass_fields(Summary) if each.default is MISSING}
    wrong = sorted((needed - fields.keys()) | (fields.keys() - kinds.keys()))
    wrong += [name for name, value in fields.items() if name in kinds and not _has_type(value, kinds[name])]
    if wrong:
        raise ModelError(
            "summary of a model",
            got=f"fields that are missing, unknown or of another type: {wrong}",
            expected="a summary that gmm_spark wrote",
            do="Restore the model from a copy, or fit it again.",
        )
    parts: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()}
    masses = (PointMass(**{**each, "value": tuple(each["value"])}) for each in fields.get("pointMasses", ()))
    messages = (Finding(**{**each, "features": tuple(each["features"])}) for each in fields.get("findings", ()))
    return Summary(**{**parts, "pointMasses": tuple(masses), "findings": tuple(messages)})


def _has_type(value: object, kind: Any) -> bool:  # noqa: ANN401 - a type or a generic alias
    """Return whether a JSON value has the type of a field."""
    inner = get_args(kind)
    if type(None) in inner:
        return value is None or _has_type(value, inner[0])
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(_has_type(each, inner[0]) for each in value)
    if get_origin(kind) is dict:
        return isinstance(value, dict) and all(_has_type(each, inner[1]) for each in value.values())
    if is_dataclass(kind):
        kinds = get_type_hints(kind)
        return (
            isinstance(value, dict)
            and kinds.keys() == value.keys()
            and all(_has_type(value[name], kinds[name]) for name in kinds)
        )
    if kind is float:
        # JSON allows integers that are too large for a float.
        return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    return type(value) is kind


def summary_of(
    fit: Fit,
    maximise: Maximiser,
    surveyed: Survey,
    names: tuple[str, ...],
    seconds: dict[str, float],
    passes: int,
    tol: float,
) -> Summary:
    """Return how a fit by this M-step to a surveyed table went."""
    frame = maximise.frame
    best, weight = fit.best, fit.best.moments.weight
    log_likelihood = best.moments.log_likelihood - weight * frame.log_determinant
    mixture = best.parameters
    free = families.free_parameters(mixture.family, mixture.k, mixture.d, noise=mixture.noise is not None)
    entropy = kernel.entropy(best.parameters, best.moments)
    rows = surveyed.effective_rows * (weight / surveyed.weight)  # of the rows that are not held out
    value = criteria.at_mean_weight(log_likelihood, weight, rows)
    thin = thin_components(best.parameters, best.moments, maximise)
    thin_message = thin_sentence(thin, maximise.least) if thin else ""
    return Summary(
        logLikelihood=log_likelihood,
        meanLogLikelihood=log_likelihood / weight,
        numIter=fit.iterations,
        numPasses=passes,
        outcome=fit.outcome.value,
        message=" ".join(filter(None, (sentence(fit.outcome, tol, fit.detail), thin_message))),
        history=tuple(value - frame.log_determinant for value in fit.history),
        aic=criteria.aic(value, free),
        bic=criteria.bic(value, free, rows),
        icl=criteria.icl(value, free, rows, criteria.at_mean_weight(entropy, weight, rows)),
        weight=weight,
        numRows=surveyed.rows,
        numInvalid=surveyed.invalid,
        floorHits=fit.floored,
        seconds=seconds,
        reseeded=fit.reseeded,
        pointMasses=point_masses(mixture, best.moments, maximise),
        findings=(*findings(mixture, best.moments, maximise, names), *passed_over_findings(fit.passed)),
        effectiveRows=rows,
        covariancePenalty=best.penalty * weight,
        smallComponentCharge=best.charge * weight,
        thinComponents=thin,
    )
