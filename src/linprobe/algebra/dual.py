"""The dual of a loss that is a sum over margins, and the plain form of coordinate ascent on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe.shapes import Doubles, Floats, slices

__all__ = ["DualModel", "DualPairs", "ascend", "ascend_pairs", "dual_sums"]

BLOCK_NUMBERS = 2**21
"""Numbers of the rows that are read at once: 16 MB of float64."""


@dataclass(frozen=True)
class DualModel:
    """A dual point of a loss that is a sum over margins, and what follows from it; `ascend` improves it.

        maximise sum_ij (delta A_ij - A_ij² / (2 curvature a_i)) - |soft(V, size)|² / (2 ridge) - bias |c|² / 2 + b·c

    over 0 <= A_ij <= a_i most, with A_ij = 0 for j = y_i. G_ij = A_ij off the label, minus their sum on it;
    V = -Gᵀ X, the weights are W = soft(V, size) / ridge, and c = sum_i G_i. The bias b moves by -bias times each change
    of c, so that the margins of image i have slope -(squares_i / ridge + bias) in each A_ij.

    Attributes:
        rows: (N, D) float32 or float64: the images, about their mean; or the products of the images with each other,
            (N, N), which is the Gram form.
        squares: (N,) float64, sum of the squares of each image.
        y: (N,) int64 labels in 0..K-1.
        share: (N,) float64, a_i > 0.
        ridge, size: of (ridge / 2) sum W² and of size sum |W|; size is 0 in the Gram form.
        bias: > 0.
        delta, most, curvature: the loss is sum_{j != y} h(s_j - s_y + delta), h'(u) = clip(curvature u, 0, most), with
            most inf for no bound and curvature inf for a kink.
        A: (N, K) float64, in place.
        V: (K, D) float64, in place; in the Gram form ridge times the scores of the images without the bias.
        W: (K, D) float64, in place; None in the Gram form.
        b: (K,) float64, in place.
    """

    rows: Floats
    squares: Floats
    y: npt.NDArray[np.int64]
    share: Floats
    ridge: float
    size: float
    bias: float
    delta: float
    most: float
    curvature: float
    A: Floats
    V: Floats
    W: Floats | None
    b: Floats


@dataclass(frozen=True)
class DualPairs:
    """Pairs of image and class of a `DualModel` without Gram form, for `ascend_pairs`; its rows are float32.

    Attributes:
        ends: (N + 1,) int64, pairs ends[i]..ends[i + 1] - 1 are those of image i.
        classes: (P,) int32, ascending within an image, without its label.
        A: (P,) float64, in place: the dual point, 0 at all other pairs.
        V: (K, D) float32, in place.
        W: (K, D) float32, in place; None where `size` is 0: V alone is kept then.
    """

    ends: npt.NDArray[np.int64]
    classes: npt.NDArray[np.int32]
    A: Doubles
    V: npt.NDArray[np.float32]
    W: npt.NDArray[np.float32] | None

    def images(self) -> npt.NDArray[np.int64]:
        """(P,) the image of each pair."""
        return np.repeat(np.arange(len(self.ends) - 1), np.diff(self.ends))


def ascend(model: DualModel, order: npt.NDArray[np.int64], *, everything: bool, threshold: float) -> tuple[float, int]:
    """Dual coordinate ascent: all A_ij of an image to their common optimum, one image of `order` after the other.

    Args:
        order: (n,) int64 positions of the images to visit.
        everything: visit all A_ij, else those that are not 0.
        threshold: images whose predicted gain is at most this are not changed.
    Returns:
        (sum of the predicted gains, rows of length D that were multiplied or added).
    """
    A, V, b, ridge = model.A, model.V, model.b, model.ridge
    total_gain, products = 0.0, 0
    for i in order:
        y, x = model.y[i], model.rows[i].astype(np.float64)
        classes = np.flatnonzero((np.arange(len(b)) != y) & (everything | (A[i] != 0.0)))
        if len(classes) == 0:
            continue
        visited = np.append(classes, y)
        if model.W is None:
            scores = V[visited, i] / ridge + b[visited]
        else:
            scores = model.W[visited] @ x + b[visited]
            products += len(visited)
        gain, after, changes = _dual_step(model, i, A[i, classes], scores, threshold)
        total_gain += gain
        if after is None:
            continue
        A[i, classes] = after
        V[visited] -= changes[:, None] * x
        b[visited] -= model.bias * changes
        products += int((changes != 0.0).sum())
        if model.W is not None:
            model.W[visited] = (V[visited] - np.clip(V[visited], -model.size, model.size)) / ridge
    return total_gain, products


def ascend_pairs(
    model: DualModel,
    pairs: DualPairs,
    order: npt.NDArray[np.int64],
    *,
    everything: bool,
    threshold: float,
) -> tuple[float, int]:
    """`ascend` over the listed pairs: A, V and W are those of `pairs`, the other numbers those of `model`.

    V and W are rounded to float32 at each change: `dual_sums` gives V anew. Products with them may be summed in
    float32.
    """
    ends, V, W, b, ridge = pairs.ends, pairs.V, pairs.W, model.b, model.ridge
    total_gain, products = 0.0, 0
    for i in order:
        y, x = model.y[i], model.rows[i]
        listed = np.arange(ends[i], ends[i + 1])
        listed = listed[everything | (pairs.A[listed] != 0.0)]
        if len(listed) == 0:
            continue
        visited = np.append(pairs.classes[listed], y)
        weights = (V if W is None else W)[visited].astype(np.float64)
        scores = weights @ x / (ridge if W is None else 1.0) + b[visited]
        products += len(visited)
        gain, after, changes = _dual_step(model, i, pairs.A[listed], scores, threshold)
        total_gain += gain
        if after is None:
            continue
        pairs.A[listed] = after
        V[visited] -= (changes[:, None] * x).astype(np.float32)
        b[visited] -= model.bias * changes
        products += int((changes != 0.0).sum())
        if W is not None:
            W[visited] = (V[visited] - np.clip(V[visited], -model.size, model.size)) / ridge
    return total_gain, products


def dual_sums(model: DualModel, pairs: DualPairs) -> Floats:
    """V = -Gᵀ X (K, D) of the listed pairs, in float64."""
    V = np.zeros_like(pairs.V, dtype=np.float64)
    images = pairs.images()
    for block in slices(len(model.y), max(1, BLOCK_NUMBERS // max(1, V.shape[1]))):
        some = slice(int(pairs.ends[block.start]), int(pairs.ends[block.stop]))
        G, rows = np.zeros((block.stop - block.start, len(V))), images[some] - block.start
        G[rows, pairs.classes[some]] = pairs.A[some]
        G[np.arange(len(G)), model.y[block]] = -G.sum(axis=1)
        V -= G.T @ model.rows[block].astype(np.float64)
    return V


def _dual_step(
    model: DualModel, i: int, before: Floats, scores: Floats, threshold: float
) -> tuple[float, Floats | None, Floats]:
    """(gain of the best step in one coordinate each, the coordinates at their common optimum, their changes).

    Nothing is changed, and the second is None, where the gain is no more than `threshold`.

    Args:
        i: the image.
        before: (n,) its coordinates that are visited.
        scores: (n + 1,) of their classes, and of the label last; the changes are in this order.
    """
    share = model.share[i]
    most, own_curvature = share * model.most, 1.0 / model.curvature / share
    q = model.squares[i] / model.ridge + model.bias
    margins = scores[:-1] - scores[-1] + model.delta
    slopes = margins - before * own_curvature
    alone = np.minimum(np.maximum(slopes / (2.0 * q + own_curvature), -before), most - before)
    gain = float(slopes @ alone)
    if not gain > threshold:
        return gain, None, alone
    after = _common_optimum(before + margins / q, q / (q + own_curvature), most, before.sum())
    return gain, after, np.append(after - before, -(after - before).sum())


def _common_optimum(v: Floats, factor: float, most: float, before: float) -> Floats:
    """A_j = clip(factor (v_j - T), 0, most) with T = sum_j A_j - before, by bisection."""
    low, high = -before, float(np.maximum(v, 0.0).sum())
    for _ in range(200):
        T = 0.5 * (low + high)
        if np.clip(factor * (v - T), 0.0, most).sum() - before > T:
            low = T
        else:
            high = T
    optimum: Floats = np.clip(factor * (v - T), 0.0, most)
    return optimum
