"""The covariances of a mixture's components, in the least form that holds them: matrices, or variances alone.

A diagonal covariance as a matrix costs d times the memory and d^2 times the arithmetic of its diagonal. What the
mathematics needs of covariances is stated once here, and each form has its own formula for it. Cholesky factors and
inverses, which a step of EM needs several times, are computed once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.mixture.arrays import positive_definite, restore

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from gmm_spark.mixture.arrays import FloatArray


@dataclass(frozen=True, eq=False)
class Spread(ABC):
    """The covariances of k components of d features; immutable.

    Args:
        values: (k, d, d) symmetric matrices, or (k, d) variances.
    """

    values: FloatArray

    def __getstate__(self) -> dict[str, Any]:
        return {"values": self.values}  # and nothing that was computed of them

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @property
    @abstractmethod
    def matrices(self) -> FloatArray:
        """(k, d, d) the covariances, whatever the form."""

    @property
    @abstractmethod
    def variances(self) -> FloatArray:
        """(k, d) the diagonals."""

    @property
    @abstractmethod
    def log_determinants(self) -> FloatArray:
        """(k,) log |S_k|."""

    @property
    @abstractmethod
    def least_variances(self) -> FloatArray:
        """(k,) the least variance in any direction."""

    @abstractmethod
    def inverted(self) -> tuple[Spread, FloatArray]:
        """Return the inverses and (k,) log |S_k|."""

    @abstractmethod
    def applied(self, vectors: FloatArray) -> FloatArray:
        """Return (k, d) S_k v_k of (k, d) vectors."""

    @abstractmethod
    def forms(self, vectors: FloatArray) -> FloatArray:
        """Return (k,) v_k' S_k v_k of (k, d) vectors."""

    @abstractmethod
    def inverse_forms(self, vectors: FloatArray) -> FloatArray:
        """Return (k,) v_k' S_k^-1 v_k of (k, d) vectors."""

    @abstractmethod
    def inverse_traces(self, others: Spread) -> FloatArray:
        """Return (m,) tr(S^-1 T_m) of m others, S the first covariance."""

    @abstractmethod
    def scaled(self, scale: FloatArray) -> Spread:
        """Return the covariances of x_i times (d,) scale_i."""

    @abstractmethod
    def turned(self, matrix: FloatArray) -> Matrices:
        """Return the covariances of A x, A a (d, d) matrix."""

    @abstractmethod
    def coloured(self, component: NDArray[np.integer[Any]], noise: FloatArray) -> FloatArray:
        """Return (n, d) rows of the components' covariances, made of (n, d) standard normal noise."""

    @abstractmethod
    def faulty(self) -> NDArray[np.bool_]:
        """Return for each component whether its symmetric covariance is not positive definite."""

    @staticmethod
    @abstractmethod
    def outer(scale: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return values of (m,) scale times v v' of (m, d) vectors, as far as the form holds them."""

    @staticmethod
    @abstractmethod
    def squares(rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Return one component's values of the sum of w z z' over (d, n) rows with (n,) weights."""

    @staticmethod
    @abstractmethod
    def unit(d: int) -> FloatArray:
        """Return one component's values of the unit matrix."""

    def __getitem__(self, which: slice | NDArray[Any]) -> Spread:
        """Return the covariances of some components."""
        return type(self)(self.values[which])

    @classmethod
    def along(cls, numbers: FloatArray) -> FloatArray:
        """Return (m,) numbers in a shape that multiplies the values of m components."""
        return numbers.reshape(-1, *(1,) * cls.unit(1).ndim)

    def replaced(self, which: NDArray[Any], by: Spread) -> Spread:
        """Return the covariances with those of some components replaced by others, or by a single one.

        As variances only the diagonals of those are left.
        """
        values = self.values.copy()
        values[which] = by.matrices if values.ndim > 2 else by.variances  # noqa: PLR2004 - matrices
        return type(self)(values)


class Matrices(Spread):
    """Any covariances: (k, d, d)."""

    @property
    def matrices(self) -> FloatArray:
        """(k, d, d) the covariances."""
        return self.values

    @property
    def variances(self) -> FloatArray:
        """(k, d) the diagonals."""
        return np.asarray(np.einsum("kii->ki", self.values))

    @property
    def log_determinants(self) -> FloatArray:
        """(k,) log |S_k|."""
        return np.asarray(np.linalg.slogdet(self.values)[1])

    @property
    def least_variances(self) -> FloatArray:
        """(k,) the least eigenvalues."""
        return np.asarray(np.linalg.eigvalsh(self.values)[:, 0])

    @cached_property
    def factors(self) -> FloatArray:
        """(k, d, d) the Cholesky factors; a LinAlgError where one has none."""
        return np.asarray(np.linalg.cholesky(self.values))

    def inverted(self) -> tuple[Matrices, FloatArray]:
        """Return the inverses and (k,) log |S_k|, by Cholesky."""
        return self._inverted

    @cached_property
    def _inverted(self) -> tuple[Matrices, FloatArray]:
        factors = self.factors
        log_determinants = 2 * np.log(np.einsum("kii->ki", factors)).sum(axis=1)
        # Of components that share a covariance one inverse is enough.
        some = factors[:1] if (factors[1:] == factors[0]).all() else factors
        inverses = np.linalg.inv(some)
        values = inverses.transpose(0, 2, 1) @ inverses
        return Matrices(np.broadcast_to(values, factors.shape)), log_determinants

    def applied(self, vectors: FloatArray) -> FloatArray:
        """Return (k, d) S_k v_k."""
        return np.asarray(np.einsum("kij,kj->ki", self.values, vectors))

    def forms(self, vectors: FloatArray) -> FloatArray:
        """Return (k,) v_k' S_k v_k."""
        return np.asarray(np.einsum("ki,kij,kj->k", vectors, self.values, vectors))

    def inverse_forms(self, vectors: FloatArray) -> FloatArray:
        """Return (k,) v_k' S_k^-1 v_k."""
        solved = np.linalg.solve(self.values, vectors[..., None])[..., 0]
        return np.asarray((vectors * solved).sum(axis=-1))

    def inverse_traces(self, others: Spread) -> FloatArray:
        """Return (m,) tr(S^-1 T_m)."""
        precision = np.linalg.inv(self.values[0])
        return np.asarray(np.einsum("ij,kij->k", precision, others.matrices))

    def scaled(self, scale: FloatArray) -> Matrices:
        """Return the covariances of x_i times scale_i."""
        return Matrices(self.values * scale[:, None] * scale)

    def turned(self, matrix: FloatArray) -> Matrices:
        """Return A S_k A'."""
        turned = matrix @ self.values @ matrix.T
        return Matrices((turned + np.swapaxes(turned, -1, -2)) / 2)

    def coloured(self, component: NDArray[np.integer[Any]], noise: FloatArray) -> FloatArray:
        """Return rows by Cholesky factors."""
        return np.asarray(np.einsum("nij,nj->ni", self.factors[component], noise))

    def faulty(self) -> NDArray[np.bool_]:
        """Return which have no Cholesky factor."""
        with suppress(np.linalg.LinAlgError):
            if np.isfinite(self.factors).all():  # one call for all, where all have one
                return np.zeros(len(self.values), dtype=np.bool_)
        return ~positive_definite(self.values)

    @staticmethod
    def outer(scale: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return (m, d, d) scale v v'."""
        return np.asarray(scale[:, None, None] * vectors[:, :, None] * vectors[:, None, :])

    @staticmethod
    def squares(rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Return (d, d) the sum of w z z'."""
        return np.asarray((rows * weights) @ rows.T)

    @staticmethod
    def unit(d: int) -> FloatArray:
        """Return the (d, d) unit matrix."""
        return np.eye(d)


class Variances(Spread):
    """Diagonal covariances by their diagonals: (k, d)."""

    @property
    def matrices(self) -> FloatArray:
        """(k, d, d) the covariances, made on demand."""
        return np.asarray(self.values[:, :, None] * np.eye(self.values.shape[1]))

    @property
    def variances(self) -> FloatArray:
        """(k, d) the variances."""
        return self.values

    @property
    def log_determinants(self) -> FloatArray:
        """(k,) log |S_k|; minus infinity where a variance is 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.values).sum(axis=1))

    @property
    def least_variances(self) -> FloatArray:
        """(k,) the least variances."""
        return np.asarray(self.values.min(axis=1))

    def inverted(self) -> tuple[Variances, FloatArray]:
        """Return the inverses and (k,) log |S_k|."""
        return Variances(1 / self.values), self.log_determinants

    def applied(self, vectors: FloatArray) -> FloatArray:
        """Return (k, d) S_k v_k."""
        return self.values * vectors

    def forms(self, vectors: FloatArray) -> FloatArray:
        """Return (k,) v_k' S_k v_k."""
        return np.asarray(np.einsum("ki,ki,ki->k", vectors, self.values, vectors))

    def inverse_forms(self, vectors: FloatArray) -> FloatArray:
        """Return (k,) v_k' S_k^-1 v_k."""
        return np.asarray((vectors**2 / self.values).sum(axis=1))

    def inverse_traces(self, others: Spread) -> FloatArray:
        """Return (m,) tr(S^-1 T_m)."""
        return np.asarray((others.variances / self.values[0]).sum(axis=1))

    def scaled(self, scale: FloatArray) -> Variances:
        """Return the variances of x_i times scale_i."""
        return Variances(self.values * scale * scale)

    def turned(self, matrix: FloatArray) -> Matrices:
        """Return A S_k A'."""
        return Matrices(self.matrices).turned(matrix)

    def coloured(self, component: NDArray[np.integer[Any]], noise: FloatArray) -> FloatArray:
        """Return rows by standard deviations."""
        return np.asarray(np.sqrt(self.values)[component] * noise)

    def faulty(self) -> NDArray[np.bool_]:
        """Return which have a variance that is not positive."""
        return np.asarray((self.values <= 0).any(axis=1))

    @staticmethod
    def outer(scale: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return (m, d) scale v^2."""
        return np.asarray(scale[:, None] * vectors**2)

    @staticmethod
    def squares(rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Return (d,) the sum of w z^2."""
        return np.asarray((rows * rows) @ weights)

    @staticmethod
    def unit(d: int) -> FloatArray:
        """Return (d,) ones."""
        return np.ones(d)
