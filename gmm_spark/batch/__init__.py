"""What a scheduled job needs around the mathematics: configuration, input, safe output, exit statuses."""

from __future__ import annotations

import os

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

# numpy reads these when it is first imported, which in a job is after this package. The matrix products of the search
# for starts are small: a second thread gains little, and makes them several times slower on a busy machine.
if not any(os.environ.get(name) for name in BLAS_THREADS):
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
