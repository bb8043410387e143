"""The EM algorithm over an abstract E-step; this module names what other packages use of it."""

from gmm_spark.em.m_step import Maximiser
from gmm_spark.em.position import Acceleration, Goal, Pass, Position
from gmm_spark.em.state import Expectation, State, advance, begin, iterate, run, steps
from gmm_spark.em.trace import Fit, PassedOver, Trace

__all__ = [
    "Acceleration",
    "Expectation",
    "Fit",
    "Goal",
    "Maximiser",
    "Pass",
    "PassedOver",
    "Position",
    "State",
    "Trace",
    "advance",
    "begin",
    "iterate",
    "run",
    "steps",
]
