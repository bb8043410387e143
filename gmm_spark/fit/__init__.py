"""One fit over any engine: `order` has the steps of a fit; Spark and rows in memory are two engines.

The package itself can be called, so that `gmm_spark.fit(x, 3)` works whatever was imported before.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType

from gmm_spark.fit.in_memory import FittedMixture, fit

__all__ = ["FittedMixture", "fit"]


class _CallablePackage(ModuleType):
    __call__ = staticmethod(fit)

    def __reduce__(self) -> tuple[object, ...]:
        return import_module, (self.__name__,)  # as a function is pickled, by its name: a pool of processes may call it


sys.modules[__name__].__class__ = _CallablePackage
