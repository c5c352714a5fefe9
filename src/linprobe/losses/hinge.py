"""The multiclass support vector machine loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from linprobe.losses.base import MARGIN, Loss, balanced_flows, margin_root, margin_slope, rounding_slack
from linprobe.parameters import Parameter
from linprobe.shapes import Floats, Labels, check_labels

__all__ = ["MulticlassHinge"]


@final
@dataclass(frozen=True)
class MulticlassHinge(Loss):
    """Sum of the violated margins of each image (Weston and Watkins).

        L_i = sum_{j != y_i} max(0, s_j - s_{y_i} + delta)

    Not smooth: it has a kink where a margin is exactly 0, and the gradient there is that of the flat side. Crammer and
    Singer's variant takes the largest margin in place of the sum. PyTorch's MultiMarginLoss is this one divided by K.

    Args:
        delta: required margin of the correct class, > 0, in the unit of the scores.
    Source:
        CS231n notes, linear-classify, "Multiclass Support Vector Machine loss".
    Example:
        >>> MulticlassHinge(delta=10.0).value(np.array([[13.0, -7.0, 11.0]]), np.array([0]))
        array([8.])
    """

    delta: float = 1.0
    name: ClassVar[str] = "hinge"
    title: ClassVar[str] = "multiclass hinge (SVM)"
    formula: ClassVar[str] = "L_i = Σ_{j ≠ y} max(0, s_j − s_y + Δ)"
    parameter_info: ClassVar[tuple[Parameter, ...]] = (MARGIN,)
    smooth: ClassVar[bool] = False

    def __post_init__(self) -> None:
        MARGIN.check(self.delta)

    @property
    def margin_power(self) -> int:
        """1."""
        return 1

    @property
    def unit(self) -> float:
        """delta."""
        return self.delta

    def value_and_gradient(self, scores: Floats, y: Labels) -> tuple[Floats, Floats]:
        """Loss of each image (N,) and its gradient in the scores (N, K)."""
        margins = self.kinks(scores, y)
        rows = np.arange(len(y))
        margins[rows, y] = 0.0  # the sum leaves out j = y_i
        violated = margins > 0
        dscores = violated.astype(scores.dtype)
        dscores[rows, y] = -violated.sum(axis=1)  # every violated margin contains -s_{y_i} once
        return np.maximum(margins, 0.0).sum(axis=1), dscores  # maximum, unlike where, propagates NaN

    def kinks(self, scores: Floats, y: Labels) -> Floats:
        """The margins s_j - s_{y_i} + delta, (N, K); the column of y_i is delta, which is never 0."""
        check_labels(y, scores)
        # infinite scores, of weights that diverged, give an infinite or NaN loss without a warning
        with np.errstate(invalid="ignore", over="ignore"):
            margins: Floats = scores - np.take_along_axis(scores, y[:, None], axis=1) + self.delta
        margins[np.arange(len(y)), y] = self.delta
        return margins

    def conjugate(self, gradient: Floats, y: Labels) -> Floats:
        """L*_i(g) = -delta sum_{j != y_i} g_j where 0 <= g_j <= 1 (j != y_i) and sum_j g_j = 0; else +inf.

        With t_j = s_j - s_{y_i} the maximum splits into one for each j != y_i, of g_j t - max(0, t + delta),
        reached at the kink t = -delta. Bounds and sum may be missed by `rounding_slack`.
        """
        check_labels(y, gradient)
        slack = rounding_slack(gradient)
        others = gradient.copy()
        others[np.arange(len(y)), y] = 0.0
        feasible = (
            (np.abs(gradient.sum(axis=1)) <= slack)
            & (others.min(axis=1) >= -slack)
            & (others.max(axis=1) <= 1.0 + slack)
        )
        return np.where(feasible, -self.delta * others.sum(axis=1), np.inf)

    def prox_gradient(self, V: Floats, y: Labels, rho: float) -> Floats:
        """By the root of `margin_root`."""
        check_labels(y, V)
        return margin_root(V, y, self.delta, rho, rho, 1.0)

    def prox_slope(self, V: Floats, y: Labels, rho: float, weight: Floats) -> Floats:
        """By `margin_slope`."""
        check_labels(y, V)
        return margin_slope(V, y, self.delta, rho, rho, 1.0, weight)

    def balanced(self, shares: Floats, columns: Floats) -> tuple[float, Floats]:
        """The flows between the classes of `balanced_flows`."""
        return balanced_flows(shares, columns)
