"""The dual point of a Newton step for squared margins: the slopes that its model of the loss has at its end."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linprobe.objective import DualPoint, Objective
from linprobe.optimizers.balance import balanced_bias, bias_step
from linprobe.shapes import Floats, Labels, slices

__all__ = ["model_point"]

BLOCK_SCORES = 2**22
"""Scores that are held at once: 32 MB of float64."""

MAX_PAIRS = 2**25
"""Violated margins, at most: 32 bytes each, 1 GB."""

MAX_NEWTON_STEPS, BALANCED = 11, 1e-14
"""Newton steps in the bias, at most; and the sum of the sizes of the column sums that counts as 0. Mixing in another
dual point for them costs the bound some hundred times as much, and tol times that is far above rounding. Chosen by
argument."""


def model_point(objective: Objective, W: Floats, b: Floats, step: Floats) -> DualPoint | None:
    """The dual point with slopes 2 max(0, margin at the end of the step), for the margins violated at its start.

    During a step other margins become violated and change the gradient at its end. Where reg is small, that gradient
    proves little. The step's model has only the margins violated at its start. Their slopes sum to what the step aimed
    at, except for the few margins that the step meets. A shift of the bias makes their columns sum to 0. Any slopes
    >= 0 are feasible, so that scores in float32 suffice; sums are in float64.

    Args:
        objective: with a squared hinge.
        W, b: (K, D) and (K,), where the step begins.
        step: (K, D + 1), W and b side by side.

    Returns:
        None where more margins are violated than memory is meant for.
    """
    engine, y, shares, K = objective.engine, objective.examples.y, objective.shares(), objective.n_classes
    counted = np.flatnonzero(shares > 0.0)  # an image of weight 0 bounds nothing
    both = np.concatenate([W, step[:, :-1]]), np.concatenate([b, step[:, -1]])
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], Floats]] = []
    blocks = slices(len(counted), max(1, BLOCK_SCORES // (2 * K)))
    for block in blocks:
        labels = y[counted[block]]
        S = engine.scores(*both, counted[block])
        margins = objective.loss.kinks(S[:, :K], labels)
        margins[np.arange(len(labels)), labels] = 0.0
        image, k = np.nonzero(margins > 0.0)
        ahead = margins[image, k] + S[image, K + k] - S[image, K + labels[image]]
        found.append((image + block.start, k, ahead))
        if sum(len(k) for _, k, _ in found) > MAX_PAIRS:
            return None
    image, k, ahead = (np.concatenate(parts) for parts in zip(*found, strict=True))
    ends = np.searchsorted(image, [block.start for block in blocks] + [len(counted)])
    a, label = shares[counted[image]], y[counted[image]]
    g = 2.0 * np.maximum(ahead + _balancing_shift(ahead, a, k, label, K), 0.0)
    A, c = np.zeros(W.shape), np.zeros(K)
    for block, first, last in zip(blocks, ends[:-1], ends[1:], strict=True):
        rows = counted[block]
        G = np.zeros((len(rows), K))
        i = image[first:last] - block.start
        G[i, k[first:last]] = a[first:last] * g[first:last]
        G[np.arange(len(rows)), y[rows]] = -G.sum(axis=1)
        block_A, block_c = engine.gradient_of_scores(G, rows, precise=True)
        A += block_A
        c += block_c
    terms = a * (objective.loss.unit * g - np.square(g) / 4.0)  # of minus the conjugate, see SquaredHinge
    return DualPoint(float(terms.sum()), A, c, float(np.abs(terms).sum()))


def _balancing_shift(ahead: Floats, a: Floats, k: npt.NDArray[np.int64], label: Labels, K: int) -> Floats:
    """What is added to each margin, b_k - b_label, so that the columns of the slopes sum to 0.

    The sums are piecewise linear in b. Newton's method may make them larger before it reaches the right piece.
    """

    def shifted(b: Floats) -> Floats:
        return np.maximum(ahead + b[k] - b[label], 0.0)

    def columns_at(b: Floats) -> Floats:
        slopes = a * shifted(b)
        columns: Floats = np.subtract(np.bincount(k, slopes, K), np.bincount(label, slopes, K))
        return columns

    def step_at(b: Floats, columns: Floats) -> Floats:
        w = np.where(shifted(b) > 0.0, a, 0.0)
        between = np.bincount(k * K + label, w, K * K).reshape(K, K)
        between += between.T
        return bias_step(np.diag(between.sum(axis=1)) - between, columns)

    b = balanced_bias(columns_at, step_at, np.zeros(K), BALANCED, MAX_NEWTON_STEPS, may_grow=True)
    shift: Floats = b[k] - b[label]
    return shift
