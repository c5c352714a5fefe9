"""Backtracking line search for steps with a prox: shorter steps until the objective falls by enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linprobe.engines.base import Precision
from linprobe.objective import Evaluation, Objective
from linprobe.shapes import Floats

__all__ = ["Point", "backtrack", "rounding"]

DECREASE = 0.25
"""Share of ||d||² / eta by which the objective must fall; a step of 1/L gives at least 0.5."""

SHORTEST = 2.0**-60
"""Times the first step: a step this short moves no weight."""


@dataclass(frozen=True)
class Point:
    """Weights, what one pass over the images tells of them, and the gradient of the smooth part; all float64.

    Attributes:
        W, b: (K, D) and (K,).
        evaluation: of the objective at (W, b).
        dW, db: gradient of the data loss and of the smooth part of reg R.
    """

    W: Floats
    b: Floats
    evaluation: Evaluation
    dW: Floats
    db: Floats

    @property
    def value(self) -> float:
        """L(W, b)."""
        return self.evaluation.objective

    @staticmethod
    def at(objective: Objective, W: Floats, b: Floats) -> Point:
        """The point (W, b), in one pass over the images."""
        gradient = objective.data_gradient(W, b, precision=Precision.SINGLE)
        return Point(W, b, *objective.with_penalty(gradient, W))

    def step(self, objective: Objective, eta: float) -> tuple[Floats, Floats]:
        """W and b after a step of size eta: prox(W - eta dW) and b - eta db."""
        with np.errstate(over="ignore", invalid="ignore"):  # a step too long gives inf, which is no decrease
            return objective.prox(self.W - eta * self.dW, eta), self.b - eta * self.db


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
    shortest, slack, trials = eta * SHORTEST, rounding(objective, point.value), 0
    while eta > shortest:
        W, b = point.step(objective, eta)
        moved = float(np.square(W - point.W).sum() + np.square(b - point.b).sum())
        if moved == 0.0:
            break
        if np.isfinite(moved):
            trial = Point.at(objective, W, b)
            trials += 1
            needed = DECREASE * moved / eta
            if trial.value <= point.value - needed + slack:
                return trial, eta, trials
        eta /= 2.0
    return None, eta, trials
