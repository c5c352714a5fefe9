"""The Hessian of a smooth loss with L2 at one (W, b), and its preconditioner, for the steps of Newton's method."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from linprobe.cores import by_threads, side_by_side
from linprobe.engines.base import CurvaturePairs, Engine, HessianWeights
from linprobe.objective import Objective
from linprobe.shapes import Floats, slices

__all__ = ["PAIRS_PER_CLASS", "ClassMetric", "Curvature", "DenseCurvature", "Hessian", "curvature_at", "most_pairs"]

BLOCK_IMAGES, LARGE_BLOCK_IMAGES, MANY_CLASSES = 64, 256, 256
"""Images in a block of `CurvaturePairs`: BLOCK_IMAGES, or LARGE_BLOCK_IMAGES with MANY_CLASSES classes or more. A
template is read once for all images of a block. The bits depend on the number. Chosen by argument."""

CHUNK_SCORES = 2**18
"""Scores from which one thread selects pairs at a time: 2 MB of float64."""

SAMPLE_ROWS, REST_ROWS = 2048, 8192
"""Images from which the threshold of the pairs is chosen, and from which the curvature of the rest is estimated. Chosen
by argument."""

REST_SHARE = 0.001
"""Share of the curvature of all classes that is represented by its mean over the images, and not image by image. On
50,000 x 768 with 100 classes and reg 1e-4, 0.005, 0.001 and 0.0004 cost the operations of 88, 75 and 89 passes
(benchmarks/many_classes.py)."""

SAMPLED_BLOCKS, SUMMED_SHARE, MAX_OF_CLASS = 16, 0.95, 4.0
"""The preconditioner sums pairs whose weight is above a threshold. It is chosen from SAMPLED_BLOCKS blocks of images,
so that the pairs hold SUMMED_SHARE of the weight. A class may have MAX_OF_CLASS times the average number of pairs.
Chosen by argument."""

FEATURES_PER_IMAGE, MAX_ISOTROPIC = 3, 0.1
"""Ratio of features to images of a class above which its block is stored as these images, not as a matrix. The other
images are then replaced by a multiple of the identity, which is precise enough up to MAX_ISOTROPIC of the weight.
Chosen by argument."""

CLASS_SLICE = 32
"""Classes that a thread multiplies or solves for at a time."""

PAIRS_PER_CLASS, DENSE_PAIRS_PER_CLASS = 1.3, 5.0
"""Pairs of an image and a class in a block of the preconditioner, per feature; the second number is for blocks summed
in bfloat16. More pairs cost more than the products with the Hessian that they save (benchmarks/many_classes.py)."""

MIN_BIAS_CURVATURE, RIDGE, TINY = 1e-7, 1e-6, 1e-30
"""Smallest curvature along a bias; share of the mean of a diagonal that is added to it if a block is indefinite in
float32; and a positive number for a block of zeros. Chosen by argument."""


Chosen = Callable[[int], tuple[npt.NDArray[np.int64], Floats, float]]
"""For a class: (images (n,), their weights in its block of the Hessian (n,), the sum of the weights of all others)."""


def most_pairs(engine: Engine) -> int:
    """Pairs of an image and a class that the blocks of a preconditioner sum, at most."""
    most = DENSE_PAIRS_PER_CLASS if engine.multiplies_hessians else PAIRS_PER_CLASS
    return int(most * engine.examples.n_features * engine.examples.n_classes)


class Hessian(Protocol):
    """The Hessian of an objective at one (W, b), in the coordinates (W, b + W·mean) of images less their mean."""

    @property
    def engine(self) -> Engine:
        """Over the images less their mean."""

    @property
    def moment(self) -> Floats:
        """M (D, D) float32, of the images less their mean."""

    @property
    def ridge(self) -> Floats:
        """(K,) 2 reg times the coefficient of W², and what the class is damped by; of the bias it is 0."""

    def times(self, V: Floats) -> Floats:
        """H V (K, D + 1), for V (K, D + 1), W and b side by side."""

    def heaviest(self, most: int) -> Chosen:
        """The images that make up most of the block of each class, `most` pairs of image and class or fewer."""

    def with_ridge(self, ridge: Floats) -> Hessian:
        """The same with another ridge (K,)."""

    @property
    def cost(self) -> float:
        """Operations of a product, in passes: of 4 N K D."""


@dataclass(frozen=True)
class DenseCurvature:
    """The Hessian with products over all classes of all images; engine, moment and ridge are those of `Hessian`.

    Attributes:
        weights: the A_i.
    """

    engine: Engine
    weights: HessianWeights
    moment: Floats
    ridge: Floats

    def times(self, V: Floats) -> Floats:
        out_W, out_b = self.engine.hessian_product(
            self.weights, np.ascontiguousarray(V[:, :-1]), np.ascontiguousarray(V[:, -1])
        )
        return np.concatenate([out_W + _ridged(self.ridge, V), out_b[:, None]], axis=1)

    def heaviest(self, most: int) -> Chosen:
        weights, y = self.weights, self.engine.examples.y
        shares = weights.shares
        totals = np.empty(len(y), np.float32)
        block = weights.q.shape[2]

        def summed(some: slice) -> None:
            part = weights.q[some].sum(axis=1, dtype=np.float32).reshape(-1)
            totals[some.start * block : some.stop * block] = part[: len(totals) - some.start * block]

        list(by_threads(summed, slices(len(weights.q), max(1, CHUNK_SCORES // block)), self.engine.n_threads))
        inverses = np.divide(1.0, totals, out=np.zeros_like(totals), where=totals > 0.0)

        def of_class(k: int) -> npt.NDArray[np.float32]:
            q = weights.of_class(k).astype(np.float32)
            if weights.star:
                return shares * np.where(y == k, totals, q)
            w: npt.NDArray[np.float32] = shares * q * np.maximum(1.0 - q * inverses, 0.0)
            return w

        K = weights.q.shape[1]
        sample = np.unique(np.linspace(0, len(weights.q) - 1, SAMPLED_BLOCKS).astype(np.int64))
        least = self._least_weight(sample, most * len(sample) / len(weights.q))

        def chosen(k: int) -> tuple[npt.NDArray[np.int64], Floats, float]:
            w = of_class(k)
            rows = np.flatnonzero(w >= least)
            rest = float(w.sum(dtype=np.float64)) - float(w[rows].sum(dtype=np.float64))
            step = math.ceil(len(rows) * K / (MAX_OF_CLASS * most))  # every step-th image stands for all
            rows = rows[:: max(1, step)]
            return rows, max(1, step) * w[rows].astype(np.float64), max(0.0, rest)

        return chosen

    def _least_weight(self, sample: npt.NDArray[np.int64], most: float) -> float:
        """The weight from which on there are `most` pairs in a sample of the blocks, or those that hold
        `SUMMED_SHARE`."""
        weights, y = self.weights, self.engine.examples.y
        parts = []
        for at in sample:
            q = weights.by_images(at, at + 1)
            images = np.arange(len(q)) + at * weights.q.shape[2]
            totals = q.sum(axis=1)
            if weights.star:
                q[np.arange(len(q)), y[images]] = totals
            else:
                q *= 1.0 - q / np.where(totals > 0.0, totals, 1.0)[:, None]
            parts.append((q * weights.shares[images, None]).ravel())
        w = np.sort(np.concatenate(parts))[::-1]
        held = np.cumsum(w)
        last = min(int(most), int(np.searchsorted(held, SUMMED_SHARE * held[-1])), len(w) - 1)
        return float(w[last])

    def with_ridge(self, ridge: Floats) -> Hessian:
        return replace(self, ridge=ridge)

    @property
    def cost(self) -> float:
        return 1.0


@dataclass(frozen=True)
class Curvature:
    """The Hessian of an objective at one (W, b), in the coordinates (W, b + W·mean) of images less their mean.

        H V = sum_i A_i V x_i x_iᵀ + C V M + diag(ridge) V

    Attributes:
        engine: over the images less their mean.
        pairs: the A_i where they are large.
        rest: C (K, K), mean over the images of the curvature that the pairs leave out.
        moment: M (D, D) float32, of the images less their mean.
        ridge: (K,), as of `Hessian`.
    """

    engine: Engine
    pairs: CurvaturePairs
    rest: Floats
    moment: Floats
    ridge: Floats

    def times(self, V: Floats) -> Floats:
        """H V (K, D + 1), for V (K, D + 1), W and b side by side."""
        out_W, out_b = self.engine.curvature_product(
            self.pairs, np.ascontiguousarray(V[:, :-1]), np.ascontiguousarray(V[:, -1])
        )
        out = np.concatenate([out_W, out_b[:, None]], axis=1)
        out[:, :-1] += _ridged(self.ridge, V)
        if self.rest.any():
            coupled = self.rest @ V
            single = coupled[:, :-1].astype(np.float32)
            parts = by_threads(
                lambda some: single[some] @ self.moment, slices(len(V), CLASS_SLICE), self.engine.n_threads
            )
            out[:, :-1] += np.concatenate(list(parts))
            out[:, -1] += coupled[:, -1]
        return out

    def heaviest(self, most: int) -> Chosen:
        pairs, K = self.pairs, self.engine.examples.n_classes
        classes, images = pairs.classes(), pairs.images()
        w = _block_weights(pairs, images)
        chosen = np.arange(len(w)) if len(w) <= most else np.sort(np.argpartition(-w, most)[:most])
        means = np.maximum(np.diagonal(self.rest), 0.0) + np.bincount(classes, w, K)
        means = np.maximum(means - np.bincount(classes[chosen], w[chosen], K), 0.0)
        order = chosen[np.argsort(classes[chosen], kind="stable")]
        ends = np.searchsorted(classes[order], np.arange(K + 1))

        def of_class(k: int) -> tuple[npt.NDArray[np.int64], Floats, float]:
            some = order[ends[k] : ends[k + 1]]
            return pairs.rows[images[some]], w[some], float(means[k])

        return of_class

    def with_ridge(self, ridge: Floats) -> Hessian:
        return replace(self, ridge=ridge)

    @property
    def cost(self) -> float:
        """Operations of a product, in passes: of 4 N K D."""
        examples = self.engine.examples
        N, K, D = examples.n_images, examples.n_classes, examples.n_features
        dense = D / (2.0 * N) + K / (2.0 * N) if self.rest.any() else 0.0
        return len(self.pairs.q) / (N * K) + dense


def curvature_at(
    objective: Objective, engine: Engine, moment: Floats, W: Floats, b: Floats, damping: Floats | None = None
) -> Hessian:
    """The Hessian at (W, b), in the form that the engine multiplies faster; every image is read once, for its scores.

    Args:
        engine: over the images less their mean.
        moment: (D, D) float32, of these.
        W, b: (K, D) and (K,), in the coordinates of the objective.
        damping: (K,) relative increase of the ridge of each class over that of the penalty; none by default.
    """
    ridge = 2.0 * objective.l2_weight * (1.0 + (np.zeros(objective.n_classes) if damping is None else damping))
    if engine.multiplies_hessians:
        weights = objective.engine.hessian_weights(W, b, objective.loss, objective.shares())
        return DenseCurvature(engine, weights, moment, ridge)
    return _sparse_curvature_at(objective, engine, moment, W, b, ridge)


def _sparse_curvature_at(
    objective: Objective, engine: Engine, moment: Floats, W: Floats, b: Floats, ridge: Floats
) -> Curvature:
    """The Hessian at (W, b), its curvature in the few classes of each image that have most of it."""
    loss, y, shares, K = objective.loss, objective.examples.y, objective.shares(), objective.n_classes
    star = loss.curvature_form == "star"
    least = 0.0 if star else _threshold(objective, W, b)
    counted = np.flatnonzero(shares > 0.0)
    rows = counted[np.argsort(y[counted], kind="stable")]  # images of a class have the same few classes in doubt
    block = LARGE_BLOCK_IMAGES if K >= MANY_CLASSES else BLOCK_IMAGES
    step = max(1, len(rows) // REST_ROWS)

    def chunk(
        some: slice,
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.float32], Floats, float]:
        images = rows[some]
        q = loss.curvature_weights(objective.engine.scores(W, b, images), y[images])
        keep, numbers = q > least, np.arange(len(q))
        if star:
            keep[numbers, y[images]] = keep.any(axis=1)
        else:
            keep[numbers, q.argmax(axis=1)] = True
            keep[keep.sum(axis=1) < 2] = False
        n_blocks = -(-len(q) // block)
        padded = np.zeros((n_blocks * block, K), bool)
        padded[: len(q)] = keep
        at, k, r = np.nonzero(padded.reshape(n_blocks, block, K).transpose(0, 2, 1))
        image = at * block + r
        values = (q[image, k] * shares[images[image]]).astype(np.float32)
        sampled = np.arange(-some.start % step, len(q), step)
        rest = np.zeros((K, K)) if star else _rest(q[sampled], keep[sampled], shares[images[sampled]])
        weight = float(shares[images[sampled]].sum())
        return np.bincount(at, minlength=n_blocks), (k * block + r).astype(np.int32), values, rest, weight

    size = max(1, CHUNK_SCORES // K // block) * block
    counts, where, values, rests, weights = zip(
        *by_threads(chunk, slices(len(rows), size), objective.engine.n_threads), strict=True
    )
    ends = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int64)
    pairs = CurvaturePairs(rows, block, ends, np.concatenate(where), np.concatenate(values), star)
    rest: Floats = sum(rests, np.zeros((K, K))) / sum(weights)
    return Curvature(engine, pairs, rest, moment, ridge)


def _threshold(objective: Objective, W: Floats, b: Floats) -> float:
    """The q up to which all classes together hold `REST_SHARE` of the curvature, by a sample of images."""
    positions = objective.statistics.sample(SAMPLE_ROWS)
    q = objective.loss.curvature_weights(objective.engine.scores(W, b, positions), objective.examples.y[positions])
    doubt = objective.shares()[positions, None] * q * (1.0 - q / q.sum(axis=1, keepdims=True))
    order = np.argsort(q, axis=None)
    below = np.cumsum(doubt.ravel()[order])
    last = int(np.searchsorted(below, REST_SHARE * below[-1]))
    return float(q.ravel()[order[min(last, len(order) - 1)]])


def _rest(q: Floats, keep: npt.NDArray[np.bool_], shares: Floats) -> Floats:
    """sum_i a_i (A_i - the A_i of the kept classes), (K, K), for A = diag(q) - q qᵀ / sum q: positive semidefinite."""
    kept = np.where(keep, q, 0.0)
    whole, part = q.sum(axis=1), kept.sum(axis=1)
    u = q * np.sqrt(shares / whole)[:, None]
    v = kept * np.sqrt(shares / np.where(part > 0.0, part, 1.0))[:, None]
    product = (u - v).T @ (u + v)  # uᵀu - vᵀv, up to an antisymmetric part
    rest: Floats = np.diag(shares @ (q - kept)) - 0.5 * (product + product.T)
    return rest


def _ridged(ridge: Floats, V: Floats) -> Floats:
    """diag(ridge) times the W of V (K, D + 1), its mean over the classes taken out, as it is of V."""
    out: Floats = ridge[:, None] * V[:, :-1]
    out -= out.mean(axis=0)
    return out


class _Block(Protocol):
    """A diagonal block of a Hessian."""

    def solve(self, r: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Its inverse times r (D + 1,)."""


@dataclass(frozen=True)
class _ManyImages:
    """A block by its factor."""

    engine: Engine
    factor: npt.NDArray[Any]

    def solve(self, r: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return self.engine.algebra.solve_roughly(self.factor, r)


class _FewImages:
    """diag(d) + ZᵀZ, for Z (n, D + 1) with few rows, by Woodbury's identity."""

    def __init__(self, diagonal: Floats, Z: Floats) -> None:
        self._inverse = (1.0 / diagonal).astype(np.float32)
        V = (Z / np.sqrt(diagonal)).astype(np.float32)
        inner = (V @ V.T).astype(np.float64)
        inner[np.diag_indices(len(Z))] += 1.0 + RIDGE * float(np.trace(inner)) / max(1, len(Z))
        self._factor = np.linalg.inv(np.linalg.cholesky(inner)).astype(np.float32)
        self._Z = Z.astype(np.float32)

    def solve(self, r: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        scaled = self._inverse * r
        inside = self._factor.T @ (self._factor @ (self._Z @ scaled))
        return (scaled - self._inverse * (inside @ self._Z)).astype(np.float32, copy=False)


class ClassMetric:
    """Solves with the diagonal blocks of a Hessian, one of D + 1 rows for each class, in float32.

        B_k = sum_i w_ik [x_i, 1][x_i, 1]ᵀ + c_k [M, 1] + ridge_k,   w_ik = q_k (1 - q_k / sum q), of a star q_k

    The images with the largest w_ik are summed one by one, the others in the mean, as c_k.

    Args:
        curvature: whose blocks.
        most: pairs of image and class that are summed one by one.
    """

    def __init__(self, curvature: Hessian, most: int) -> None:
        self._engine = curvature.engine
        examples = self._engine.examples
        D, K = examples.n_features, examples.n_classes
        chosen = curvature.heaviest(most)
        variance = float(np.trace(curvature.moment, dtype=np.float64)) / max(1, D)

        def made(k: int) -> tuple[_Block, int]:
            with side_by_side():
                rows, weight, mean = chosen(k)
                most_of_all = mean <= MAX_ISOTROPIC * (mean + float(weight.sum()))
                if FEATURES_PER_IMAGE * len(rows) <= D and curvature.ridge[k] > 0.0 and most_of_all:
                    diagonal = np.full(D + 1, curvature.ridge[k] + mean * variance)
                    diagonal[-1] = max(mean, MIN_BIAS_CURVATURE * float(weight.sum()), TINY)
                    roots = np.sqrt(weight)[:, None]
                    Z = np.concatenate([roots * examples.mapped(rows), roots], axis=1)
                    return _FewImages(diagonal, Z), len(rows)
                B = self._engine.hessian_block(rows, weight)
                B[:-1, :-1] += np.float32(mean) * curvature.moment
                B[-1, -1] += np.float32(mean)
                B[np.arange(D), np.arange(D)] += np.float32(curvature.ridge[k])
                return _ManyImages(self._engine, self._factor(B)), len(rows)

        found = list(by_threads(made, range(K), self._engine.n_threads))
        self._blocks, self.pairs = [block for block, _ in found], sum(n for _, n in found)

    def _factor(self, B: Floats) -> Floats:
        """The factor of B, with as much added to its diagonal as float32 needs."""
        D = len(B) - 1
        mean = float(np.trace(B[:D, :D], dtype=np.float64)) / max(1, D)
        B[D, D] = max(float(B[D, D]), MIN_BIAS_CURVATURE * (1.0 if mean == 0.0 else min(1.0, mean)), TINY)
        added = 0.0
        while True:
            try:
                return self._engine.algebra.roughly_factored(B)
            except np.linalg.LinAlgError:
                added = max(9.0 * added, RIDGE * mean, TINY)
                B[np.arange(D + 1), np.arange(D + 1)] += np.float32(added)

    def solve(self, R: Floats) -> Floats:
        """B⁻¹ R (K, D + 1) minus its mean over the classes, which changes no loss."""
        size = float(np.abs(R).max())
        if size == 0.0:
            return np.zeros_like(R)
        single = (R / size).astype(np.float32)

        def solved(some: slice) -> Floats:
            return np.stack([self._blocks[k].solve(single[k]) for k in range(len(R))[some]])

        parts = by_threads(solved, slices(len(R), CLASS_SLICE // 4), self._engine.n_threads)
        out = size * np.concatenate(list(parts)).astype(np.float64)
        out -= out.mean(axis=0)
        return out

    @property
    def cost(self) -> float:
        """Operations of the blocks and their factors, in passes: of 4 N K D."""
        examples = self._engine.examples
        N, K, D = examples.n_images, examples.n_classes, examples.n_features
        return self.pairs * D / (4.0 * N * K) + D * D / (12.0 * N)

    @property
    def solve_cost(self) -> float:
        """Operations of `solve`, in passes."""
        examples = self._engine.examples
        return examples.n_features / (2.0 * examples.n_images)


def _block_weights(pairs: CurvaturePairs, images: npt.NDArray[np.int64]) -> Floats:
    """(M,) the diagonal of A_i at each pair."""
    q = pairs.q.astype(np.float64)
    totals = np.bincount(images, q, len(pairs.rows))[images]
    if pairs.star:
        return np.where(q > 0.0, q, totals)
    return q * (1.0 - q / np.maximum(totals, TINY))
