"""From joint log-densities to responsibilities: the E-step's part between its two products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

# e^x is 0 below: subnormal results take numpy's AVX-512 exponential 10 to 70 ns each, results of zero 6, others 0.9
# (float32: as fast everywhere, but subnormal factors slow a product). With AVX2 alone: 20 below, 4.4 others. There a
# float32 exponential with its casts takes 2.1, 7 % of a pass at (16, 16), here as long as the float64 one: it is not
# worth 4e-8 in every responsibility. float32 products have it.
_LEAST = {np.dtype(np.float64): -700.0, np.dtype(np.float32): -80.0}
# Between these sums over k the exponential of the log-density itself neither overflows nor loses what counts: its
# maximum need not be found and subtracted first, a third of the time of all this. float32 has no such room.
_LOW, _HIGH = 1e-200, 1e200
# Of this many rows of a tile it is seen whether any exponent needs the limit; missing one costs time, nothing else.
_LOOK = 64


class Softmax:
    """Responsibilities in scratch of its own, one tile after the other.

    Args:
        width: the most rows of a tile.
        dtype: float64 or float32, that of the log-densities.
    """

    def __init__(self, width: int, dtype: np.dtype[np.floating]) -> None:
        self._least = _LEAST[dtype]
        self._direct = dtype == np.float64
        self._total, self._scale = np.empty(width, dtype), np.empty(width, dtype)

    def __call__(self, joint: FloatArray, weights: FloatArray | None, out: FloatArray) -> FloatArray:
        """Write w r_nk for joint log-densities (k, n); return log p of the rows, (n,), valid until the next call.

        To be called under errstate(over="ignore"), which would cost as much here as a twentieth of the work.

        Args:
            joint: (k, n) log pi_k + log N(z_n; mu_k, S_k), left as they are.
            weights: (n,) row weights, or None where all are 1.
            out: (k, n) where the weighted responsibilities go.
        """
        n = joint.shape[1]
        total, scale = self._total[:n], self._scale[:n]
        if not n:
            return total
        peak = self._exponentials(joint, out, total)
        np.divide(1 if weights is None else weights, total, out=scale, casting="same_kind")
        np.multiply(out, scale, out=out)
        log_density = np.log(total, out=total)
        if peak is not None:
            log_density += peak
        return log_density

    def _exponentials(self, joint: FloatArray, out: FloatArray, total: FloatArray) -> FloatArray | None:
        """Write exp(joint - peak) and its sum over k; return the peak, None where it is 0."""
        if not self._direct:
            return self._below_peak(joint, out, total)
        self._exp(joint, out)
        np.add.reduce(out, axis=0, out=total)
        if np.minimum.reduce(total) > _LOW and np.maximum.reduce(total) < _HIGH:
            return None
        far = np.flatnonzero(~((total > _LOW) & (total < _HIGH)))
        own, own_total, peak = joint[:, far], np.empty(len(far)), np.zeros_like(total)
        peak[far] = self._below_peak(own, own, own_total)
        out[:, far], total[far] = own, own_total
        return peak

    def _below_peak(self, joint: FloatArray, out: FloatArray, total: FloatArray) -> FloatArray:
        peak = np.asarray(np.maximum.reduce(joint, axis=0))
        self._exp(np.subtract(joint, peak, out=out), out)
        np.add.reduce(out, axis=0, out=total)
        return peak

    def _exp(self, exponents: FloatArray, out: FloatArray) -> None:
        if np.minimum.reduce(exponents[:, :_LOOK], axis=None) >= self._least:
            np.exp(exponents, out=out)
            return
        nothing = np.less(exponents, self._least)
        np.exp(np.maximum(exponents, self._least, out=out), out=out)
        np.copyto(out, 0, where=nothing)
