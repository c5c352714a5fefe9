"""The native algebra: the same in the C++ core."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import numpy.typing as npt

from linprobe import _core
from linprobe.algebra.base import Algebra
from linprobe.algebra.curved import CurvedModel
from linprobe.algebra.dual import DualModel, DualPairs
from linprobe.algebra.quadratic import QuadraticModel
from linprobe.cores import share_of, threads_for
from linprobe.shapes import Floats

__all__ = ["NativeAlgebra"]


@final
class NativeAlgebra(Algebra):
    """Factors in blocks on several threads; descent on one thread, with float64 sums.

    The bits of every result are the same for any number of threads.

    Args:
        n_threads: at most; None for one per usable core.
    """

    def __init__(self, n_threads: int | None = None) -> None:
        self._most_threads = threads_for(n_threads)

    @property
    def _threads(self) -> int:
        """How many this call may use."""
        return share_of(self._most_threads)

    def factored(self, M: Floats, ridge: float) -> Floats:
        """The factor in blocks (B, 128, 128) that all threads make: LAPACK's bits depend on their number."""
        size = _core.TRIANGLE_BLOCK
        factor: Floats = np.empty((_core.triangle_blocks(len(M)), size, size), np.float32)
        if not _core.factor(np.ascontiguousarray(M, np.float32), ridge, factor, self._threads):
            raise np.linalg.LinAlgError("the matrix is not positive definite.")
        return factor

    def solve_factored(self, factor: Floats, G: Floats) -> Floats:
        """The rows of G (m, n) solved for; the factor is read once each way for 32 rows, and not copied."""
        solved = np.ascontiguousarray(G)
        _core.solve_triangles(factor, solved, self._threads)
        return solved

    def roughly_factored(self, M: Floats) -> npt.NDArray[Any]:
        """The factor with 8 bits of each number: half the memory to read."""
        factor = self.factored(M, 0.0)
        halves = np.empty(factor.shape, np.uint16)
        _core.halve_triangle(factor, halves)
        return halves

    def solve_roughly(self, factor: npt.NDArray[Any], g: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """g (n,) solved for, on the calling thread."""
        solved = g.copy()
        _core.solve_halves(factor, solved)
        return solved

    def descend(self, model: QuadraticModel, most: int, tol: float) -> tuple[int, float]:
        """Coordinate descent on one thread: vectors are float32, each weight and its slope float64."""
        return _core.descent(**vars(model), most=most, tol=tol)

    def ascend(
        self, model: DualModel, order: npt.NDArray[np.int64], *, everything: bool, threshold: float
    ) -> tuple[float, int]:
        """Coordinate ascent on one thread, all sums in float64."""
        run = _core.ascent_float32 if model.rows.dtype == np.float32 else _core.ascent_float64
        arguments = dict(vars(model))
        arguments["lambda_"] = arguments.pop("ridge")
        return run(**arguments, order=order, everything=everything, threshold=threshold)

    def ascend_pairs(
        self,
        model: DualModel,
        pairs: DualPairs,
        order: npt.NDArray[np.int64],
        *,
        everything: bool,
        threshold: float,
    ) -> tuple[float, int]:
        """Coordinate ascent on one thread; products in float32, all else of an image in float64."""
        names = ("squares", "y", "share", "size", "bias", "delta", "most", "curvature", "b")
        return _core.pairs_ascent(
            rows=model.rows,
            lambda_=model.ridge,
            **{name: getattr(model, name) for name in names},
            **vars(pairs),
            order=order,
            everything=everything,
            threshold=threshold,
        )

    def dual_sums(self, model: DualModel, pairs: DualPairs) -> Floats:
        """V = -Gᵀ X (K, D), the features split among threads."""
        V = np.empty(pairs.V.shape)
        _core.pairs_sums(
            rows=model.rows, y=model.y, ends=pairs.ends, classes=pairs.classes, A=pairs.A, V=V, threads=self._threads
        )
        return V

    def sweep(self, model: CurvedModel, everything: bool) -> float:
        """Coordinate descent on one thread, in float64; returns the largest change of a slope."""
        run = _core.curved_sweep_float32 if model.X.dtype == np.float32 else _core.curved_sweep_float64
        return run(**vars(model), everything=everything, most=0, share=0.0)

    def krylov(self, model: CurvedModel, most: int, share: float) -> int:
        """Conjugate gradients on one thread, in float64; returns the iterations made."""
        run = _core.curved_krylov_float32 if model.X.dtype == np.float32 else _core.curved_krylov_float64
        return int(run(**vars(model), everything=False, most=most, share=share))
