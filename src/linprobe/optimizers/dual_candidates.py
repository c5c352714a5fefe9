"""The candidates of dual ascent: weights from a dual point, what they reach, and the best of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from linprobe.objective import Objective
from linprobe.optimizers.dual_images import DualImages, Margins
from linprobe.shapes import Floats

__all__ = ["Candidates", "Reached"]

SCALE_RANGE, SCALE_STEPS = (0.5, 2.0), 22
"""Range of the common factor of (W, b) that is optimised, and the bisections, which find it to 4e-7. A dual point far
from its optimum needs a factor outside the range, but then no factor makes the gap small. Chosen by argument."""

MAX_SCALED_SCORES = 2**25
"""Number of scores up to which the factor is optimised: 256 MB of float64."""


@dataclass(frozen=True)
class Reached:
    """The objective of a candidate.

    Attributes:
        primal, data_loss, penalty: the objective and its parts.
        accuracy: share of the images classified correctly.
        scale: the factor of (W, b) that was found.
    """

    primal: float
    data_loss: float
    penalty: float
    accuracy: float
    scale: float


class Candidates:
    """The candidates so far.

    Args:
        objective: what they minimise.
        images: that count.
        margins: of the loss.
        W, b: (K, D) and (K,), the first.
        least: the lowest objective so far.
    Attributes:
        least: likewise.
    """

    def __init__(
        self, objective: Objective, images: DualImages, margins: Margins, W: Floats, b: Floats, least: float
    ) -> None:
        self._objective, self._images, self._margins = objective, images, margins
        self.least = least
        self._best: tuple[Floats, Floats] | None = (W, b)
        self._best_dual: tuple[Floats, float, Floats] = (np.zeros(0), 1.0, np.zeros(0))

    def best(self) -> tuple[Floats, Floats]:
        """(W (K, D), b (K,)) of the best candidate."""
        if self._best is None:
            A, scale, b = self._best_dual
            images, objective = self._images, self._objective
            G = np.zeros((objective.n_images, len(images.present)))
            G[images.counted] = images.with_label(A)
            V = -objective.engine.gradient_of_scores(G, precise=True)[0]
            V += G.sum(axis=0)[:, None] * images.mean
            self._best = self._all_classes(scale / (2.0 * objective.l2_weight) * V, b)
        return self._best

    def try_dual(self, A: Floats, V: Floats, b: Floats, scaled: bool) -> tuple[Reached, float]:
        """(what the weights of a dual point in the Gram form reach with the bias b; (ridge / 2) |W|² of them).

        Args:
            A, V: of the `DualModel`.
            scaled: whether the factor of the weights is optimised.
        """
        ridge, y = 2.0 * self._objective.l2_weight, self._images.y
        S = V.T / ridge
        label_product = float(A.sum(axis=1) @ S[np.arange(len(y)), y])
        squares = 0.5 * (label_product - float(np.einsum("ij,ij->", A, S)))
        S += b
        reached = self._at_scores(S, squares, 0.0, scaled)
        if reached.primal < self.least:
            self.least, self._best = reached.primal, None
            self._best_dual = A.copy(), reached.scale, reached.scale * b
        return reached, squares

    def try_weights(self, W: Floats, b: Floats, scaled: bool) -> Reached:
        """What (W, b), of the present classes and about the mean, reach, in half a pass; kept if that is the least."""
        images, objective = self._images, self._objective
        at, bias = self._all_classes(W, b)
        scaled = scaled and len(images.y) * len(images.present) <= MAX_SCALED_SCORES
        if images.listed and not scaled:
            sums = objective.engine.loss_and_gradient(at, bias, objective.loss, need_gradient=False)
            data_loss, penalty = sums.loss / objective.examples.total_weight, objective.penalty_value(at)
            reached = Reached(data_loss + penalty, data_loss, penalty, sums.accuracy, 1.0)
            if reached.primal < self.least:
                self.least, self._best = reached.primal, (at, bias)
            return reached
        S = objective.engine.scores(at, bias, None if images.in_order else images.counted)
        S = S if len(images.present) == objective.n_classes else S[:, images.present]
        squares = 0.5 * (2.0 * objective.l2_weight) * float(np.square(W).sum())
        reached = self._at_scores(S, squares, objective.l1_weight * float(np.abs(W).sum()), scaled)
        if reached.primal < self.least:
            self.least, self._best = reached.primal, self._all_classes(reached.scale * W, reached.scale * b)
        return reached

    def _at_scores(self, S: Floats, squares: float, sizes: float, scaled: bool) -> Reached:
        """What the scores S (n, K') reach, which are changed; reg R(t W) = t² squares + t sizes."""
        images, margins = self._images, self._margins
        y, n = images.y, np.arange(len(images.y))
        accuracy = float((S.argmax(axis=1) == y).mean())
        S -= S[n, y][:, None]
        S[n, y] = -np.inf  # no margin
        scale = 1.0
        if scaled and len(y) * len(images.present) <= MAX_SCALED_SCORES:
            scale = _best_scale(S, images.share, margins, squares, sizes)
        S *= scale
        S += margins.delta
        data_loss = float(images.share @ margins.losses(S).sum(axis=1))
        penalty = scale**2 * squares + scale * sizes
        return Reached(data_loss + penalty, data_loss, penalty, accuracy, scale)

    def _all_classes(self, W: Floats, b: Floats) -> tuple[Floats, Floats]:
        """(W (K, D), b (K,)) for the images as they are, from those of the present classes about the mean."""
        objective, images = self._objective, self._images
        present = images.present
        b = b - W @ images.mean
        if len(present) == objective.n_classes:
            return W.copy(), b
        all_W, all_b = np.zeros((objective.n_classes, objective.n_features)), np.zeros(objective.n_classes)
        all_W[present], all_b[present] = W, b
        absent = np.setdiff1d(np.arange(objective.n_classes), present)
        scores = objective.engine.scores(all_W, all_b, images.counted)
        label_scores = scores[np.arange(len(images.y)), present[images.y]]
        delta = self._margins.delta
        all_b[absent] = label_scores.min() - delta - 1e-6 * (delta + np.abs(label_scores).max())
        return all_W, all_b


def _best_scale(differences: Floats, share: Floats, margins: Margins, squares: float, sizes: float) -> float:
    """The factor t of (W, b) with the least objective, by bisection of its slope.

    For separable classes the loss at the optimum is tiny. The weights of a dual point are then nearly optimal while
    margins are still violated; slightly larger weights meet these.

    Args:
        differences: (n, K) s_j - s_y, -inf for the label.
        squares, sizes: reg R(t W) = t² squares + t sizes.
    """
    low, high = SCALE_RANGE
    rows, classes = np.nonzero(differences > -margins.delta / low)  # the others have no loss for any factor
    d, a = differences[rows, classes], share[rows]
    constant, linear = sizes, 2.0 * squares  # the slope is constant + linear t, and the sum over d that are not settled

    def slopes(d: Floats, a: Floats) -> tuple[float, float]:
        if math.isinf(margins.curvature):
            return margins.most * float(a @ d), 0.0
        return margins.curvature * margins.delta * float(a @ d), margins.curvature * float(a @ np.square(d))

    with np.errstate(divide="ignore"):
        ends = np.where(d < 0.0, -margins.delta / d, np.inf)  # the factor at which the margin is met
    for _ in range(SCALE_STEPS):
        t = 0.5 * (low + high)
        violated = ends > t
        more = slopes(d[violated], a[violated])
        if constant + more[0] + (linear + more[1]) * t < 0.0:
            low, kept = t, violated
        else:
            high, kept = t, ~violated
            constant, linear = constant + more[0], linear + more[1]
        d, a, ends = d[kept], a[kept], ends[kept]
    return high
