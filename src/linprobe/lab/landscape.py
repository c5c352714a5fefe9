"""A slice of the loss surface: L over the plane in the space of (W, b) through a start and the minimum."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.lab.protocol import packed
from linprobe.objective import Objective
from linprobe.optimizers import Exact
from linprobe.shapes import Floats

__all__ = ["LEVELS", "surface"]

LEVELS = 16
"""Bands of equal height in log L."""

Numbers = npt.NDArray[np.float64]


def surface(objective: Objective, path_W: Floats, path_b: Floats, size: int) -> dict[str, Any]:
    """L over a square of the plane that holds the start of the path, the minimum, and the first step downhill.

    With m the minimum (of the exact optimizer, to a per cent) and p the start of the path, the first axis runs from m
    to p, the second is the gradient at p made orthogonal to the first. The path is projected onto the plane.
    """
    flat = np.concatenate([path_W.reshape(len(path_W), -1), path_b], axis=1)
    least = Exact(tol=1e-2, max_iter=200).minimize(objective)
    minimum = np.concatenate([least.W.ravel(), least.b])
    axes = _axes(objective, flat[0], minimum)
    path = (flat - minimum) @ axes.T
    reach = float(np.abs(path).max())
    half = 1.25 * max(reach, 0.25 * float(np.linalg.norm(minimum)), 0.5)
    ticks = np.linspace(-half, half, size)
    values = np.array([[_value(objective, minimum + x * axes[0] + y * axes[1]) for x in ticks] for y in ticks])
    # bands of log(L - lowest), so that the floor of a deep bowl is seen as well as its rim
    lowest, highest = float(min(values.min(), _value(objective, minimum))), float(values.max())
    scale = 1e-2 * (highest - lowest) or 1.0
    logs = np.log1p((values - lowest) / scale)
    bands = np.floor(LEVELS * logs / (logs.max() or 1.0)).clip(0, LEVELS - 1)
    edges = lowest + scale * np.expm1(np.arange(LEVELS + 1) / LEVELS * logs.max())
    return {
        "half": half,
        "bands": packed(bands),
        "edges": edges,
        "lowest": lowest,
        "highest": highest,
        "path": path,
        "minimum": _value(objective, minimum),
    }


def _value(objective: Objective, flat: Numbers) -> float:
    K, D = objective.n_classes, objective.n_features
    return objective.value(flat[: K * D].reshape(K, D), flat[K * D :])


def _axes(objective: Objective, start: Numbers, minimum: Numbers) -> Numbers:
    """Two orthonormal rows."""
    K, D = objective.n_classes, objective.n_features
    _, dW, db = objective.value_and_gradient(start[: K * D].reshape(K, D), start[K * D :])
    rough = np.random.Generator(np.random.PCG64(0)).standard_normal((2, len(start)))
    rows: list[Numbers] = []
    # a direction that is all but inside the span of those before it gives way to a made one
    for wanted, instead in ((start - minimum, rough[0]), (np.concatenate([dW.ravel(), db]), rough[1])):
        for candidate in (wanted, instead):
            rest = candidate - sum((candidate @ row) * row for row in rows)
            if np.linalg.norm(rest) > 1e-6 * (1e-3 + np.linalg.norm(candidate)):
                rows.append(rest / np.linalg.norm(rest))
                break
    return np.array(rows)
