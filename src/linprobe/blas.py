"""The BLAS that SciPy carries, for the products of the core: one thread a call, as the core has threads of its own."""

from __future__ import annotations

import os
import threading
from typing import Any

from linprobe import _core

__all__ = ["ONE_BLAS_THREAD"]


class _OneBlasThread:
    """Gives the core the BLAS that SciPy carries, with one thread a call as long as anyone is inside.

    The core calls it from threads of its own. The limit is one for the whole process: the first to enter sets
    it, the last to leave takes it back. SciPy is imported when it is first needed.
    """

    def __init__(self) -> None:
        self._controller: Any = None
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._controller is None:
                from scipy.linalg import cython_blas
                from threadpoolctl import ThreadpoolController

                _core.use_blas(cython_blas.__pyx_capi__["sgemm"], cython_blas.__pyx_capi__["dgemm"])
                self._controller = ThreadpoolController().select(user_api="blas")
            if self._inside == 0:
                self._limit = self._controller.limit(limits=1)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.restore_original_limits()


ONE_BLAS_THREAD = _OneBlasThread()
if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=ONE_BLAS_THREAD.__init__)  # type: ignore[misc]
