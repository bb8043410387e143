"""The hot code: computes sufficient statistics, or posteriors, from blocks of rows and parameters.

Letters, here and everywhere: n rows, k components, d features, F = 1 + d + d(d+1)/2 quadratic
features, w row weights. Blocks are feature-major (d, n): numpy reduces axis 0 with SIMD, axis 1 at a
fifth of the speed. Everything is in log space: log-sum-exp only, no densities, no epsilon.

The E-step of a tile of rows is two matrix products, as in Kaldi's full-covariance accumulators, with
the features Phi and natural parameters Theta of `layouts`:

    L = Theta Phi;  m = max_k L;  E = exp(L - m);  s = sum_k E
    log-likelihood += w (m + log s);  R = E w / s;  sums += R Phi'

`products` computes the two products, or `factors` an alternative if `engines` chooses it; `softmax` computes the steps
between them, and `sparse` the sums if almost all of R is 0.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from gmm_spark.errors import DataError
from gmm_spark.statistics import layouts, least_likely
from gmm_spark.statistics.block import Block, scratch, tiles
from gmm_spark.statistics.engines import choose
from gmm_spark.statistics.factors import factors_of
from gmm_spark.statistics.moments import Moments
from gmm_spark.statistics.softmax import Softmax

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from gmm_spark.mixture.parameters import FloatArray, Parameters
    from gmm_spark.statistics.engines import Method, Precision

# A larger relative difference between the sums of all components and those of all rows is a fault, not rounding.
_UNBALANCED = {"float64": 1e-8, "float32": 1e-5}


def accumulate(
    blocks: Iterable[Block],
    candidates: Sequence[Parameters],
    *,
    precision: Precision = "float64",
    kept: int | None = None,
) -> tuple[Moments, ...]:
    """Return each candidate's sufficient statistics over all blocks, by one read for all candidates.

    Args:
        blocks: rows in the coordinates of the candidates.
        candidates: mixtures with the same d, and any k and family.
        precision: float32 computes features and products in float32 if the error of every log-density is at
            most 1e-3 (every kappa at most 833), else in float64.
        kept: the number of rows of least density to return; None: a few if the layout has densities.
    """
    method = choose(candidates, precision, densities=bool(kept))
    zeros = _zeros(candidates, method, kept)
    running = _Running(method, candidates, zeros)
    total, rows = np.zeros_like(zeros[0].total), 0
    for block in blocks:
        total += block.total_in(layouts.total_layout(method.layout))
        rows += block.rows
        running.add(block)
    return tuple(
        Moments(
            log_likelihood + layouts.common_term(candidate, total, zero.layout),
            sums,
            total,
            zero.centers,
            zero.layout,
            rows,
            None if lowest is None else lowest.rows,
        )
        for candidate, zero, log_likelihood, sums, lowest in zip(candidates, zeros, *running.results(), strict=True)
    )


class _Running:
    """The sums over tiles so far, for each candidate of a stack."""

    def __init__(self, method: Method, candidates: Sequence[Parameters], zeros: Sequence[Moments]) -> None:
        self._engine = engine = method.engine(candidates)
        self._softmax = Softmax(engine.width, engine.dtype)
        self._bounds = np.cumsum([0, *(len(zero.sums) for zero in zeros)]).tolist()
        self._sparse = method.sparse(self._bounds[-1], candidates[0].d, engine.width)
        self._shares = scratch(self._bounds[-1] * engine.width, engine.dtype)
        self._log_likelihoods = [0.0] * len(zeros)
        d, lowest = zeros[0].centers.shape[1], [zero.lowest for zero in zeros]
        self._lowest = [None if empty is None else least_likely.Reservoir(d, len(empty)) for empty in lowest]

    def add(self, block: Block) -> None:
        """Add the rows of a block."""
        with np.errstate(over="ignore"):  # `Softmax` corrects what overflows
            for z, weights in tiles(block, self._engine.width):
                joint = self._engine.joint(z)
                shares = self._shares[: joint.size].reshape(joint.shape)
                for c, (low, high) in enumerate(pairwise(self._bounds)):
                    log_density = self._softmax(joint[low:high], weights, shares[low:high])
                    self._log_likelihoods[c] += float(
                        np.add.reduce(log_density, dtype=np.float64) if weights is None else weights @ log_density
                    )
                    if (reservoir := self._lowest[c]) is not None:
                        reservoir.offer(log_density, z, weights)
                if self._sparse is None or not self._sparse.add(shares, z, weights):
                    self._engine.add(shares, z)

    def results(self) -> tuple[list[float], list[FloatArray], list[least_likely.Reservoir | None]]:
        """Return the log-likelihood, the sums and the reservoir of each candidate."""
        sums = self._engine.sums if self._sparse is None else self._engine.sums + self._sparse.sums
        return self._log_likelihoods, [sums[low:high].copy() for low, high in pairwise(self._bounds)], self._lowest


def zero_moments(candidates: Sequence[Parameters], kept: int | None = None) -> tuple[Moments, ...]:
    """Return the statistics of no rows, in the layout and about the centers that `accumulate` uses."""
    return _zeros(candidates, choose(candidates, densities=bool(kept)), kept)


def _zeros(candidates: Sequence[Parameters], method: Method, kept: int | None) -> tuple[Moments, ...]:
    size = least_likely.SIZE if kept is None else kept
    about_means = method.path == "difference"
    centers = (mixture.means if about_means else np.zeros_like(mixture.means) for mixture in candidates)
    return tuple(
        Moments.zero(center, method.layout, size, noise=mixture.noise is not None)
        for center, mixture in zip(centers, candidates, strict=True)
    )


def entropy(parameters: Parameters, moments: Moments) -> float:
    """Return the weighted sum of the entropies of all posteriors, in nats, without another pass.

    sum_n w H_n = sum_n w log p(z_n) - sum_nk w r_nk L_nk, and L is linear in the features.
    """
    centred = parameters.replaced(means=parameters.means - moments.centers)
    theta = layouts.natural_parameters(centred, moments.layout)
    common = layouts.common_term(parameters, moments.total, moments.layout)
    return max(0.0, moments.log_likelihood - common - float((theta * moments.sums).sum()))


def posteriors(x: FloatArray, parameters: Parameters) -> tuple[FloatArray, FloatArray]:
    """Return P(Z = k | x) as (n, k) and log p(x) as (n,), in nats, for (n, d) rows in the parameters' units.

    With a noise component the posteriors are (n, k + 1), and the last column is the noise.

    Computed by a triangular factor per component (twice the arithmetic of `accumulate`) or by standard deviations:
    exact for any parameters, without whitened coordinates. If all squared distances overflow, every component
    of positive weight is equally likely and log p(x) is -1e290.
    """
    joint = _log_joint(np.ascontiguousarray(x.T), parameters)
    peak = joint.max(axis=0)
    np.exp(np.subtract(joint, peak, out=joint), out=joint)
    total = joint.sum(axis=0)
    joint /= total
    return np.ascontiguousarray(joint.T), peak + np.log(total)


def most_probable(posterior: FloatArray, parameters: Parameters) -> NDArray[np.intp]:
    """Return (n,) the component with the largest posterior of each row, or -1 if that is the noise."""
    largest = posterior.argmax(axis=1)
    return largest if parameters.noise is None else np.where(largest == parameters.k, -1, largest)


def _log_joint(x: FloatArray, parameters: Parameters) -> FloatArray:
    joint = np.empty((parameters.k_with_noise, x.shape[1]))
    scratch = np.empty_like(x), np.empty_like(x)
    with np.errstate(over="ignore", invalid="ignore"):
        factors_of([parameters]).log_joint(x, joint, scratch)
    return joint


def check_balance(moments: Moments, where: str, precision: Precision = "float64") -> None:
    """Raise DataError unless the sums of the components add up to those of all rows, up to rounding."""
    allowed = _UNBALANCED[precision]
    if not moments.imbalance <= allowed:
        raise DataError(
            f"statistics of {where}",
            got=f"sums over components that differ from the sums over rows by {moments.imbalance:.3g}, relative",
            expected=f"a difference below {allowed:g}",
            do="Rows or parameters overflow: rescale the features. If they do not, the memory is faulty.",
        )
