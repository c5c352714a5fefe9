"""The Loss interface: from scores and labels to the loss of each image and its gradient in the scores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np

from linprobe.errors import IncompatibleError
from linprobe.parameters import Parameter
from linprobe.shapes import Floats, Labels

__all__ = ["MARGIN", "Loss", "balanced_flows", "margin_root", "margin_slope", "rounding_slack"]

ROOT_STEPS = 100
"""Newton or bisection steps for the scalar root of one row, at most. Bisection alone halves its bracket 100 times,
which is beyond the 53 bits of float64."""

MARGIN = Parameter("delta", 1.0, "margin asked of the correct class, in the unit of the scores", low=0.0, open_low=True)
"""The parameter that the hinge losses share."""


def rounding_slack(gradient: Floats) -> Floats:
    """Bound on the rounding error of the sum and of each entry of each row of `gradient` (N, K), shape (N,).

    4 K eps (1 + sum_j |g_j|), with eps of the dtype: a sum of K entries, each of a few roundings.
    A conjugate counts a row as dual feasible if it misses feasibility by no more than this.
    """
    eps = float(np.finfo(gradient.dtype).eps)
    slack: Floats = 4.0 * gradient.shape[1] * eps * (1.0 + np.abs(gradient).sum(axis=1))
    return slack


class Loss(ABC):
    """A convex loss of the scores of one image, L_i(s, y).

    Shapes, for every method of every loss: `scores` (N, K) floats, `y` (N,) integers in 0..K-1.

    A new loss defines `name`, `smooth` and `value_and_gradient`. The engines run every loss; those of this package
    have fused code. See docs/add_a_loss.md.
    """

    name: ClassVar[str]
    """Its name on the command line and in the model file."""

    title: ClassVar[str] = ""
    """What readers call it, as "softmax cross-entropy"; "" for its name."""

    formula: ClassVar[str] = ""
    """L_i on one line, for the command line and the lab: `s_j` is the score of class j, `s_y` that of the label.

    The lab sets `_j` and `_{j ≠ y}` below the line, and `^2` above it.
    """

    parameter_info: ClassVar[tuple[Parameter, ...]] = ()
    """What each parameter of the constructor means, and its range."""

    smooth: ClassVar[bool]
    """Whether the gradient in the scores is continuous everywhere."""

    infimum_at_infinity: ClassVar[bool] = False
    """Whether L_i approaches its infimum only as the scores of the other classes go to -infinity.

    Without a penalty, separable images then have no optimal weights, and the optimal bias of a class without images is
    -infinity.
    """

    is_cross_entropy: ClassVar[bool] = False
    """Whether L_i = -log p_y, with p the softmax of the scores."""

    gives_probabilities: ClassVar[bool] = False
    """Whether `log_probabilities` is defined: what `predict_proba`, the report and the lab show follows from it."""

    @property
    def unit(self) -> float:
        """The scale of the scores, > 0, on which the loss changes: delta of a margin loss, 1 of any other."""
        return 1.0

    def curvature(self, n_classes: int) -> float:
        """Upper bound on the largest eigenvalue of the Hessian of L_i in the K scores; inf if there is none."""
        return float("inf")

    @property
    def parameters(self) -> dict[str, float]:
        """The numbers that, with `name`, define the loss (e.g. delta): for the engines and the model file."""
        return {one.name: getattr(self, one.name) for one in self.parameter_info}

    @property
    def margin_power(self) -> int | None:
        """1 or 2 where L_i = sum_{j != y} max(0, s_j - s_y + unit)^power; None for every other loss."""
        return None

    def value(self, scores: Floats, y: Labels) -> Floats:
        """Loss of each image (N,), in the dtype of `scores`."""
        return self.value_and_gradient(scores, y)[0]

    @abstractmethod
    def value_and_gradient(self, scores: Floats, y: Labels) -> tuple[Floats, Floats]:
        """Loss of each image (N,) and its gradient in the scores (N, K), both in the dtype of `scores`.

        Raises:
            ShapeError, LabelError: `y` is not one label in 0..K-1 per row of `scores`.
        """

    def log_probabilities(self, scores: Floats) -> Floats:
        """log P(Y = k | x_i), the logarithms of the probabilities that the scores stand for, (N, K).

        Raises:
            IncompatibleError: the scores of this loss stand for no probabilities.
        """
        raise IncompatibleError(
            f"the scores of {type(self).__name__} are not probabilities; use the scores, or loss='softmax'."
        )

    def probabilities(self, scores: Floats) -> Floats:
        """P(Y = k | x_i), (N, K); else as `log_probabilities`."""
        found: Floats = np.exp(self.log_probabilities(scores))
        return found

    def kinks(self, scores: Floats, y: Labels) -> Floats:
        """Signed quantities (N, M) at whose zeros L_i, or its slope, is not smooth; M may be 0.

        The gradient check compares their signs at both ends of a difference: where one changes, the
        difference straddles a kink and says nothing about the gradient.
        """
        return np.zeros((len(scores), 0), dtype=scores.dtype)

    curvature_form: ClassVar[str | None] = None
    """How the Hessian of L_i in the scores follows from `curvature_weights`: "spread", "star", or None without them.

    "spread": diag(q) - q qᵀ / sum q. "star": sum_j q_j (e_j - e_y)(e_j - e_y)ᵀ. Both vanish along (1, ..., 1).
    """

    def curvature_weights(self, scores: Floats, y: Labels) -> Floats:
        """q >= 0 (N, K) of the Hessian of each image, as `curvature_form` says; a "star" has q = 0 at the label.

        Raises:
            IncompatibleError: the loss does not give it.
        """
        raise IncompatibleError(
            f"{type(self).__name__} has no curvature_weights; define them to use Newton, or use LBFGS."
        )

    def conjugate(self, gradient: Floats, y: Labels) -> Floats:
        """L*_i(g) = max over s of g·s - L_i(s, y), shape (N,), for the rows g of `gradient` (N, K).

        +inf where g is not dual feasible: the maximum is unbounded there.

        Raises:
            IncompatibleError: the loss defines no conjugate, without which there is no lower bound.
        """
        raise IncompatibleError(
            f"{type(self).__name__} has no conjugate; define it to get a lower bound on the objective, "
            "or use optimizer='sgd'."
        )

    def dual_size(self, value: float, n_classes: int) -> float:
        """Bound on the mean over rows g of sum_j |g_j|, for a dual point whose mean of -L*_i(g_i) is `value`.

        The certificate bounds the rounding of sums over the rows by it. This default holds for 0 <= g_j <= 1 off the
        label.
        """
        return 2.0 * (n_classes - 1)

    def prox_gradient(self, V: Floats, y: Labels, rho: float) -> Floats:
        """g = rho (V - z) for z = argmin over s of L_i(s, y) + (rho / 2) |s - v|², row by row, (N, K).

        g is a subgradient of L_i at z, so it is dual feasible: the dual point of a proximal method.

        Raises:
            IncompatibleError: the loss gives no prox.
        """
        raise IncompatibleError(
            f"{type(self).__name__} has no prox_gradient; define it for optimizer='exact', or use optimizer='sgd'."
        )

    def shift_curvature(self, scores: Floats, y: Labels, weight: Floats) -> Floats:
        """sum_i weight_i d²L_i/ds², (K, K) symmetric: the Hessian in the bias, which shifts the scores of all images.

        By central differences, unless the loss defines it.
        """
        K, step = scores.shape[1], 1e-4
        curvature = np.empty((K, K))
        for k in range(K):
            moved = np.zeros(K)
            moved[k] = step
            ahead = weight @ self.value_and_gradient(scores + moved, y)[1]
            behind = weight @ self.value_and_gradient(scores - moved, y)[1]
            curvature[k] = (ahead - behind) / (2.0 * step)
        return 0.5 * (curvature + curvature.T)

    def prox_slope(self, V: Floats, y: Labels, rho: float, weight: Floats) -> Floats:
        """sum_i weight_i dg_i/dv_i, (K, K) symmetric, of g = prox_gradient(v): for Newton steps in a common shift.

        By central differences, unless the loss defines it.
        """
        K, step = V.shape[1], 1e-4
        slope = np.empty((K, K))
        for k in range(K):
            moved = np.zeros(K)
            moved[k] = step
            ahead, behind = self.prox_gradient(V + moved, y, rho), self.prox_gradient(V - moved, y, rho)
            slope[k] = weight @ (ahead - behind) / (2.0 * step)
        return 0.5 * (slope + slope.T)

    def balanced(self, shares: Floats, columns: Floats) -> tuple[float, Floats]:
        """(t, Q): a nearly smallest t in 0..1 for which the mixture (1 - t) G + t Q has column sums of 0.

        G (N, K) is a dual point whose rows are dual feasible, with weighted column sums `columns` (K,). An unpenalised
        bias requires column sums of 0. Row c of Q (K, K) is dual feasible for label c, and every image of that label
        gets it, so that (1 - t) columns + t sharesᵀ Q = 0. By convexity, the conjugate of the mixture is at most the
        mixture of the conjugates.

        Args:
            shares: (K,) weighted share of each label, sum 1; 0 for a label that does not occur.
            columns: (K,) sum_i a_i G_i, with a_i the weight of image i, sum 1.
        Raises:
            IncompatibleError: the loss does not give this.
        """
        raise IncompatibleError(
            f"{type(self).__name__} has no balanced dual point; define `balanced` to get a lower bound, "
            "or use optimizer='sgd'."
        )


def margin_root(V: Floats, y: Labels, delta: float, rho: float, factor: float, most: float) -> Floats:
    """g (N, K) of the hinges' prox: g_j = clip(factor (v_j - t + delta), 0, most) off the label, minus their sum on it.

    t, the new score of the label, is the root of t - v_y - sum_j g_j / rho, which increases in t. It is found by
    Newton's method with a bracket.
    """
    rows = np.arange(len(y))
    own = V[rows, y].astype(np.float64)
    others = V.astype(np.float64)
    others[rows, y] = -np.inf
    # the root may be an end of the bracket, and a step must end inside it
    low, high = own.copy(), np.maximum(own, others.max(axis=1) + delta) + 1.0 / rho
    t = own.copy()
    for _ in range(ROOT_STEPS):
        m = factor * (others - t[:, None] + delta)
        g = np.clip(m, 0.0, most)
        miss = t - own - g.sum(axis=1) / rho
        high, low = np.where(miss > 0, np.minimum(high, t), high), np.where(miss > 0, low, np.maximum(low, t))
        moved = t - miss / (1.0 + factor * ((m > 0) & (m < most)).sum(axis=1) / rho)
        # a step to an end of the bracket that was visited before would cycle
        inside = ((moved > low) & (moved < high)) | (moved == t)
        moved = np.where(inside, moved, 0.5 * (low + high))
        settled = np.abs(moved - t) <= 1e-15 * (np.abs(moved) + np.abs(own) + delta)
        t = moved
        if settled.all():
            break
    g = np.clip(factor * (others - t[:, None] + delta), 0.0, most)
    g[rows, y] = 0.0
    g[rows, y] = -g.sum(axis=1)
    return g


def margin_slope(V: Floats, y: Labels, delta: float, rho: float, factor: float, most: float, weight: Floats) -> Floats:
    """`Loss.prox_slope` of the hinges: sum over the images of w (f diag(a) + rho e eᵀ - rho u uᵀ / (1 + n f / rho)).

    With f = factor, e the unit vector of the label, a marking the n classes whose g_j is inside its bounds, and
    u = (f / rho) a + e.
    """
    g = margin_root(V, y, delta, rho, factor, most)
    rows = np.arange(len(y))
    u = ((g > 0.0) & (g < most)).astype(np.float64)
    u[rows, y] = 0.0
    n = u.sum(axis=1)
    diagonal = factor * (weight @ u) + rho * np.bincount(y, weights=weight, minlength=V.shape[1])
    u *= factor / rho
    u[rows, y] = 1.0
    slope: Floats = np.diag(diagonal) - rho * (u.T @ (u * (weight / (1.0 + n * factor / rho))[:, None]))
    return slope


def balanced_flows(shares: Floats, columns: Floats) -> tuple[float, Floats]:
    """`Loss.balanced` where a row is feasible if g_j lies in 0..1 off the label and the row sums to 0.

    f_cj = shares_c Q_cj is a flow from class c to class j, 0 <= f_cj <= shares_c. A column sum is inflow minus
    outflow. With sum tau = 0, the flows f_cj = max(0, tau_j - tau_c) / K give column j the sum tau_j.
    """
    present = shares > 0
    n_present = int(present.sum())
    least = float(shares[present].min())
    absent = float(np.abs(columns[~present]).sum())
    spread = float(columns[present].max() - columns[present].min())
    ratio = spread / (n_present * least)
    t = 1.0 if absent > 0.0 else min(1.0, ratio / (1.0 + ratio) * (1.0 + 1e-9))
    if t == 0.0:
        return 0.0, np.zeros((len(shares), len(shares)))
    tau = np.zeros_like(columns) if t == 1.0 else -(1.0 - t) / t * columns
    flows = np.where(present[:, None] & present, np.maximum(tau - tau[:, None], 0.0) / n_present, 0.0)
    Q = flows / np.where(present, shares, 1.0)[:, None]
    np.fill_diagonal(Q, -Q.sum(axis=1))
    return t, Q
