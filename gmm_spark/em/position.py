"""From one full read of the data to the parameters of the next: plain EM and SQUAREM, step by step.

A `Position` is the whole state of EM between two reads. It is a value: many positions can be measured in one read, and
a position can be stored and loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from gmm_spark.em.convergence import Outcome, remaining_after, remaining_gain, step_divergence
from gmm_spark.em.squarem import extrapolate
from gmm_spark.statistics.engines import condition

if TYPE_CHECKING:
    from gmm_spark.em.m_step import Maximiser
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.statistics.moments import Moments

Acceleration = Literal["squarem", "none"]
Phase = Literal["start", "step", "leap", "retreat", "lookup"]

_FIRST_LIMIT, _LIMIT_FACTOR = 4.0, 4.0
# Every stretch is at most that of the slowest direction, and small ones alternate with large ones: the largest is used,
# and decays in case it came from a plateau.
_FORGET = 0.9
_FALL = 1e-9  # a relative fall of the log-likelihood below this is rounding
_ERROR = 20 * 1.1e-16  # times kappa: the error of a log-density
_STILL = 1e-12  # a relative gain below this can't be distinguished from rounding


@dataclass(frozen=True, eq=False)
class Pass:
    """One full read of the data: parameters and the statistics measured at them.

    Args:
        parameters: the parameters that were measured, in coordinates z.
        moments: their statistics.
        gain: objective gained by the plain EM step that led here; None after another step.
        rate: EM's linear rate of convergence of the log-likelihood; None where it is unknown.
        floored: components whose covariance the last step raised to the floor.
        penalty: the penalty of the covariances, in nats per unit of weight.
        thin: components that hold too few rows to be sound.
        missing: the rows that these lack, in units of the least rows of a component.
        charge: what small components are charged when mixtures are compared, in nats per unit of weight.
    """

    parameters: Parameters
    moments: Moments
    gain: float | None = None
    rate: float | None = None
    floored: int = 0
    penalty: float = 0.0
    thin: int = 0
    missing: float = 0.0
    charge: float = 0.0

    @property
    def objective(self) -> float:
        """What EM maximises, per unit of weight: the mean log-likelihood less the penalty."""
        return self.moments.mean_log_likelihood - self.penalty

    @property
    def total(self) -> float:
        """What EM maximises, in nats."""
        return self.moments.log_likelihood - self.penalty * self.moments.weight

    @property
    def soundness(self) -> int:
        """0 where no component is thin; else -1 less the missing rows, rounded to whole components."""
        return 0 if self.thin == 0 else -1 - round(self.missing)

    @property
    def worth(self) -> float:
        """The objective less the charge of small components."""
        return self.objective - self.charge

    @property
    def standing(self) -> tuple[int, float]:
        """The rank among fits that do not continue one another: the sounder fit first, then the higher worth."""
        return self.soundness, self.worth

    @property
    def remaining(self) -> float:
        """What EM can still gain per unit of weight, in nats; infinite where it is unknown."""
        return float("inf") if self.gain is None else remaining_gain(self.gain, self.rate)


@dataclass(frozen=True, eq=False)
class Position:
    """Where EM stands between two reads of the data.

    Args:
        candidate: the parameters to measure next, in coordinates z.
        acceleration: none takes EM steps only; squarem a step, a leap, and a retreat if the leap lowers the total.
        phase: what the candidate is: the start, an EM step from the accepted point, the leap, the second EM step that
            replaces a refused leap (retreat), or the mixture of the last pass again, in a layout that gathers its
            least likely rows (lookup).
        floored: components whose covariance the step to the candidate raised to the floor.
        before: the pass that a step starts from, and that a leap must not fall below.
        fallback: the parameters that replace a refused leap.
        limit: the largest step length of a leap.
        limited: whether the leap was cut to the limit.
        slowest: SQUAREM's estimate of the slowest direction's stretch; None before the first leap.
        divergence: of the plain EM step from `before`, see `step_divergence`; None where it is unknown.
    """

    candidate: Parameters
    acceleration: Acceleration = "squarem"
    phase: Phase = "start"
    floored: int = 0
    before: Pass | None = None
    fallback: Parameters | None = None
    limit: float = _FIRST_LIMIT
    limited: bool = False
    slowest: float | None = None
    divergence: float | None = None

    @property
    def remaining(self) -> float:
        """What SQUAREM can still gain after the last pass, nats per unit of weight; infinite where it is unknown.

        The estimate needs only the next step: the last pass need not follow a step.
        """
        return float("inf") if self.divergence is None else remaining_after(self.divergence, self.slowest)

    def measured(self, moments: Moments, maximise: Maximiser) -> Pass:
        """Return the pass that measured the candidate."""
        penalty, shortfall = maximise.penalty(self.candidate), maximise.shortfall(moments)
        thin, missing = int((shortfall > 0).sum()), float(shortfall.sum())
        charge = maximise.charge(moments)
        new = Pass(self.candidate, moments, None, None, self.floored, penalty, thin, missing, charge)
        if self.phase != "step" or self.before is None:
            return new
        gain = new.objective - self.before.objective
        return replace(new, gain=gain, rate=self._rate(gain))

    def next_position(self, new: Pass, maximise: Maximiser) -> Position:
        """Return where EM stands after this pass at the candidate.

        Raises:
            ParametersError: a component's covariance became singular.
        """
        if self.acceleration == "squarem":
            if self.phase == "step":
                return self._leap(new, maximise)
            if self.phase == "leap":
                return self._after_leap(new, maximise)
        return self._step(new, maximise, self.limit)

    def _rate(self, gain: float) -> float | None:
        if self.acceleration == "squarem":
            return None if self.slowest is None else (1 - 1 / self.slowest) ** 2
        previous = self.before.gain if self.before else None
        return gain / previous if previous is not None and previous > 0 else None

    def _step(self, new: Pass, maximise: Maximiser, limit: float) -> Position:
        candidate, floored = maximise(new.parameters, new.moments)
        ahead = None if self.acceleration == "none" else step_divergence(candidate, new.parameters, maximise.prior)
        after = replace(self, candidate=candidate, phase="step", floored=floored, before=new, fallback=None)
        return replace(after, limit=limit, divergence=ahead)

    def _leap(self, one: Pass, maximise: Maximiser) -> Position:
        assert self.before is not None  # noqa: S101 - a step starts somewhere
        two, floored = maximise(one.parameters, one.moments)
        leap = extrapolate((self.before.parameters, one.parameters, two), maximise.frame, self.limit)
        return replace(
            self,
            candidate=maximise.floored(leap.parameters),
            phase="leap",
            floored=floored,
            before=one,
            fallback=two,
            limited=leap.limited,
            divergence=step_divergence(two, one.parameters, maximise.prior),
            slowest=max(leap.stretch, (self.slowest or 1.0) * _FORGET),
        )

    def _after_leap(self, new: Pass, maximise: Maximiser) -> Position:
        assert self.before is not None  # noqa: S101 - a leap starts somewhere
        assert self.fallback is not None  # noqa: S101 - and has a fallback
        if new.total >= self.before.total:
            return self._step(new, maximise, self.limit * (_LIMIT_FACTOR if self.limited else 1))
        limit = max(1.0, self.limit / _LIMIT_FACTOR)
        after = replace(self, candidate=self.fallback, phase="retreat", before=None, fallback=None)
        return replace(after, limit=limit, divergence=None)


@dataclass(frozen=True)
class Goal:
    """When a fit is done.

    Args:
        tol: end when less than this is left to gain, in nats per unit of weight; 0 runs exactly max_iter steps.
        max_iter: the number of new parameters to try after the start.
        reseedings: the most restarts of components that do no work; none with tol = 0.
        warm: the start is a model of other rows: components without rows are restarted after the first pass.
    """

    tol: float
    max_iter: int
    reseedings: int = 0
    warm: bool = False


def verdict(new: Pass, passes: int, goal: Goal) -> Outcome | None:
    """Return how the fit ends with this pass; None if it continues.

    Args:
        new: the pass.
        passes: the number of passes so far.
        goal: when to end.
    """
    if goal.tol > 0 and new.gain is not None:
        scale = max(1.0, abs(new.moments.mean_log_likelihood))
        if new.gain < -_FALL * scale - _rounding(new):
            return Outcome.NO_PROGRESS
        if new.remaining < goal.tol or new.gain < min(_STILL * scale, goal.tol):
            return Outcome.CONVERGED
    return Outcome.ITERATION_LIMIT if passes > goal.max_iter else None


def _rounding(new: Pass) -> float:
    """Return 20 u kappa, the largest error of a log-density at these parameters."""
    return _ERROR * float(condition(new.parameters)[new.parameters.weights > 0].max())
