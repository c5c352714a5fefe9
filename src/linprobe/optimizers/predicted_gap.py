"""An estimate of the duality gap that a certificate would show, from one pass. Searches use it; it proves nothing."""

from __future__ import annotations

import math

import numpy as np

from linprobe.objective import Objective
from linprobe.optimizers.requests import Point

__all__ = ["predicted_gap"]

MIN_TANGENT_SCALE = 0.8
"""Scale of a dual point above which its value is estimated by the tangent at 1. Chosen by argument: the value is convex
in the scale, so the tangent is a bound, but it is close only near 1."""

BALANCED_SHIFT = 2.5
"""Factor of the gap due to a gradient in the bias. Balancing the bias changes dW by the mean image of each class times
db, once or twice: by the square root of this factor on average. Chosen by argument. Passes in benchmarks/constants.py:
a third: -1%; three times: +3%."""


def predicted_gap(objective: Objective, point: Point) -> float:
    """The duality gap of the point, as its gradient predicts it; without a penalty the norm of the gradient.

    With L2 the gradient of the losses is a dual point, and its gap is |∇L|² / (4 reg), plus a term for the bias.
    """
    if not objective.penalised:
        return point.evaluation.gradient_norm
    if objective.l1_weight > 0.0:
        return _with_l1(objective, point)
    shares, sums = objective.statistics.class_means
    means = np.square(sums).sum(axis=1) / np.square(np.where(shares > 0.0, shares, np.inf))
    of_bias = BALANCED_SHIFT * float(np.square(point.db) @ (objective.n_classes + means / (4.0 * objective.l2_weight)))
    return float(np.square(point.dW).sum()) / (4.0 * objective.l2_weight) + of_bias


def _with_l1(objective: Objective, point: Point) -> float:
    """The same with |W|: the dual point A, the data gradient, is scaled until the penalty's conjugate is finite."""
    penalty, reg = objective.penalty, objective.reg
    assert penalty is not None
    A = point.dW - 2.0 * objective.l2_weight * point.W
    scale = penalty.dual_scale(A, reg)
    products = float((A * point.W).sum() + point.db @ point.b)
    value = point.evaluation.data_loss - products
    # at `scale` by its slope at 1, if that is near, and at least in proportion
    value = max(scale * value, value + (1.0 - scale) * products if scale > MIN_TANGENT_SCALE else -math.inf)
    return point.value - value + penalty.conjugate(-scale * A, reg)
