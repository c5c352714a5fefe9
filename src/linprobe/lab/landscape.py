"""A slice of the loss surface for the playground: through the minimum, the start of a walk, and its first step."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np

from linprobe.explain.landscape import Plane, loss_slice
from linprobe.lab.descent import MOST_STEPS
from linprobe.lab.wire import Numbers, Packed, packed
from linprobe.losses import Loss
from linprobe.objective import Objective
from linprobe.optimizers import Exact
from linprobe.penalties import Penalty
from linprobe.shapes import Floats

__all__ = ["FLOOR", "Surface", "packed_heights", "surface"]

FLOOR = 1e-2
"""Share of the height of a slice up to which it is shown evenly; above it the logarithm is."""

MINIMA = 16
"""Minima that are kept."""


@dataclass(frozen=True)
class Surface:
    """A slice of the loss.

    Attributes:
        half: half the side of the square that is shown, whose middle is the minimum.
        heights: (size, size), of the logarithm of L above the lowest: 0..255.
        minimum: L there.
        path: (n, 2), the path on the slice.
    """

    half: float
    heights: Packed
    minimum: float
    path: Annotated[Floats, Numbers((None, 2), MOST_STEPS)]


def surface(objective: Objective, path_W: Floats, path_b: Floats, size: int) -> Surface:
    """L over a square of a plane of (W, b), and the path (n, K, 2), (n, K) projected onto the plane.

    With m the minimum (that of the exact optimizer) and p the start of the path, the first axis runs
    from m to p, and the second is the gradient at p made orthogonal to it: so the plane stays the same during a walk.
    """
    least = _minimum(objective)
    plane = _plane(objective, (path_W[0], path_b[0]), least)
    path = plane.project(path_W, path_b)
    size_of_minimum = float(np.sqrt(np.square(least[0]).sum() + np.square(least[1]).sum()))
    half = 1.2 * max(float(np.abs(path).max()), 0.25 * size_of_minimum, 0.5)
    values = loss_slice(objective, plane, (-half, -half), (half, half), size).values
    minimum = objective.value(*least)
    return Surface(half, packed_heights(values, minimum), minimum, path)


def packed_heights(values: Floats, minimum: float) -> Packed:
    """A grid of L as 0..255: of its logarithm above the lowest, or above the minimum if that lies deeper."""
    lowest, highest = min(float(values.min()), minimum), float(values.max())
    unit = FLOOR * (highest - lowest) or 1.0
    heights = np.log1p((values - lowest) / unit)
    top = float(heights.max()) or 1.0
    return packed(np.rint(255.0 * heights / top))


_Key: TypeAlias = tuple[Loss, Penalty | None, float, int, bytes, bytes]
_minima: OrderedDict[_Key, tuple[Floats, Floats]] = OrderedDict()
_lock = threading.Lock()


def _minimum(objective: Objective) -> tuple[Floats, Floats]:
    """(W, b) where "exact" ends. The most recent ones are kept: a walk requests it after each step."""
    X, y = objective.examples.X, objective.examples.y
    about = (objective.loss, objective.penalty, objective.reg, objective.n_classes)
    key: _Key = (*about, np.asarray(X).tobytes(), np.asarray(y).tobytes())
    with _lock:
        if key in _minima:
            _minima.move_to_end(key)
            return _minima[key]
    found = Exact().minimize(objective)
    with _lock:
        _minima[key] = found.W, found.b
        while len(_minima) > MINIMA:
            _minima.popitem(last=False)
    return found.W, found.b


def _plane(objective: Objective, start: tuple[Floats, Floats], minimum: tuple[Floats, Floats]) -> Plane:
    (W, b), K = start, objective.n_classes
    _, dW, db = objective.value_and_gradient(W, b)
    rough = np.random.Generator(np.random.PCG64(0)).standard_normal((2, W.size + K))
    home = np.concatenate([minimum[0].ravel(), minimum[1]])
    there, downhill = np.concatenate([W.ravel(), b]) - home, np.concatenate([dW.ravel(), db])
    axes: list[Floats] = []
    # a direction of no length, or inside the one before it, gives way to a made one
    for wanted, instead in ((there, rough[0]), (downhill, rough[1])):
        rest = _across(wanted, axes)
        if np.linalg.norm(rest) <= 1e-6 * (1e-3 + np.linalg.norm(wanted)):
            rest = _across(instead, axes)
        axes.append(rest / np.linalg.norm(rest))
    first, second = ((axis[:-K].reshape(K, -1), axis[-K:]) for axis in axes)
    return Plane(minimum, (first, second))


def _across(vector: Floats, axes: list[Floats]) -> Floats:
    """`vector` without its parts along the `axes`."""
    for axis in axes:
        vector = vector - (vector @ axis) * axis
    return vector
