"""The noise component: a uniform density over the range of the data, for rows that belong to no cluster.

Banfield and Raftery, Model-based Gaussian and non-Gaussian clustering, Biometrics 49, 1993. The density is 1 / V
everywhere, V the volume of the box, so that rows outside the box have posteriors too. Only the weight is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gmm_spark.errors import ParametersError
from gmm_spark.mixture.arrays import restore

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from gmm_spark.mixture.arrays import FloatArray


@dataclass(frozen=True, eq=False, init=False)
class Noise:
    """A uniform component; immutable.

    Args:
        weight: its mixing weight, at least 0 and below 1.
        box: (2, d) the least and the largest value of each feature, always in the user's units.
        shift: the logarithm of the factor by which volumes are smaller in the coordinates of the mixture.

    Raises:
        ParametersError: a weight out of bounds, or a box without a volume.
    """

    weight: float
    box: FloatArray
    shift: float = 0.0

    def __setstate__(self, state: dict[str, Any]) -> None:
        restore(self, state)

    def __init__(self, weight: float, box: ArrayLike, shift: float = 0.0) -> None:
        limits = np.array(box, dtype=np.float64)
        sides = np.diff(limits, axis=0) if limits.ndim == 2 and len(limits) == 2 else np.zeros(1)  # noqa: PLR2004 - low and high
        if not (0 <= weight < 1 and np.isfinite(limits).all() and (sides > 0).all()):
            raise ParametersError(
                "noise component",
                got=f"weight {weight!r} and a box of shape {limits.shape}",
                expected="a weight of at least 0 and below 1, and a least value below the largest one for each feature",
                do="Leave constant features out, or fit without the noise component.",
            )
        limits.setflags(write=False)
        object.__setattr__(self, "weight", float(weight))
        object.__setattr__(self, "box", limits)
        object.__setattr__(self, "shift", float(shift))

    @property
    def log_density(self) -> float:
        """-log V, in nats, in the coordinates of the mixture."""
        return self.shift - float(np.log(np.diff(self.box, axis=0)).sum())

    @property
    def log_joint(self) -> float:
        """Log weight + log density; a large negative number if the weight is 0."""
        return self.log_density + (float(np.log(self.weight)) if self.weight > 0 else -1e300)

    def with_weight(self, weight: float) -> Noise:
        """Return the same noise with another weight."""
        return Noise(weight, self.box, self.shift)

    def rescaled(self, log_determinant: float) -> Noise:
        """Return the noise in coordinates whose volumes are e^log_determinant smaller."""
        return Noise(self.weight, self.box, self.shift + log_determinant)
