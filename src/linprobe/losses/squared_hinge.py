"""The squared multiclass hinge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from linprobe.losses.base import MARGIN, Loss, balanced_flows, margin_root, margin_slope, rounding_slack
from linprobe.parameters import Parameter
from linprobe.shapes import Floats, Labels, check_labels

__all__ = ["SquaredHinge"]


@final
@dataclass(frozen=True)
class SquaredHinge(Loss):
    """Sum of the squares of the violated margins of each image.

        L_i = sum_{j != y_i} max(0, s_j - s_{y_i} + delta)²

    One large margin costs more than many small ones of the same sum. It is smooth, and its slope has a kink where a
    margin is exactly 0. PyTorch's MultiMarginLoss(p=2) is this one divided by K.

    Args:
        delta: required margin of the correct class, > 0, in the unit of the scores.
    Source:
        CS231n notes, linear-classify, "squared hinge loss SVM (or L2-SVM)".
    Example:
        >>> SquaredHinge(delta=10.0).value(np.array([[13.0, -7.0, 11.0]]), np.array([0]))
        array([64.])
    """

    delta: float = 1.0
    name: ClassVar[str] = "squared-hinge"
    title: ClassVar[str] = "squared multiclass hinge (SVM)"
    formula: ClassVar[str] = "L_i = Σ_{j ≠ y} max(0, s_j − s_y + Δ)^2"
    parameter_info: ClassVar[tuple[Parameter, ...]] = (MARGIN,)
    smooth: ClassVar[bool] = True
    curvature_form: ClassVar[str | None] = "star"

    def __post_init__(self) -> None:
        MARGIN.check(self.delta)

    @property
    def margin_power(self) -> int:
        """2."""
        return 2

    @property
    def unit(self) -> float:
        """delta."""
        return self.delta

    def curvature(self, n_classes: int) -> float:
        """2 K: the largest eigenvalue of the Hessian, met when all K - 1 margins are violated.

        With M of them violated the Hessian is 2 sum_j (e_j - e_y)(e_j - e_y)ᵀ, twice the Laplacian of a star
        with M leaves, whose largest eigenvalue is M + 1 <= K.
        """
        return 2.0 * n_classes

    def value_and_gradient(self, scores: Floats, y: Labels) -> tuple[Floats, Floats]:
        """Loss of each image (N,) and its gradient in the scores (N, K)."""
        margins = self.kinks(scores, y)
        rows = np.arange(len(y))
        margins[rows, y] = 0.0  # the sum leaves out j = y_i
        np.maximum(margins, 0.0, out=margins)
        dscores = 2.0 * margins
        dscores[rows, y] = -dscores.sum(axis=1)  # every violated margin holds s_{y_i} once, with a minus
        with np.errstate(over="ignore"):
            return np.square(margins).sum(axis=1), dscores

    def curvature_weights(self, scores: Floats, y: Labels) -> Floats:
        """2 where a margin is violated: a generalised Hessian, as the slope has a kink there."""
        weights = np.where(self.kinks(scores, y) > 0.0, 2.0, 0.0)
        weights[np.arange(len(y)), y] = 0.0
        return weights

    def kinks(self, scores: Floats, y: Labels) -> Floats:
        """The margins s_j - s_{y_i} + delta, (N, K); the column of y_i is delta, which is never 0."""
        check_labels(y, scores)
        # infinite scores, of weights that diverged, give an infinite or NaN loss without a warning
        with np.errstate(invalid="ignore", over="ignore"):
            margins: Floats = scores - np.take_along_axis(scores, y[:, None], axis=1) + self.delta
        margins[np.arange(len(y)), y] = self.delta
        return margins

    def conjugate(self, gradient: Floats, y: Labels) -> Floats:
        """L*_i(g) = sum_{j != y_i} (g_j² / 4 - delta g_j) where these g_j >= 0 and sum_j g_j = 0; else +inf.

        With u_j = s_j - s_{y_i} + delta the maximum splits into one for each j != y_i, of g_j (u - delta) -
        max(0, u)², reached at u = g_j / 2. Bound and sum may be missed by `rounding_slack`.
        """
        check_labels(y, gradient)
        slack = rounding_slack(gradient)
        others = gradient.copy()
        others[np.arange(len(y)), y] = 0.0
        feasible = (np.abs(gradient.sum(axis=1)) <= slack) & (others.min(axis=1) >= -slack)
        return np.where(feasible, (np.square(others) / 4.0 - self.delta * others).sum(axis=1), np.inf)

    def dual_size(self, value: float, n_classes: int) -> float:
        """2 sqrt(K - 1) r, with r² the mean of sum g_j² off the label: r² / 4 - delta sqrt(K - 1) r <= -value."""
        root = float(np.sqrt(n_classes - 1.0))
        r = 2.0 * (self.delta * root + float(np.sqrt(self.delta**2 * root**2 + max(0.0, -value))))
        return 2.0 * root * r

    def prox_gradient(self, V: Floats, y: Labels, rho: float) -> Floats:
        """By the root of `margin_root`."""
        check_labels(y, V)
        return margin_root(V, y, self.delta, rho, 2.0 * rho / (rho + 2.0), np.inf)

    def shift_curvature(self, scores: Floats, y: Labels, weight: Floats) -> Floats:
        """sum_i w_i 2 sum_j (e_j - e_y)(e_j - e_y)ᵀ over the violated margins j: a star at the label of each image."""
        violated = (self.kinks(scores, y) > 0.0).astype(np.float64)
        violated[np.arange(len(y)), y] = 0.0
        between = np.zeros((scores.shape[1], scores.shape[1]))
        np.add.at(between, y, 2.0 * weight[:, None] * violated)
        between = between + between.T
        curvature: Floats = np.diag(between.sum(axis=1)) - between
        return curvature

    def prox_slope(self, V: Floats, y: Labels, rho: float, weight: Floats) -> Floats:
        """By `margin_slope`."""
        check_labels(y, V)
        return margin_slope(V, y, self.delta, rho, 2.0 * rho / (rho + 2.0), np.inf, weight)

    def balanced(self, shares: Floats, columns: Floats) -> tuple[float, Floats]:
        """The flows between the classes of `balanced_flows`."""
        return balanced_flows(shares, columns)
