"""The preconditioner of Newton steps: computed at one point, and kept while that is cheaper than a new one."""

from __future__ import annotations

from collections.abc import Callable

from linprobe.engines.base import Engine
from linprobe.objective import Objective
from linprobe.optimizers.conjugate_gradients import SmoothedConjugateGradients
from linprobe.optimizers.curvature import ClassMetric, Hessian, curvature_at, most_pairs
from linprobe.shapes import Floats

__all__ = ["MAX_PRODUCTS", "KeptMetric"]

MAX_RENEWALS = 16.0
"""When the preconditioner of an earlier point fails within a step, the next steps each begin with a new one: 1 step at
first, twice as many after each failure, up to MAX_RENEWALS, and half as many after each success. Chosen by argument."""

TIME_PER_OPERATION = 1.5
"""Time per operation of a product with the Hessian and of a solve, relative to forming the preconditioner. Measured
with benchmarks/many_classes.py."""

MAX_PRODUCTS = 200
"""Products with the Hessian in a Newton step, at most. Chosen by argument."""


class KeptMetric:
    """The preconditioner, the point at which it was computed, and its cost since then.

    Args:
        engine: over the images less their mean.
        moment: (D, D) float32, of these.
        spend: called with the passes that each computation took.
    Attributes:
        W, b, damping, reg: (K, D), (K,) and (K,), where it was made; and reg of the problem then.
        products: number of products in the first step with it; 0 before that step.
        extra_cost: of further products in the steps since then, in passes.
        renewals, patience: steps that still begin with a new one, and their number after the next failure.
    """

    def __init__(
        self,
        engine: Engine,
        moment: Floats,
        spend: Callable[[float], None],
        *,
        at: tuple[Floats, Floats, Floats, float],
        products: float,
        extra_cost: float,
        renewals: float,
        patience: float,
    ) -> None:
        self._engine, self._moment, self._spend = engine, moment, spend
        self.W, self.b, self.damping, self.reg = at
        self.products, self.extra_cost, self.renewals, self.patience = products, extra_cost, renewals, patience
        self._metric: ClassMetric | None = None
        self._restores = products > 0.0  # a resumed search computes it again, without counting the cost

    def solve(
        self, stage: Objective, at: tuple[Floats, Floats, Floats], search: SmoothedConjugateGradients, tol: float
    ) -> None:
        """Run the search until its residual is at most `tol`, with the kept preconditioner or a new one.

        Args:
            stage: the problem that is solved now.
            at: (W, b, damping) of the search.
        """
        metric = self._current(stage, at, search.curvature)
        each = search.curvature.cost + metric.solve_cost
        is_new = self.products == 0.0
        # one of an earlier point may take as many extra products as a new one costs
        most = MAX_PRODUCTS if is_new else int(self.products + metric.cost / (TIME_PER_OPERATION * each))
        done = search.run(metric, tol, most)
        self._spend(search.products * each)
        if not done and not is_new:
            self._metric, before = None, search.products
            self.patience = self.renewals = min(2.0 * self.patience, MAX_RENEWALS)
            metric = self._current(stage, at, search.curvature)
            search.run(metric, tol, MAX_PRODUCTS)
            self._spend((search.products - before) * each)
            self.products = float(max(1, search.products - before))
        elif is_new:
            self.renewals = max(0.0, self.renewals - 1.0)
            self.products = float(search.products)
        else:
            self.patience = max(0.5, 0.5 * self.patience)
            self.extra_cost += max(0.0, search.products - self.products) * each * TIME_PER_OPERATION

    def _current(self, stage: Objective, at: tuple[Floats, Floats, Floats], curvature: Hessian) -> ClassMetric:
        """The preconditioner of an earlier point, until its extra products cost as much as a new one."""
        most = most_pairs(self._engine)
        if self._metric is None and self.products > 0.0 and self._restores:
            made_for = stage.with_reg(self.reg)
            where = curvature_at(made_for, self._engine, self._moment, self.W, self.b, self.damping)
            self._metric = ClassMetric(where, most)
        self._restores = False
        if self._metric is None or self.renewals > 0.0 or self.extra_cost > self._metric.cost:
            self._metric = ClassMetric(curvature, most)
            self.W, self.b, self.damping = at
            self.reg = stage.reg
            self._spend(self._metric.cost)
            self.products = self.extra_cost = 0.0
        return self._metric
