"""Preconditioned conjugate gradients with residual smoothing, for a Newton step."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from linprobe.optimizers.curvature import ClassMetric, Hessian
from linprobe.shapes import Floats

__all__ = ["SmoothedConjugateGradients"]


class SmoothedConjugateGradients:
    """An x (K, D + 1) with H x + gradient nearly 0.

    The combination of the iterates with the smallest residual is kept: a certificate needs a small gradient, while
    conjugate gradients by themselves make the objective small and the gradient swing.

    Args:
        curvature: H.
        gradient: (K, D + 1).
        squared_norm: of a residual.
    Attributes:
        best: that x.
        products: with H, made so far.
    Source:
        Weiss, "Parameter-free iterative linear solvers", 1996: minimal residual smoothing.
    """

    def __init__(self, curvature: Hessian, gradient: Floats, squared_norm: Callable[[Floats], float]) -> None:
        self.curvature, self._squared_norm = curvature, squared_norm
        self._x, self._r = np.zeros_like(gradient), -gradient
        self.best, self._best_r = self._x.copy(), self._r.copy()
        self.products = 0

    def run(self, metric: ClassMetric, tol: float, most: int) -> bool:
        """Continue with this preconditioner; whether the search has ended.

        Args:
            metric: the preconditioner.
            tol: norm of the residual at which it ends.
            most: products, at most.
        """
        r = self._r
        if math.sqrt(self._squared_norm(self._best_r)) <= tol:
            return True
        z = metric.solve(r)
        p, rz = z.copy(), float(np.vdot(r, z))
        for _ in range(most):
            q = self.curvature.times(p)
            self.products += 1
            pq = float(np.vdot(p, q))
            if not (pq > 0.0 and rz > 0.0):  # rounding, or NaN
                return True
            self._x += rz / pq * p
            r -= rz / pq * q
            self._smooth()
            if math.sqrt(self._squared_norm(self._best_r)) <= tol:
                return True
            z = metric.solve(r)
            before, rz = rz, float(np.vdot(r, z))
            p = z + rz / before * p
        return False

    def _smooth(self) -> None:
        """Move `best` towards the last iterate, to where the residual between the two is smallest."""
        difference = self._r - self._best_r
        length = self._squared_norm(difference)
        if length > 0.0:
            inner = 0.5 * (self._squared_norm(self._r) - self._squared_norm(self._best_r) - length)
            share = -inner / length
            self._best_r += share * difference
            self.best += share * (self._x - self.best)
