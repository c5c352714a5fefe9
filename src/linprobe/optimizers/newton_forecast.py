"""A forecast of whether Newton's method would finish sooner than L-BFGS; if so, L-BFGS is stopped."""

from __future__ import annotations

import math
from dataclasses import replace

from linprobe.objective import Objective
from linprobe.optimizers.base import Callback, Epoch, State
from linprobe.optimizers.curvature import PAIRS_PER_CLASS

__all__ = ["NewtonForecast"]

FIRST_FORECAST, FORECAST_EVERY = 20, 10
"""Iterations of L-BFGS before the first forecast, and between two. Chosen by argument."""

EXPECTED_STEPS, EXPECTED_PRODUCTS = 5.0, 30.0
"""Newton steps from the end of L-BFGS to a gap of 1e-4, and products with the Hessian in each. Measured with
benchmarks/many_classes.py."""

EXPECTED_DENSE_PRODUCTS, EXPECTED_DENSE_METRICS = 10.0, 2.0
"""The same for products over all classes of all images: products in a step, and preconditioners in all steps. Measured
with benchmarks/many_classes.py."""

DENSE_PRODUCT_PASSES, SOLVE_PASSES, METRIC_PASSES = 0.5, 15.0, 0.8
"""Times for these, in passes of L-BFGS: of a product; of a solve with the preconditioner, times D / N; and of forming a
preconditioner, times D² / N, or times D if that is less. Measured on 50,000 x 768 with 100 classes
(benchmarks/many_classes.py)."""

SAMPLE_ROWS, MIN_Q = 1024, 1e-3
"""Images from which the cost of the products is predicted, and the share of the sum of q above which a class of an
image counts. Chosen by argument."""

MIN_RATE = 1e-3
"""Smallest rate of convergence assumed, in natural logarithms of the gap per FORECAST_EVERY iterations. Chosen by
argument."""


class NewtonForecast:
    """A callback of L-BFGS that stops it where Newton's method is predicted to finish sooner.

    The state stores what it compares ("mark": the logarithm of the gap at the last forecast), so that a resumed search
    decides the same.

    Args:
        objective: that is minimised.
        tol: relative gap to reach.
        start: of the search by L-BFGS.
        callback: receives each row.
    Attributes:
        leaves: whether L-BFGS was stopped for Newton's method.
    """

    def __init__(self, objective: Objective, tol: float, start: State | None, callback: Callback | None) -> None:
        self._objective, self._tol, self._callback = objective, tol, callback
        numbers = {} if start is None else start.numbers
        self._mark = self._previous_mark = numbers.get("mark", math.nan)
        self._stays = numbers.get("stays", 0.0)  # 1 after Newton's method has given up
        self.leaves = False

    def __call__(self, epoch: Epoch) -> bool:
        self._previous_mark = self._mark
        if self._callback is not None and self._callback(replace(epoch, state=self.marked(epoch.state))) is True:
            return True
        if epoch.epoch % FORECAST_EVERY or self._stays:
            return False
        gap = epoch.gradient_norm**2 / (4.0 * self._objective.l2_weight)
        mark = math.log(max(gap, 1e-300))
        before, self._mark = self._mark, mark
        if epoch.epoch < FIRST_FORECAST or math.isnan(before):
            return False
        target = math.log(max(self._tol * epoch.objective, 1e-300))
        rate = max(before - mark, MIN_RATE) / FORECAST_EVERY
        self.leaves = (mark - target) / rate > self._newton_passes(epoch.state)
        return self.leaves

    def marked(self, state: State) -> State:
        """The state of the last row, with what was known before its forecast."""
        marks = {"mark": self._previous_mark, "stays": self._stays}
        return replace(state, numbers=state.numbers | {name: mark for name, mark in marks.items() if mark == mark})

    def _newton_passes(self, state: State) -> float:
        """The passes that Newton's method is predicted to take from here."""
        objective = self._objective
        N, K, D = objective.n_images, objective.n_classes, objective.n_features
        if objective.engine.multiplies_hessians:
            product = DENSE_PRODUCT_PASSES + SOLVE_PASSES * D / N
            metric = METRIC_PASSES * min(D * D / N, float(D))
            return EXPECTED_STEPS * (1.5 + EXPECTED_DENSE_PRODUCTS * product) + EXPECTED_DENSE_METRICS * metric
        positions = objective.statistics.sample(SAMPLE_ROWS)
        S = objective.engine.scores(state.arrays["W"], state.arrays["b"], positions)
        q = objective.loss.curvature_weights(S, objective.examples.y[positions])
        share = float((q > q.sum(axis=1, keepdims=True) * MIN_Q).mean())
        products = EXPECTED_STEPS * EXPECTED_PRODUCTS * (share + D / N + 0.5 * K / N)
        metric = 2.0 * (D * D / (12.0 * N) + PAIRS_PER_CLASS * D * D / (2.0 * N))
        return 2.0 * EXPECTED_STEPS + products + metric
