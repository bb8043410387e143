"""Components that do no work: detected from the statistics, and restarted at rows that the mixture explains worst.

A component is wasted if it is dead (it holds less than (d + 1) / 2 mean rows, the fewest that could have a
covariance), if its variance is only rounding error (without a floor), or if it is the lighter of two at one point
mass. A point mass is a repeated value with a component of its own, whose variance is at the floor in every direction:
it is not wasted, but reported.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.mixture import families
from gmm_spark.mixture.parameters import SHARED, Parameters
from gmm_spark.statistics import least_likely

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from gmm_spark.em.convergence import Outcome
    from gmm_spark.em.m_step import Maximiser
    from gmm_spark.em.position import Pass
    from gmm_spark.statistics.moments import Moments

    Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Reseeding:
    """Components that were restarted, and how the fit would have ended otherwise.

    Args:
        passes: the number of passes before it.
        components: their numbers, in the order of the parameters at that time.
        outcome: how the fit would have ended.
        detail: the error that would have ended it, if any.
    """

    passes: int
    components: tuple[int, ...]
    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True)
class PointMass:
    """A repeated value with a component of its own.

    Args:
        component: its number in the fitted model.
        value: (d,) the value, in the user's units.
        share: the component's share of the weight.
    """

    component: int
    value: tuple[float, ...]
    share: float


@dataclass(frozen=True)
class EmptiedComponent:
    """A component of an initial model that holds next to no rows of the new table.

    Args:
        component: its number in the model.
        before: its weight in the model.
        now: its share of the weight of these rows.
    """

    component: int
    before: float
    now: float

    @property
    def message(self) -> str:
        """A sentence on what happened, and what to do."""
        return (
            f"component {self.component} of the initial model, {self.before:.3g} of its weight, holds {self.now:.3g} "
            "of these rows: its cluster has left the data; it restarts where rows are least likely, and gets weight 0 "
            "if no cluster is there; use fewer components, or fit without the initial model"
        )


def emptied_components(measured: Pass) -> tuple[EmptiedComponent, ...]:
    """Return the components of an initial model that hold next to no rows, from the first pass at it."""
    shares, weights = measured.moments.mass / measured.moments.weight, measured.parameters.weights
    which = np.flatnonzero(dead_components(measured.moments)).tolist()
    return tuple(EmptiedComponent(k, float(weights[k]), float(shares[k])) for k in which)


def dead_components(moments: Moments) -> Mask:
    """Return which (k,) components hold too few rows for a covariance."""
    return np.asarray(moments.mass < _least_mass(moments, moments.centers.shape[1]))


def spikes(at: Parameters, moments: Moments, components: tuple[int, ...]) -> Mask:
    """Return which (k,) of these components, restarted at one row each, hold next to no other rows.

    A component on a cluster that no other explains gets its rows at once; on an outlier, EM slowly makes a spike.
    """
    few = moments.mass < ROWS_OF_A_COMPONENT * (at.d + 1) * moments.row_weight
    return np.asarray(few & (at.weights > 0) & np.isin(np.arange(at.k), components))


def drop_components(parameters: Parameters, which: Mask) -> Parameters:
    """Return the mixture with these components at weight 0."""
    weights = np.where(which, 0.0, parameters.weights)
    return parameters.replaced(weights)


def wasted_components(at: Parameters, moments: Moments, maximise: Maximiser) -> Mask:
    """Return which (k,) components do no work; none where the rows are too few for all components."""
    least = _least_mass(moments, at.d)
    if not np.isfinite(moments.sums).all() or moments.weight < at.k * least:
        return np.zeros(at.k, dtype=np.bool_)
    return dead_components(moments) | maximise.singular(at, moments) | _doubled(at, moments, maximise)


def reseed(at: Parameters, moments: Moments, which: Mask, maximise: Maximiser) -> tuple[Parameters, tuple[int, ...]]:
    """Return the parameters with wasted components restarted at the least likely rows, and their numbers.

    Each gets the mean of one row, the covariance of all the data (families with one covariance keep it) and the
    weight of d + 1 rows: it explains rows that no other component explains, and takes next to no rows from the others.

    Args:
        at: the parameters that were measured.
        moments: their statistics, with the reservoir.
        which: (k,) the wasted components.
        maximise: the M-step.
    """
    points = least_likely.distinct_points(moments.lowest) if moments.lowest is not None else np.empty((0, at.d))
    chosen = np.flatnonzero(which)[: len(points)]
    others = np.setdiff1d(np.arange(at.k), chosen)
    means, spread, weights = at.means.copy(), at.spread, at.weights.copy()
    if not chosen.size or not weights[others].any():
        return at, ()
    means[chosen] = points[: len(chosen)]
    left = 1.0 if at.noise is None else 1.0 - at.noise.weight
    weights[chosen] = min((at.d + 1) * moments.row_weight / moments.weight, left / at.k)
    weights[others] *= (left - weights[chosen].sum()) / weights[others].sum()
    if at.family not in SHARED:
        spread = spread.replaced(chosen, moments.data_spread)
    return maximise.floored(Parameters(weights, means, spread, at.family, at.noise)), tuple(chosen.tolist())


def point_masses(at: Parameters, moments: Moments, maximise: Maximiser) -> tuple[PointMass, ...]:
    """Return the repeated values with components of their own, in the user's units and order of components.

    Args:
        at: the parameters that were measured, in coordinates z.
        moments: their statistics.
        maximise: the M-step, with the user's units and the floor.
    """
    frame = maximise.frame
    enough = max(_least_mass(moments, at.d), _REPEATED * moments.row_weight)
    is_point_mass = _at_floor(at, moments, maximise) & (moments.mass >= enough)
    values = frame.rounded_points(moments.means(at.means))
    shares = moments.mass / moments.mass.sum()
    order = frame.outward(at).order.tolist()
    numbers = [(number, k) for number, k in enumerate(order) if is_point_mass[k]]
    return tuple(PointMass(number, tuple(values[k].tolist()), float(shares[k])) for number, k in numbers)


def thin_components(at: Parameters, moments: Moments, maximise: Maximiser) -> tuple[int, ...]:
    """Return the numbers in the fitted model of components with too few rows; arguments as above."""
    thin, order = maximise.thin(moments), maximise.frame.outward(at).order.tolist()
    return tuple(number for number, k in enumerate(order) if thin[k])


def thin_sentence(components: Sequence[int], least: float) -> str:
    """Return what to do about components that hold fewer than the least rows of mean weight."""
    return (
        f"Components {list(components)} hold fewer than {least:g} rows each, and no mixture without such components "
        "was found: they may describe single rows. "
        "Use fewer components, another family, or a smaller minimum component weight."
    )


ROWS_OF_A_COMPONENT = 5  # times d + 1: with fewer rows a likelihood says little
# One row is no repeated value.
_REPEATED = 1.5


def _least_mass(moments: Moments, d: int) -> float:
    return (d + 1) / 2 * moments.row_weight


def _at_floor(at: Parameters, moments: Moments, maximise: Maximiser) -> Mask:
    return families.at_floor(at.family, moments.spread(at.spread), moments.mass, maximise.frame, maximise.floor)


def _doubled(at: Parameters, moments: Moments, maximise: Maximiser) -> Mask:
    """Return which components are at the point mass of a heavier one: within a deviation of its mean."""
    at_floor = _at_floor(at, moments, maximise)
    means = moments.means(at.means)
    doubled = np.zeros(at.k, dtype=np.bool_)
    heavier: list[int] = []
    for k in sorted(np.flatnonzero(at_floor).tolist(), key=lambda k: -moments.mass[k]):
        offsets = means[heavier] - means[k]
        distances = at.spread[np.full(len(heavier), k)].inverse_forms(offsets)
        doubled[k] = bool((distances < 1).any())
        heavier.append(k)
    return doubled
