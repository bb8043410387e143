"""The problem of a fit: options, surveyed rows, and the coordinates of the fit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gmm_spark.search.sample import Plan

if TYPE_CHECKING:
    from gmm_spark import em
    from gmm_spark.mixture.coordinates import Coordinates
    from gmm_spark.mixture.parameters import Parameters
    from gmm_spark.options import Options
    from gmm_spark.statistics.survey import Survey


@dataclass(frozen=True, eq=False)
class Problem:
    """The problem of a fit.

    Args:
        options: the options of the fit.
        surveyed: the survey of the rows.
        names: d names of features.
        frame: the coordinates z that EM runs in.
    """

    options: Options
    surveyed: Survey
    names: tuple[str, ...]
    frame: Coordinates

    @staticmethod
    def of(options: Options, surveyed: Survey, names: tuple[str, ...]) -> Problem:
        """Return the problem in the coordinates that suit the family.

        Raises:
            DataError: constant or dependent columns, or values whose squares overflow.
        """
        return Problem(options, surveyed, names, surveyed.frame(options.family, names))

    @property
    def maximise(self) -> em.Maximiser:
        """The M-step over all rows."""
        return self.options.maximiser(self.frame, self.surveyed.counted, self.surveyed.effective_rows)

    def one_component(self) -> Parameters:
        """Return the mixture of one component in coordinates z, from the moments of the survey."""
        return self.maximise.one_component(self.options.family, self.surveyed.mean, self.surveyed.covariance)

    def plan(self, tol: float) -> Plan:
        """Return the plan of a search in a sample of the rows, with this tol."""
        options, surveyed = self.options, self.surveyed
        least, ample = options.least_rows(len(surveyed.mean), surveyed.counted)
        return Plan(
            options.k,
            options.family,
            options.starts,
            options.seed,
            options.covariance_floor,
            tol,
            uniform=options.init_mode == "random",
            noise=surveyed.noise(self.frame) if options.noise else None,
            prior=options.prior_share(surveyed.effective_rows),
            least=least,
            ample=ample,
            rows=surveyed.counted,
        )
