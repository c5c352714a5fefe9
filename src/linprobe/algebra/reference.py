"""The plain algebra: LAPACK as SciPy carries it, and the models in NumPy. The native one is compared with it."""

from __future__ import annotations

from typing import Any, final

import numpy as np
import numpy.typing as npt

from linprobe.algebra import curved, dual, quadratic
from linprobe.algebra.base import Algebra
from linprobe.algebra.curved import CurvedModel
from linprobe.algebra.dual import DualModel, DualPairs
from linprobe.algebra.quadratic import QuadraticModel
from linprobe.shapes import Floats

__all__ = ["ReferenceAlgebra"]


@final
class ReferenceAlgebra(Algebra):
    """Factors in float32 by LAPACK; sums of the models in float64."""

    def factored(self, M: Floats, ridge: float) -> Floats:
        """The lower triangle of the Cholesky factor, (n, n)."""
        from scipy.linalg import cho_factor

        ridged = M.T.astype(np.float32)  # a copy, and as LAPACK wants it
        ridged[np.diag_indices(len(M))] += np.float32(ridge)
        factor: Floats = cho_factor(ridged, lower=True, overwrite_a=True, check_finite=False)[0]
        return factor

    def solve_factored(self, factor: Floats, G: Floats) -> Floats:
        """The rows of G (m, n) solved for, in float32."""
        from scipy.linalg import cho_solve

        solved: Floats = cho_solve((factor, True), G.T, overwrite_b=True, check_finite=False).T
        return solved

    def roughly_factored(self, M: Floats) -> npt.NDArray[Any]:
        """That of `factored`: nothing is rounded here."""
        return self.factored(M, 0.0)

    def solve_roughly(self, factor: npt.NDArray[Any], g: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """g (n,) solved for."""
        solved: npt.NDArray[np.float32] = self.solve_factored(factor, g[None].copy())[0]
        return solved

    def descend(self, model: QuadraticModel, most: int, tol: float) -> tuple[int, float]:
        """Coordinate descent, a weight at a time."""
        return quadratic.descend(model, most, tol)

    def ascend(
        self, model: DualModel, order: npt.NDArray[np.int64], *, everything: bool, threshold: float
    ) -> tuple[float, int]:
        """Coordinate ascent, an image at a time."""
        return dual.ascend(model, order, everything=everything, threshold=threshold)

    def ascend_pairs(
        self,
        model: DualModel,
        pairs: DualPairs,
        order: npt.NDArray[np.int64],
        *,
        everything: bool,
        threshold: float,
    ) -> tuple[float, int]:
        """The same over listed pairs."""
        return dual.ascend_pairs(model, pairs, order, everything=everything, threshold=threshold)

    def dual_sums(self, model: DualModel, pairs: DualPairs) -> Floats:
        """V = -Gᵀ X (K, D), a block of images at a time."""
        return dual.dual_sums(model, pairs)

    def sweep(self, model: CurvedModel, everything: bool) -> float:
        """Coordinate descent, a weight at a time; returns the largest change of a slope."""
        return curved.sweep(model, everything)

    def krylov(self, model: CurvedModel, most: int, share: float) -> int:
        """Conjugate gradients; returns the iterations made."""
        return curved.krylov(model, most, share)
