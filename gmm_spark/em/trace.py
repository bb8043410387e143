"""The passes of a fit so far, and the fit when it has ended."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import DataError, ParametersError

if TYPE_CHECKING:
    from gmm_spark.em.convergence import Outcome
    from gmm_spark.em.position import Goal, Pass
    from gmm_spark.statistics.moments import Moments

_SAME_WEIGHT = 1e-9  # a larger relative change of the total weight is no rounding
# A larger relative fall is no rounding: float32 products may err by 1e-3 nats per row, float64 ones by far less.
_NO_ROUNDING = 2e-3
_OTHER_ROWS = "The input gives other rows each time it is read: write it to a table first, and fit that."


@dataclass(frozen=True)
class PassedOver:
    """A likelier mixture that a search did not choose, because it has a component of few rows.

    Args:
        rows: rows of mean weight of all of the table that its smallest component holds.
        ample: how many that component needs to be charged nothing.
        gain: how much higher EM's objective is, in nats over all rows; an estimate where the search had a sample.
    """

    rows: float
    ample: float
    gain: float


@dataclass(frozen=True, eq=False)
class Fit:
    """The best parameters that were measured, and how they were reached.

    Args:
        best: the pass with the highest objective: the log-likelihood, less the penalty if there is one.
        outcome: how the fit ended.
        history: mean log-likelihood per unit of weight of every pass, the start's first.
        floored: floor hits over all passes.
        detail: the error that ended a degenerate fit.
        reseeded: components that were restarted, whether or not that led to the best parameters.
        slowest: SQUAREM's estimate of the slowest direction's stretch, for a fit that continues from here.
        passed: a likelier mixture that the search for the start did not choose.
    """

    best: Pass
    outcome: Outcome
    history: tuple[float, ...]
    floored: int
    detail: str = ""
    reseeded: int = 0
    slowest: float | None = None
    passed: PassedOver | None = None

    @property
    def iterations(self) -> int:
        """The number of new parameters that were tried after the start."""
        return len(self.history) - 1


@dataclass(frozen=True, eq=False)
class Trace:
    """The passes of a fit so far.

    Args:
        best: the pass with the highest objective; with tol = 0 the last one. None before the first.
        history: mean log-likelihood of every pass.
        floored: floor hits over all passes.
        earlier: whether the best pass is from before the last restart of components: a sounder pass then replaces it,
            whatever their objectives.
        best_pass: the number of the best pass, from 1 for the start; 0 before the first.
    """

    best: Pass | None = None
    history: tuple[float, ...] = ()
    floored: int = 0
    earlier: bool = False
    best_pass: int = 0

    def add(self, new: Pass, goal: Goal) -> Trace:
        """Return the trace with one more pass.

        Raises:
            ParametersError: the log-likelihood is no finite number.
            DataError: the rows differ from those of the passes before.
        """
        value = new.moments.mean_log_likelihood
        self._check_weight(new.moments)
        self._check_rise(new)
        if not np.isfinite(value):
            where = f"log-likelihood of pass {len(self.history) + 1}"
            raise ParametersError(where, got=value, expected="a number", do="Rescale the data.")
        exact = goal.tol == 0 and new.gain is not None
        better = exact or self._is_better(new)
        best, best_pass = (new, len(self.history) + 1) if better else (self.best, self.best_pass)
        floored = self.floored + new.floored
        return Trace(best, (*self.history, value), floored, self.earlier and not better, best_pass)

    def add_repeat(self, new: Pass) -> Trace:
        """Return the trace with one more pass that measured the same parameters."""
        self._check_weight(new.moments)
        return replace(self, history=(*self.history, new.moments.mean_log_likelihood))

    def to_fit(self, outcome: Outcome, detail: str = "") -> Fit:
        """Return the fit that ends here."""
        assert self.best is not None  # noqa: S101 - a fit that ends has measured a pass
        return Fit(self.best, outcome, self.history, self.floored, detail)

    def _is_better(self, new: Pass) -> bool:
        if self.best is None:
            return True
        return new.standing >= self.best.standing if self.earlier else new.objective >= self.best.objective

    def _check_rise(self, new: Pass) -> None:
        """Refuse a fall that no EM step can cause; a floor that binds, or a start below it, may cause one."""
        value, steps = new.objective, len(self.history)
        if new.gain is not None and not new.floored and steps > 1 and -new.gain > _NO_ROUNDING * max(1.0, abs(value)):
            raise DataError(
                f"log-likelihood of pass {steps + 1}",
                got=f"{value:.9g} nats per row in coordinates z, {-new.gain:.3g} below the pass before this step",
                expected="no fall: a step of EM never lowers it",
                do=_OTHER_ROWS,
            )

    def _check_weight(self, new: Moments) -> None:
        before = self.best.moments.weight if self.best else new.weight
        if abs(new.weight - before) > _SAME_WEIGHT * before:
            raise DataError(
                f"total weight of the rows in pass {len(self.history) + 1}",
                got=f"{new.weight!r}",
                expected=f"{before!r}, as in the passes before",
                do=_OTHER_ROWS,
            )
