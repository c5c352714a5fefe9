"""Full-batch gradient descent, with a fixed step or a backtracking line search; L1 through its prox."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, final

import numpy as np

from linprobe.errors import ParameterError
from linprobe.objective import Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, zeros_state
from linprobe.optimizers.learning_rate import descent_rate
from linprobe.optimizers.line_search import backtrack, point_at, proximal_step, rounding
from linprobe.optimizers.requests import Point
from linprobe.optimizers.states import SavedState, saved_number, sizes_of
from linprobe.optimizers.trace import Clock, Trace, diverged, usual_objective
from linprobe.shapes import check_range

__all__ = ["GradientDescent"]

MAX_STALLED = 10
"""Iterations in a row without a decrease beyond rounding after which the search has stalled. Chosen by argument."""


@final
@dataclass(frozen=True, kw_only=True)
class GradientDescentState(SavedState):
    """What gradient descent saves.

    Attributes:
        learning_rate: the first trial of the next step; NaN for the one of a new search.
        passes: NaN for a new search.
        idle: iterations in a row without a decrease beyond rounding.
        usual_objective: what `diverged` compares with; NaN where it is to be computed.
    """

    learning_rate: float = saved_number(low=0.0)
    passes: float = saved_number(low=0.0)
    idle: int = saved_number(0, low=0)
    usual_objective: float = saved_number()


@final
@dataclass(frozen=True)
class GradientDescent(Optimizer):
    """Steps along the gradient over all images.

        W <- prox(W - eta dL/dW),   b <- b - eta dL/db

    In float64. With "backtracking" eta is halved until the objective falls by enough, and doubled after each
    step that fell at the first trial; with "fixed" it stays. The losses should be smooth: at a kink of the
    hinge the gradient need not point down, and the search stalls there; use SGD for it.

    Args:
        max_iter: steps at most, >= 0.
        tol: end with CONVERGED when the norm of the gradient (of the least subgradient with L1), over W and b
            together, is at most this; >= 0.
        learning_rate: eta, > 0: the fixed one, or the first trial of the search. "auto" for
            1 / (bound on the curvature), with which every step decreases a smooth objective.
        line_search: "backtracking" or "fixed".
    Raises:
        ParameterError: an argument outside its range.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="softmax", penalty="l2", reg=0.1, engine="reference")
        >>> solution = GradientDescent(tol=1e-6).minimize(objective)
        >>> solution.status.name, round(objective.value(solution.W, solution.b), 6)
        ('CONVERGED', 0.400873)
    """

    max_iter: int = 1000
    tol: float = 1e-4
    learning_rate: float | Literal["auto"] = "auto"
    line_search: Literal["backtracking", "fixed"] = "backtracking"
    name: ClassVar[str] = "gd"

    def __post_init__(self) -> None:
        check_range("max_iter", self.max_iter, low=0)
        check_range("tol", self.tol, low=0.0)
        if self.line_search not in ("backtracking", "fixed"):
            raise ParameterError(f"line_search = {self.line_search!r}; expected backtracking or fixed.")
        if isinstance(self.learning_rate, str):
            if self.learning_rate != "auto":
                raise ParameterError(f"learning_rate = {self.learning_rate!r}; expected a number > 0, or 'auto'.")
        else:
            check_range("learning_rate", self.learning_rate, low=0.0, open_low=True)

    def minimize(
        self,
        objective: Objective,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
        watch: Watch | None = None,
    ) -> Solution:
        """The weights found; one row of the trace per step.

        Raises:
            StateError: `start` is not of this problem.
        """
        eta, words = descent_rate(objective) if self.learning_rate == "auto" else self._given_rate()
        if self.line_search == "backtracking":
            words = f"by line search in each step; the first trial: {words}"
        start_state = zeros_state(objective, np.float64) if start is None else start
        saved = GradientDescentState.from_state(start_state, sizes_of(objective))
        clock, trace = Clock(saved.seconds), Trace(objective, validation, callback)
        eta = eta if math.isnan(saved.learning_rate) else saved.learning_rate
        usual = usual_objective(objective, start) if math.isnan(saved.usual_objective) else saved.usual_objective
        point = point_at(objective, saved.W.copy(), saved.b.copy())
        passes = 1.0 if math.isnan(saved.passes) else saved.passes  # a resumed run does not count this pass again
        step, k, idle = eta, saved.epoch, saved.idle

        while True:
            seconds = clock()
            state = GradientDescentState(
                epoch=k,
                W=point.W,
                b=point.b,
                seconds=seconds,
                passes=passes,
                learning_rate=eta,
                idle=idle,
                usual_objective=usual,
            ).to_state()
            held_out = None if validation is None else validation.evaluate(point.W, point.b)
            measured = point.evaluation, held_out
            stop = trace.add(measured, state, learning_rate=step, passes=passes, seconds=seconds)
            status = self._status(k, point.evaluation.gradient_norm, idle, stop)
            if status is not None:
                break
            following, step, trials = self._next(objective, point, eta)
            passes += trials
            if following is None:
                status = Status.STALLED
                break
            if diverged(following.value, usual):
                status = Status.DIVERGED
                break
            decreased = following.value < point.value - rounding(objective, point.value)
            idle = 0 if decreased else idle + 1
            grows = self.line_search == "backtracking" and trials == 1 and decreased
            eta, point, k = (2.0 * step if grows else step), following, k + 1

        return Solution(point.W, point.b, status, trace.history, state, passes, clock(), {"learning_rate": words})

    def _given_rate(self) -> tuple[float, str]:
        """(eta, words) for a learning rate that the user gave."""
        eta = float(self.learning_rate)
        return eta, f"{eta:g}, as given"

    def _status(self, k: int, gradient_norm: float, idle: int, stop: bool) -> Status | None:
        """Why the search ends after step k, or None to continue."""
        if gradient_norm <= self.tol:
            return Status.CONVERGED
        if stop:
            return Status.STOPPED
        if self.line_search == "backtracking" and idle >= MAX_STALLED:
            return Status.STALLED
        return Status.MAX_ITER if k >= self.max_iter else None

    def _next(self, objective: Objective, point: Point, eta: float) -> tuple[Point | None, float, int]:
        """(next point or None, its step size, passes)."""
        if self.line_search == "backtracking":
            return backtrack(objective, point, eta)
        W, b = proximal_step(objective, point, eta)
        return point_at(objective, W, b), eta, 1
