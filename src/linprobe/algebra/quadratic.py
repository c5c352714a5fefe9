"""A quadratic model of an objective with |W|, and the plain form of coordinate descent on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe.shapes import Floats

__all__ = ["QuadraticModel", "descend"]

SWEEPS_BETWEEN = 4
"""Sweeps over the weights that are not 0, between two over all."""

LEAST_CURVATURE = 1e-3
"""Least curvature of a weight in a `QuadraticModel`, as a share of what it is without left and right."""


@dataclass(frozen=True)
class QuadraticModel:
    """A model of an objective around weights W_0, of n features and K classes; `descend` minimises it.

        slope·D + 1/2 D·(gram x coupling - left rightᵀ) D + 1/2 ridge W² + size |W|,   D = W - W_0

    W has a row for the bias below those of the features: its column of the gram is that of the identity, and it has
    no penalty.

    Attributes:
        gram: (n, n) float32, symmetric.
        coupling: (K, K) float64, symmetric.
        ridge, size: of W² and |W|.
        slope: (n + 1, K) float64, at W_0, of all but ridge and size.
        left, right: (n + 1, K, m) float32; left rightᵀ is symmetric.
        W: (n + 1, K) float64, in place: where to begin, and what is found.
        moved: (K, n + 1) float32, in place: Dᵀ gram.
        sums: (m,) float32, in place: rightᵀ D.
    """

    gram: npt.NDArray[np.float32]
    coupling: Floats
    ridge: float
    size: float
    slope: Floats
    left: npt.NDArray[np.float32]
    right: npt.NDArray[np.float32]
    W: Floats
    moved: npt.NDArray[np.float32]
    sums: npt.NDArray[np.float32]


def descend(model: QuadraticModel, most: int, tol: float) -> tuple[int, float]:
    """Coordinate descent: each weight to its own minimum in turn, those that are 0 in every fifth sweep only.

    Args:
        model: its W, moved and sums are changed in place.
        most: sweeps, at most.
        tol: largest change of a slope in a sweep over all weights, at which the descent ends.
    Returns:
        (sweeps, largest change of a slope in the last sweep over all weights).
    """
    n, K = len(model.gram), model.W.shape[1]
    blocks = np.append(np.diagonal(model.gram), 1.0)[:, None, None] * model.coupling
    blocks[:n] += model.ridge * np.eye(K)
    plain = np.diagonal(blocks, axis1=1, axis2=2).copy()
    blocks -= model.left @ model.right.transpose(0, 2, 1)
    curvatures = np.maximum(np.diagonal(blocks, axis1=1, axis2=2), LEAST_CURVATURE * plain)
    largest, everything = 0.0, True
    for sweep in range(1, most + 1):
        found = 0.0
        for j in range(n + 1):
            if everything or j == n or model.W[j].any():
                found = max(found, _visit_row(model, j, curvatures[j], blocks[j], everything))
        if everything:
            largest = found
        if found <= tol and everything:
            break
        everything = found <= tol or sweep % (SWEEPS_BETWEEN + 1) == 0
    return sweep, largest


def _visit_row(model: QuadraticModel, j: int, curvatures: Floats, block: Floats, everything: bool) -> float:
    """Visit the weights of feature j, or of the bias where j = n; returns the largest change of a slope.

    Args:
        curvatures: (K,) second derivative of the model in each weight.
        block: (K, K) of these weights together.
        everything: visit those that are 0 too.
    """
    n, W, moved = len(model.gram), model.W, model.moved
    is_bias = j == n
    size, ridge = (0.0, 0.0) if is_bias else (model.size, model.ridge)
    slopes = model.slope[j] + ridge * W[j] + model.coupling @ moved[:, j] - model.left[j] @ model.sums
    w, here, curvature = W[j].tolist(), slopes.tolist(), curvatures.tolist()  # one at a time, Python's are faster
    rows, largest = block.tolist(), 0.0
    for k, at in enumerate(w):
        if not everything and at == 0.0 and not is_bias:
            continue
        aim, least = (at - here[k] / curvature[k], size / curvature[k]) if curvature[k] > 0.0 else (0.0, 0.0)
        w[k] = aim - least if aim > least else aim + least if aim < -least else 0.0
        change = w[k] - at
        if change != 0.0:
            here = [slope + change * row for slope, row in zip(here, rows[k], strict=True)]
            largest = max(largest, abs(change) * curvature[k])
    changes = w - W[j]
    if changes.any():
        W[j] = w
        if is_bias:
            moved[:, n] += changes
        else:
            moved[:, :n] += changes[:, None] * model.gram[j]
        model.sums[:] += changes @ model.right[j]
    return largest
