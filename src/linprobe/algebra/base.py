"""The Algebra interface: dense linear algebra of the optimizers, over arrays that they made; no image is read."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.algebra.curved import CurvedModel
from linprobe.algebra.dual import DualModel, DualPairs
from linprobe.algebra.quadratic import QuadraticModel
from linprobe.shapes import Floats

__all__ = ["Algebra", "CurvedModel", "DualModel", "DualPairs", "QuadraticModel"]


class Algebra(ABC):
    """Cholesky factors, and descent on the models of the optimizers. Every engine has the one that goes with it."""

    @abstractmethod
    def factored(self, M: Floats, ridge: float) -> Floats:
        """The Cholesky factor of M + ridge * I, M (n, n) symmetric, in float32, for `solve_factored` of this algebra.

        Raises:
            LinAlgError: it is not positive definite.
        """

    @abstractmethod
    def solve_factored(self, factor: Floats, G: Floats) -> Floats:
        """The rows of G (m, n), float32, times the inverse of the matrix that has this factor; G may be overwritten."""

    @abstractmethod
    def roughly_factored(self, M: Floats) -> npt.NDArray[Any]:
        """The Cholesky factor of M (n, n), symmetric, for `solve_roughly`; 8 bits of its numbers may be all it keeps.

        Raises:
            LinAlgError: it is not positive definite.
        """

    @abstractmethod
    def solve_roughly(self, factor: npt.NDArray[Any], g: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """(n,) the inverse of the matrix that has this factor, times g (n,) float32; on the calling thread."""

    @abstractmethod
    def descend(self, model: QuadraticModel, most: int, tol: float) -> tuple[int, float]:
        """Coordinate descent on a quadratic model with |W|; see `quadratic.descend`."""

    @abstractmethod
    def ascend(
        self, model: DualModel, order: npt.NDArray[np.int64], *, everything: bool, threshold: float
    ) -> tuple[float, int]:
        """Coordinate ascent on the dual of a loss over margins; see `dual.ascend`."""

    @abstractmethod
    def ascend_pairs(
        self,
        model: DualModel,
        pairs: DualPairs,
        order: npt.NDArray[np.int64],
        *,
        everything: bool,
        threshold: float,
    ) -> tuple[float, int]:
        """The same over listed pairs of image and class; see `dual.ascend_pairs`."""

    @abstractmethod
    def dual_sums(self, model: DualModel, pairs: DualPairs) -> Floats:
        """V = -Gᵀ X (K, D) of the listed pairs, in float64."""

    @abstractmethod
    def sweep(self, model: CurvedModel, everything: bool) -> float:
        """Coordinate descent on a second-order model of a loss, one sweep; see `curved.sweep`."""

    @abstractmethod
    def krylov(self, model: CurvedModel, most: int, share: float) -> int:
        """Conjugate gradients for the weights of such a model that are not 0; see `curved.krylov`."""
