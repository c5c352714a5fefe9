"""The L1 penalty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from linprobe.penalties.base import Penalty, excess, soft_threshold
from linprobe.shapes import Floats

__all__ = ["L1"]


@final
@dataclass(frozen=True)
class L1(Penalty):
    """Sum of the absolute weights.

        R(W) = sum_k sum_l |W_kl|

    It has a kink where a weight is 0, so the optimum has weights of exactly 0. It prefers few weights.

    Source:
        CS231n notes, linear-classify, "Regularization".
    Example:
        >>> L1().value(np.array([[0.25, -0.25, 0.25, 0.25]]))
        1.0
    """

    name: ClassVar[str] = "l1"
    title: ClassVar[str] = "L1"
    formula: ClassVar[str] = "R(W) = Σ |W|"
    coefficient_symbols: ClassVar[tuple[str, str]] = ("0", "1")
    smooth: ClassVar[bool] = False

    @property
    def coefficients(self) -> tuple[float, float]:
        """(0, 1)."""
        return 0.0, 1.0

    def value(self, W: Floats) -> float:
        """sum |W|."""
        return float(np.abs(W).sum(dtype=np.float64))

    def gradient(self, W: Floats) -> Floats:
        """0: L1 has no smooth part."""
        return np.zeros_like(W)

    def prox(self, V: Floats, step: Floats | float) -> Floats:
        """Each weight moved towards 0 by `step`; exactly 0 if it was within `step` of 0."""
        return soft_threshold(V, step)

    def conjugate(self, V: Floats, reg: float) -> float:
        """0 where max |V| <= reg, up to rounding (`excess`); else +inf."""
        return float("inf") if excess(V, reg).any() else 0.0

    def dual_scale(self, V: Floats, reg: float) -> float:
        """reg / max |V|, at most 1."""
        largest = float(np.abs(V).max(initial=0.0))
        return 1.0 if largest <= reg else reg / largest

    def least_subgradient(self, W: Floats, gradient: Floats, reg: float) -> Floats:
        """gradient + reg sign(W) where W != 0; where W = 0, `gradient` soft-thresholded by reg."""
        return np.where(W == 0.0, soft_threshold(gradient, reg), gradient + reg * np.sign(W))

    def kinks(self, W: Floats) -> Floats:
        """W."""
        return W
