"""The Engine interface: where the sums over images run. Sums, never means, so that shards add up."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.algebra.base import Algebra
from linprobe.cores import by_threads, threads_for
from linprobe.engines.curvature import (
    CurvaturePairs,
    HessianWeights,
    curvature_product,
    hessian_product,
    hessian_weights,
)
from linprobe.engines.dropout import Dropout
from linprobe.engines.examples import Examples, MappedRows
from linprobe.engines.sums import EpochPlan, Precision, SplitSums, Sums
from linprobe.errors import ParameterError
from linprobe.features.base import Affine
from linprobe.losses.base import Loss
from linprobe.shapes import Floats, slices

__all__ = [
    "ENGINES",
    "CurvaturePairs",
    "Dropout",
    "Engine",
    "EpochPlan",
    "Examples",
    "HessianWeights",
    "MappedRows",
    "Precision",
    "SplitSums",
    "Sums",
    "open_engine",
    "scores_of",
]

ENGINES = {"reference": "ReferenceEngine", "threads": "ThreadsEngine"}
"""Name of each engine, which is also its module in this room, and its class."""

GRAM_ROWS, GRAM_NUMBERS = 256, 2**21
"""Rows whose products with others a thread forms at a time; numbers that it reads at a time: 16 MB of float64."""


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
        """Estimated norm of the error that `coarse_rounding` causes in dW of the mean loss; 0 without rounding.

        sqrt(sum a_i² |x'_i - c|²) times the rounding, with a_i = w_i / sum w and c the mean row. It assumes that the
        errors of the rows have random signs. A search must end coarse passes before its gradient is that small.
        """
        return 0.0

    def coarse(self, W: Floats) -> Iterator[Floats]:
        """Weights near W, float64, for which passes of `Precision.COARSE` are faster; the fastest first."""
        return iter(())

    def stacked_loss_and_gradient(
        self, W: Floats, b: Floats, loss: Loss, *, precision: Precision = Precision.SINGLE
    ) -> list[Sums]:
        """The sums of each of L classifiers, W (L, K, D) and b (L, K), in one pass if the engine can."""
        return [self.loss_and_gradient(*member, loss, precision=precision) for member in zip(W, b, strict=True)]

    @abstractmethod
    def gradient_of_scores(
        self, dS: Floats, rows: npt.NDArray[np.int64] | None = None, *, precise: bool = False
    ) -> tuple[Floats, Floats]:
        """(dSᵀ X' (K, D), the sums of the columns of dS (K,)) over the n images, for dS (n, K) float64; no weights."""

    def curvature_product(self, pairs: CurvaturePairs, V: Floats, c: Floats) -> tuple[Floats, Floats]:
        """(sum_i A_i (V x'_i + c) x'_iᵀ (K, D), the same without x' (K,)), for V (K, D) and c (K,), in float64."""
        return curvature_product(self.examples, pairs, V, c)

    @property
    def multiplies_hessians(self) -> bool:
        """Whether `hessian_product` is faster than `curvature_product` for a Hessian of all classes of all images."""
        return False

    def hessian_weights(self, W: Floats, b: Floats, loss: Loss, shares: Floats) -> HessianWeights:
        """The curvature of the loss at (W, b), from scores of 16 bits or better; shares (N,) are kept with it."""

        def scores(images: npt.NDArray[np.int64]) -> Floats:
            return self.scores(W, b, images)

        return hessian_weights(scores, self.examples.y, len(b), loss, shares)

    def hessian_product(self, weights: HessianWeights, V: Floats, c: Floats) -> tuple[Floats, Floats]:
        """(sum_i a_i A_i (V x'_i + c) x'_iᵀ (K, D), the same without x' (K,)), for V (K, D) and c (K,).

        A_i is diag(q) - q qᵀ / sum q, or of a star sum_j q_j (e_j - e_y)(e_j - e_y)ᵀ, and a_i the share of the image.
        """
        return hessian_product(self.examples, weights, V, c)

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
        n_threads = threads_for(self.n_threads)
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

    def has_kernel(self, loss: Loss) -> bool:
        """Whether the engine has compiled code for this loss, which `sgd_epoch` requires.

        Without it, SGD loops over `loss_and_gradient`, whose passes call `Loss.value_and_gradient` block by block.
        """
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
