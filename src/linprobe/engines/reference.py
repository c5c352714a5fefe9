"""The reference engine: plain NumPy, float64, what the other engines are compared with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import final

import numpy as np
import numpy.typing as npt

from linprobe.algebra.reference import ReferenceAlgebra
from linprobe.engines.base import (
    Engine,
    Examples,
    MappedRows,
    Precision,
    SplitSums,
    Sums,
)
from linprobe.errors import ShapeError
from linprobe.losses.base import Loss
from linprobe.shapes import Floats, check_parameters, slices

__all__ = ["ReferenceEngine", "bfloat16_pass", "bfloat16_terms", "scores_of"]

BLOCK_NUMBERS = 2**20
"""Float64 numbers in a block of rows: 8 MB, so that memory stays bounded whatever N is."""


@final
class ReferenceEngine(Engine):
    """Sums over blocks of rows, each read as float64, mapped, and multiplied by W.

    Knows no loss by name: every loss goes through `value_and_gradient`. Weights that are not finite give sums
    that are not finite, without a warning. `n_threads` is not used: the BLAS under NumPy has its own setting.
    """

    @property
    def algebra(self) -> ReferenceAlgebra:
        """NumPy and SciPy."""
        return ReferenceAlgebra()

    def scores(
        self, W: Floats, b: Floats, rows: npt.NDArray[np.int64] | None = None, *, precise: bool = False
    ) -> Floats:
        """Scores (n, K), float64, for any number of templates."""
        return _scores(self.examples.images, self._blocks(rows), W, b)

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
        """Loss, gradient and hits, summed over the images."""
        W, b = self._parameters(W, b)
        total, correct, seen, counted = 0.0, 0.0, 0.0, 0.0
        dW, db = (np.zeros_like(W), np.zeros_like(b)) if need_gradient else (None, None)
        for picked in self._blocks(rows):
            y = self.examples.y[picked]
            weight = None if self.examples.sample_weight is None else self.examples.sample_weight[picked]
            with np.errstate(all="ignore"):
                X = self.examples.mapped(picked)
                S = X @ W.T + b
                hits = S.argmax(axis=1) == y
                if dW is not None and db is not None:
                    losses, dS = loss.value_and_gradient(S, y)
                    _check_results(loss, S, losses, dS)
                    if weight is not None:
                        dS = dS * weight[:, None]
                    dW += dS.T @ X
                    db += dS.sum(axis=0)
                else:
                    losses = loss.value(S, y)
                    _check_results(loss, S, losses, S)
                total += float(losses.sum() if weight is None else (weight * losses).sum())
            correct += float(hits.sum() if weight is None else (weight[hits] > 0).sum())
            seen += float(len(y) if weight is None else weight.sum())
            counted += float(len(y) if weight is None else (weight > 0).sum())
        return Sums(total, dW, db, correct, seen, counted)

    def gradient_of_scores(
        self, dS: Floats, rows: npt.NDArray[np.int64] | None = None, *, precise: bool = False
    ) -> tuple[Floats, Floats]:
        """(dSᵀ X', the sums of the columns of dS)."""
        dW = np.zeros((dS.shape[1], self.examples.n_features))
        done = 0
        for block in self._blocks(rows):
            images = self.examples.mapped(block)
            dW += dS[done : done + len(images)].T @ images
            done += len(images)
        return dW, dS.sum(axis=0)

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
        """One step of ADMM in the scores, block by block."""
        W, b = self._parameters(W, b)
        K = len(b)
        totals = np.zeros(4)
        back, columns = np.zeros((2 * K, W.shape[1])), np.zeros(2 * K)
        for block in self._blocks(None):
            y, X = self.examples.y[block], self.examples.mapped(block)
            weight = np.ones(len(y)) if self.examples.sample_weight is None else self.examples.sample_weight[block]
            S = X @ W.T + b
            at = z[block].astype(np.float64)
            V = at + g[block] / rho + relax * (S - at)
            gradient = loss.prox_gradient(V, y, rho)
            point = V - gradient / rho
            z[block], g[block] = point, gradient
            hits = S.argmax(axis=1) == y
            right = float((weight[hits] > 0).sum())
            totals += [weight @ loss.value(S, y), right, weight.sum(), weight @ loss.conjugate(gradient, y)]
            both = weight[:, None] * np.concatenate([point - gradient / rho - S, gradient], axis=1)
            back += both.T @ X
            columns += both.sum(axis=0)
        dual = (back[K:], columns[K:]) if need_dual else (None, None)
        loss_sum, correct, seen, conjugate = totals.tolist()
        return SplitSums(loss_sum, correct, seen, conjugate, back[:K], columns[:K], *dual)

    def second_moment(self, rows: npt.NDArray[np.int64] | None = None, *, dtype: type = np.float64) -> Floats:
        """sum_i weight_i x'_i x'_iᵀ over the images, (D, D); in float32 it is rounded at the end."""
        total = np.zeros((self.examples.n_features, self.examples.n_features))
        for picked in self._blocks(rows):
            X = self.examples.mapped(picked)
            weight = self.examples.sample_weight
            total += X.T @ (X if weight is None else X * weight[picked][:, None])
        return total.astype(dtype, copy=False)

    def describe(self) -> str:
        """One line: the engine and the precision of its sums."""
        return f"reference: NumPy {np.__version__}, float64, in blocks of {self._block_size} rows"

    @property
    def _block_size(self) -> int:
        return max(1, BLOCK_NUMBERS // max(1, self.examples.n_features, self.examples.n_classes))

    def _blocks(self, rows: npt.NDArray[np.int64] | None) -> Iterator[slice | npt.NDArray[np.int64]]:
        n_rows = self.examples.n_images if rows is None else len(rows)
        for start in range(0, n_rows, self._block_size):
            block = slice(start, min(start + self._block_size, n_rows))
            yield block if rows is None else rows[block]

    def _parameters(self, W: Floats, b: Floats) -> tuple[Floats, Floats]:
        check_parameters(W, b, self.examples.n_classes, self.examples.n_features)
        return W.astype(np.float64, copy=False), b.astype(np.float64, copy=False)


def scores_of(images: MappedRows, W: Floats, b: Floats, n_threads: int | None = None) -> Floats:
    """Scores (N, K), float64, of rows without labels; see `base.scores_of`. `n_threads` is not used."""
    return _scores(images, slices(len(images), max(1, BLOCK_NUMBERS // max(1, images.n_features, len(W)))), W, b)


def _scores(images: MappedRows, blocks: Iterable[slice | npt.NDArray[np.int64]], W: Floats, b: Floats) -> Floats:
    check_parameters(W, b, len(W), images.n_features)
    W, b = W.astype(np.float64, copy=False), b.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        found = [images.mapped(picked) @ W.T + b for picked in blocks]
    return np.concatenate(found) if found else np.zeros((0, len(W)))


def bfloat16_terms(values: Floats, n: int) -> list[Floats]:
    """`values` as the sum of n numbers of bfloat16, float32 arrays: each rounds what the ones before it left.

    To nearest, ties to even; below 2^-126 to 0, as processors do. Three terms hold a float32, two a float16.
    """
    rest, terms = np.asarray(values, np.float32), []
    for _ in range(n):
        bits = rest.view(np.uint32)
        rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) & np.uint32(0xFFFF0000)
        rounded = np.where(np.abs(rest) < np.float32(2.0**-126), bits & np.uint32(0x80000000), rounded)
        term = np.where(np.isnan(rest), rest, rounded.view(np.float32))
        terms.append(term)
        with np.errstate(invalid="ignore"):
            rest = rest - term
    return terms


def bfloat16_pass(
    examples: Examples, W: Floats, b: Floats, loss: Loss, terms: tuple[int, int, int], centre: Floats | None = None
) -> Sums:
    """What `ThreadsEngine` sums in bfloat16, but for its sums of float32: the oracle of its tests.

    Args:
        W, b: (K, D) and (K,).
        terms: of the rows, of W and of the slopes; (1, 2, 1) is a coarse pass.
        centre: (D,) what is subtracted from the rows of X before they are rounded; None for what the map subtracts.
    """
    affine = examples.affine
    scale, shift = (np.ones(W.shape[1]), np.zeros(W.shape[1])) if affine is None else (affine.scale, affine.shift)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = (-shift / scale if centre is None else centre).astype(np.float32)
    centre[~np.isfinite(centre)] = 0.0
    rest = shift + scale * centre
    picked = examples.X if examples.rows is None else examples.X[examples.rows]
    X = bfloat16_terms(picked.astype(np.float32) - centre, terms[0])
    apart = W[:-1] - W[-1]
    templates = bfloat16_terms(apart * scale, terms[1])
    S = np.zeros((len(examples.y), len(b)))
    S[:, :-1] = _sum_of_pairs([x.T for x in X], [t.T for t in templates]) + apart @ rest + (b[:-1] - b[-1])
    weight = np.ones(len(S)) if examples.sample_weight is None else examples.sample_weight
    values, dS = loss.value_and_gradient(S, examples.y)
    slopes = dS * weight[:, None]
    dW = np.zeros(W.shape)
    products = _sum_of_pairs(bfloat16_terms(slopes[:, :-1], terms[2]), X)
    dW[:-1] = scale * products + slopes[:, :-1].sum(axis=0)[:, None] * rest
    dW[-1] = -dW[:-1].sum(axis=0)
    hits = S.argmax(axis=1) == examples.y
    right, counted = float((weight[hits] > 0).sum()), float((weight > 0).sum())
    return Sums(float(weight @ values), dW, slopes.sum(axis=0), right, float(weight.sum()), counted)


def _sum_of_pairs(left: list[Floats], right: list[Floats]) -> Floats:
    """Sum of the products leftᵀ right of those pairs of terms that are worth keeping, float64."""
    most = max(len(left), len(right))
    pairs = [(a, b) for i, a in enumerate(left) for j, b in enumerate(right) if i + j < most]
    products: list[Floats] = [a.astype(np.float64).T @ b.astype(np.float64) for a, b in pairs]
    return sum(products[1:], products[0])


def _check_results(loss: Loss, scores: Floats, losses: Floats, dscores: Floats) -> None:
    """Raise ShapeError for a user-written loss of wrong shapes, before they broadcast into something else."""
    if losses.shape != scores.shape[:1] or dscores.shape != scores.shape:
        raise ShapeError(
            f"{type(loss).__name__} gave losses {losses.shape} and gradient {dscores.shape} "
            f"for scores {scores.shape}; expected {scores.shape[:1]} and {scores.shape}."
        )
