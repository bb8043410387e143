"""The EM algorithm over an abstract E-step: Dempster, Laird and Rubin, J. R. Statist. Soc. B 39, 1977.

The engine is an argument. `Expectation` maps a sequence of candidate parameters to their sufficient
statistics with one read of the data; blocks in memory and blocks on a cluster are two of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gmm_spark import families
from gmm_spark.acceleration import extrapolate
from gmm_spark.errors import DataError, ParametersError
from gmm_spark.moments import Moments
from gmm_spark.parameters import FloatArray, Parameters
from gmm_spark.stopping import Outcome, remaining_gain

if TYPE_CHECKING:
    from gmm_spark.coordinates import Coordinates

Expectation: TypeAlias = Callable[[Sequence[Parameters]], Sequence[Moments]]
Acceleration = Literal["squarem", "none"]

_FIRST_LIMIT, _LIMIT_FACTOR = 4.0, 4.0
# Every stretch is at most that of the slowest direction, and small ones alternate with large ones: the
# largest counts, and fades in case it was that of a plateau on the way.
_FORGET = 0.9
_UNBALANCED = 1e-8  # a relative difference between the components' sums and all rows' above this is a fault
_SAME_WEIGHT = 1e-9  # a relative change of the total weight above this is no rounding
_NOISE = 16 * float(np.finfo(np.float64).eps)
_FALL = 1e-9  # a relative fall of the log-likelihood below this is rounding
_STILL = 1e-12  # and a relative gain below this is nothing that could be told from rounding


@dataclass(frozen=True, eq=False)
class Pass:
    """One full read of the data: parameters and the statistics measured at them.

    Args:
        parameters: the parameters that were measured, in coordinates z.
        moments: their statistics.
        gain: mean log-likelihood gained by the plain EM step that led here; None after another step.
        rate: EM's linear rate of convergence of the log-likelihood, where it is known.
        floored: components whose covariance was raised to the floor on the way here.
    """

    parameters: Parameters
    moments: Moments
    gain: float | None = None
    rate: float | None = None
    floored: int = 0

    @property
    def remaining(self) -> float:
        """What EM has still to gain per unit of weight, in nats; infinite where it can't be told."""
        return float("inf") if self.gain is None else remaining_gain(self.gain, self.rate)


@dataclass(frozen=True, eq=False)
class Maximiser:
    """The M-step of one family in coordinates z.

    Args:
        frame: the coordinates z.
        floor: the least variance in units of the data's variance; 0 switches it off.
    """

    frame: Coordinates
    floor: float

    def __call__(self, at: Parameters, moments: Moments) -> tuple[Parameters, int]:
        """Return the maximiser of the expected log-likelihood, and how many covariances were floored.

        A component without rows keeps its mean and covariance at weight 0.

        Raises:
            ParametersError: a covariance is singular; the floor, if any, did not prevent it.
        """
        mass = moments.mass
        means, central = moments.means(at.means), moments.covariances(at.covariances)
        covariances, floored = families.constrain(at.family, central, mass, self.frame, self.floor)
        if self.floor == 0:
            _refuse_noise(covariances, means - moments.centers)
        return Parameters(mass / mass.sum(), means, covariances, at.family), floored

    def floored(self, parameters: Parameters) -> Parameters:
        """Return the parameters with their covariances raised to the floor."""
        covariances, _ = families.constrain(
            parameters.family, parameters.covariances, parameters.weights, self.frame, self.floor
        )
        return Parameters(parameters.weights, parameters.means, covariances, parameters.family)


def _refuse_noise(covariances: FloatArray, offsets: FloatArray) -> None:
    """Refuse covariances with a variance that is only what rounding left of a difference of sums."""
    least = np.linalg.eigvalsh(covariances)[:, 0]
    noise = _NOISE * (np.einsum("kii->k", covariances) + (offsets**2).sum(axis=1))
    if (least <= noise).any():
        raise ParametersError(
            f"covariances of components {np.flatnonzero(least <= noise).tolist()}",
            got="a variance of 0, up to rounding",
            expected="rows that spread in every direction",
            do="Use fewer components, or a covarianceFloor above 0.",
        )


def iterate(
    expectation: Expectation, start: Parameters, maximise: Maximiser, acceleration: Acceleration
) -> Iterator[Pass]:
    """Yield one Pass after another, for ever; logs nothing, writes nothing.

    Raises:
        ParametersError: a component's covariance became singular.
    """
    return (_squarem if acceleration == "squarem" else _plain)(expectation, start, maximise)


def _plain(expectation: Expectation, start: Parameters, maximise: Maximiser) -> Iterator[Pass]:
    current = _measure(expectation, start)
    while True:
        yield current
        current = _step(expectation, current, maximise, previous_gain=current.gain)


def _squarem(expectation: Expectation, start: Parameters, maximise: Maximiser) -> Iterator[Pass]:
    limit, slowest, rate = _FIRST_LIMIT, 1.0, None
    zero = _measure(expectation, start)
    yield zero
    while True:
        one = _step(expectation, zero, maximise, rate=rate)
        yield one
        two, floored = maximise(one.parameters, one.moments)
        leap = extrapolate((zero.parameters, one.parameters, two), maximise.frame, limit)
        slowest = max(leap.stretch, slowest * _FORGET)
        rate = (1 - 1 / slowest) ** 2
        zero = _measure(expectation, maximise.floored(leap.parameters), floored)
        yield zero
        if zero.moments.log_likelihood >= one.moments.log_likelihood:
            limit *= _LIMIT_FACTOR if leap.limited else 1
        else:
            limit = max(1.0, limit / _LIMIT_FACTOR)
            zero = _measure(expectation, two, floored)
            yield zero


def check_balance(moments: Moments, where: str) -> None:
    """Raise DataError unless the components' sums add up to those of all rows, up to rounding."""
    if not moments.imbalance <= _UNBALANCED:
        raise DataError(
            f"statistics of {where}",
            got=f"sums over components that differ from those over rows by {moments.imbalance:.3g}, relative",
            expected=f"a difference below {_UNBALANCED:g}",
            do="Rows or parameters overflow: rescale the features. Otherwise memory is faulty.",
        )


def _measure(expectation: Expectation, parameters: Parameters, floored: int = 0) -> Pass:
    (moments,) = expectation([parameters])
    return Pass(parameters, moments, floored=floored)


def _step(
    expectation: Expectation,
    before: Pass,
    maximise: Maximiser,
    *,
    rate: float | None = None,
    previous_gain: float | None = None,
) -> Pass:
    parameters, floored = maximise(before.parameters, before.moments)
    (moments,) = expectation([parameters])
    gain = moments.mean_log_likelihood - before.moments.mean_log_likelihood
    if previous_gain is not None and previous_gain > 0:
        rate = gain / previous_gain
    return Pass(parameters, moments, gain, rate, floored)


@dataclass(frozen=True, eq=False)
class Fit:
    """The best parameters that were measured, and how they were reached.

    Args:
        best: the pass with the highest log-likelihood.
        outcome: how the fit ended.
        history: mean log-likelihood per unit of weight of every pass, the start's first.
        floored: floor hits over all passes.
        detail: what a degenerate fit died of.
    """

    best: Pass
    outcome: Outcome
    history: tuple[float, ...]
    floored: int
    detail: str = ""

    @property
    def iterations(self) -> int:
        """The number of new parameters that were tried after the start."""
        return len(self.history) - 1


@dataclass
class _Trace:
    """What `fit` gathers on its way; private and mutable, gone when the fit is."""

    best: Pass | None = None
    history: list[float] = field(default_factory=list)
    floored: int = 0

    def add(self, new: Pass, *, exact: bool) -> None:
        value = new.moments.mean_log_likelihood
        self._check_weight(new.moments)
        if not np.isfinite(value):
            raise ParametersError("log-likelihood", got=value, expected="a finite number", do="Rescale the data.")
        if self.best is None or (exact and new.gain is not None) or value >= self.best.moments.mean_log_likelihood:
            self.best = new
        self.history.append(value)
        self.floored += new.floored

    def _check_weight(self, new: Moments) -> None:
        before = self.best.moments.weight if self.best else new.weight
        if abs(new.weight - before) > _SAME_WEIGHT * before:
            raise DataError(
                f"total weight of the rows in pass {len(self.history) + 1}",
                got=f"{new.weight!r}",
                expected=f"{before!r}, as in the passes before",
                do="The input gives other rows each time it is read: write it to a table first, and fit that.",
            )


def fit(
    passes: Iterator[Pass], *, tol: float, max_iter: int, on_pass: Callable[[int, Pass], None] | None = None
) -> Fit:
    """Run EM until what is left to gain is below tol, or an honest other end.

    Args:
        passes: from `iterate`.
        tol: nats per unit of weight still to be gained; 0 runs exactly max_iter steps.
        max_iter: the number of new parameters to try after the start.
        on_pass: called with the number of each pass and the pass, for logs and checkpoints.

    Raises:
        ParametersError: the very first pass failed, so that there is no model to return.
    """
    trace = _Trace()

    def ended(outcome: Outcome, detail: str = "") -> Fit:
        assert trace.best is not None  # noqa: S101 - every path here has measured a pass
        return Fit(trace.best, outcome, tuple(trace.history), trace.floored, detail)

    while True:
        try:
            new = next(passes)
            trace.add(new, exact=tol == 0)
        except ParametersError as error:
            if trace.best is None:
                raise
            return ended(Outcome.DEGENERATE, str(error))
        if on_pass:
            on_pass(len(trace.history), new)
        if tol > 0 and (outcome := _verdict(new, tol)):
            return ended(outcome)
        if len(trace.history) > max_iter:
            return ended(Outcome.ITERATION_LIMIT)


def _verdict(new: Pass, tol: float) -> Outcome | None:
    if new.gain is None:
        return None
    scale = max(1.0, abs(new.moments.mean_log_likelihood))
    if new.gain < -_FALL * scale:
        return Outcome.NO_PROGRESS
    if new.remaining < tol or new.gain < min(_STILL * scale, tol):
        return Outcome.CONVERGED
    return None
