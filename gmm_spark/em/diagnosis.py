"""Suspicious components of a fitted mixture: what is wrong with each, and what to do about it.

The likelihood of a Gaussian mixture has no upper bound: a good search finds components that sit on a handful of rows,
on a tie or on a rounded value. They raise the likelihood and describe no cluster. Each finding names the component, the
numbers and the remedy, so that a person can judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.em.reseeding import point_masses
from gmm_spark.mixture import alignment
from gmm_spark.mixture.parameters import SHARED, Parameters
from gmm_spark.mixture.spread import Matrices

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from gmm_spark.em.m_step import Maximiser
    from gmm_spark.em.reseeding import PointMass
    from gmm_spark.em.trace import PassedOver
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import FloatArray
    from gmm_spark.statistics.moments import Moments

# Families whose variance is the same in all directions of the user's features.
_ROUND = frozenset({"spherical", "tied-spherical"})
# A variance within this factor of the floor is at the floor.
_AT_FLOOR = 1 + 1e-6
# The prior carries a direction to which it gives more than this share of the variance.
_CARRIED = 0.5
# What can be said of sound clusters: two components for one, a width that the prior, not a tie, has set, few rows that
# gain more than chance does; and of a mixture that was not chosen.
_SOUND = frozenset({"duplicate", "widened", "small", "passed_over"})
# A direction belongs to one feature if that has this share of its squared loadings; else the largest ones are named.
_ONE_FEATURE, _MOST_NAMED = 0.98, 3
# Fewer rows than this are none: there is nothing else to say of the component.
_NO_ROW = 0.5
# Of the rows of a component: what `minComponentWeight` accepts it with, wherever the last steps of EM lead.
_JUST_BELOW = 0.99
# Two components are one if their Bhattacharyya coefficient, 1 for equal densities, is at least this: that of two
# normals of one covariance whose means are 0.64 standard deviations apart.
_SAME = 0.95


@dataclass(frozen=True)
class Finding:
    """Something suspicious about a component.

    Args:
        component: its number in the fitted model; the least of them where a covariance is shared; -1 of passed_over.
        kind: few_rows, small (more rows than that, and few for its parameters), floor, prior (a tie that has its
            variance from the prior), point_mass, duplicate, widened (a narrow cluster whose variance is mostly the
            prior's), or passed_over (a likelier mixture with a component of few rows was not chosen).
        message: what was found, with its numbers, and what to do.
        features: the features that it is about; empty where it is about all of them.
    """

    component: int
    kind: str
    message: str
    features: tuple[str, ...] = ()


def unsound(found: Iterable[Finding]) -> list[Finding]:
    """Return what makes a mixture unsound: all but what can be said of clusters that are there."""
    return [each for each in found if each.kind not in _SOUND]


def findings(at: Parameters, moments: Moments, maximise: Maximiser, names: Sequence[str] = ()) -> tuple[Finding, ...]:
    """Return what is suspicious about the components of a fitted mixture, by component.

    Args:
        at: the fitted parameters, in coordinates z.
        moments: their statistics.
        maximise: the M-step: it knows the coordinates, the floor, the prior and the least rows of a component.
        names: d feature names; x0, x1, ... where there are none.
    """
    names = names or tuple(f"x{i}" for i in range(at.d))
    numbers = np.argsort(maximise.frame.outward(at).order).tolist()
    found = [_point_mass(each, names) for each in point_masses(at, moments, maximise)]
    held = {each.component for each in found}
    rows = moments.mass / moments.row_weight
    for k, number in enumerate(numbers):
        found += _few_rows(number, float(rows[k]), maximise)
    for k in _with_own_covariance(at, numbers):
        if numbers[k] not in held and (rows[k] >= _NO_ROW or at.family in SHARED):
            found += _narrow(
                _Direction.of(at, k, maximise.frame), numbers[k], _Evidence.of(at, k, moments, maximise), names
            )
    found += _duplicates(at, numbers, np.flatnonzero(rows >= _NO_ROW))
    return tuple(sorted(found, key=lambda each: (each.component, each.kind)))


def _with_own_covariance(at: Parameters, numbers: Sequence[int]) -> Sequence[int]:
    return [numbers.index(0)] if at.family in SHARED else range(at.k)


@dataclass(frozen=True, eq=False)
class _Direction:
    """The direction in which a component has its least variance.

    Args:
        variance: there, in units of the data's variance.
        loadings: (d,) of the standardised features, of length 1; None where the variance is the same in all directions.
        mean: (d,) of the component, in the user's units.
    """

    variance: float
    loadings: FloatArray | None
    mean: FloatArray

    @staticmethod
    def of(at: Parameters, k: int, frame: Coordinates) -> _Direction:
        (mean,) = frame.rounded_points(at.means[[k]])
        if at.family in _ROUND:
            return _Direction(float(at.spread.variances[k].min()), None, mean)
        if not isinstance(at.spread, Matrices):
            variances = at.spread.variances[k]
            axis = (np.arange(at.d) == variances.argmin()).astype(np.float64)
            return _Direction(float(variances.min()), axis, mean)
        values, axes = np.linalg.eigh(at.spread.values[k])
        loadings = frame.inverse.T @ axes[:, 0] * frame.data_deviations
        return _Direction(float(values[0]), loadings / np.linalg.norm(loadings), mean)

    def named(self, names: Sequence[str]) -> tuple[tuple[str, ...], str]:
        """Return the features that the direction is made of, and the direction in words."""
        if self.loadings is None:
            return (), "in every direction"
        largest = np.argsort(-np.abs(self.loadings), kind="stable")[:_MOST_NAMED].tolist()
        first = largest[0]
        if self.loadings[first] ** 2 >= _ONE_FEATURE:
            return (names[first],), f"in {names[first]!r}, near the value {self.mean[first]:.6g}"
        sign = np.sign(self.loadings[first])
        terms = " ".join(f"{sign * self.loadings[j]:+.2f} {names[j]}" for j in largest)
        more = f" and {len(names) - len(largest)} smaller terms" if len(names) > len(largest) else ""
        return tuple(names[j] for j in largest), f"in the combination {terms}{more} of standardised features"


@dataclass(frozen=True, eq=False)
class _Evidence:
    """What a covariance was estimated from.

    Args:
        rows: rows of mean weight.
        floor: the least variance that it may have, in units of the data's variance.
        given: what the prior gave to its least variance, in the same unit.
        pseudo: the share of the prior in the rows and pseudo-rows that it was estimated from.
        least: the rows that make a cluster: with fewer it may be as narrow by chance.
    """

    rows: float
    floor: float
    given: float
    pseudo: float
    least: float

    def own(self, variance: float) -> float:
        """Return the variance of its rows alone, where the prior made this variance of it."""
        return max(variance - self.given, 0.0) / (1 - self.pseudo) if self.pseudo < 1 else 0.0

    @staticmethod
    def of(at: Parameters, k: int, moments: Moments, maximise: Maximiser) -> _Evidence:
        mass = float(moments.mass.sum()) if at.family in SHARED else float(moments.mass[k])
        pseudo = maximise.prior * moments.weight
        variances = maximise.frame.data_variances if at.family in _ROUND else np.ones(1)
        share = pseudo / (mass + pseudo) if pseudo else 0.0
        given = share * float(variances.mean() / variances.max())
        least = max(maximise.least, maximise.ample, at.d + 1.0)
        return _Evidence(mass / moments.row_weight, maximise.floor, given, share, least)


def passed_over(passed: PassedOver | None) -> tuple[Finding, ...]:
    """Return what is to be said of a likelier mixture that was not chosen, if there is one."""
    if passed is None:
        return ()
    message = (
        f"a mixture likelier by about {passed.gain:.3g} nats was passed over, for a component of it holds "
        f"{passed.rows:.3g} rows, fewer than the minimum component weight of {passed.ample:g}: outliers rather than a "
        f"cluster; if those rows are a cluster, set that minimum to {_JUST_BELOW * passed.rows:.3g}, else filter "
        "them or fit with noise"
    )
    return (Finding(-1, "passed_over", message),)


def _few_rows(number: int, rows: float, maximise: Maximiser) -> Iterator[Finding]:
    holds = f"component {number} holds {rows:.3g} rows, fewer than"
    if rows < _NO_ROW:
        yield Finding(number, "few_rows", f"component {number} holds no rows: use fewer components")
    elif rows < maximise.least:
        yield Finding(
            number,
            "few_rows",
            f"{holds} {maximise.least:g}: outliers rather than a cluster; use fewer components, filter those rows, or "
            "lower the minimum component weight if they are a cluster",
        )
    elif rows < maximise.ample:
        yield Finding(
            number,
            "small",
            f"{holds} {maximise.ample:g}: a small cluster, whose parameters are uncertain, or outliers; "
            f"a minimum component weight of {maximise.ample:g} leaves it out",
        )


def _narrow(direction: _Direction, number: int, evidence: _Evidence, names: Sequence[str]) -> Iterator[Finding]:
    features, where = direction.named(names)
    subject = f"component {number} ({evidence.rows:.4g} rows)"
    if evidence.floor and direction.variance <= evidence.floor * _AT_FLOOR:
        yield Finding(
            number,
            "floor",
            f"{subject} has no more variance than the covariance floor {where}: a tie, rounded values, or a cluster "
            "that is narrower; use fewer components, leave that feature out, add noise of a rounding step, or lower it",
            features,
        )
    elif evidence.given > _CARRIED * direction.variance:
        share = 100 * min(evidence.given / direction.variance, 1.0)
        carried = f"{subject} has {share:.0f} % of its variance from the covariance prior {where}"
        is_cluster = evidence.own(direction.variance) > evidence.floor and evidence.rows >= evidence.least
        kind, why = ("widened", _NARROW_CLUSTER) if is_cluster else ("prior", _TIE)
        yield Finding(number, kind, f"{carried}, {why}", features)


_TIE = "its rows have little there; use fewer components, another family, or leave that feature out"
_NARROW_CLUSTER = (
    "for it is far narrower there than the table; the cluster is sound, its width is not: set the covariance prior to "
    "0, or to less"
)


def _duplicates(at: Parameters, numbers: Sequence[int], alive: NDArray[np.intp]) -> Iterator[Finding]:
    """Yield the pairs of components with rows that are one, each under the larger number."""
    if not at.weights[alive].any():
        return
    some = Parameters(at.weights[alive] / at.weights[alive].sum(), at.means[alive], at.spread[alive], at.family)
    coefficients = np.exp(-alignment.distances(some, some))
    for one, other in np.argwhere(np.triu(coefficients >= _SAME, k=1)).tolist():
        low, high = sorted((numbers[alive[one]], numbers[alive[other]]))
        yield Finding(
            high,
            "duplicate",
            f"components {low} and {high} are one cluster (Bhattacharyya coefficient {coefficients[one, other]:.3f}, 1 "
            "for equal densities): use fewer components",
        )


def _point_mass(mass: PointMass, names: Sequence[str]) -> Finding:
    value = ", ".join(f"{name} = {number:.9g}" for name, number in zip(names, mass.value, strict=True))
    return Finding(
        mass.component,
        "point_mass",
        f"component {mass.component} holds one repeated value, {100 * mass.share:.3g} % of the weight, at {value} "
        "(or values that the covariance floor, for the scale of this table, does not distinguish): "
        "filter those rows, or keep it if that value is a state of its own",
    )
