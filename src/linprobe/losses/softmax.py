"""The softmax cross-entropy loss, its probabilities, and its three information-theoretic forms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from linprobe.errors import ParameterError, ShapeError
from linprobe.losses.base import ROOT_STEPS, Loss, rounding_slack
from linprobe.shapes import Floats, Labels, check_labels

__all__ = ["SoftmaxCrossEntropy", "entropy", "one_hot"]


@final
@dataclass(frozen=True)
class SoftmaxCrossEntropy(Loss):
    """Minus the log-probability of the correct class (multinomial logistic regression).

        L_i = -log(e^{s_{y_i}} / sum_j e^{s_j}) = log sum_j e^{s_j} - s_{y_i}

    Natural logarithm. The largest score is subtracted first: the loss is the same, and every exponential lies in
    0..1. The exponential of the largest score is 1 and enters by log1p, so losses near 0 keep full precision.

    Three quantities agree up to rounding: the negative log-likelihood of the label, the cross-entropy H(P, Q) of the
    one-hot P and the softmax Q, and the divergence D_KL(P || Q), since H(P) = 0.

    Source:
        CS231n notes, linear-classify, "Softmax classifier".
    Example:
        >>> SoftmaxCrossEntropy().value(np.array([[-2.85, 0.86, 0.28]]), np.array([2])).round(2)
        array([1.04])
    """

    name: ClassVar[str] = "softmax"
    title: ClassVar[str] = "softmax cross-entropy"
    formula: ClassVar[str] = "L_i = −log (e^{s_y} / Σ_j e^{s_j})"
    smooth: ClassVar[bool] = True
    curvature_form: ClassVar[str | None] = "spread"
    infimum_at_infinity: ClassVar[bool] = True
    is_cross_entropy: ClassVar[bool] = True
    gives_probabilities: ClassVar[bool] = True

    def curvature(self, n_classes: int) -> float:
        """1/2, whatever K: the Hessian is diag(p) - p pᵀ, at its largest where p = (1/2, 1/2, 0, ...)."""
        return 0.5

    def value_and_gradient(self, scores: Floats, y: Labels) -> tuple[Floats, Floats]:
        """Loss of each image (N,) and its gradient in the scores, p - e_{y_i} (N, K)."""
        check_labels(y, scores)
        rows = np.arange(len(y))
        shifted, exponentials, rest = _below_the_top(scores)
        losses = np.log1p(rest) - shifted[rows, y]
        dscores = exponentials / (1.0 + rest)[:, None]
        dscores[rows, y] = 0.0
        dscores[rows, y] = -dscores.sum(axis=1)  # p_y - 1, without cancellation
        return losses, dscores

    def curvature_weights(self, scores: Floats, y: Labels) -> Floats:
        """The probabilities: the Hessian is diag(p) - p pᵀ."""
        return self.probabilities(scores)

    def conjugate(self, gradient: Floats, y: Labels) -> Floats:
        """L*_i(g) = sum_j p_j log p_j, with p = g + e_{y_i}, where p lies on the simplex; else +inf.

        0 log 0 = 0. The simplex may be missed by `rounding_slack`.
        """
        check_labels(y, gradient)
        slack = rounding_slack(gradient)
        rows = np.arange(len(y))
        p = gradient.copy()
        p[rows, y] = 0.0
        others = p.sum(axis=1)
        feasible = (np.abs(gradient.sum(axis=1)) <= slack) & (p.min(axis=1) >= -slack) & (others <= 1.0 + slack)
        p = np.maximum(p, 0.0)
        label = np.maximum(1.0 - others, 0.0)
        # log1p keeps the precision of a label probability near 1
        logs = np.log1p(np.maximum(-others, -1.0), out=np.zeros_like(label), where=label > 0.0)
        return np.where(feasible, label * logs - entropy(p), np.inf)

    def dual_size(self, value: float, n_classes: int) -> float:
        """2: the probabilities of the other classes sum to at most 1, and the entry of the label is minus their sum."""
        return 2.0

    def prox_gradient(self, V: Floats, y: Labels, rho: float) -> Floats:
        """p - e_y with log p_j + p_j / rho = v_j + [j = y] / rho - lambda and sum p = 1.

        Newton's method in log p and lambda together, from the softmax of the scores times rho / (1 + rho).
        """
        check_labels(y, V)
        rows = np.arange(len(y))
        q = V.astype(np.float64)
        q[rows, y] += 1.0 / rho
        top = q.max(axis=1, keepdims=True)
        logs = self.log_probabilities((q - top) * (rho / (1.0 + rho)))
        shift = top
        for _ in range(ROOT_STEPS):
            p = np.exp(logs)
            h = p * rho / (rho + p)
            miss = logs + p / rho + shift - q
            turn = -(1.0 - p.sum(axis=1, keepdims=True) + (miss * h).sum(axis=1, keepdims=True))
            turn /= h.sum(axis=1, keepdims=True)
            change = np.minimum(-(miss + turn) * rho / (rho + p), 2.0)
            logs, shift = np.minimum(logs + change, 0.0), shift + turn
            if float((np.abs(change) * (p + 1e-12)).max(initial=0.0)) < 1e-14:
                break
        p = np.exp(logs)
        p /= p.sum(axis=1, keepdims=True)
        p[rows, y] = 0.0
        p[rows, y] = -p.sum(axis=1)
        return p

    def shift_curvature(self, scores: Floats, y: Labels, weight: Floats) -> Floats:
        """sum_i w_i (diag(p) - p pᵀ)."""
        p = self.probabilities(scores)
        curvature: Floats = np.diag(weight @ p) - p.T @ (p * weight[:, None])
        return curvature

    def prox_slope(self, V: Floats, y: Labels, rho: float, weight: Floats) -> Floats:
        """sum_i w_i (diag(q) - q qᵀ / sum q), with q_j = rho p_j / (rho + p_j)."""
        p = self.prox_gradient(V, y, rho)
        p[np.arange(len(y)), y] += 1.0
        p = np.maximum(p, 0.0)
        q = rho * p / (rho + p)
        slope: Floats = np.diag(weight @ q) - q.T @ (q * (weight / q.sum(axis=1))[:, None])
        return slope

    def balanced(self, shares: Floats, columns: Floats) -> tuple[float, Floats]:
        """One distribution r for every image: r_k = shares_k - ((1 - t) / t) columns_k, the least t with r >= 0."""
        over = np.maximum(columns, 0.0)
        t = float(np.max(over / np.where(over > 0, shares + over, 1.0)))
        # a larger t is valid too; a subnormal t would lose precision, and r with it
        t = min(1.0, max(t * (1.0 + 1e-9), 1e-300)) if columns.any() else 0.0
        if t == 0.0:
            return 0.0, np.zeros((len(shares), len(shares)))
        r = np.maximum(shares - (1.0 - t) / t * columns, 0.0)
        return t, r / r.sum() - np.eye(len(shares))

    def log_probabilities(self, scores: Floats) -> Floats:
        """log P(Y = k | x_i) = s_k - log sum_j e^{s_j}, (N, K); finite for finite scores."""
        shifted, _, rest = _below_the_top(scores)
        return shifted - np.log1p(rest)[:, None]

    def probabilities(self, scores: Floats) -> Floats:
        """P(Y = k | x_i) = e^{s_k} / sum_j e^{s_j}, (N, K); rows sum to 1 up to rounding."""
        _, exponentials, rest = _below_the_top(scores)
        return exponentials / (1.0 + rest)[:, None]

    def negative_log_likelihood(self, scores: Floats, y: Labels) -> Floats:
        """-log P(Y = y_i | x_i), (N,): the loss as a negative log-likelihood."""
        check_labels(y, scores)
        log_likelihood: Floats = self.log_probabilities(scores)[np.arange(len(y)), y]
        return -log_likelihood

    def cross_entropy(self, target: Floats, scores: Floats) -> Floats:
        """H(P, Q) = -sum_j P_j log Q_j of each row, (N,); P = `target` (N, K), Q the softmax of `scores`.

        Raises:
            ShapeError, ParameterError: a row of `target` is not a distribution over the classes of `scores`.
        """
        _check_distributions(target, scores)
        total: Floats = _product(target, self.log_probabilities(scores)).sum(axis=1)
        return -total

    def kl_divergence(self, target: Floats, scores: Floats) -> Floats:
        """D_KL(P || Q) = sum_j P_j log(P_j / Q_j) of each row, (N,); else as `cross_entropy`."""
        _check_distributions(target, scores)
        log_target = np.log(np.where(target > 0, target, 1.0))
        total: Floats = _product(target, log_target - self.log_probabilities(scores)).sum(axis=1)
        return total


def entropy(p: Floats) -> Floats:
    """H(P) = -sum_j p_j log p_j of each row of `p` (N, K), (N,), with 0 log 0 = 0; natural logarithm."""
    total: Floats = (p * np.log(np.where(p > 0, p, 1.0))).sum(axis=1)
    return 0.0 - total


def one_hot(y: Labels, n_classes: int) -> Floats:
    """(N, K) float64 distributions with probability 1 at the label."""
    target = np.zeros((len(y), n_classes))
    check_labels(y, target)
    target[np.arange(len(y)), y] = 1.0
    return target


def _below_the_top(scores: Floats) -> tuple[Floats, Floats, Floats]:
    """s - max s, its exponentials (N, K), and the sum of these (N,) without the 1 of the largest score."""
    if scores.ndim != 2 or not np.issubdtype(scores.dtype, np.floating):
        raise ShapeError(f"scores is {scores.dtype} of shape {scores.shape}; expected floats, (n_images, n_classes).")
    top = scores.argmax(axis=1)[:, None]
    # infinite scores, of weights that diverged, give an infinite or NaN loss without a warning
    with np.errstate(invalid="ignore", over="ignore"):
        shifted: Floats = scores - np.take_along_axis(scores, top, axis=1)
        exponentials = np.exp(shifted)
    others = exponentials.copy()
    np.put_along_axis(others, top, 0.0, axis=1)
    return shifted, exponentials, others.sum(axis=1)


def _product(target: Floats, logs: Floats) -> Floats:
    """target * logs, where 0 * inf = 0."""
    return np.where(target > 0, target * np.where(target > 0, logs, 0.0), 0.0)


def _check_distributions(target: Floats, scores: Floats) -> None:
    if target.shape != scores.shape:
        raise ShapeError(f"target has shape {target.shape} but scores {scores.shape}; expected equal shapes.")
    bad = (target < 0).any(axis=1) | ~(np.abs(target.sum(axis=1) - 1.0) <= 1e-6)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        raise ParameterError(f"row {row} of target is {target[row]}; expected probabilities that sum to 1.")
