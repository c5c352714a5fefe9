"""A network of two layers, and points where its full gradient is 0: what a convex objective cannot have.

    h = tanh(V x + c)  (H,),    s = W h + b  (K,),    L = (1/N) sum of the softmax loss of s

All weights of a network are one vector of P = H D + H + K H + K numbers: V, c, W and b, each row by row. This is plain
NumPy in float64, for a few hundred points: it explains optimization, and is no classifier.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.data.planar import draw_planar
from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.seen import check_finite_numbers

__all__ = ["Saddle", "Stationary", "TwoLayer", "line_saddle", "quadrants_saddle", "stationary"]

Array: TypeAlias = npt.NDArray[np.float64]

DIFFERENCE = 1e-5
"""Step of the centred differences of the gradient that give the Hessian, in the unit of the weights.

The error of the difference is near 1e-10, and that of its rounding near 1e-11."""

FLAT = 1e-6
"""Bound on the size of an eigenvalue that counts as 0, as a share of the largest: far above the errors of differences.
"""

LINE_POINTS = 64
"""Points of each class of `line_saddle`."""

LINE_MEANS, LINE_SPREAD, LINE_SHIFT = (-0.5, 1.0), 0.8, 0.5
"""Means of the two classes, their standard deviation, and the held shift c of the hidden unit.

With them both minima are finite, and their losses differ: 0.401 and 0.470 (tests/explain/test_two_layer.py).
"""

MOST_QUARTER = 150
"""Points of `quadrants_saddle` that each quadrant may have, at most: 1200 points of the set, in few enough to draw."""


@dataclass(frozen=True)
class TwoLayer:
    """A network of D inputs, H hidden tanh units and K classes.

    Every method takes weights (P,), or those of R networks (R, P) at once. X is (N, D), or (R, N, D) with other
    images for each network; y is (N,) or (R, N), integers in 0..K-1.
    """

    n_inputs: int
    n_hidden: int
    n_classes: int

    @property
    def n_weights(self) -> int:
        """P."""
        return self.n_hidden * (self.n_inputs + 1) + self.n_classes * (self.n_hidden + 1)

    def split(self, weights: Array) -> tuple[Array, Array, Array, Array]:
        """V (..., H, D), c (..., H), W (..., K, H) and b (..., K), views of the weights (..., P).

        Raises:
            ShapeError: there are not P weights.
        """
        D, H, K = self.n_inputs, self.n_hidden, self.n_classes
        if weights.shape[-1:] != (self.n_weights,):
            raise ShapeError(f"weights has shape {weights.shape}; expected (..., {self.n_weights}) for {self}.")
        lead = weights.shape[:-1]
        first, second, third = H * D, H * D + H, H * D + H + K * H
        return (
            weights[..., :first].reshape(*lead, H, D),
            weights[..., first:second],
            weights[..., second:third].reshape(*lead, K, H),
            weights[..., third:],
        )

    def scores(self, weights: Array, X: Array) -> Array:
        """The scores (..., N, K)."""
        return np.swapaxes(self._forward(weights, X)[1], -1, -2)

    def value(self, weights: Array, X: Array, y: npt.NDArray[np.int64]) -> Array:
        """L of each network (...)."""
        losses: Array = self._losses(self._forward(weights, X)[1], y)[0].mean(axis=-1)
        return losses

    def value_and_gradient(self, weights: Array, X: Array, y: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """L of each network (...), and its gradient (..., P), by the chain rule from the scores backwards."""
        hidden, scores = self._forward(weights, X)
        losses, dscores = self._losses(scores, y)
        dscores /= scores.shape[-1]
        dz = (np.swapaxes(self.split(weights)[2], -1, -2) @ dscores) * (1.0 - hidden * hidden)
        parts = (dz @ X, dz.sum(axis=-1), dscores @ np.swapaxes(hidden, -1, -2), dscores.sum(axis=-1))
        gradient = np.concatenate([part.reshape(*weights.shape[:-1], -1) for part in parts], axis=-1)
        return losses.mean(axis=-1), gradient

    def image_gradients(self, weights: Array, X: Array, y: npt.NDArray[np.int64]) -> Array:
        """(N, P), the gradient of the loss of each image on its own; their mean is the full gradient.

        Args:
            weights: (P,), of one network.
            X, y: (N, D) and (N,).
        """
        alone = np.broadcast_to(weights, (len(X), self.n_weights))
        return self.value_and_gradient(alone, X[:, None, :], y[:, None])[1]

    def hessian(self, weights: Array, X: Array, y: npt.NDArray[np.int64]) -> Array:
        """(P, P), by centred differences of the gradient at the weights (P,), made symmetric."""
        moved = DIFFERENCE * np.eye(self.n_weights)
        ahead, behind = (self.value_and_gradient(weights + sign * moved, X, y)[1] for sign in (1.0, -1.0))
        rows = (ahead - behind) / (2.0 * DIFFERENCE)
        return (rows + rows.T) / 2.0

    def _forward(self, weights: Array, X: Array) -> tuple[Array, Array]:
        """The hidden units (..., H, N) and the scores (..., K, N): sums over few classes are fast along columns."""
        V, c, W, b = self.split(weights)
        if X.shape[-1:] != (self.n_inputs,):
            raise ShapeError(f"X has shape {X.shape}; expected (n_images, {self.n_inputs}).")
        hidden = np.tanh(V @ np.swapaxes(X, -1, -2) + c[..., None])
        return hidden, W @ hidden + b[..., None]

    def _losses(self, scores: Array, y: npt.NDArray[np.int64]) -> tuple[Array, Array]:
        """The softmax loss of each image (..., N), and its gradient in the scores (..., K, N)."""
        of_label = np.arange(self.n_classes)[:, None] == y[..., None, :]
        shifted = scores - scores.max(axis=-2, keepdims=True)
        exponentials = np.exp(shifted)
        total = exponentials.sum(axis=-2, keepdims=True)
        losses = np.log(total[..., 0, :]) - (shifted * of_label).sum(axis=-2)
        return losses, exponentials / total - of_label


@dataclass(frozen=True)
class Saddle:
    """A point where the full gradient is 0 by the symmetry of the data, and those of single images are not.

    Attributes:
        network: the network.
        X, y: (N, D) and (N,), the training set.
        weights: (P,), the point.
        free: (F,), positions of the weights that a walk may change; it holds the others.
        names: of the free weights, where they are few enough to be drawn; else empty.
    """

    network: TwoLayer
    X: Array = field(repr=False)
    y: npt.NDArray[np.int64] = field(repr=False)
    weights: Array = field(repr=False)
    free: npt.NDArray[np.int64] = field(repr=False)
    names: tuple[str, ...] = ()

    def at(self, *values: float) -> Array:
        """(P,) weights of which the free ones have these values.

        Raises:
            ShapeError: another number of values.
        """
        if len(values) != len(self.free):
            raise ShapeError(f"found {len(values)} values; expected {len(self.free)}, one for each free weight.")
        weights = self.weights.copy()
        weights[self.free] = values
        return weights


def line_saddle() -> Saddle:
    """One hidden unit on a line: two free weights, so that its objective is a surface that can be drawn.

        s = (0, v tanh(w x + 1/2)),    the saddle is at w = v = 0

    At v = 0 no weight w changes a score, so dL/dw = 0; at w = 0 both classes have the same hidden unit, so dL/dv = 0.
    There are two minima, and one is lower. The points are quantiles of normal distributions: nothing is drawn.

    Example:
        >>> stationary(line_saddle()).kind
        'saddle'
    """
    quantiles = (np.arange(LINE_POINTS) + 0.5) / LINE_POINTS
    normal = np.array([NormalDist().inv_cdf(q) for q in quantiles])
    X = np.concatenate([mean + LINE_SPREAD * normal for mean in LINE_MEANS])[:, None]
    y = np.repeat(np.arange(2, dtype=np.int64), LINE_POINTS)
    weights = np.array([0.0, LINE_SHIFT, 0.0, 0.0, 0.0, 0.0])  # V, c, the two of W, the two of b
    return Saddle(TwoLayer(1, 1, 2), X, y, weights, np.array([0, 3]), ("w", "v"))


def quadrants_saddle(n_hidden: int = 4, n_points: int = 256, seed: int = 0) -> Saddle:
    """The planar set `quadrants`, which no line separates, and a network whose output weights W are all 0.

    Each point is reflected into all four quadrants. Then x and -x have the same class, and every quadrant as many
    points. The unit tanh is odd and the shifts c are 0, so the gradient of W is a sum of pairs that cancel. With W = 0
    that of V and c is 0 as well. The hidden weights V are standard normal numbers. All weights are free.

    Args:
        n_hidden: H, at least 1.
        n_points: N, a multiple of 4, at most 600.
        seed: of the points and of V.
    Raises:
        ParameterError: one of the sizes cannot be used.
    """
    if n_hidden < 1:
        raise ParameterError(f"n_hidden = {n_hidden}; expected at least 1.")
    if n_points % 4 or not 4 <= n_points <= 4 * MOST_QUARTER:
        raise ParameterError(f"n_points = {n_points}; expected a multiple of 4 in 4..{4 * MOST_QUARTER}.")
    network = TwoLayer(2, n_hidden, 2)
    quarter = np.abs(draw_planar("quadrants", seed).X[: n_points // 4].astype(np.float64))
    X = np.concatenate([quarter * signs for signs in ((1, 1), (-1, -1), (1, -1), (-1, 1))])
    y = np.repeat(np.array([0, 0, 1, 1], dtype=np.int64), len(quarter))
    weights = np.zeros(network.n_weights)
    weights[: 2 * n_hidden] = np.random.Generator(np.random.PCG64(seed)).standard_normal(2 * n_hidden)
    return Saddle(network, X, y, weights, np.arange(network.n_weights))


@dataclass(frozen=True)
class Stationary:
    """What the objective is like at a point, as a function of the free weights.

    Attributes:
        loss: L.
        gradient: length of the full gradient.
        image_gradient: mean length of the gradients of single images.
        eigenvalues: (F,) of the Hessian, ascending.
    """

    loss: float
    gradient: float
    image_gradient: float
    eigenvalues: Array

    @property
    def kind(self) -> Literal["minimum", "saddle", "slope", "flat"]:
        """By gradient and curvature: of a saddle one eigenvalue is negative, of a minimum all are positive.

        A slope has a gradient. What is flat has none, no negative eigenvalue, and one that is 0: these numbers cannot
        decide whether that is a minimum.
        """
        bound = FLAT * float(np.abs(self.eigenvalues).max(initial=0.0))
        if self.gradient > FLAT:
            return "slope"
        if self.eigenvalues[0] < -bound:
            return "saddle"
        return "minimum" if self.eigenvalues[0] > bound else "flat"


def stationary(saddle: Saddle, weights: Array | None = None) -> Stationary:
    """Gradient and curvature at `weights` (P,), in the free weights; None for the point of `saddle`.

    Raises:
        ShapeError: there are not P weights.
        ParameterError: one is not finite.
    """
    at = saddle.weights if weights is None else np.asarray(weights, dtype=np.float64)
    check_finite_numbers("weights", at)
    network, free = saddle.network, saddle.free
    loss, gradient = network.value_and_gradient(at, saddle.X, saddle.y)
    alone = network.image_gradients(at, saddle.X, saddle.y)[:, free]
    hessian = network.hessian(at, saddle.X, saddle.y)[np.ix_(free, free)]
    return Stationary(
        float(loss),
        float(np.linalg.norm(gradient[free])),
        float(np.linalg.norm(alone, axis=1).mean()),
        np.linalg.eigvalsh(hessian).astype(np.float64, copy=False),
    )
