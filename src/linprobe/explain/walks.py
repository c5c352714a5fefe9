"""Walks side by side: updates, learning rates, schedules and batch sizes from one start, on a surface of two weights.

valley      a linear classifier of two features, one five times as large as the other: convex, and long
saddle      one hidden unit, `line_saddle`: a saddle, a local and a global minimum
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.saddle import descend, settle
from linprobe.explain.two_layer import Array, line_saddle
from linprobe.optimizers.schedules import rates
from linprobe.optimizers.updates import UPDATES, Rates
from linprobe.shapes import check_range

__all__ = ["GROUNDS", "Ground", "Walked", "ground", "heights", "walk_on"]

N_POINTS, STRETCH, REG = 120, 5.0, 0.01
"""Points of the valley, the size of its second feature in units of the first, and the reg of its L2."""

NEWTON_STEPS = 8
"""To the minimum of the valley; the gradient is at rounding after five."""

FAR = 1e6
"""Size of a weight beyond which a walk has diverged, and stays where it is."""

GROUNDS = {"valley": "a long valley, convex", "saddle": "a saddle and two minima"}
"""Each surface by its name, in words."""

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Ground:
    """An objective of two weights.

    Attributes:
        name: in `GROUNDS`.
        names: of the weights.
        low, high: two corners of the view.
        minima: (m, 2), the lowest first.
        n_images: N.
        value: weights (..., 2) -> L (...), over all images.
        gradient: weights (2,) and the rows of a batch -> (2,).
    """

    name: str
    names: tuple[str, str]
    low: tuple[float, float]
    high: tuple[float, float]
    minima: Array
    n_images: int
    value: Callable[[Array], Array]
    gradient: Callable[[Array, Rows], Array]


@dataclass(frozen=True)
class Walked:
    """A walk.

    Attributes:
        weights: (steps + 1, 2), the start first.
        losses: (steps + 1,), L over all images, whatever the batches; infinite once the walk has diverged.
        rates: (steps,), the learning rate of each step.
    """

    weights: Array
    losses: Array
    rates: Array


@cache
def ground(name: str) -> Ground:
    """The surface of that name.

    Raises:
        ParameterError: there is none.
    """
    if name not in GROUNDS:
        raise ParameterError(f"ground = {name!r}; expected one of {', '.join(GROUNDS)}.")
    return _valley() if name == "valley" else _saddle()


def heights(of: Ground, size: int) -> Array:
    """L on a grid (size, size) of the view; the first row has the lowest second weight."""
    x, y = (np.linspace(of.low[i], of.high[i], size) for i in (0, 1))
    return of.value(np.stack(np.meshgrid(x, y), axis=-1))


def walk_on(
    of: Ground,
    start: tuple[float, float],
    update: str = "plain",
    learning_rate: float = 0.1,
    *,
    schedule: str = "constant",
    batch_size: int | None = None,
    steps: int = 100,
    seed: int = 0,
) -> Walked:
    """A walk of the library's `update`, with the numbers of its defaults.

    Every epoch shuffles the images anew, from PCG64([seed, epoch]); the last batch of an epoch may be smaller.

    Args:
        of: the surface.
        start: two weights.
        update: a name in `UPDATES`.
        learning_rate: the highest, > 0.
        schedule: a name in `SCHEDULES`.
        batch_size: 1..N; None for the full gradient.
        steps: at least 1.
        seed: of the batches.
    Raises:
        ParameterError, ShapeError: an argument cannot be used.
    """
    if update not in UPDATES:
        raise ParameterError(f"update = {update!r}; expected one of {', '.join(UPDATES)}.")
    check_range("learning_rate", learning_rate, low=0.0, open_low=True)
    check_range("steps", steps, low=1)
    size = of.n_images if batch_size is None else batch_size
    check_range("batch_size", size, low=1, high=of.n_images)
    w = np.array(start, dtype=np.float64)
    if w.shape != (2,) or not np.isfinite(w).all():
        raise ShapeError(f"start = {start}; expected two finite numbers.")
    eta = rates(schedule, learning_rate, np.arange(steps), steps)
    numbers, kind = Rates(), UPDATES[update]
    m, v = (np.zeros(2) if suffix in kind.arrays else None for suffix in ("m", "v"))
    path, order, at, epoch = [w], np.empty(0, np.int64), of.n_images, 0
    for step in range(steps):
        if at >= of.n_images:
            order = np.random.Generator(np.random.PCG64([seed, epoch])).permutation(of.n_images)
            at, epoch = 0, epoch + 1
        direction, s = kind.direction(of.gradient(w, order[at : at + size]), m, v, float(eta[step]), step + 1, numbers)
        at += size
        w = w - s * direction
        if np.abs(w).max() >= FAR:
            break
        path.append(w)
    weights = np.stack(path + [path[-1]] * (steps + 1 - len(path)))
    losses = of.value(weights)
    losses[len(path) :] = np.inf
    return Walked(weights, losses, eta)


def _valley() -> Ground:
    random = np.random.Generator(np.random.PCG64(0))
    y = np.arange(N_POINTS) % 2
    X = random.standard_normal((N_POINTS, 2)) + np.where(y[:, None] == 1, 0.7, -0.7)
    X[:, 1] *= STRETCH
    signs = 2.0 * y - 1.0

    def value(w: Array) -> Array:
        margins = (w @ X.T) * signs
        found: Array = np.logaddexp(0.0, -margins).mean(axis=-1) + REG * np.square(w).sum(axis=-1)
        return found

    def gradient(w: Array, rows: Rows) -> Array:
        margins = (X[rows] @ w) * signs[rows]
        slopes = -signs[rows] / (1.0 + np.exp(np.clip(margins, -500.0, 500.0)))
        found: Array = slopes @ X[rows] / len(rows) + 2.0 * REG * w
        return found

    w, every = np.array([0.8, 0.2]), np.arange(N_POINTS)
    for _ in range(NEWTON_STEPS):  # from near the minimum of a convex objective: each step squares the error
        p = 1.0 / (1.0 + np.exp(X @ w))
        curvature = (X * (p * (1.0 - p))[:, None]).T @ X / N_POINTS + 2.0 * REG * np.eye(2)
        w = w - np.linalg.solve(curvature, gradient(w, every))
    return Ground("valley", ("w1", "w2"), (-1.0, -1.0), (3.0, 1.0), w[None], N_POINTS, value, gradient)


def _saddle() -> Ground:
    saddle = line_saddle()
    network, X, y = saddle.network, saddle.X, saddle.y

    def whole(w: Array) -> Array:
        weights = np.broadcast_to(saddle.weights, (*w.shape[:-1], network.n_weights)).copy()
        weights[..., saddle.free] = w
        return weights

    def value(w: Array) -> Array:
        flat = whole(w.reshape(-1, 2))
        return network.value(flat, X, y).reshape(w.shape[:-1])

    def gradient(w: Array, rows: Rows) -> Array:
        found: Array = network.value_and_gradient(whole(w), X[rows], y[rows])[1][saddle.free]
        return found

    near = descend(saddle, np.stack([saddle.at(2.0, 2.0), saddle.at(-2.0, -2.0)]), steps=200).weights[-1]
    found = [settle(saddle, weights)[saddle.free] for weights in near]
    minima = np.stack(found)
    minima = minima[np.argsort(value(minima))]
    return Ground("saddle", ("w", "v"), (-4.5, -4.5), (6.0, 4.5), minima, len(X), value, gradient)
