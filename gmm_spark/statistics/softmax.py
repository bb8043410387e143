"""Computes responsibilities from joint log-densities, the step between the two products of the E-step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from gmm_spark.mixture.parameters import FloatArray

# Below these exponents e^x is set to 0. numpy's AVX-512 exponential needs 10 to 70 ns per subnormal result, 6 per zero,
# 0.9 per other result (float32: always as fast, but subnormal factors slow a product down); AVX2 alone 20 below, else
# 4.4. A float32 exponential with its casts needs 2.1 with AVX2 (7 % of a pass at (16, 16)), and as long as float64 with
# AVX-512: not worth an error of 4e-8 in every responsibility. It is used with float32 products.
_LEAST = {np.dtype(np.float64): -700.0, np.dtype(np.float32): -80.0}
# If the sum over k is between these, the exponentials neither overflow nor lose terms that count. Finding and
# subtracting the maximum first, a third of the time of this step, is then unnecessary. float32 lacks that range.
_LOW, _HIGH = 1e-200, 1e200
# The first rows of a tile decide whether its exponents are limited; a wrong decision costs only time.
_FIRST_ROWS = 64


class Softmax:
    """Computes responsibilities, tile by tile, in its own scratch memory.

    Args:
        width: the largest number of rows in a tile.
        dtype: of the log-densities, float64 or float32.
    """

    def __init__(self, width: int, dtype: np.dtype[np.floating]) -> None:
        self._least = _LEAST[dtype]
        self._direct = dtype == np.float64
        self._total, self._scale = np.empty(width, dtype), np.empty(width, dtype)

    def __call__(self, joint: FloatArray, weights: FloatArray | None, out: FloatArray) -> FloatArray:
        """Write w r_nk for joint log-densities (k, n); return (n,) log p of the rows, valid until the next call.

        Call it under errstate(over="ignore"); entering that here would cost a twentieth of the work per call.

        Args:
            joint: (k, n) log pi_k + log N(z_n; mu_k, S_k), not changed.
            weights: (n,) row weights, or None if all are 1.
            out: (k, n) receives the weighted responsibilities.
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
        """Write exp(joint - peak) and its sum over k; return (n,) the peak, or None if it is 0."""
        if not self._direct:
            return self._below_peak(joint, out, total)
        self._exp(joint, out)
        np.add.reduce(out, axis=0, out=total)
        if np.minimum.reduce(total) > _LOW and np.maximum.reduce(total) < _HIGH:
            return None
        far = np.flatnonzero(~((total > _LOW) & (total < _HIGH)))
        exponents, far_total, peak = joint[:, far], np.empty(len(far)), np.zeros_like(total)
        peak[far] = self._below_peak(exponents, exponents, far_total)
        out[:, far], total[far] = exponents, far_total
        return peak

    def _below_peak(self, joint: FloatArray, out: FloatArray, total: FloatArray) -> FloatArray:
        peak = np.asarray(np.maximum.reduce(joint, axis=0))
        self._exp(np.subtract(joint, peak, out=out), out)
        np.add.reduce(out, axis=0, out=total)
        return peak

    def _exp(self, exponents: FloatArray, out: FloatArray) -> None:
        if np.minimum.reduce(exponents[:, :_FIRST_ROWS], axis=None) >= self._least:
            np.exp(exponents, out=out)
            return
        nothing = np.less(exponents, self._least)
        np.exp(np.maximum(exponents, self._least, out=out), out=out)
        np.copyto(out, 0, where=nothing)
