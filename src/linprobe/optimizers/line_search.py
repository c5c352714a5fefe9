"""Line searches: backtracking for steps with a prox, and Wolfe's conditions for quasi-Newton directions."""

from __future__ import annotations

import math

import numpy as np

from linprobe.engines.base import Precision
from linprobe.objective import Objective
from linprobe.optimizers.requests import Point, Search, visit
from linprobe.shapes import Floats

__all__ = ["backtrack", "point_at", "proximal_step", "rounded_weights", "rounding", "wolfe_search"]

DECREASE = 0.25
"""Share of ||d||² / eta by which the objective must fall; a step of 1/L gives at least 0.5. Chosen by argument."""

MIN_STEP = 2.0**-60
"""Shortest step, in units of the first trial: below it no weight moves in float64. Chosen by argument."""

ARMIJO, WOLFE = 1e-4, 0.9
"""Least decrease of the objective, and largest slope that may remain, as shares of the slope at the start of the step:
the usual values for quasi-Newton steps (Nocedal and Wright, 2006, section 3.1). Passes in benchmarks/constants.py: no
change."""

RELATIVE_ROUNDING = {Precision.COARSE: 1e-5, Precision.SINGLE: 1e-6, Precision.DOUBLE: 1e-13}
"""Rounding of an objective, relative to it: smaller differences are not trusted, and slopes decide. Chosen by
argument: 2^-15 and 2^-23 of a number, averaged over many images of both signs; 2^-52 times the root of some 10^5
images. Passes in benchmarks/constants.py: a third: 0%; three times: -1%."""

MAX_TRIALS = 20
"""Steps tried along one direction, a pass each. Chosen by argument: 2^-20 of a step is rounding in float32."""

ROUNDING_MARGIN = 100.0
"""Rounded weights are used only while the predicted gap exceeds this many times the error that the rounding adds to it.
Two decimal digits of the gap then remain. Measured with benchmarks/optimum.py: searches take no more passes for it.
Passes in benchmarks/constants.py: a third: +2%; three times: 0%."""


def point_at(objective: Objective, W: Floats, b: Floats) -> Point:
    """The point (W, b), in one pass over the images; all of it is float64."""
    gradient = objective.data_gradient(W, b, precision=Precision.SINGLE)
    return Point(W, b, *objective.with_penalty(gradient, W))


def proximal_step(objective: Objective, point: Point, eta: float) -> tuple[Floats, Floats]:
    """W and b after a step of size eta: prox(W - eta dW) and b - eta db."""
    with np.errstate(over="ignore", invalid="ignore"):  # a step too long gives inf, which is no decrease
        return objective.prox(point.W - eta * point.dW, eta), point.b - eta * point.db


def rounding(objective: Objective, value: float) -> float:
    """By how much rounding may blur `value`: engines read all but float64 rows in float32 or better."""
    dtype = np.float64 if objective.examples.X.dtype == np.float64 else np.float32
    return 4.0 * float(np.finfo(dtype).eps) * abs(value)


def backtrack(objective: Objective, point: Point, eta: float) -> tuple[Point | None, float, int]:
    """(next point, its step size, trials): the first of eta, eta/2, eta/4, ... with enough decrease.

        L(next) <= L(point) - DECREASE ||next - point||² / step size

    up to the rounding of L. None where no step decreases L: at a minimum, at a kink of the loss, or where the
    gradient is wrong.

    Source:
        Wright, Nowak and Figueiredo, "Sparse reconstruction by separable approximation", 2009, equation (22);
        without a prox it is the rule of Armijo.
    """
    shortest, slack, trials = eta * MIN_STEP, rounding(objective, point.value), 0
    while eta > shortest:
        W, b = proximal_step(objective, point, eta)
        moved = float(np.square(W - point.W).sum() + np.square(b - point.b).sum())
        if moved == 0.0:
            break
        if np.isfinite(moved):
            trial = point_at(objective, W, b)
            trials += 1
            needed = DECREASE * moved / eta
            if trial.value <= point.value - needed + slack:
                return trial, eta, trials
        eta /= 2.0
    return None, eta, trials


def wolfe_search(
    objective: Objective,
    point: Point,
    direction: Floats,
    precision: Precision,
    rms_curvature: float,
    predicted_gap: float,
) -> Search[tuple[Point | None, float, int]]:
    """(a point along the direction that meets Wolfe's conditions, or None; its step; passes). With |W|, Armijo's alone.

        L(w + step d) <= L(w) + ARMIJO step slope,   slope along d at the end >= WOLFE slope

    The step begins at 1, is doubled while the slope is steep, and else halves the bracket. Where the decrease is
    smaller than the rounding of L, a slope that shrinks shows it as well.

    Args:
        direction: (K, D + 1), the bias in its last column.
        precision: of the passes.
        rms_curvature, predicted_gap: as `rounded_weights` takes them.
    Source:
        Nocedal and Wright, "Numerical optimization", 2006, section 3.1; near rounding the approximate conditions of
        Hager and Zhang, "A new conjugate gradient method with guaranteed descent", 2005.
    """
    dW, db, reg = direction[:, :-1], direction[:, -1], objective.l1_weight
    slope = float((point.dW * dW).sum() + point.db @ db)
    if reg > 0.0:  # of the chord, as the step goes to the minimum of a model with kinks, and never beyond
        slope += reg * float(np.abs(point.W + dW).sum() - np.abs(point.W).sum())
    if not slope < 0.0:
        return None, 0.0, 0
    value = point.value
    noise = RELATIVE_ROUNDING[precision] * abs(value)
    low, high, step = 0.0, math.inf, 1.0
    for trial in range(1, MAX_TRIALS + 1):
        W = rounded_weights(objective, point.W + step * dW, precision, rms_curvature, predicted_gap)
        following = yield from visit(objective, W, point.b + step * db, precision)
        found = following.value
        new_slope = float((following.dW * dW).sum() + following.db @ db)
        if reg > 0.0:  # from behind: a weight that has come to 0 had the other sign
            signs = np.where(following.W == 0.0, -np.sign(dW), np.sign(following.W))
            new_slope += reg * float((signs * dW).sum())
        falls = found <= value + ARMIJO * step * slope
        flattens = found <= value + noise and (2.0 * ARMIJO - 1.0) * slope >= new_slope
        if not (falls or flattens):  # NaN included
            high = step
        elif new_slope < WOLFE * slope and reg == 0.0:
            low = step
        else:
            return following, step, trial
        step = 0.5 * (low + high) if math.isfinite(high) else 2.0 * step
    return None, 0.0, MAX_TRIALS


def rounded_weights(
    objective: Objective, W: Floats, precision: Precision, rms_curvature: float, predicted_gap: float
) -> Floats:
    """Weights (K, D) near W at which the engine's pass is faster, while their rounding hardly matters; else W itself.

    Args:
        precision: of the pass; only `Precision.COARSE` gains.
        rms_curvature: of the data loss in W; inf forbids rounding.
        predicted_gap: the duality gap to compare the error with.
    """
    if precision is not Precision.COARSE or rms_curvature == math.inf:
        return W
    for near in objective.engine.coarse(W):
        error = float(np.square(near - W).sum()) * rms_curvature**2 / (4.0 * objective.l2_weight)
        if ROUNDING_MARGIN * error <= predicted_gap:
            return near
    return W
