"""The images in the coordinates of the interior point method, and its weights as (W, b)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.linalg

from linprobe.objective import Objective
from linprobe.shapes import Floats

__all__ = ["ScaledFeatures", "needs_all_features"]

MIN_WEIGHT = 1e-13
"""Share of the total weight below which an image, or all images of a class, are left out: they change the objective by
far less than any gap. Chosen by argument."""

ABSENT_BIAS = {1: 2.0, 2: 2.0, None: 60.0}
"""How far the bias of a class that is left out puts it below every label, in units of `Loss.unit`, by the power of the
margins: beyond the margin for a hinge, and at e^-60 for softmax. Chosen by argument."""

MIN_DEVIATION = 1e-12
"""Deviation of a feature, as a share of the numbers it is computed from, below which the feature counts as constant:
what varies is rounding. Chosen by argument."""

SPANNED = 1e-9
"""Part of a standardised feature outside the span of others, relative to the largest, below which the feature counts as
spanned by them. Chosen by argument: far above rounding, far below the noise of any measurement."""


def needs_all_features(objective: Objective) -> bool:
    """Whether |W| is in the penalty. Otherwise the weights may be taken in the span of the images."""
    return objective.penalised and objective.l1_weight > 0.0


def _spanned(X: Floats, known: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """(D,) whether the other columns of X (n, D) span a column, but for rounding; `known` ones are left out.

    Without a penalty any weights of such columns are as good as 0, and the system of a step is singular.
    """
    R, order = scipy.linalg.qr(np.where(known, 0.0, X), mode="r", pivoting=True, check_finite=False)
    sizes = np.zeros(X.shape[1])
    sizes[: min(X.shape)] = np.abs(np.diag(R))
    found = np.zeros(X.shape[1], bool)
    found[order] = sizes <= SPANNED * sizes[0]
    return found


class ScaledFeatures:
    """The images with features about their mean, in units of their deviation: Z = (X' - mean) / scale.

    With L2 alone and fewer images than features Z is (X' - mean) Q / scale, for an orthonormal basis Q of the span of
    the images. Images and classes of (almost) no weight are left out.

    Attributes:
        Z: (n, d + 1), the last column all ones.
        y: (n,) labels, 0..K'-1 among the classes that remain.
        a: (n,) shares of the weight.
        scale: (d,) unit of each feature.
        rows: (n,) positions of these images.
        classes: (K',) the classes that remain.
    """

    def __init__(self, objective: Objective, positions: npt.NDArray[np.int64] | None = None) -> None:
        """All features, or those at `positions`."""
        self._objective = objective
        shares, y = objective.shares(), objective.examples.y
        class_shares = np.bincount(y, weights=shares, minlength=objective.n_classes)
        self.classes = np.flatnonzero(class_shares > MIN_WEIGHT)
        self.rows = np.flatnonzero((shares > MIN_WEIGHT / len(y)) & (class_shares > MIN_WEIGHT)[y])
        self.a = shares[self.rows]
        self.y = np.searchsorted(self.classes, y[self.rows])
        X = objective.examples.mapped(self.rows, positions)
        n, D = X.shape
        self._mean = X.mean(axis=0)
        X -= self._mean
        deviations = np.sqrt(np.square(X).mean(axis=0))
        sizes = objective.statistics.feature_sizes
        constant = deviations <= MIN_DEVIATION * (sizes if positions is None else sizes[positions])
        if not objective.penalised and n >= D:
            constant |= _spanned(X / np.where(constant, 1.0, np.maximum(deviations, 1e-300)), constant)
        X[:, constant] = 0.0
        deviations[constant] = 0.0
        self._basis: Floats | None = None
        if n < D and not needs_all_features(objective):
            scale = float(np.sqrt(np.square(deviations).mean())) or 1.0
            self._basis, R = scipy.linalg.qr(X.T, mode="economic", check_finite=False)
            if not objective.penalised:
                sizes_of_rows = np.abs(R).max(axis=1)
                R[sizes_of_rows <= SPANNED * sizes_of_rows.max()] = 0.0  # beyond the span: the system would be singular
            X, self.scale = np.ascontiguousarray(R.T) / scale, np.full(n, scale)
        else:
            self.scale = np.where(deviations > 0.0, deviations, 1.0)
            X /= self.scale
        self.Z = np.concatenate([X, np.ones((n, 1))], axis=1)

    def coordinates(self, W: Floats, b: Floats) -> Floats:
        """theta (K', d + 1) of the weights (W, b) of the mapped features; not for a basis of the span."""
        assert self._basis is None
        W = W[self.classes]
        return np.concatenate([W * self.scale, (b[self.classes] + W @ self._mean)[:, None]], axis=1)

    def weights(self, theta: Floats) -> tuple[Floats, Floats]:
        """(W, b) of the mapped features for theta (K', d + 1)."""
        objective, loss = self._objective, self._objective.loss
        inner = theta[:, :-1] / self.scale
        if self._basis is not None:
            inner = inner @ self._basis.T
        bias = theta[:, -1] - inner @ self._mean
        if len(self.classes) == objective.n_classes:
            return inner, bias
        W, b = np.zeros((objective.n_classes, inner.shape[1])), np.zeros(objective.n_classes)
        W[self.classes], b[self.classes] = inner, bias
        label_scores = (self.Z @ theta.T)[np.arange(len(self.y)), self.y]
        absent = np.setdiff1d(np.arange(objective.n_classes), self.classes)
        b[absent] = label_scores.min() - ABSENT_BIAS[loss.margin_power] * loss.unit
        return W, b
