"""The certificate: how far a given (W, b) can be from the minimum, proved by a point of the dual problem.

For every dual-feasible G (N, K), with a_i = w_i / sum w, and every (W, b),

    L(W, b) >= -sum_i a_i L*_i(G_i) - (reg R)*(-A) + min over b of c·b,   A = sum_i a_i G_i x'_iᵀ,   c = sum_i a_i G_i

The bias is not penalised, so that c must be 0 for the minimum over b not to be -inf. It is met by mixing into G a
little of a point of the dual whose columns sum to what is missing (`Loss.balanced`). L1 asks for |A| <= reg: G is
scaled down until it is (0 is a feasible point of every loss here, with L*_i(0) = 0). What rounding may have added to
the bound is subtracted from it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from linprobe.errors import ShapeError
from linprobe.objective import DataGradient, DualPoint, Objective
from linprobe.shapes import Floats

__all__ = ["Certificate", "certify", "lower_bound_from"]

EPS = float(np.finfo(np.float64).eps)

SLACK = 64.0
"""Roundings that a float64 sum over the images is given: sums are made in blocks, whose errors do not add up."""

SAMPLE_ROWS = 256
"""Rows from which the size of the features is taken, for the roundings."""


@dataclass(frozen=True)
class Certificate:
    """What is proved of one (W, b).

    Attributes:
        objective: L(W, b), in float64.
        lower_bound: no weights whatever have a lower objective; -inf where nothing was proved.
        gradient_norm: of the least subgradient of L, over W and b together, in float64.
        passes: passes over the images until here, those of the certificate included.
        seconds: until here.
    """

    objective: float
    lower_bound: float
    gradient_norm: float
    passes: float = 0.0
    seconds: float = 0.0

    @property
    def gap(self) -> float:
        """objective - lower_bound, >= 0: the minimum is at most this far below."""
        return max(0.0, self.objective - self.lower_bound)

    @property
    def relative_gap(self) -> float:
        """gap / objective; 0 where both are 0."""
        return self.gap / self.objective if self.gap > 0.0 else 0.0

    def describe(self) -> str:
        """One sentence for a reader who has not met duality."""
        if not math.isfinite(self.lower_bound):
            return f"objective {self.objective:.6g}; no lower bound is known"
        return (
            f"objective {self.objective:.6g}; no weights can go below {self.lower_bound:.6g}: "
            f"at most {self.relative_gap:.1e} of it is left to gain"
        )


def certify(
    objective: Objective,
    W: Floats,
    b: Floats,
    G: Floats | None = None,
    *,
    gradient: DataGradient | None = None,
    passes: float = 0.0,
    seconds: float = 0.0,
) -> Certificate:
    """The certificate of (W, b), computed in float64, with one pass (two with `G`).

    Args:
        objective: what (W, b) is meant to minimise.
        W, b: (K, D) and (K,).
        G: (N, K) float64, a dual point to use besides the gradient of the losses at (W, b), which is the
            natural one for a smooth loss and a loose one for the hinge. Any G gives a valid bound.
        gradient: what `objective.data_gradient(W, b)` gave, if it was asked at this very (W, b) already.
        passes, seconds: what it took to get here, for the record.
    Raises:
        ShapeError: an array has another shape.
    """
    W, b = W.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    if gradient is None:
        gradient, passes = objective.data_gradient(W, b), passes + 1.0
    data_loss, A, c = gradient.loss, gradient.dW, gradient.db
    penalty = objective.penalty
    penalised = 0.0 if penalty is None else objective.reg * penalty.value(W)
    smooth = A if penalty is None else A + objective.reg * penalty.gradient(W)
    least = smooth if penalty is None else penalty.least_subgradient(W, smooth, objective.reg)
    norm = float(np.sqrt(np.square(least).sum() + np.square(c).sum()))
    value = data_loss + penalised
    # G = dL_i/ds meets Fenchel and Young with equality: L*_i(G_i) = G_i·s_i - L_i
    points = [DualPoint(data_loss - float((A * W).sum()) - float(c @ b), A, c)]
    if G is not None:
        points.append(_point_of(objective, G))
        passes += 1.0
    bounds = [0.0, *(lower_bound_from(objective, point, value) for point in points)]
    return Certificate(value, min(value, max(bounds)), norm, passes, seconds)


def lower_bound_from(objective: Objective, point: DualPoint, upper: float) -> float:
    """The bound that a dual point proves, made feasible in bias and penalty; -inf where it proves nothing.

    Args:
        point: any.
        upper: L at some (W, b), an upper bound on the minimum.
    """
    value, A, c = point.value, point.A, point.c
    if not (math.isfinite(value) and np.isfinite(A).all() and math.isfinite(upper)):
        return -math.inf
    shares, sums = objective.class_means()
    shares = np.where(shares > 0, shares, 0.0)
    size = abs(upper) + abs(value)
    t, Q = objective.loss.balanced(shares / shares.sum(), c)
    if t > 0.0:
        present = shares > 0
        conjugates = objective.loss.conjugate(Q, np.arange(len(shares)))[present]
        value = (1.0 - t) * value - t * float(shares[present] @ conjugates)
        A = (1.0 - t) * A + t * (Q.T @ sums)
    penalty, reg = objective.penalty, objective.reg
    if penalty is None or reg == 0.0:
        return -math.inf  # A = 0 is needed, which rounding never leaves
    scale = penalty.dual_scale(A, reg)
    conjugate = penalty.conjugate(-scale * A, reg)
    slack = SLACK * EPS * (size + conjugate + _rounding_of_products(objective, upper))
    return scale * value - conjugate - slack - SLACK * EPS * _bias_spread(objective, upper)


def _rounding_of_products(objective: Objective, upper: float) -> float:
    """What one rounding of A moves the bound by: |dA|·|W| at the minimum, with |dA| of the size of 2 |x'|."""
    rows = objective.examples.mapped(objective.sample(SAMPLE_ROWS))
    typical = float(np.sqrt(np.square(rows).sum(axis=1).mean()))
    return 2.0 * typical * (_norm_bound(objective, upper) + 1.0)


def _norm_bound(objective: Objective, upper: float) -> float:
    """A bound on the Euclidean norm of every W that reaches `upper`, reg R(W) <= L <= upper."""
    coefficients = None if objective.penalty is None else objective.penalty.coefficients
    squares, sizes = (0.0, 0.0) if coefficients is None else coefficients
    bounds = []
    if objective.reg * squares > 0.0:
        bounds.append(math.sqrt(max(upper, 0.0) / (objective.reg * squares)))
    if objective.reg * sizes > 0.0:
        bounds.append(max(upper, 0.0) / (objective.reg * sizes))
    return min(bounds) if bounds else 0.0


def _bias_spread(objective: Objective, upper: float) -> float:
    """A bound on b_j - b_k for every (W, b) that reaches `upper`, which the rounding of c is multiplied by.

    The images of class k alone lose, on average, at least their score for j less that for k, all losses here
    being at least s_j - s_k: shares_k (b_j - b_k) <= L - (w_j - w_k)·sums_k.
    """
    shares, sums = objective.class_means()
    present = shares > 0
    least = shares[present].min()
    product = 2.0 * _norm_bound(objective, upper) * float(np.sqrt(np.square(sums[present]).sum(axis=1)).max())
    return float((max(upper, 0.0) + 1.0 + product) / least)


def _point_of(objective: Objective, G: Floats) -> DualPoint:
    """The dual point G (N, K) in one pass; its conjugates in blocks of rows."""
    expected = (objective.n_images, objective.n_classes)
    if G.shape != expected:
        raise ShapeError(f"G has shape {G.shape}; expected (n_images, n_classes) = {expected}.")
    shares = objective.shares()
    counted = shares > 0  # an image of weight 0 bounds nothing
    conjugates = objective.loss.conjugate(G[counted], objective.examples.y[counted])
    A, c = objective.engine.gradient_of_scores(shares[:, None] * G, precise=True)
    return DualPoint(-float(shares[counted] @ conjugates), A, c)
