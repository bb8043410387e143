"""The penalty under which a mixture's likelihood has a maximum: pseudo-rows of the data's covariance per component.

The likelihood has none: a component on a few rows, or on one repeated value, can be made as likely as one likes.
Chen and Tan, Inference for multivariate normal mixtures, J. Multivariate Anal. 100, 2009 (and Ciuperca, Ridolfi and
Idier, Scand. J. Statist. 30, 2003): with c pseudo-rows of the data's covariance T the objective is

    sum_n w_n log p(x_n) - c w sum_k KL(N(0, T) || N(0, Sigma_k)),    w the mean weight of a row,

where 2 KL = tr(Sigma_k^-1 T) - log|Sigma_k^-1 T| - d. Its M-step has a closed form, and its maximum is consistent as
long as c grows more slowly than the rows. In coordinates z, in which EM runs, T is the identity, for diag and
spherical on its diagonal: that is all these families know of it. Tied families have one covariance, and one penalty.

A share is c / n: the same for all rows and for a sample of them, whose optimum then is near that of all.
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

_AUTO = 2.0  # over the root of the rows: no component collapses, and sound ones don't feel it


def share_of(prior: Prior, rows: float) -> float:
    """Return c / n: the pseudo-rows of each component, per row.

    Args:
        prior: c, or "auto" for 2 / sqrt(n).
        rows: n, all of the table; of weighted ones as many as are as good at mean weight (Kish).
    """
    return (_AUTO / sqrt(rows) if prior == "auto" else prior) / rows


def penalty(parameters: Parameters, share: float) -> float:
    """Return what the covariances cost, in nats per unit of weight, for parameters in coordinates z."""
    if share == 0:
        return 0.0
    inverses, log_determinants = parameters.spread[: 1 if parameters.family in SHARED else None].inverted()
    return share / 2 * float((inverses.variances.sum(axis=1) + log_determinants - parameters.d).sum())


def shrunk(family: Family, spread: Spread, mass: FloatArray, pseudo: float) -> Spread:
    """Return second central moments with the pseudo-rows added, before the family's constraint.

    Args:
        family: of the mixture; of tied components all share the pseudo-rows of one.
        spread: the second central moments in coordinates z.
        mass: (k,) N_k.
        pseudo: the weight of the pseudo-rows: c / n of that of all rows.
    """
    if pseudo == 0:
        return spread
    rows = np.full_like(mass, mass.sum()) if family in SHARED else mass
    own = spread.along(rows / (rows + pseudo))
    return type(spread)(own * spread.values + (1 - own) * spread.unit(spread.values.shape[1]))
