"""What a scheduled job needs around the mathematics: configuration, input, safe output, exit statuses."""

from __future__ import annotations

import os

BLAS_THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")

# numpy reads these when it is first imported, which is after this package. The products of the search for starts are
# small: on 2 idle cores a second thread makes it 1.15 times as fast, beside other work five to eight times as slow.
if not any(os.environ.get(name) for name in BLAS_THREADS):
    os.environ.update(dict.fromkeys(BLAS_THREADS, "1"))
