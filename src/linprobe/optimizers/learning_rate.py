"""learning_rate="auto": the step size from the curvature of loss and features, and the reason in words."""

from __future__ import annotations

import math

import numpy as np

from linprobe.objective import Objective
from linprobe.optimizers.base import zeros_state
from linprobe.optimizers.updates import UPDATES

__all__ = ["descent_rate", "loss_curvature", "stochastic_rate"]

REACH = {"adagrad": 3.0, "rmsprop": 0.3, "adam": 0.5}
"""Adaptive updates: by how much the first step may change a score, in units of the margin, at full rate."""


def loss_curvature(objective: Objective) -> tuple[float, str]:
    """(c, words): the bound on the curvature of the loss in the scores, or a stand-in where it has none.

    The hinge curves in a kink alone. Its stand-in is the curvature of hinges whose kink is rounded over the width of
    the margin: the sum over the K - 1 wrong classes of (e_j - e_y)(e_j - e_y)ᵀ / delta, at most K / delta.
    """
    c = objective.loss.curvature(objective.n_classes)
    name = objective.loss.name
    if math.isfinite(c):
        return c, f"{c:.4g}, the curvature of the loss {name}"
    c = objective.n_classes / _margin(objective)
    return c, f"{c:.4g}, a stand-in (K / margin) as the loss {name} has kinks and no bound on its curvature"


def descent_rate(objective: Objective) -> tuple[float, str]:
    """(eta, words) for full-batch gradient descent: eta = 1 / (c lambda_max + curvature of reg R)."""
    c, words = loss_curvature(objective)
    largest = objective.statistics.moments().curvature
    eta = 1.0 / (c * largest + _penalty_curvature(objective))
    return eta, (
        f"{eta:.4g} = 1 / (c lambda_max + curvature of the penalty), with c = {words}, and "
        f"lambda_max = {largest:.4g}, the largest eigenvalue of the second moment of the features"
    )


def stochastic_rate(
    objective: Objective, update: str, batch_size: int, momentum: float, dropout: float = 0.0
) -> tuple[float, float, str]:
    """(eta, rate of the bias in units of eta, words) for mini-batch SGD.

    plain, momentum, nesterov:  eta = h / (c (lambda_max + (q - lambda_max) / M) + curvature of reg R)

    with q the mean square norm of a row [x', s], and lambda_max the largest eigenvalue of its second moment.
    The bias takes steps of s² eta: the same as if its feature were not 1 but s, no smaller than the deviation of
    a typical feature, s² = max(1, mean variance of x'). With s = 1 the bias, compared with features of deviation 20,
    would learn 400 times as slowly as W. For centred features lambda_max is the same for any such s; for others
    it grows by s² at most.

    The second moment of a batch of M rows has a larger eigenvalue than that of all of them. The bracket is q for
    M = 1 and near lambda_max for large M. It is the expected smoothness of Gower et al., "SGD: General analysis
    and improved rates", 2019, with q in place of the largest square norm. Where images have weights, q is
    times N sum w² / (sum w)², since a heavy image makes a heavy batch. For plain h = 1; for momentum and
    nesterov h = min(1, 2 (1 - mu)): the velocity adds up 1 / (1 - mu) gradients, yet, unlike a plain step
    twice as long, stays stable on any quadratic.

    Dropout divides the inputs that it keeps by 1 - dropout, and so, at most, the eigenvalues of the second moment: the
    bracket is divided by it too.

    adagrad, rmsprop, adam:  eta = r margin / (mean of ||[x', 1]||_1)

    A first step changes each entry of W by eta whatever the gradient, hence a score by at most
    eta ||[x', 1]||_1: by r margins (see REACH), for a typical image. It is
    at most mean |dL/dW at 0| / (curvature of reg R), beyond which the penalty would pull back.

    There the bias takes the same steps as W. Features far smaller than 1, the feature of the bias, learn slowly
    whatever the rate, and the words say so.
    """
    if UPDATES[update].adaptive:
        eta, words = _adaptive_rate(objective, update)
        return eta, 1.0, words
    c, words = loss_curvature(objective)
    moments = objective.statistics.moments()
    largest, bias_rate = moments.balanced_curvature, moments.bias_square
    weight, square = objective.examples.sample_weight, moments.square_norm - 1.0 + bias_rate
    if weight is not None:
        square *= float((weight**2).sum()) * len(weight) / float(weight.sum()) ** 2
    M = min(batch_size, objective.n_images)
    batch = (largest + max(0.0, square - largest) / M) / (1.0 - dropout)
    masked = f", divided by {1.0 - dropout:.4g} for the dropout" if dropout else ""
    share = 1.0 if update == "plain" else min(1.0, 2.0 * (1.0 - momentum))
    eta = share / (c * batch + _penalty_curvature(objective))
    bias = "" if bias_rate == 1.0 else f"; {bias_rate:.4g} times as much for the bias, whose feature is 1"
    return (
        eta,
        bias_rate,
        (
            f"{eta:.4g} = {share:.4g} / (c lambda + curvature of the penalty), with c = {words}, and "
            f"lambda = {batch:.4g}, the largest eigenvalue of the second moment of the features in a batch "
            f"of {M} ({largest:.4g} over all images){masked}{bias}{_warning(moments.square_norm - 1.0)}"
        ),
    )


def _adaptive_rate(objective: Objective, update: str) -> tuple[float, str]:
    size, margin, reach = objective.statistics.moments().absolute_norm, _margin(objective), REACH[update]
    eta, curvature = reach * margin / size, _penalty_curvature(objective)
    if curvature > 0.0:
        zero = zeros_state(objective, np.float64).arrays
        typical = float(np.abs(objective.value_and_gradient(zero["W"], zero["b"])[1]).mean())
        if 0.0 < typical < eta * curvature:
            eta = typical / curvature
            return eta, (
                f"{eta:.4g} = {typical:.4g} / {curvature:.4g}, the typical gradient at zero weights over the "
                f"curvature of the penalty, which allows no longer first step{_warning(size - 1.0)}"
            )
    return eta, (
        f"{eta:.4g} = {reach:g} * {margin:g} / {size:.4g}: the first step of {update} then changes the "
        f"scores by about {reach * margin:g}, as the features of an image sum to {size:.4g} in size"
        f"{_warning(size - 1.0)}"
    )


def _margin(objective: Objective) -> float:
    """The scale of the scores: the margin that the loss requires, or 1 where it has none."""
    return objective.loss.unit


def _warning(size: float) -> str:
    """Words for features whose norm `size` is far below 1, the feature of the bias; else nothing."""
    if size >= 0.01:
        return ""
    return "; the features are tiny compared with 1, the feature of the bias, and will learn slowly: scale them up"


def _penalty_curvature(objective: Objective) -> float:
    """Of reg times the smooth part of R: 2 reg a for a W²."""
    return 0.0 if objective.penalty is None else objective.reg * objective.penalty.strong_convexity
