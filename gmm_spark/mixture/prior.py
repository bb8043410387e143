"""The penalty that gives a mixture's likelihood a maximum: pseudo-rows with the data's covariance per component.

The likelihood alone has none: a component on a few rows, or on one repeated value, makes it arbitrarily large.
Chen and Tan, Inference for multivariate normal mixtures, J. Multivariate Anal. 100, 2009 (and Ciuperca, Ridolfi and
Idier, Scand. J. Statist. 30, 2003): with c pseudo-rows of the data's covariance T the objective is

    sum_n w_n log p(x_n) - c w sum_k KL(N(0, T) || N(0, Sigma_k)),    w the mean weight of a row,

where 2 KL = tr(Sigma_k^-1 T) - log|Sigma_k^-1 T| - d. Its M-step has a closed form, and its maximum is consistent if
c grows more slowly than the number of rows. In coordinates z, in which EM runs, T is the identity (for diag and
spherical T has a unit diagonal, and only that is used). Tied families have one covariance, and one penalty.

A share is c / n. It is the same for all rows and for a sample, so that the optima of the two are near.
"""

from __future__ import annotations

from math import sqrt
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from gmm_spark.mixture.parameters import SHARED

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import Family, FloatArray, Parameters
    from gmm_spark.mixture.spread import Spread

Prior: TypeAlias = "float | Literal['auto']"

_AUTO = 2.0  # c = 2 / sqrt(n): no component collapses, and the effect on the others is negligible


def share_of(prior: Prior, rows: float) -> float:
    """Return c / n: the pseudo-rows of each component, per row.

    Args:
        prior: c, or "auto" for 2 / sqrt(n).
        rows: n, the number of rows of the table; for weighted rows Kish's effective number.
    """
    return (_AUTO / sqrt(rows) if prior == "auto" else prior) / rows


def penalty(parameters: Parameters, share: float) -> float:
    """Return the penalty of the covariances, in nats per unit of weight, for parameters in coordinates z."""
    if share == 0:
        return 0.0
    inverses, log_determinants = parameters.spread[: 1 if parameters.family in SHARED else None].inverted()
    return share / 2 * float((inverses.variances.sum(axis=1) + log_determinants - parameters.d).sum())


def shrunk(family: Family, spread: Spread, mass: FloatArray, pseudo: float) -> Spread:
    """Return second central moments with the pseudo-rows added, before the family's constraint.

    Args:
        family: of the mixture; tied components share the pseudo-rows of one component.
        spread: the second central moments in coordinates z.
        mass: (k,) N_k.
        pseudo: the weight of the pseudo-rows: c / n times the weight of all rows.
    """
    if pseudo == 0:
        return spread
    rows = np.full_like(mass, mass.sum()) if family in SHARED else mass
    share = spread.per_component(rows / (rows + pseudo))
    return type(spread)(share * spread.values + (1 - share) * spread.identity(spread.values.shape[1]))
