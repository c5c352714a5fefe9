"""The images as dual ascent reads them: their products with each other, or their rows about the mean."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from linprobe.objective import Objective
from linprobe.optimizers.gram import centred_products, centred_rows
from linprobe.shapes import Floats

__all__ = ["DualImages", "Margins", "dual_bytes"]

MAX_GRAM_IMAGES, MAX_FLOAT32_GRAM_IMAGES = 4096, 8192
"""Images up to which their products with each other are kept in float64 (128 MB), and in float32 (256 MB)."""

GRAM_IMAGES_PER_FEATURE = 8.0
"""Images for each feature up to which the Gram form is used: its rows are longer, but a score costs nothing. Chosen by
argument."""

FLOAT32_NUMBERS, FLOAT32_TOL = 2**22, 1e-6
"""Numbers in the rows above which they are kept in float32, and the smallest tol for that. Their rounding moves the
optimum by 1e-7 of itself, and the certificate is computed from the images themselves."""

LISTS_TOL = 1e-5
"""Smallest tol for which rows in float32 are visited by lists of pairs, whose scores are products in float32. Chosen by
argument."""


@dataclass(frozen=True)
class Margins:
    """L_i = sum_{j != y} h(s_j - s_y + delta) with h' = clip(curvature u, 0, most)."""

    delta: float
    most: float
    curvature: float

    @classmethod
    def of(cls, objective: Objective) -> Margins:
        """Those of the loss."""
        most, curvature = {1: (1.0, math.inf), 2: (math.inf, 2.0)}[objective.loss.margin_power or 1]
        return cls(objective.loss.unit, most, curvature)

    def losses(self, M: Floats) -> Floats:
        """h of the margins M."""
        M = np.maximum(M, 0.0)
        if math.isinf(self.curvature):
            linear: Floats = self.most * M
            return linear
        slopes: Floats = np.minimum(self.curvature * M, self.most)
        losses: Floats = slopes * (M - 0.5 * slopes / self.curvature)
        return losses

    def conjugates(self, A: Floats, share: Floats) -> float:
        """sum of delta A_ij - A_ij² / (2 curvature a_i), the dual value of A (n, K) without the penalty."""
        value = self.delta * float(A.sum())
        if not math.isinf(self.curvature):
            value -= float((np.square(A).sum(axis=1) / share).sum()) / (2.0 * self.curvature)
        return value


def dual_bytes(objective: Objective, tol: float = 1e-4) -> int:
    """Bytes that `DualAscent` keeps of the objective, beyond the images."""
    N, D, K = objective.n_images, objective.n_features, objective.n_classes
    if _uses_gram(objective, N):
        return 8 * N * (2 * K + N)
    return N * (8 * 2 * K + D * (4 if _uses_float32(N, D, tol) else 8))


def _uses_gram(objective: Objective, n: int) -> bool:
    limit = min(MAX_FLOAT32_GRAM_IMAGES, GRAM_IMAGES_PER_FEATURE * objective.n_features)
    return objective.l1_weight == 0.0 and n <= limit


def _uses_float32(n: int, n_features: int, tol: float) -> bool:
    return n * n_features > FLOAT32_NUMBERS and tol >= FLOAT32_TOL


class DualImages:
    """The images and classes that count. An absent class gets W = 0 and a bias that no margin reaches.

    Attributes:
        counted: (n,) positions of the images whose weight is above 0; with lists in a random order.
        listed: whether rounds visit lists of pairs.
        present: (K',) the classes that occur among them.
        y, share: (n,) labels among the present classes, and a_i.
        mean: (D,) of the mapped rows, weighted.
        in_order: whether `counted` are all images in their order.
        gram: whether `rows` are the products (n, n) of the images, else the images (n, D), both about the mean.
        rows, squares: and the squares (n,) of each image.
    """

    def __init__(self, objective: Objective, tol: float, seed: int) -> None:
        shares = objective.shares()
        with np.errstate(over="ignore", divide="ignore"):
            usable = np.isfinite(1.0 / shares) & (shares > 0.0)
        self.counted = np.flatnonzero(usable)
        n, D = len(self.counted), objective.n_features
        self.gram = _uses_gram(objective, n)
        self.listed = not self.gram and tol >= LISTS_TOL and _uses_float32(n, D, tol)
        if self.listed:
            self.counted = np.random.Generator(np.random.PCG64(seed)).permutation(self.counted)
        self.present, labels = np.unique(objective.examples.y[self.counted], return_inverse=True)
        self.y = np.ascontiguousarray(labels.reshape(-1), dtype=np.int64)
        self.share = np.ascontiguousarray(shares[self.counted])
        self.mean = objective.statistics.class_means.sums.sum(axis=0)
        self.in_order = n == objective.n_images and not self.listed
        self.rows: Floats
        if self.gram:
            dtype = np.float64 if n <= MAX_GRAM_IMAGES else np.float32
            self.rows = centred_products(objective, self.counted, self.mean, dtype)
            self.squares: Floats = np.diagonal(self.rows).astype(np.float64)
        else:
            self.rows = np.empty((n, D), np.float32 if _uses_float32(n, D, tol) else np.float64)
            centred_rows(objective, self.counted, self.mean, self.rows)
            self.squares = np.einsum("ij,ij->i", self.rows, self.rows, dtype=np.float64)

    def with_label(self, A: Floats) -> Floats:
        """a_i G_i (n, K') of A: its entries, and minus their sum at the label."""
        G = A.copy()
        G[np.arange(len(G)), self.y] = -A.sum(axis=1)
        return G

    def column_sums(self, A: Floats) -> Floats:
        """(K',) the column sums c of the dual point A."""
        columns: Floats = A.sum(axis=0) - np.bincount(self.y, weights=A.sum(axis=1), minlength=A.shape[1])
        return columns

    def balanced(self, A: Floats, margins: Margins) -> Floats:
        """The dual point A with column sums of 0, as far as the bounds of its coordinates allow.

        Each coordinate moves by a share of its distance from its nearer bound. The slopes of the images of class k on
        class j are a flow from k to j. Flows weighted by these distances, and changed by potentials tau_k - tau_j,
        balance the columns where L tau = c, with L the Laplacian of the flows.
        """
        y = self.y
        columns = self.column_sums(A)
        distances = np.minimum(A, self.share[:, None] * margins.most - A)
        order = np.argsort(y, kind="stable")
        flows = np.add.reduceat(distances[order], np.searchsorted(y[order], np.arange(A.shape[1])), axis=0)
        flows = flows + flows.T
        sums = flows.sum(axis=1)
        roots = np.sqrt(np.where(sums > 0.0, sums, 1.0))
        laplacian = (np.diag(sums) - flows) / roots / roots[:, None]
        if not np.isfinite(laplacian).all():
            return A
        inverse = np.linalg.pinv(laplacian, rcond=1e-13, hermitian=True)
        tau = inverse @ (columns / roots) / roots
        largest = float(np.ptp(tau))
        tau *= min(1.0, 0.5 / largest) if largest > 0.0 else 1.0
        balanced: Floats = A + distances * (tau[y][:, None] - tau)
        return balanced
