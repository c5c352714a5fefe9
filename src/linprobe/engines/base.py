"""The Engine interface: where the sums over images run. Sums, never means, so that shards add up."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.algebra.base import Algebra
from linprobe.cores import by_threads, usable_cores
from linprobe.errors import LabelError, ParameterError, ShapeError
from linprobe.features.base import Affine
from linprobe.losses.base import Loss
from linprobe.shapes import Doubles, Floats, Labels, check_mapped, check_sample_weight, slices

__all__ = [
    "ENGINES",
    "CurvaturePairs",
    "Engine",
    "EpochPlan",
    "Examples",
    "MappedRows",
    "Precision",
    "SplitSums",
    "Sums",
    "open_engine",
    "scores_of",
]

ENGINES = {"reference": "ReferenceEngine", "threads": "ThreadsEngine"}
"""Name of each engine, which is also its module in this room, and its class."""


@dataclass(frozen=True)
class MappedRows:
    """Rows as they lie in memory, and how they are read: all that scores need.

    Args:
        X: (M, D) uint8, float16, float32 or float64; any strides, read-only and memory-mapped arrays included.
        rows: (N,) positions in `X` of the rows that are used, or None for all of them (then N = M).
        affine: the map applied to each row as it is read, or None.
    Raises:
        ShapeError: X is no table of such numbers, has no rows, or does not fit `rows` or `affine`.
    """

    X: npt.NDArray[Any]
    rows: npt.NDArray[np.int64] | None = None
    affine: Affine | None = None

    def __post_init__(self) -> None:
        if self.X.ndim != 2:
            raise ShapeError(f"X has shape {self.X.shape}; expected two axes, (n_images, n_features).")
        if self.X.dtype not in (np.uint8, np.float16, np.float32, np.float64):
            raise ShapeError(f"X has dtype {self.X.dtype}; expected uint8, float16, float32 or float64.")
        if not self.X.flags.aligned:
            raise ShapeError("the numbers of X do not lie at multiples of their size: give np.require(X, None, 'A').")
        if len(self) == 0:
            raise ShapeError("X has no rows; at least one image is needed.")
        if self.rows is not None and (self.rows.min() < 0 or self.rows.max() >= len(self.X)):
            raise ShapeError(f"rows must lie in 0..{len(self.X) - 1}; found {self.rows.min()}..{self.rows.max()}.")
        if self.affine is not None and len(self.affine.scale) != self.n_features:
            raise ShapeError(f"the affine map has {len(self.affine.scale)} features but X has {self.n_features}.")

    def __len__(self) -> int:
        """N, the number of used rows."""
        return len(self.X) if self.rows is None else len(self.rows)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.X.shape[1])

    def mapped(self, picked: slice | npt.NDArray[np.int64], features: npt.NDArray[np.int64] | None = None) -> Floats:
        """The used rows at positions `picked` (0..N-1), mapped, as a fresh (n, D) float64 array: for blocks of rows.

        Args:
            picked: positions of the rows.
            features: (d,) positions of the features wanted, (n, d) then; None for all.

        Raises:
            DataError: X lies in a file that has been cut since it was opened.
        """
        check_mapped(self.X)
        if self.rows is not None:
            picked = self.rows[picked]
        if features is None:
            rows = self.X[picked].astype(np.float64)
        elif isinstance(picked, slice):
            rows = self.X[picked][:, features].astype(np.float64)
        else:
            rows = self.X[picked[:, None], features].astype(np.float64)
        if self.affine is not None:
            rows *= self.affine.scale if features is None else self.affine.scale[features]
            rows += self.affine.shift if features is None else self.affine.shift[features]
        return rows


@dataclass(frozen=True)
class Examples:
    """What an engine runs over: rows as they lie in memory, their labels and weights.

    Args:
        X: (M, D) uint8, float16, float32 or float64; any strides, read-only and memory-mapped arrays included.
        y: (N,) integers in 0..n_classes-1; one for each *used* row.
        n_classes: K; may exceed the number of classes present.
        rows: (N,) positions in `X` of the rows that are used, or None for all of them (then N = M).
        sample_weight: (N,) finite, >= 0, or None for all ones.
        affine: the map applied to each row as it is read, or None.
    """

    X: npt.NDArray[Any]
    y: Labels
    n_classes: int
    rows: npt.NDArray[np.int64] | None = None
    sample_weight: Floats | None = None
    affine: Affine | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.y.shape != (n,):
            raise ShapeError(f"y has shape {self.y.shape} but {n} rows of X are used; y must be ({n},).")
        if not np.issubdtype(self.y.dtype, np.integer):
            raise LabelError(f"y has dtype {self.y.dtype}; expected integers in 0..{self.n_classes - 1}.")
        if self.y.min() < 0 or self.y.max() >= self.n_classes:
            raise LabelError(
                f"y holds labels {self.y.min()}..{self.y.max()}; with {self.n_classes} classes "
                f"they must lie in 0..{self.n_classes - 1}."
            )
        if self.sample_weight is not None:
            check_sample_weight(self.sample_weight, n)

    @cached_property
    def images(self) -> MappedRows:
        """The rows without labels and weights."""
        return MappedRows(self.X, self.rows, self.affine)

    @property
    def n_images(self) -> int:
        """N, the number of used rows."""
        return len(self.y)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.X.shape[1])

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights; N without any."""
        return float(self.n_images) if self.sample_weight is None else float(self.sample_weight.sum())

    def shares(self) -> Floats:
        """a_i = w_i / sum w, (N,): the weight of each image in a mean."""
        return (np.ones(self.n_images) if self.sample_weight is None else self.sample_weight) / self.total_weight

    def mapped(self, picked: slice | npt.NDArray[np.int64], features: npt.NDArray[np.int64] | None = None) -> Floats:
        """`MappedRows.mapped` of the images."""
        return self.images.mapped(picked, features)


@dataclass(frozen=True)
class Sums:
    """What one pass over some images gives.

    Attributes:
        loss: sum of weight_i L_i.
        dW: (K, D) float64, sum of weight_i dL_i/dW, in the space of the mapped rows; None when not asked for.
        db: (K,) float64, likewise.
        correct: sum of weight_i over the images whose highest score (the first, on ties) is that of their label.
        weight: sum of weight_i.
        lost_of_score: a bound on what every score may be off, besides the rounding of its numbers' type.
        lost_of_slopes: a bound on sum_i weight_i sum_k of what the slopes that dW is summed from may be off, likewise.
    """

    loss: float
    dW: Floats | None
    db: Floats | None
    correct: float
    weight: float
    lost_of_score: float = 0.0
    lost_of_slopes: float = 0.0

    @property
    def accuracy(self) -> float:
        """Weighted share of images classified correctly."""
        return self.correct / self.weight if self.weight else float("nan")


@dataclass(frozen=True)
class SplitSums:
    """What one step of the alternating direction method gives, all sums weighted by weight_i.

    Attributes:
        loss, correct, weight: at the scores of (W, b), as in `Sums`.
        conjugate: sum of L*_i(g_i).
        miss: (K, D), sum of (z_i - g_i / rho - s_i) x'_iᵀ, with the new z and g: how far the scores s of (W, b) are
            from what they are fitted to next.
        miss_columns: (K,), the same without x'.
        dual: (K, D), sum of g_i x'_iᵀ; None when not asked for.
        dual_columns: (K,), sum of g_i; None likewise.
    """

    loss: float
    correct: float
    weight: float
    conjugate: float
    miss: Floats
    miss_columns: Floats
    dual: Floats | None
    dual_columns: Floats | None


GRAM_ROWS, GRAM_NUMBERS = 256, 2**21
"""Rows whose products with others a thread forms at a time; numbers that it reads at a time."""

HESSIAN_ROWS, HESSIAN_NUMBERS = 256, 2**20
"""Images of a block of `HessianWeights`, and weights that are computed at a time."""


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


@dataclass(frozen=True)
class EpochPlan:
    """The mini-batch steps of one epoch, or of a part of it; see `optimizers/updates.py` for the formulas.

    Attributes:
        order: (n,) positions of the images in the order of the visit; batches are consecutive slices of it.
        batch_size: images of a batch; the last may have fewer.
        rates: (n_batches,) learning rate of each step.
        update: plain, momentum, nesterov, adagrad, rmsprop or adam.
        momentum, rho, beta1, beta2, epsilon: of the updates that have them.
        step: updates done before these.
        averaged: iterates that are already in the average; -1 for no averaging.
        bias_rate: the learning rate of b, in units of that of W.
        l2, l1: weights of sum W² and of sum |W| in a step of the engine's own loop; the plain loop takes the penalty
            of its objective.
    """

    order: npt.NDArray[np.int64]
    batch_size: int
    rates: Doubles
    update: str
    momentum: float
    rho: float
    beta1: float
    beta2: float
    epsilon: float
    step: int = 0
    averaged: int = -1
    bias_rate: float = 1.0
    l2: float = 0.0
    l1: float = 0.0


class Precision(IntEnum):
    """How exact the products of a pass are; float64 images are always multiplied in float64.

    `COARSE`: 16 bits of the slopes are enough, where the engine gains by that, and of weights that are `Engine.coarse`
    all that they have; or rows and slopes are rounded by `Engine.coarse_rounding`; else as `SINGLE`.
    `SINGLE`: as float32 or better. `DOUBLE`: all is computed in float64, whatever the images are. `PROOF`: so is it,
    where the engine gains but for what `Sums` say is lost: for certificates.
    """

    COARSE = 0
    SINGLE = 1
    PROOF = 2
    DOUBLE = 3


class Engine(ABC):
    """Runs the sums over the images of one `Examples`.

    W (K, D) and b (K,) act on the mapped rows: with X' = scale * X + shift, scores are S = X' Wᵀ + b. They may be
    float32 or float64. `rows` (n,) are positions 0..N-1 among the used images (not positions in X), in any order;
    None means all of them.
    """

    def __init__(self, examples: Examples, n_threads: int | None = None) -> None:
        self.examples = examples
        self.n_threads = n_threads

    @property
    @abstractmethod
    def algebra(self) -> Algebra:
        """Dense linear algebra in the arithmetic of this engine, on its threads."""

    @abstractmethod
    def scores(
        self, W: Floats, b: Floats, rows: npt.NDArray[np.int64] | None = None, *, precise: bool = False
    ) -> Floats:
        """Scores (n, K), float64, for any number of templates; with `precise` they are also computed in float64."""

    @abstractmethod
    def loss_and_gradient(
        self,
        W: Floats,
        b: Floats,
        loss: Loss,
        rows: npt.NDArray[np.int64] | None = None,
        *,
        need_gradient: bool = True,
        precision: Precision = Precision.SINGLE,
    ) -> Sums:
        """Loss, gradient and number of hits, summed over the images; without `need_gradient` dW and db are None."""

    def about(self, centre: Floats) -> Engine:
        """An engine over the same memory whose rows are x' - centre, (D,)."""
        affine = self.examples.affine
        scale, shift = (np.ones_like(centre), 0.0) if affine is None else (affine.scale, affine.shift)
        return type(self)(replace(self.examples, affine=Affine(scale, shift - centre)), self.n_threads)

    @property
    def coarse_rounding(self) -> float:
        """Relative rounding of rows and slopes in passes of `Precision.COARSE`; 0 where it is that of `SINGLE`."""
        return 0.0

    @property
    def coarse_noise(self) -> float:
        """Norm of the change of dW, of the mean loss, that `coarse_rounding` is estimated to cause; 0 without it.

        sqrt(sum a_i² |x'_i - c|²) times the rounding, with a_i = w_i / sum w and c the mean row: errors of rows have
        random signs. A search leaves coarse passes before its gradient is that small.
        """
        return 0.0

    def coarse(self, W: Floats) -> Iterator[Floats]:
        """Weights near W at which passes of `Precision.COARSE` gain, float64; those farthest off gain most: first."""
        return iter(())

    def stacked_loss_and_gradient(
        self, W: Floats, b: Floats, loss: Loss, *, precision: Precision = Precision.SINGLE
    ) -> list[Sums]:
        """The sums of each of L classifiers, W (L, K, D) and b (L, K), over all images; shared passes if it can."""
        return [self.loss_and_gradient(*member, loss, precision=precision) for member in zip(W, b, strict=True)]

    @abstractmethod
    def gradient_of_scores(
        self, dS: Floats, rows: npt.NDArray[np.int64] | None = None, *, precise: bool = False
    ) -> tuple[Floats, Floats]:
        """(dSᵀ X' (K, D), the sums of the columns of dS (K,)) over the n images, for dS (n, K) float64; no weights."""

    def curvature_product(self, pairs: CurvaturePairs, V: Floats, c: Floats) -> tuple[Floats, Floats]:
        """(sum_i A_i (V x'_i + c) x'_iᵀ (K, D), the same without x' (K,)), for V (K, D) and c (K,), in float64."""
        image, k, q = pairs.images(), pairs.classes(), pairs.q.astype(np.float64)
        out, sums = np.zeros(V.shape), np.zeros(len(c))
        for i in range(len(pairs.ends) - 1):
            some, first = slice(pairs.ends[i], pairs.ends[i + 1]), i * pairs.block
            X, r = self.examples.mapped(pairs.rows[first : first + pairs.block]), image[some] - first
            t, n = (X @ V.T + c)[r, k[some]], len(X)
            if pairs.star:
                label = q[some] == 0.0
                own = np.zeros(n)
                own[r[label]] = t[label]
                u = q[some] * (t - own[r])
                u[label] = -np.bincount(r, u, n)[r[label]]
            else:
                mean = np.bincount(r, q[some] * t, n) / np.maximum(
                    np.bincount(r, q[some], n), np.finfo(np.float64).tiny
                )
                u = q[some] * (t - mean[r])
            U = np.zeros((n, len(c)))
            U[r, k[some]] = u
            out += U.T @ X
            sums += U.sum(axis=0)
        return out, sums

    @property
    def multiplies_hessians(self) -> bool:
        """Whether `hessian_product`, of all classes of all images, is the fast way to a product with a Hessian."""
        return False

    def hessian_weights(self, W: Floats, b: Floats, loss: Loss, shares: Floats) -> HessianWeights:
        """The curvature of the loss at (W, b), from scores of 16 bits or better; shares (N,) are kept with it."""
        y, K = self.examples.y, len(b)
        n_blocks = -(-len(y) // HESSIAN_ROWS)
        q = np.zeros((n_blocks, K, HESSIAN_ROWS), np.float16)
        step = max(1, HESSIAN_NUMBERS // (HESSIAN_ROWS * K))
        for some in slices(n_blocks, step):
            images = np.arange(some.start * HESSIAN_ROWS, min(some.stop * HESSIAN_ROWS, len(y)))
            full = np.zeros((some.stop - some.start, HESSIAN_ROWS, K), np.float16)
            full.reshape(-1, K)[: len(images)] = loss.curvature_weights(self.scores(W, b, images), y[images])
            q[some] = full.transpose(0, 2, 1)
        return HessianWeights(q, shares.astype(np.float32), loss.curvature_form == "star")

    def hessian_product(self, weights: HessianWeights, V: Floats, c: Floats) -> tuple[Floats, Floats]:
        """(sum_i a_i A_i (V x'_i + c) x'_iᵀ (K, D), the same without x' (K,)), for V (K, D) and c (K,).

        A_i is diag(q) - q qᵀ / sum q, or of a star sum_j q_j (e_j - e_y)(e_j - e_y)ᵀ, and a_i the share of the image.
        """
        out, sums, y = np.zeros(V.shape), np.zeros(len(c)), self.examples.y
        for at in range(len(weights.q)):
            q, first = weights.by_images(at, at + 1), at * weights.q.shape[2]
            images = np.arange(first, first + len(q))
            X = self.examples.mapped(images)
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

    def hessian_block(self, rows: npt.NDArray[np.int64], weight: Floats) -> Floats:
        """sum_i weight_i [x'_i, 1] [x'_i, 1]ᵀ over these images, (D + 1, D + 1) float32, for weights (n,) >= 0."""
        X, D = self.examples.mapped(rows), self.examples.n_features
        out = np.empty((D + 1, D + 1), np.float32)
        out[:D, :D] = self.weighted_moment(rows, weight)
        out[:D, D] = out[D, :D] = weight @ X
        out[D, D] = weight.sum()
        return out

    @abstractmethod
    def split_step(
        self,
        W: Floats,
        b: Floats,
        loss: Loss,
        z: npt.NDArray[np.float32],
        g: npt.NDArray[np.float32],
        *,
        rho: float,
        relax: float,
        need_dual: bool,
    ) -> SplitSums:
        """One step of ADMM in the scores; `z` and `g` (N, K) are changed in place.

            v = z + g / rho + relax (s - z),   z <- argmin L_i(z) + (rho / 2) |z - v|²,   g <- rho (v - z)

        with s = W x' + b. g is a subgradient of the loss at z: a dual point.
        """

    @abstractmethod
    def second_moment(self, rows: npt.NDArray[np.int64] | None = None, *, dtype: type = np.float64) -> Floats:
        """sum_i weight_i x'_i x'_iᵀ over the images, (D, D), symmetric; in float32 it takes half the memory."""

    def weighted_moment(self, rows: npt.NDArray[np.int64], weight: Floats) -> Floats:
        """sum_i weight_i x'_i x'_iᵀ over these images, (D, D) float32, for weights (n,) >= 0 in place of their own."""
        D = self.examples.n_features
        total = np.zeros((D, D))
        for block in slices(len(rows), max(1, GRAM_NUMBERS // max(1, D))):
            X = self.examples.mapped(rows[block]) * np.sqrt(weight[block])[:, None]
            total += X.T @ X
        return total.astype(np.float32)

    def gram(self, rows: npt.NDArray[np.int64], roots: Floats) -> Floats:
        """(n, n) products roots_i roots_j x'_i·x'_j of the rows with each other, float32; for roots (n,)."""
        n, D = len(rows), self.examples.n_features
        n_threads = self.n_threads or usable_cores()
        read, products = np.empty((n, D), np.float32), np.empty((n, n), np.float32)

        def mapped(block: slice) -> None:
            with np.errstate(over="ignore"):
                read[block] = self.examples.mapped(rows[block]) * roots[block, None]

        def multiplied(block: slice) -> None:
            with np.errstate(over="ignore", invalid="ignore"):
                products[block, : block.stop] = read[block] @ read[: block.stop].T
            products[: block.start, block] = products[block, : block.start].T

        list(by_threads(mapped, slices(n, max(1, GRAM_NUMBERS // max(1, D))), n_threads))
        list(by_threads(multiplied, slices(n, GRAM_ROWS)[::-1], n_threads))  # the longest first
        return products

    def runs_sgd(self, loss: Loss) -> bool:
        """Whether `sgd_epoch` can run this loss; if not, the optimizer loops over `loss_and_gradient`."""
        return False

    def sgd_epoch(self, state: dict[str, npt.NDArray[Any]], loss: Loss, plan: EpochPlan) -> float:
        """The mini-batch updates of a plan, of `state`, in place; see `optimizers/sgd.py` for the plain form.

        Args:
            state: W and b; W_m, b_m, W_v, b_v as the update keeps them; W_avg and b_avg for averaging.
        Returns:
            sum w_i L_i / sum w_i, each L_i as it was when its batch was visited; NaN where one was not finite.
        """
        raise NotImplementedError(f"{type(self).__name__} has no SGD loop of its own")

    @abstractmethod
    def describe(self) -> str:
        """One line: the engine, its instruction set, its threads and the precision of its sums."""


def open_engine(name: str, examples: Examples, n_threads: int | None = None) -> Engine:
    """The engine called `name` over `examples`; its module is imported only now.

    Raises:
        ParameterError: there is no such engine.
    """
    engine: Engine = getattr(_module_of(name), ENGINES[name])(examples, n_threads)
    return engine


def scores_of(
    images: MappedRows, W: Floats, b: Floats, *, engine: str = "threads", n_threads: int | None = None
) -> Floats:
    """Scores (N, K), float64, of rows without labels, by the engine of this name.

    Args:
        images: N rows.
        W, b: (K, D) and (K,), of the mapped rows.
        engine: its name.
        n_threads: None for one per usable core.
    Raises:
        ParameterError: there is no such engine.
        ShapeError: W and b do not fit the rows.
    """
    found: Floats = _module_of(engine).scores_of(images, W, b, n_threads)
    return found


def _module_of(name: str) -> ModuleType:
    if name not in ENGINES:
        raise ParameterError(f"engine = {name!r}; expected one of {', '.join(sorted(ENGINES))}.")
    return importlib.import_module(f"linprobe.engines.{name}")
