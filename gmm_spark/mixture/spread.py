"""The covariances of a mixture's components, stored as matrices, or as variances if all are diagonal.

A diagonal covariance as a matrix costs d times the memory and d^2 times the arithmetic of its diagonal. `Spread` lists
every operation on covariances that the package needs; `Matrices` and `Variances` each have their own formula for it.
Cholesky factors and inverses, which a step of EM needs several times, are computed once.
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
        return {"values": self.values}  # without cached factors and inverses

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    @property
    @abstractmethod
    def matrices(self) -> FloatArray:
        """(k, d, d) the covariances as matrices."""

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
    def products(self, vectors: FloatArray) -> FloatArray:
        """Return (k, d) S_k v_k of (k, d) vectors."""

    @abstractmethod
    def quadratic_forms(self, vectors: FloatArray) -> FloatArray:
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
    def transformed(self, matrix: FloatArray) -> Matrices:
        """Return the covariances of A x, A a (d, d) matrix."""

    @abstractmethod
    def rows_from_noise(self, component: NDArray[np.integer[Any]], noise: FloatArray) -> FloatArray:
        """Return (n, d) rows with the covariances of their (n,) components, from (n, d) standard normal noise."""

    @abstractmethod
    def faulty(self) -> NDArray[np.bool_]:
        """Return (k,) which of the symmetric covariances are not positive definite."""

    @staticmethod
    @abstractmethod
    def outer_products(scale: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return the values of (m,) scale times v v' of (m, d) vectors; `Variances` has the diagonals alone."""

    @staticmethod
    @abstractmethod
    def scatter(rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Return the values of one component, the sum of w z z' over (d, n) rows with (n,) weights."""

    @staticmethod
    @abstractmethod
    def identity(d: int) -> FloatArray:
        """Return the values of one component, the identity matrix."""

    def __getitem__(self, which: slice | NDArray[Any]) -> Spread:
        """Return the covariances of some components."""
        return type(self)(self.values[which])

    @classmethod
    def per_component(cls, numbers: FloatArray) -> FloatArray:
        """Return (m,) numbers reshaped to multiply the values of m components."""
        return numbers.reshape(-1, *(1,) * cls.identity(1).ndim)

    def replaced(self, which: NDArray[Any], by: Spread) -> Spread:
        """Return the covariances with those of some components replaced by others, or by a single one.

        `Variances` takes only the diagonals of the others.
        """
        values = self.values.copy()
        values[which] = by.matrices if values.ndim > 2 else by.variances  # noqa: PLR2004 - matrices
        return type(self)(values)


class Matrices(Spread):
    """Covariances as (k, d, d) matrices."""

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
        """(k, d, d) the Cholesky factors; LinAlgError if a matrix has none."""
        return np.asarray(np.linalg.cholesky(self.values))

    def inverted(self) -> tuple[Matrices, FloatArray]:
        """Return the inverses and (k,) log |S_k|, by Cholesky factors."""
        return self._inverted

    @cached_property
    def _inverted(self) -> tuple[Matrices, FloatArray]:
        factors = self.factors
        log_determinants = 2 * np.log(np.einsum("kii->ki", factors)).sum(axis=1)
        # Components that share a covariance need only one inverse.
        distinct = factors[:1] if (factors[1:] == factors[0]).all() else factors
        inverses = np.linalg.inv(distinct)
        return Matrices(np.broadcast_to(inverses.transpose(0, 2, 1) @ inverses, factors.shape)), log_determinants

    def products(self, vectors: FloatArray) -> FloatArray:
        """Return (k, d) S_k v_k."""
        return np.asarray(np.einsum("kij,kj->ki", self.values, vectors))

    def quadratic_forms(self, vectors: FloatArray) -> FloatArray:
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

    def transformed(self, matrix: FloatArray) -> Matrices:
        """Return A S_k A'."""
        turned = matrix @ self.values @ matrix.T
        return Matrices((turned + np.swapaxes(turned, -1, -2)) / 2)

    def rows_from_noise(self, component: NDArray[np.integer[Any]], noise: FloatArray) -> FloatArray:
        """Return (n, d) rows by Cholesky factors."""
        return np.asarray(np.einsum("nij,nj->ni", self.factors[component], noise))

    def faulty(self) -> NDArray[np.bool_]:
        """Return (k,) which matrices have no Cholesky factor."""
        with suppress(np.linalg.LinAlgError):
            if np.isfinite(self.factors).all():  # one call is enough if all have one
                return np.zeros(len(self.values), dtype=np.bool_)
        return ~positive_definite(self.values)

    @staticmethod
    def outer_products(scale: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return (m, d, d) scale v v'."""
        return np.asarray(scale[:, None, None] * vectors[:, :, None] * vectors[:, None, :])

    @staticmethod
    def scatter(rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Return (d, d) the sum of w z z'."""
        return np.asarray((rows * weights) @ rows.T)

    @staticmethod
    def identity(d: int) -> FloatArray:
        """Return the (d, d) identity matrix."""
        return np.eye(d)


class Variances(Spread):
    """Diagonal covariances as (k, d) variances."""

    @property
    def matrices(self) -> FloatArray:
        """(k, d, d) the covariances, computed on demand."""
        return np.asarray(self.values[:, :, None] * np.eye(self.values.shape[1]))

    @property
    def variances(self) -> FloatArray:
        """(k, d) the variances."""
        return self.values

    @property
    def log_determinants(self) -> FloatArray:
        """(k,) log |S_k|; minus infinity if a variance is 0."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(self.values).sum(axis=1))

    @property
    def least_variances(self) -> FloatArray:
        """(k,) the least variances."""
        return np.asarray(self.values.min(axis=1))

    def inverted(self) -> tuple[Variances, FloatArray]:
        """Return the inverses and (k,) log |S_k|."""
        return Variances(1 / self.values), self.log_determinants

    def products(self, vectors: FloatArray) -> FloatArray:
        """Return (k, d) S_k v_k."""
        return self.values * vectors

    def quadratic_forms(self, vectors: FloatArray) -> FloatArray:
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

    def transformed(self, matrix: FloatArray) -> Matrices:
        """Return A S_k A'."""
        return Matrices(self.matrices).transformed(matrix)

    def rows_from_noise(self, component: NDArray[np.integer[Any]], noise: FloatArray) -> FloatArray:
        """Return (n, d) rows by standard deviations."""
        return np.asarray(np.sqrt(self.values)[component] * noise)

    def faulty(self) -> NDArray[np.bool_]:
        """Return (k,) which components have a variance that is not positive."""
        return np.asarray((self.values <= 0).any(axis=1))

    @staticmethod
    def outer_products(scale: FloatArray, vectors: FloatArray) -> FloatArray:
        """Return (m, d) scale v^2."""
        return np.asarray(scale[:, None] * vectors**2)

    @staticmethod
    def scatter(rows: FloatArray, weights: FloatArray) -> FloatArray:
        """Return (d,) the sum of w z^2."""
        return np.asarray((rows * rows) @ weights)

    @staticmethod
    def identity(d: int) -> FloatArray:
        """Return (d,) ones."""
        return np.ones(d)
