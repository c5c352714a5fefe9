"""Proximal Newton steps on some features held in memory, with |W|; a hinge is smoothed about its multipliers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.algebra.curved import CurvedModel
from linprobe.cores import by_threads
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.shapes import Floats, Labels, slices

__all__ = ["Columns", "ProximalNewton", "Smoothed", "check_curved"]

BLOCK_NUMBERS = 2**20
"""Float64 numbers of a block of rows or features: 8 MB."""

BLOCK_SCORES = 2**16
"""Scores whose losses and slopes a thread computes at once: 512 kB of float64, which fit a cache."""

FLOAT64_NUMBERS = 2**26
"""N times the largest number of features in a set, up to which they are stored in float64 (512 MB); above, in
float32."""

MIN_CURVATURE = 1e-9
"""Curvature of a score, relative to the largest, above which the model includes the score. Chosen by argument."""

FIRST_DAMPING, MIN_DAMPING, MAX_DAMPING, DAMPING_CHANGE = 1e-3, 1e-8, 1e3, 4.0
"""Damping of a step, in units of the variance of each feature times the largest curvature of the loss: the first, the
smallest and the largest. It is multiplied by DAMPING_CHANGE after a step that had to be shortened, and divided by it
after a full one. Chosen by argument."""

MAX_SWEEPS, SUPPORT_SWEEPS, MAX_CG_ITERATIONS, CG_RESIDUAL = 400, 20, 200, 0.1
"""Sweeps in one Newton step, at most; sweeps over the nonzero weights before conjugate gradients; iterations of these,
at most, and the relative residual at which they end. With 20 sweeps in place of 3 the hinge of 483 images and 68
classes of benchmarks/gauntlet.py (tame, large, seed 1019) takes half the time."""

MODEL_TOL, MODEL_TOL_AT_END = 0.1, 0.3
"""A model is minimised until its largest slope is MODEL_TOL times that before the step, or MODEL_TOL_AT_END times the
slope at which the search ends, if that is larger. Chosen by argument."""

ARMIJO, MAX_HALVINGS = 1e-4, 40
"""Required decrease of the objective, as a share of the decrease that the model predicts (the usual value); and
halvings of a step, at most (chosen by argument)."""

RELATIVE_ROUNDING = 1e-14
"""Relative rounding of an objective in float64. Chosen by argument."""


def check_curved(objective: Objective) -> None:
    """Raise unless the loss declares what the steps need.

    Raises:
        IncompatibleError: it declares neither margins nor a Hessian.
    """
    loss = objective.loss
    if loss.margin_power is None and loss.curvature_form != "spread":
        raise IncompatibleError(
            f"working sets need a loss of margins or a smooth one with a Hessian; {type(loss).__name__} declares "
            "neither. Use optimizer='exact', which takes another method for it."
        )


class Columns:
    """Some features of an objective, (n, N), one row per feature, centred at their means.

    Attributes:
        positions: (n,) which features they are, in the order in which they joined.
        X: (n, N), float64 or float32: see `FLOAT64_NUMBERS`.
        mean: (n,) float64, weighted.
        variance: (n,) float64, weighted.
    """

    def __init__(self, objective: Objective, positions: npt.NDArray[np.int64], most: int) -> None:
        """The features at `positions`; `most` bounds how many there will ever be."""
        self._objective = objective
        N = objective.n_images
        self.dtype = np.float64 if N * most <= FLOAT64_NUMBERS else np.float32
        self.positions = np.zeros(0, np.int64)
        self.X: Floats = np.zeros((0, N), self.dtype)
        self.mean, self.variance = np.zeros(0), np.zeros(0)
        self.add(positions)

    def add(self, positions: npt.NDArray[np.int64]) -> None:
        """Append the features at these positions."""
        N, n = self._objective.n_images, len(positions)
        shares, mapped = self._objective.shares(), self._objective.examples.mapped
        read, mean, variance = np.empty((n, N)), np.zeros(n), np.zeros(n)
        for block in slices(N, max(1, BLOCK_NUMBERS // max(1, n))):
            rows = mapped(block, positions)
            mean += (rows * shares[block, None]).sum(axis=0)
            read[:, block] = rows.T
        for block in slices(n, max(1, BLOCK_NUMBERS // N)):
            read[block] -= mean[block, None]
            variance[block] = (np.square(read[block]) * shares).sum(axis=1)
        self.positions = np.concatenate([self.positions, positions])
        self.X = np.concatenate([self.X, read.astype(self.dtype, copy=False)])
        self.mean, self.variance = np.concatenate([self.mean, mean]), np.concatenate([self.variance, variance])

    def keep(self, which: npt.NDArray[np.bool_]) -> None:
        """Drop the features where `which` is False."""
        self.positions, self.X = self.positions[which], self.X[which]
        self.mean, self.variance = self.mean[which], self.variance[which]

    def scores(self, W: Floats, b: Floats) -> Floats:
        """(N, K), of weights (n, K) of the centred features and a bias (K,)."""
        used = np.flatnonzero(W.any(axis=1))
        N, engine = self.X.shape[1], self._objective.engine
        S, used_W = np.empty((N, len(b))), W[used]

        def score(images: slice) -> None:
            S[images] = self.X[used, images].T.astype(np.float64) @ used_W + b

        list(by_threads(score, slices(N, max(1, BLOCK_NUMBERS // max(1, len(used)))), engine.n_threads))
        return S

    def products(self, G: Floats) -> Floats:
        """(n, K), X G for G (N, K)."""
        out = np.empty((len(self.X), G.shape[1]))

        def multiply(block: slice) -> None:
            out[block] = self.X[block].astype(np.float64, copy=False) @ G

        blocks = slices(len(self.X), max(1, BLOCK_NUMBERS // self.X.shape[1]))
        list(by_threads(multiply, blocks, self._objective.engine.n_threads))
        return out

    def squared_products(self, H: Floats) -> Floats:
        """(n, K), (X * X) H for H (N, K)."""
        out = np.empty((len(self.X), H.shape[1]))

        def multiply(block: slice) -> None:
            out[block] = np.square(self.X[block], dtype=np.float64) @ H

        blocks = slices(len(self.X), max(1, BLOCK_NUMBERS // self.X.shape[1]))
        list(by_threads(multiply, blocks, self._objective.engine.n_threads))
        return out

    def to_all(self, W: Floats, b: Floats) -> tuple[Floats, Floats]:
        """(W (K, D), b (K,)) for all features, not centred."""
        full = np.zeros((W.shape[1], self._objective.n_features))
        full[:, self.positions] = W.T
        return full, b - self.mean @ W


@dataclass(frozen=True)
class Smoothed:
    """The loss as a smooth function of the scores; a hinge is smoothed about the multipliers G of its margins.

        max over 0 <= t <= 1 of  t m - (t - g)² / (2 rho)   in place of  max(0, m)

    This is the augmented Lagrangian of the hinge. The maximising t is dual feasible, and is the next multiplier.

    Args:
        objective: its loss is one of margins, or smooth with a Hessian.
        G: (N, K) the multipliers, a dual point; unused where the loss is smooth.
        rho: > 0, the curvature of the smoothed kinks.
    Source:
        Rockafellar, "Augmented Lagrangians and applications of the proximal point algorithm in convex programming",
        1976.
    """

    objective: Objective
    G: Floats
    rho: float

    def value_and_gradient(self, S: Floats) -> tuple[Floats, Floats]:
        """(value of each image (N,), its gradient in the scores (N, K))."""
        values, G = np.empty(len(S)), np.empty(S.shape)

        def fill(some: slice) -> None:
            values[some], G[some] = self._of_images(S[some], some)

        list(by_threads(fill, self._blocks(S), self.objective.engine.n_threads))
        return values, G

    def _of_images(self, S: Floats, some: slice) -> tuple[Floats, Floats]:
        loss, y = self.objective.loss, self.objective.examples.y[some]
        if loss.smooth:
            return loss.value_and_gradient(S, y)
        rows = np.arange(len(S))
        m, g = _margins(S, y, loss.unit), self.G[some]
        t = np.clip(g + self.rho * m, 0.0, 1.0)
        values = t * m - np.square(t - g) / (2.0 * self.rho)
        values[rows, y] = t[rows, y] = 0.0
        t[rows, y] = -t.sum(axis=1)
        return values.sum(axis=1), t

    def _blocks(self, S: Floats) -> list[slice]:
        return slices(len(S), max(1, BLOCK_SCORES // S.shape[1]))

    def curvature(self, S: Floats) -> tuple[Floats, Floats, Floats]:
        """(d, v, w), each (N, K): the second derivative of image i is diag(d_i) - v_i w_iᵀ - w_i v_iᵀ."""
        d, v, w = (np.empty(S.shape) for _ in range(3))

        def fill(some: slice) -> None:
            d[some], v[some], w[some] = self._curvature_of_images(S[some], some)

        list(by_threads(fill, self._blocks(S), self.objective.engine.n_threads))
        return d, v, w

    def _curvature_of_images(self, S: Floats, some: slice) -> tuple[Floats, Floats, Floats]:
        loss, y = self.objective.loss, self.objective.examples.y[some]
        if loss.margin_power is None:
            d = loss.curvature_weights(S, y)
            u = d / np.sqrt(d.sum(axis=1, keepdims=True))
            return d, u, 0.5 * u
        rows, m = np.arange(len(S)), _margins(S, y, loss.unit)
        if loss.smooth:
            h = 2.0 * (m > 0.0)
        else:
            t = self.G[some] + self.rho * m
            h = self.rho * ((t > 0.0) & (t < 1.0))
        h[rows, y] = 0.0
        d, w = h.copy(), np.zeros_like(h)
        d[rows, y] = h.sum(axis=1)
        w[rows, y] = d[rows, y] > 0.0
        return d, h, w

    @property
    def steepest(self) -> float:
        """Approximately the largest second derivative of a loss in a score."""
        loss = self.objective.loss
        power = loss.margin_power
        return self.rho if power == 1 else 2.0 if power == 2 else loss.curvature(self.G.shape[1])


def _margins(S: Floats, y: Labels, unit: float) -> Floats:
    """s_k - s_y + unit, (n, K); unit at k = y."""
    return S - np.take_along_axis(S, y[:, None], axis=1) + unit


@dataclass
class Step:
    """A point of a search.

    Attributes:
        W: (n, K) float64, weights of the centred features in use.
        b: (K,) their bias.
        S: (N, K) the scores.
        G: (N, K) the gradient of the (smoothed) losses in the scores.
    """

    W: Floats
    b: Floats
    S: Floats
    G: Floats


Enough: TypeAlias = Callable[[float, Step, Floats, Floats], bool]
"""Called with (objective, step, slopes of the weights (n, K), slopes of the biases (K,)); whether the step suffices."""


class ProximalNewton:
    """Minimises a smooth data loss plus the penalty over the weights of some features.

    Each step goes towards the minimum of a second-order model of the data loss plus the whole penalty. Sweeps of
    coordinate descent find the nonzero weights, and conjugate gradients solve for these. The model includes only scores
    that have curvature: margins near their kinks, and classes whose probability is not close to 0 or 1.

    Args:
        objective: of all features.
        columns: the features in use.
        damping: of the first step.
    Attributes:
        damping: of the next step.
        taken: steps of the last search.
    Source:
        Lee, Sun and Saunders, "Proximal Newton-type methods for minimizing composite functions", 2014.
    """

    def __init__(self, objective: Objective, columns: Columns, damping: float = FIRST_DAMPING) -> None:
        self._objective, self._columns, self.damping, self.taken = objective, columns, damping, 0
        self._shares = objective.shares()

    def minimize(
        self,
        smoothed: Smoothed,
        W: Floats,
        b: Floats,
        tol: float,
        bias_tol: float,
        most: int,
        enough: Enough | None = None,
    ) -> Step:
        """The point found by a search that starts at (W, b).

        Args:
            smoothed: the data loss.
            W, b: (n, K) and (K,), the start.
            tol: largest slope of a weight at the end, as a share of the l1 weight. Without |W|: bound on the gap due to
                the remaining slopes, as a share of the objective.
            bias_tol: largest slope of a bias at the end.
            most: steps, at most.
            enough: a test that may end the search earlier.
        """
        shares = self._shares
        S = self._columns.scores(W, b)
        for self.taken in range(most + 1):
            values, G = smoothed.value_and_gradient(S)
            slope, bias_slope = self._columns.products(shares[:, None] * G), shares @ G
            excess = float(self._excess(slope, W).max(initial=0.0))
            value = float(shares @ values) + self._penalty(W)
            allowed = self._allowed_slope(tol, value, W.size)
            solved = excess <= allowed and float(np.abs(bias_slope).max()) <= bias_tol
            solved = solved or (enough is not None and enough(value, Step(W, b, S, G), slope, bias_slope))
            if solved or self.taken == most or not np.isfinite(excess):
                break
            model_tol = max(MODEL_TOL * excess, MODEL_TOL_AT_END * allowed)
            target, db = self._model_minimum(smoothed, S, W, slope, bias_slope, model_tol)
            dS = self._columns.scores(target - W, db)
            predicted = float((slope * (target - W)).sum() + bias_slope @ db) + self._penalty(target) - self._penalty(W)
            found = self._line_search(smoothed, S, dS, W, target, value, predicted)
            if found is None:
                if self.damping >= MAX_DAMPING:
                    break
                self.damping = MAX_DAMPING
                continue
            W, step = found
            change = 1.0 / DAMPING_CHANGE if step == 1.0 else DAMPING_CHANGE
            self.damping = min(max(self.damping * change, MIN_DAMPING), MAX_DAMPING)
            b, S = b + step * db, S + step * dS
        return Step(W, b, S, G)

    def _allowed_slope(self, tol: float, value: float, n_weights: int) -> float:
        """The largest slope at which a search ends. Slopes r raise the objective by at most sum r² / (4 l2_weight)."""
        if self._objective.l1_weight > 0.0 and tol > 0.0:
            return tol * self._objective.l1_weight
        return float(np.sqrt(4.0 * self._objective.l2_weight * tol * abs(value) / n_weights))

    def _line_search(
        self, smoothed: Smoothed, S: Floats, dS: Floats, W: Floats, target: Floats, value: float, predicted: float
    ) -> tuple[Floats, float] | None:
        """(weights, share of the step): the first of 1, 1/2, 1/4, ... with Armijo's decrease; None without one."""
        step = 1.0
        for _ in range(MAX_HALVINGS):
            moved = W + step * (target - W) if step < 1.0 else target
            data_loss = float(self._shares @ smoothed.value_and_gradient(S + step * dS)[0])
            if data_loss + self._penalty(moved) <= value + ARMIJO * step * predicted + RELATIVE_ROUNDING * abs(value):
                return moved, step
            step *= 0.5
        return None

    def _penalty(self, W: Floats) -> float:
        return self._objective.l2_weight * float(np.square(W).sum()) + self._objective.l1_weight * float(
            np.abs(W).sum()
        )

    def _excess(self, slope: Floats, W: Floats) -> Floats:
        """(n, K), the size of the least subgradient."""
        slope, size = slope + 2.0 * self._objective.l2_weight * W, self._objective.l1_weight
        return np.where(W == 0.0, np.maximum(np.abs(slope) - size, 0.0), np.abs(slope + size * np.sign(W)))

    def _model_minimum(
        self, smoothed: Smoothed, S: Floats, W: Floats, slope: Floats, bias_slope: Floats, tol: float
    ) -> tuple[Floats, Floats]:
        """(weights (n, K) near the minimum of the model, the change (K,) of the bias)."""
        model = self._model(smoothed, S, W, slope, bias_slope)
        self._descend(model, tol)
        return model.W[:-1].copy(), model.W[-1] - model.start[-1]

    def _model(self, smoothed: Smoothed, S: Floats, W: Floats, slope: Floats, bias_slope: Floats) -> CurvedModel:
        """The second-order model of the data loss, damped, with the whole penalty."""
        objective, shares = self._objective, self._shares[:, None]
        K, N = W.shape[1], len(S)
        d, v, w = smoothed.curvature(S)
        diagonal = shares * (d - 2.0 * v * w)
        d, v = shares * d, shares * v
        classes, image = np.nonzero((d > MIN_CURVATURE * float(d.max(initial=0.0))).T)
        unit = self.damping * smoothed.steepest
        damp = np.append(unit * self._columns.variance, unit)
        bias_curvature = np.diag(d.sum(axis=0)) - v.T @ w - w.T @ v + unit * np.eye(K)
        start = np.concatenate([W, np.zeros((1, K))])
        ridge = 2.0 * objective.l2_weight
        return CurvedModel(
            X=self._columns.X,
            ends=np.searchsorted(classes, np.arange(K + 1)),
            image=image,
            d=d[image, classes],
            v=v[image, classes],
            w=w[image, classes],
            slope=np.concatenate([slope, bias_slope[None]]),
            curvatures=self._columns.squared_products(diagonal) + ridge + damp[:-1, None],
            inverse=np.linalg.inv(bias_curvature),
            ridge=ridge,
            size=objective.l1_weight,
            damp=damp,
            start=start,
            W=start.copy(),
            z=np.zeros(len(image)),
            c=np.zeros(N),
            e=np.zeros(N),
        )

    def _descend(self, model: CurvedModel, tol: float) -> None:
        """Minimise the model by sweeps: over all weights, then over those that are not 0, then conjugate gradients."""
        algebra = self._objective.engine.algebra
        everything, support_sweeps = True, 0
        for _ in range(MAX_SWEEPS):
            changed = algebra.sweep(model, everything)
            if not np.isfinite(changed):
                break
            if changed <= tol:
                if everything:
                    break
                everything = True
            elif everything:
                everything, support_sweeps = False, 0
            else:
                support_sweeps += 1
                if support_sweeps >= SUPPORT_SWEEPS:
                    algebra.krylov(model, MAX_CG_ITERATIONS, CG_RESIDUAL)
                    everything = True
