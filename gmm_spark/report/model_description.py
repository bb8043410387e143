"""A model directory as text."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.em.summary import Summary, summary_from
from gmm_spark.errors import one_line
from gmm_spark.mixture.spread import Variances

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from gmm_spark.em.reseeding import PointMass
    from gmm_spark.mixture.parameters import FloatArray
    from gmm_spark.store.model_directory import StoredModel


def description(model: StoredModel, *, correlations: bool = False) -> str:
    """Return a text with the mixture and its fit, without control characters in the names of untrusted tables.

    Args:
        model: the stored model.
        correlations: add the correlations of each component.
    """
    plain = replace(model, features=tuple(map(one_line, model.features)))
    return "\n".join(_lines(plain, correlations=correlations))


def _lines(model: StoredModel, *, correlations: bool) -> Iterator[str]:
    mixture = model.parameters
    deviations = np.sqrt(mixture.spread.variances)
    yield f"Gaussian mixture: {mixture.k} components, {mixture.family} covariance, {mixture.d} features"
    if mixture.noise is not None:
        yield f"and a noise component of weight {mixture.noise.weight:.4f}, uniform over the bounding box of the data"
    yield "\nMeans"
    yield from _by_component(mixture.weights, model.features, mixture.means)
    yield "\nStandard deviations"
    yield from _by_component(mixture.weights, model.features, deviations)
    if correlations and isinstance(mixture.spread, Variances):
        yield f"\nCorrelations: none, they are 0 in the {mixture.family} family"
    elif correlations:
        scales = deviations[:, :, None] * deviations[:, None, :]
        yield from _correlations(model.features, mixture.covariances / scales)
    yield from _fit(summary_from(dict(model.summary)) if model.summary else None, model.features)


def _by_component(weights: FloatArray, features: Sequence[str], values: FloatArray) -> Iterator[str]:
    rows = [
        [str(k), f"{weight:.4f}", *_numbers(row)] for k, (weight, row) in enumerate(zip(weights, values, strict=True))
    ]
    return _table(["component", "weight", *features], rows)


def _correlations(features: Sequence[str], matrices: FloatArray) -> Iterator[str]:
    for k, matrix in enumerate(matrices):
        yield f"\nCorrelations of component {k}"
        yield from _table(["", *features], [[name, *_numbers(row)] for name, row in zip(features, matrix, strict=True)])


def _fit(summary: Summary | None, features: Sequence[str]) -> Iterator[str]:
    yield "\nFit"
    if summary is None:
        yield "  none: the model was made from arrays"
        return
    invalid = (
        ", ".join(f"{count} {one_line(reason)}" for reason, count in summary.numInvalid.items() if count) or "none"
    )
    yield f"  outcome             {one_line(f'{summary.outcome}: {summary.message}')}"
    yield f"  rows used           {summary.numRows} (total weight {summary.weight:g}; left out: {invalid})"
    if summary.effectiveRows and summary.effectiveRows < (1 - 1e-9) * summary.numRows:
        yield f"  effective rows      {summary.effectiveRows:.6g} (the weights differ)"
    yield f"  iterations, passes  {summary.numIter}, {summary.numPasses}"
    yield f"  log-likelihood      {summary.logLikelihood:.6f} ({summary.meanLogLikelihood:.6f} nats per row)"
    if summary.covariancePenalty:
        yield f"  penalised           {summary.penalizedLogLikelihood:.6f} with the covariance prior, maximised by EM"
    criteria = f"aic {summary.aic:.2f}, bic {summary.bic:.2f}, icl {summary.icl:.2f}"
    yield f"  criteria            {criteria} (smaller is better)"
    yield f"  raised to the floor {summary.floorHits} covariances"
    yield f"  restarted           {summary.reseeded} components with almost no rows"
    if summary.emptied:
        yield f"  without rows        components {list(summary.emptied)} of the initial model"
    yield from (f"  point mass          {_point_mass(mass, features)}" for mass in summary.pointMasses)
    yield f"  seconds             {', '.join(f'{one_line(name)} {value:g}' for name, value in summary.seconds.items())}"
    yield from (f"  warning             {one_line(warning)}" for warning in summary.warnings)


def _point_mass(mass: PointMass, features: Sequence[str]) -> str:
    value = ", ".join(f"{name} = {number:.9g}" for name, number in zip(features, mass.value, strict=False))
    return f"component {mass.component} holds one repeated value, {mass.share:.4f} of the weight: {value}"


def _numbers(values: Iterable[float]) -> list[str]:
    return [f"{value:.6g}" for value in values]


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    for row in (header, *rows):
        yield "  " + "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True))
