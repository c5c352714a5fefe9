"""The elastic net: L1 with a share of L2."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from linprobe.parameters import Parameter
from linprobe.penalties.base import Penalty, excess, soft_threshold
from linprobe.shapes import Floats

__all__ = ["ElasticNet"]

BETA = Parameter("beta", 1.0, "weight of the squares", low=0.0)


@final
@dataclass(frozen=True)
class ElasticNet(Penalty):
    """beta times the sum of the squared weights, plus the sum of the absolute weights.

        R(W) = sum_k sum_l (beta W_kl² + |W_kl|)

    The smooth part is beta W², the kinked part |W|. As with L1, weights become exactly 0. As with L2, correlated
    pixels share their weight.

    Args:
        beta: weight of the squares relative to the absolute values, >= 0.
    Source:
        Zou and Hastie, "Regularization and variable selection via the elastic net", 2005, with the lecture's
        constants.
    Example:
        >>> ElasticNet(beta=2.0).value(np.array([[0.5, -0.5]]))
        2.0
    """

    beta: float = 1.0
    name: ClassVar[str] = "elastic-net"
    title: ClassVar[str] = "elastic net"
    formula: ClassVar[str] = "R(W) = Σ (β W^2 + |W|)"
    parameter_info: ClassVar[tuple[Parameter, ...]] = (BETA,)
    coefficient_symbols: ClassVar[tuple[str, str]] = (BETA.name, "1")
    smooth: ClassVar[bool] = False

    def __post_init__(self) -> None:
        BETA.check(self.beta)

    @property
    def coefficients(self) -> tuple[float, float]:
        """(beta, 1)."""
        return self.beta, 1.0

    @property
    def strong_convexity(self) -> float:
        """2 beta."""
        return 2.0 * self.beta

    def value(self, W: Floats) -> float:
        """sum (beta W² + |W|)."""
        W = W.astype(np.float64, copy=False)
        return float((self.beta * np.square(W) + np.abs(W)).sum())

    def gradient(self, W: Floats) -> Floats:
        """2 beta W."""
        return 2.0 * self.beta * W

    def prox(self, V: Floats, step: Floats | float) -> Floats:
        """Each weight moved towards 0 by `step`; exactly 0 if it was within `step` of 0."""
        return soft_threshold(V, step)

    def conjugate(self, V: Floats, reg: float) -> float:
        """sum max(0, |V| - reg)² / (4 reg beta); where reg beta = 0, 0 if max |V| <= reg and else +inf."""
        over = excess(V, reg)
        if not over.any():
            return 0.0
        if reg * self.beta == 0.0:
            return float("inf")
        return float(np.square(over).sum()) / (4.0 * reg * self.beta)

    def dual_scale(self, V: Floats, reg: float) -> float:
        """1; with beta = 0, that of L1."""
        largest = float(np.abs(V).max(initial=0.0))
        return reg / largest if self.beta == 0.0 and largest > reg else 1.0

    def least_subgradient(self, W: Floats, gradient: Floats, reg: float) -> Floats:
        """gradient + reg sign(W) where W != 0; where W = 0, `gradient` soft-thresholded by reg."""
        return np.where(W == 0.0, soft_threshold(gradient, reg), gradient + reg * np.sign(W))

    def kinks(self, W: Floats) -> Floats:
        """W."""
        return W
