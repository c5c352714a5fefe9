"""The L2 penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from linprobe.penalties.base import Penalty
from linprobe.shapes import Floats

__all__ = ["L2"]


@final
@dataclass(frozen=True)
class L2(Penalty):
    """Sum of the squares of the weights.

        R(W) = sum_k sum_l W_kl²

    Without the factor 1/2, as in the lecture. It prefers weights that are spread out.

    Source:
        CS231n notes, linear-classify, "Regularization".
    Example:
        >>> L2().value(np.array([[0.25, 0.25, 0.25, 0.25]]))
        0.25
    """

    name: ClassVar[str] = "l2"
    title: ClassVar[str] = "L2"
    formula: ClassVar[str] = "R(W) = Σ W^2"
    coefficient_symbols: ClassVar[tuple[str, str]] = ("1", "0")
    smooth: ClassVar[bool] = True

    @property
    def coefficients(self) -> tuple[float, float]:
        """(1, 0)."""
        return 1.0, 0.0

    @property
    def strong_convexity(self) -> float:
        """2."""
        return 2.0

    def value(self, W: Floats) -> float:
        """sum W²."""
        return float(np.square(W, dtype=np.float64).sum())

    def gradient(self, W: Floats) -> Floats:
        """2 W."""
        return 2.0 * W

    def prox(self, V: Floats, step: Floats | float) -> Floats:
        """`V` itself: L2 has no kinked part."""
        return V

    def conjugate(self, V: Floats, reg: float) -> float:
        """sum V² / (4 reg); for reg = 0, 0 at V = 0 and else +inf."""
        total = float(np.square(V, dtype=np.float64).sum())
        if reg == 0.0:
            return 0.0 if total == 0.0 else float("inf")
        return total / (4.0 * reg)
