"""The direction of L-BFGS: from the last pairs (s, y), preconditioned by the second moment of the features."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from linprobe.objective import Objective
from linprobe.optimizers.pairs import MEMORY, combined, curves, dots, flattest, keep, listed, numbered
from linprobe.optimizers.preconditioner import Preconditioners
from linprobe.optimizers.requests import Point
from linprobe.optimizers.steps import Steps
from linprobe.shapes import Floats

__all__ = ["QuasiNewtonSteps"]

REVIEW_EVERY, REVIEWED_PAIRS, MAX_CURVATURE_RATIO = 10, 3, 3.0
"""Iterations between two estimates of the curvature of the loss; pairs in each estimate; and ratio of the estimate to
the curvature in use above which the preconditioner is factored again. Chosen by argument: ten iterations replace all
pairs. A factorisation costs several passes, and a curvature that is wrong by a factor below 3 costs one or two. Passes
in benchmarks/constants.py: REVIEW_EVERY at a third: +1%; three times: +5%. REVIEWED_PAIRS at a third: +1%; three times:
+1%. MAX_CURVATURE_RATIO at a third: -1%; three times: +8%."""

SCALING_PAIRS = 3
"""Number of last pairs whose geometric mean scales the preconditioner. A single pair depends too much on its step.
Measured with benchmarks/path.py: three in place of one are part of what took the hardest member from 2.2 s to 0.9.
Passes in benchmarks/constants.py: a third: 0%; three times: -1%."""


class QuasiNewtonSteps(Steps):
    """-H ∇L, with H from the last pairs (s, y) as in BFGS, and H_0 = scale * M⁻¹, M = moment + ratio * I.

    s is a step (K, D + 1) and y the change of the gradient along it. M⁻¹ y is stored for each pair. It is the
    difference of two M⁻¹ ∇L, so an iteration needs one solve.

    Args:
        objective: its loss and penalty are smooth.
        metrics: the preconditioners of its features.
        curvature: of the loss along scores, typical rather than worst, > 0.
        arrays: of a state, each (K, D + 1) float64: "s0", ... and "y0", ..., the pairs; "z0", ..., M⁻¹ y where it is
            known; "solved", M⁻¹ ∇L where the last pair begins. None of them has to be there.
    Source:
        Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
    """

    def __init__(
        self, objective: Objective, metrics: Preconditioners, curvature: float, arrays: dict[str, Floats]
    ) -> None:
        self._ridge, self._metrics, self._curvature = 2.0 * objective.l2_weight, metrics, curvature
        self._metric = metrics.of(self._ridge / curvature)
        self._s, self._y = listed(arrays, "s"), listed(arrays, "y")
        # M⁻¹ y of each pair in this metric M, where it is known, and M⁻¹ ∇L where the last pair begins
        self._z: list[Floats | None] = [arrays.get(f"z{i}") for i in range(len(self._s))]
        self._solved = arrays.get("solved")
        # s_i·y_j and y_i·M⁻¹ y_j at [j, i], for i <= j; NaN where it is not known
        self._sy, self._yz = _unknown(), _unknown()
        self._seen: tuple[Point, Floats] | None = None  # the last point, and its gradient as one array

    @property
    def count(self) -> int:
        return len(self._s)

    @property
    def rms_curvature(self) -> float:
        """That of the loss times the features' moment; inf without a ridge, which the effect of rounding is held to."""
        return math.inf if self._ridge == 0.0 else self._curvature * self._metrics.moment.spread

    @property
    def numbers(self) -> dict[str, float]:
        return {"curvature": self._curvature}

    def arrays(self) -> dict[str, Floats]:
        return numbered(s=self._s, y=self._y, z=self._z) | ({} if self._solved is None else {"solved": self._solved})

    def clear(self) -> None:
        self._s, self._y, self._z = [], [], []
        self._sy, self._yz = _unknown(), _unknown()

    def add(self, point: Point, following: Point) -> None:
        s, gradient = point.step_to(following), following.gradient
        y = gradient - self._gradient_at(point)
        self._seen = following, gradient
        if curves(s, y):
            if len(self._s) == MEMORY:  # the first pair is dropped
                for known in (self._sy, self._yz):
                    known[:-1, :-1] = known[1:, 1:].copy()
                    known[-1] = np.nan
            keep((self._s, s), (self._y, y))
            keep((self._z, None))

    def review(self, iteration: int, point: Point) -> None:
        """Adopt the curvature of the loss along the last steps if it differs much from the one in use.

        At the end of a search most images are far beyond their margins, and the loss has much less curvature than at
        the start. The ridge is constant, so the ratio of the two changes.
        """
        if iteration % REVIEW_EVERY or not self._s:
            return
        steps, changes = np.stack(self._s[-REVIEWED_PAIRS:]), np.stack(self._y[-REVIEWED_PAIRS:])
        W, moment = steps[:, :, :-1], self._metrics.moment
        curved = float((steps * changes).sum()) - self._ridge * float(np.square(W).sum())
        shifts = steps[:, :, -1] + W @ moment.mean
        lengths = moment.along(W.reshape(-1, W.shape[2])) + float(np.square(shifts).sum())
        if not (curved > 0.0 and lengths > 0.0):
            return
        found = curved / lengths
        if not 1.0 / MAX_CURVATURE_RATIO < found / self._curvature < MAX_CURVATURE_RATIO:
            self._curvature = found
            self._metric = self._metrics.of(self._ridge / found)
            self._z, self._solved = [None] * len(self._s), None
            self._yz = _unknown()

    def flattest(self, point: Point) -> Point:
        """The point with the smallest gradient among those that the pairs span.

        Steps lower the objective, not the gradient. Along the mean image, where the curvature is largest, the remaining
        gradient costs the bound far more than the objective.
        """
        if not self._s:
            return point
        step, gradient = flattest(self._s, self._y, self._gradient_at(point))
        W, b = point.W + step[:, :-1], point.b + step[:, -1]
        return Point(W, b, point.evaluation, gradient[:, :-1], gradient[:, -1])

    def direction(self, point: Point) -> Floats:
        """-H ∇L by the two loops of L-BFGS, on the products of the pairs with each other and with ∇L and M⁻¹ ∇L."""
        gradient, n = self._gradient_at(point), len(self._s)
        solved = self._solve(gradient) if all(z is not None for z in self._z[:-1]) else None
        sy, along = self._products(self._sy, self._y, self._s, gradient)
        weights = [0.0] * n
        for i in reversed(range(n)):
            following = sum(weights[j] * sy[j, i] for j in range(i + 1, n))
            weights[i] = (along[i] - following) / sy[i, i]
        moved: list[tuple[float, Floats]] = []  # what is added to the solved gradient
        if solved is None:  # the pairs were solved in another metric
            q = combined(gradient, 1.0, [-weight for weight in weights], self._y)
            solved, self._z[-1] = self._metric.solve_all([q, self._y[-1]])
            self._solved = None
        else:
            moved = [(-weight, z) for weight, z in zip(weights, self._z, strict=True) if z is not None]
        yz, along = self._products(self._yz, self._z, self._y, solved)
        scale = self._scale([float(sy[i, i]) for i in range(n)], [float(yz[i, i]) for i in range(n)])
        added = [0.0] * n
        for i in range(n):
            # y_i·M⁻¹ y_j is y_j·M⁻¹ y_i
            metric = along[i] - sum(weights[j] * yz[max(i, j), min(i, j)] for j in range(n) if moved)
            changed = scale * metric + sum(added[j] * sy[i, j] for j in range(i))
            added[i] = weights[i] - changed / sy[i, i]
        factors = [-scale * weight for weight, _ in moved] + [-weight for weight in added]
        return combined(solved, -scale, factors, [array for _, array in moved] + self._s)

    @staticmethod
    def _products(
        known: Floats, rights: Sequence[Floats | None], lefts: Sequence[Floats], vector: Floats
    ) -> tuple[Floats, list[float]]:
        """(known, the product of each of `lefts` with `vector`): known[j, i] becomes lefts[i]·rights[j] for i <= j.

        Args:
            known: (MEMORY, MEMORY) NaN where it is not known; changed in place. It stays NaN where `rights` is None.
        """
        n = len(lefts)
        wanted = [
            (i, j, right)
            for i in range(n)
            for j in range(i, n)
            if math.isnan(known[j, i]) and (right := rights[j]) is not None
        ]
        requested = [(i, n, vector) for i in range(n)] + wanted
        requested.sort(key=lambda each: each[:2])
        along = [0.0] * n
        for (i, j, _), product in zip(requested, dots([(lefts[i], right) for i, _, right in requested]), strict=True):
            if j == n:
                along[i] = product
            else:
                known[j, i] = product
        return known, along

    def _gradient_at(self, point: Point) -> Floats:
        """dW and db as one array, to be read."""
        if self._seen is None or self._seen[0] is not point:
            self._seen = point, point.gradient
        return self._seen[1]

    def _solve(self, gradient: Floats) -> Floats:
        """M⁻¹ ∇L, read-only. From then on M⁻¹ y of all pairs is known: a difference of two of these."""
        if not self._z or self._z[-1] is not None:
            solved = self._metric.solve_all([gradient])[0]
        elif self._solved is not None:
            solved = self._metric.solve_all([gradient])[0]
            self._z[-1] = solved - self._solved
        else:
            solved, self._z[-1] = self._metric.solve_all([gradient, self._y[-1]])
        solved.setflags(write=False)
        self._solved = solved
        return solved

    def _scale(self, curvatures: list[float], products: list[float]) -> float:
        """The factor of M⁻¹: the curvature of the metric along the last pairs, over that of the objective.

        Args:
            curvatures, products: s·y and y·M⁻¹ y of each pair, the latter NaN where it is not known.
        """
        scales = []
        for curvature, product in list(zip(curvatures, products, strict=True))[-SCALING_PAIRS:]:
            if product > 0.0 and curvature > 0.0:  # y may be too small for float32
                scales.append(curvature / product)
        return math.exp(sum(map(math.log, scales)) / len(scales)) if scales else 1.0 / self._curvature


def _unknown() -> Floats:
    """Products of which none is known."""
    return np.full((MEMORY, MEMORY), np.nan)
