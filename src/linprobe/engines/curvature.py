"""The curvature of a loss, image by image, and the plain form of its products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe.engines.examples import Examples
from linprobe.losses.base import Loss
from linprobe.shapes import Floats, Labels, slices

__all__ = [
    "HESSIAN_ROWS",
    "CurvaturePairs",
    "HessianWeights",
    "curvature_product",
    "hessian_product",
    "hessian_weights",
]

HESSIAN_ROWS, HESSIAN_NUMBERS = 256, 2**20
"""Images of a block of `HessianWeights`, as in the core; weights that are computed at a time: 8 MB of float64."""


@dataclass(frozen=True)
class CurvaturePairs:
    """The curvature of a loss, image by image, where it sits in a few classes; see `Engine.curvature_product`.

    A pair is a class of an image. Images go in blocks of `block` in the order of `rows`, and the pairs of a block
    are in ascending order of class, then of image: what is multiplied by one class lies together.

    Attributes:
        rows: (n,) positions of the images.
        block: images of a block, a power of two; the last block may have fewer.
        ends: (blocks + 1,) int64, where the pairs of each block begin and end.
        where: (M,) int32, class * block + image of the block.
        q: (M,) float32, >= 0, the share of the image in the data loss included.
        star: A_i = sum_j q_j (e_j - e_y)(e_j - e_y)ᵀ, y being the pair of the image with q = 0; else
            A_i = diag(q) - q qᵀ / sum q.
    """

    rows: npt.NDArray[np.int64]
    block: int
    ends: npt.NDArray[np.int64]
    where: npt.NDArray[np.int32]
    q: npt.NDArray[np.float32]
    star: bool

    def classes(self) -> npt.NDArray[np.int64]:
        """(M,) the class of each pair."""
        return self.where.astype(np.int64) // self.block

    def images(self) -> npt.NDArray[np.int64]:
        """(M,) the image of each pair, by its number in `rows`."""
        first = np.repeat(np.arange(len(self.ends) - 1) * self.block, np.diff(self.ends))
        images: npt.NDArray[np.int64] = first + self.where % self.block
        return images


@dataclass(frozen=True)
class HessianWeights:
    """The curvature of a loss in all classes of all images; see `Engine.hessian_product`.

    Attributes:
        q: (blocks, K, block) float16, >= 0, of the images in their order, 0 beyond the last: what
            `Loss.curvature_weights` gives.
        shares: (N,) float32, the share of each image in the data loss.
        star: as the `curvature_form` of the loss says.
    """

    q: npt.NDArray[np.float16]
    shares: npt.NDArray[np.float32]
    star: bool

    def of_class(self, k: int) -> npt.NDArray[np.float16]:
        """(N,) q of one class."""
        return self.q[:, k].reshape(-1)[: len(self.shares)]

    def by_images(self, first: int, last: int) -> Floats:
        """(n, K) q of the images of the blocks first..last - 1, float64."""
        K, block = self.q.shape[1:]
        n = min(last * block, len(self.shares)) - first * block
        rows: Floats = self.q[first:last].transpose(0, 2, 1).reshape(-1, K)[:n].astype(np.float64)
        return rows


def curvature_product(examples: Examples, pairs: CurvaturePairs, V: Floats, c: Floats) -> tuple[Floats, Floats]:
    """See `Engine.curvature_product`."""
    image, k, q = pairs.images(), pairs.classes(), pairs.q.astype(np.float64)
    out, sums = np.zeros(V.shape), np.zeros(len(c))
    for i in range(len(pairs.ends) - 1):
        some, first = slice(pairs.ends[i], pairs.ends[i + 1]), i * pairs.block
        X, r = examples.mapped(pairs.rows[first : first + pairs.block]), image[some] - first
        t, n = (X @ V.T + c)[r, k[some]], len(X)
        if pairs.star:
            label = q[some] == 0.0
            own = np.zeros(n)
            own[r[label]] = t[label]
            u = q[some] * (t - own[r])
            u[label] = -np.bincount(r, u, n)[r[label]]
        else:
            mean = np.bincount(r, q[some] * t, n) / np.maximum(np.bincount(r, q[some], n), np.finfo(np.float64).tiny)
            u = q[some] * (t - mean[r])
        U = np.zeros((n, len(c)))
        U[r, k[some]] = u
        out += U.T @ X
        sums += U.sum(axis=0)
    return out, sums


def hessian_weights(
    scores: Callable[[npt.NDArray[np.int64]], Floats], y: Labels, K: int, loss: Loss, shares: Floats
) -> HessianWeights:
    """See `Engine.hessian_weights`; `scores` gives those of images at positions (n,), (n, K)."""
    n_blocks = -(-len(y) // HESSIAN_ROWS)
    q = np.zeros((n_blocks, K, HESSIAN_ROWS), np.float16)
    step = max(1, HESSIAN_NUMBERS // (HESSIAN_ROWS * K))
    for some in slices(n_blocks, step):
        images = np.arange(some.start * HESSIAN_ROWS, min(some.stop * HESSIAN_ROWS, len(y)))
        full = np.zeros((some.stop - some.start, HESSIAN_ROWS, K), np.float16)
        full.reshape(-1, K)[: len(images)] = loss.curvature_weights(scores(images), y[images])
        q[some] = full.transpose(0, 2, 1)
    return HessianWeights(q, shares.astype(np.float32), loss.curvature_form == "star")


def hessian_product(examples: Examples, weights: HessianWeights, V: Floats, c: Floats) -> tuple[Floats, Floats]:
    """See `Engine.hessian_product`."""
    out, sums, y = np.zeros(V.shape), np.zeros(len(c)), examples.y
    for at in range(len(weights.q)):
        q, first = weights.by_images(at, at + 1), at * weights.q.shape[2]
        images = np.arange(first, first + len(q))
        X = examples.mapped(images)
        t = X @ V.T + c
        if weights.star:
            u = q * (t - t[np.arange(len(q)), y[images], None])
            u[np.arange(len(q)), y[images]] = -u.sum(axis=1)
        else:
            total = q.sum(axis=1)
            u = q * (t - ((q * t).sum(axis=1) / np.where(total > 0.0, total, 1.0))[:, None])
        u *= weights.shares[images, None]
        out += u.T @ X
        sums += u.sum(axis=0)
    return out, sums
