"""The native engine: reads rows as they are; scores, loss and gradient of a block in one pass through memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from typing import Any, Literal, TypedDict, cast

import numpy as np
import numpy.typing as npt

from linprobe import _core
from linprobe.algebra.native import NativeAlgebra
from linprobe.blas import ONE_BLAS_THREAD
from linprobe.cores import share_of, threads_for
from linprobe.engines.base import (
    CurvaturePairs,
    Engine,
    EpochPlan,
    Examples,
    HessianWeights,
    MappedRows,
    Precision,
    SplitSums,
    Sums,
)
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.features.base import Affine
from linprobe.losses.base import Loss
from linprobe.shapes import Doubles, Floats, check_mapped, check_parameters

__all__ = ["ThreadsEngine", "scores_of"]

FUSED = {
    ("linprobe.losses.softmax", "SoftmaxCrossEntropy"): "softmax",
    ("linprobe.losses.hinge", "MulticlassHinge"): "hinge",
    ("linprobe.losses.squared_hinge", "SquaredHinge"): "squared-hinge",
}
"""Losses that the core knows, by their type: a loss written elsewhere may bear the same `name` and differ."""

WHOLE = "avx512"
"""The instruction set whose kernels multiply bytes."""

BFLOAT16, DIGITS = 2.0**-8, 2.0**-15
"""Relative rounding to the 8 bits of a bfloat16, and to two digits of 8 bits with their sign."""

SAMPLE_ROWS = 1024
"""Rows of the sample whose mean coarse passes in bfloat16 subtract: the mean is off by 1/32 of a deviation."""

HESSIAN_BYTES = 2**31
"""Memory of `HessianWeights`, at most, for `multiplies_hessians`."""

DIGIT_BITS, GREATEST = (7, 15), 0.99
"""Bits of one and of two signed digits, without the sign; the largest fraction of a power of two that they hold."""

ALIGNED: tuple[Literal["C", "A"], ...] = ("C", "A")
"""What the core requires of arrays, for `np.require`: C order, each number at a multiple of its size."""

BLOCK = 4096
"""Rows whose scores are held at once for a loss that the core does not know."""


def _products(n_templates: int) -> AbstractContextManager[None]:
    """Within, the core may multiply rows with that many templates."""
    return nullcontext() if n_templates < _core.FUSED_TEMPLATES else ONE_BLAS_THREAD


class _MapArguments(TypedDict):
    """The affine map of the pixels, as the core takes it: (D,) each, or None for both."""

    scale: Doubles | None
    shift: Doubles | None


class _LossArguments(TypedDict):
    """A loss that the core knows: its name, and the margin required of the correct class."""

    loss: str
    delta: float


def _map_arguments(affine: Affine | None) -> _MapArguments:
    return {
        "scale": None if affine is None else np.ascontiguousarray(affine.scale, dtype=np.float64),
        "shift": None if affine is None else np.ascontiguousarray(affine.shift, dtype=np.float64),
    }


def _most_threads(n_threads: int | None) -> int:
    if n_threads is not None and n_threads < 1:
        raise ParameterError(f"n_threads = {n_threads}; expected a whole number >= 1, or None for one per core.")
    return threads_for(n_threads)


def scores_of(images: MappedRows, W: Floats, b: Floats, n_threads: int | None = None) -> Floats:
    """Scores (N, K), float64, of rows without labels; see `base.scores_of`."""
    _check_instruction_set()
    check_mapped(images.X)
    picked = None if images.rows is None else np.array(images.rows, dtype=np.int64)
    threads = share_of(_most_threads(n_threads))
    return _scores(images.X, picked, _map_arguments(images.affine), W, b, precise=False, threads=threads)


def _scores(
    X: npt.NDArray[Any],
    picked: npt.NDArray[np.int64] | None,
    affine: _MapArguments,
    W: Floats,
    b: Floats,
    *,
    precise: bool,
    threads: int,
) -> Doubles:
    check_parameters(W, b, len(W), X.shape[1])
    weights, biases = np.require(W, np.float64, ALIGNED), np.require(b, np.float64, ALIGNED)
    S = np.empty((len(X) if picked is None else len(picked), len(b)))
    with _products(len(b)):
        _core.scores(X, picked, **affine, W=weights, b=biases, doubles=precise, S=S, threads=threads)
    return S


class ThreadsEngine(Engine):
    """Runs the sums in the native core, on `n_threads` threads (None: one per usable core).

    uint8, float16 and float32 rows are computed in float32, float64 rows in float64; losses and totals are float64.
    Where the processor multiplies bytes (AVX-512 with VNNI), uint8 rows are multiplied in whole numbers instead, by
    weights and slopes that are rounded to 2^-23 of the greatest of their class, or 2^-55 in place of float64.
    Few classes run in fused tiles of the core, many in products of the BLAS, one thread each, over blocks of rows.
    Where the processor has AMX, coarse passes over float16 and float32 rows use products in bfloat16. So do passes of
    single precision with many classes: three terms of bfloat16 hold the 24 bits of a float32. The environment variable
    LINPROBE_BFLOAT16 chooses: off, plain (emulated, slow), avx512 or amx.
    The bits of every result are the same for any number of threads.
    """

    def __init__(self, examples: Examples, n_threads: int | None = None) -> None:
        _check_instruction_set()
        self._most_threads = _most_threads(n_threads)
        super().__init__(examples, n_threads)
        self._algebra = NativeAlgebra(self._most_threads)
        # copies: labels and positions that change after the core has checked them would be indices out of bounds
        self._y = np.array(examples.y, dtype=np.int64)
        weight = examples.sample_weight
        self._weight = None if weight is None else np.require(weight, np.float64, ALIGNED)
        self._picked = None if examples.rows is None else np.array(examples.rows, dtype=np.int64)
        self._affine = _map_arguments(examples.affine)

    @property
    def algebra(self) -> NativeAlgebra:
        """That of the core, on the threads of this engine."""
        return self._algebra

    @property
    def _threads(self) -> int:
        """How many this call may use."""
        return share_of(self._most_threads)

    @property
    def _X(self) -> npt.NDArray[Any]:
        """The rows, for the core to read. Raises DataError where the file that holds them has been cut."""
        check_mapped(self.examples.X)
        return self.examples.X

    def _positions(self, rows: npt.NDArray[np.int64] | None) -> npt.NDArray[np.int64] | None:
        """Rows of X at positions `rows`; None for all of X in order."""
        return self._picked if rows is None else self._rows_at(rows)

    def _rows_at(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of X at positions `rows`, in a copy."""
        return np.array(rows, dtype=np.int64) if self._picked is None else np.ascontiguousarray(self._picked[rows])

    def _checked(self, W: Floats, b: Floats) -> tuple[Doubles, Doubles]:
        check_parameters(W, b, self.examples.n_classes, self.examples.n_features)
        return np.require(W, np.float64, ALIGNED), np.require(b, np.float64, ALIGNED)

    def scores(
        self, W: Floats, b: Floats, rows: npt.NDArray[np.int64] | None = None, *, precise: bool = False
    ) -> Floats:
        """Scores (n, K), float64, for any number of templates; with `precise` they are also computed in float64."""
        return _scores(self._X, self._positions(rows), self._affine, W, b, precise=precise, threads=self._threads)

    @property
    def coarse_rounding(self) -> float:
        """2^-8 where coarse passes use bfloat16, 2^-15 where they multiply bytes by two digits, else 0."""
        if self._in_bfloat16:
            return BFLOAT16
        return DIGITS if self.examples.X.dtype == np.uint8 and _core.instruction_set() == WHOLE else 0.0

    @property
    def coarse_noise(self) -> float:
        """As in `Engine`, with the mean square distance estimated from a sample of the rows."""
        return self.coarse_rounding * self._sample[1] if self._in_bfloat16 else 0.0

    @cached_property
    def _sample(self) -> tuple[Doubles, float]:
        """(mean row c (D,) before the map, sqrt(sum a_i² |x'_i - c|²)), from evenly spaced rows, in float64.

        c is rounded to 8 bits: float16 rows minus c stay on the float16 grid, and many are exact in bfloat16.
        """
        n = self.examples.n_images
        rows = np.unique(np.linspace(0, n - 1, min(n, SAMPLE_ROWS)).astype(np.int64))
        X = self.examples.X[rows if self._picked is None else self._picked[rows]].astype(np.float64)
        fractions, exponents = np.frexp(X.mean(axis=0))
        centre: Doubles = np.ldexp(np.rint(fractions / BFLOAT16) * BFLOAT16, exponents)
        scale, weight = self._affine["scale"], np.ones(n) if self._weight is None else self._weight
        apart = np.square(X - centre if scale is None else scale * (X - centre)).sum(axis=1).mean()
        return centre, float(np.sqrt(apart * (weight @ weight))) / float(weight.sum())

    @property
    def _in_bfloat16(self) -> bool:
        """Whether coarse passes run in bfloat16; with few classes or very many features they do not."""
        X = self.examples.X
        few = self.examples.n_classes - 1 < _core.BFLOAT16_TEMPLATES or X.shape[1] > _core.BFLOAT16_FEATURES
        return _core.bfloat16() != "" and X.dtype in (np.float16, np.float32) and not few

    def coarse(self, W: Floats) -> Iterator[Floats]:
        """W with its differences from the last class rounded to one digit, then to two: passes multiply these."""
        if self.examples.X.dtype != np.uint8 or _core.instruction_set() != WHOLE:
            return
        scale, apart = self._affine["scale"], W[:-1] - W[-1]
        V = apart if scale is None else apart * scale
        fractions, exponents = np.frexp(np.abs(V).max(axis=1, keepdims=True, initial=0.0))
        for bits in DIGIT_BITS:
            units = np.ldexp(1.0, exponents - np.where(fractions < GREATEST, bits, bits - 1))
            near: Floats = np.rint(np.divide(V, units, out=np.zeros_like(V), where=units > 0.0)) * units
            if scale is not None:
                near = np.divide(near, scale, out=apart.copy(), where=scale != 0.0)
            yield np.concatenate([W[-1] + near, W[-1:]])

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
        W, b = self._checked(W, b)
        if not self.has_kernel(loss):
            return self._blocks_of_any_loss(W, b, loss, rows, need_gradient, precision)
        return self._run(W[None], b[None], loss, rows, need_gradient, precision)[0]

    def stacked_loss_and_gradient(
        self, W: Floats, b: Floats, loss: Loss, *, precision: Precision = Precision.SINGLE
    ) -> list[Sums]:
        """The sums of each of L classifiers, W (L, K, D) and b (L, K), in one pass over the images."""
        if not self.has_kernel(loss):
            return super().stacked_loss_and_gradient(W, b, loss, precision=precision)
        for member in zip(W, b, strict=True):
            check_parameters(*member, self.examples.n_classes, self.examples.n_features)
        stacked_W, stacked_b = np.require(W, np.float64, ALIGNED), np.require(b, np.float64, ALIGNED)
        return self._run(stacked_W, stacked_b, loss, None, True, precision)

    def _run(
        self,
        W: Doubles,
        b: Doubles,
        loss: Loss,
        rows: npt.NDArray[np.int64] | None,
        need_gradient: bool,
        precision: Precision,
    ) -> list[Sums]:
        dW, db = (np.empty_like(W), np.empty_like(b)) if need_gradient else (None, None)
        sums, lost = np.empty((len(W), 3)), np.zeros((len(W), 2))
        with _products(b.size):
            _core.loss_and_gradient(
                self._X,
                self._positions(rows),
                **self._affine,
                y=self._y if rows is None else self._y[rows],
                weight=self._weight if rows is None or self._weight is None else self._weight[rows],
                W=W,
                b=b,
                **fused_arguments(loss),
                precision=int(precision),
                centre=self._sample[0] if precision is Precision.COARSE and self._in_bfloat16 else None,
                sums=sums,
                lost=lost,
                dW=dW,
                db=db,
                threads=self._threads,
            )
        counted = float(self.examples.n_counted if rows is None else self.examples.count(rows))
        return [
            Sums(
                total,
                None if dW is None else dW[i],
                None if db is None else db[i],
                hits,
                weight,
                counted,
                *lost[i].tolist(),
            )
            for i, (total, hits, weight) in enumerate(sums.tolist())
        ]

    def gradient_of_scores(
        self, dS: Floats, rows: npt.NDArray[np.int64] | None = None, *, precise: bool = False
    ) -> tuple[Floats, Floats]:
        """(dSᵀ X', the sums of the columns of dS)."""
        n_classes = dS.shape[1]
        dW, db = np.empty((n_classes, self.examples.n_features)), np.empty(n_classes)
        with _products(n_classes):
            _core.gradient_of_scores(
                self._X,
                self._positions(rows),
                **self._affine,
                dS=np.ascontiguousarray(dS, dtype=np.float64),
                doubles=precise,
                dW=dW,
                db=db,
                threads=self._threads,
            )
        return dW, db

    def curvature_product(self, pairs: CurvaturePairs, V: Floats, c: Floats) -> tuple[Floats, Floats]:
        """As the other engines: products and sums of a group of rows in float32, totals in float64."""
        V, c = self._checked(V, c)
        out, sums = np.empty_like(V), np.empty_like(c)
        _core.curvature(
            self._X,
            self._positions(pairs.rows),
            **self._affine,
            block=pairs.block,
            ends=pairs.ends,
            where=pairs.where,
            q=pairs.q,
            star=pairs.star,
            V=V,
            c=c,
            out_V=out,
            out_c=sums,
            threads=self._threads,
        )
        return out, sums

    @property
    def multiplies_hessians(self) -> bool:
        """Where products in bfloat16 are many times as fast as those in float32, and the weights fit into memory."""
        examples = self.examples
        fits = 2 * examples.n_images * examples.n_classes <= HESSIAN_BYTES
        return _core.bfloat16_is_fast() and examples.n_features <= _core.BFLOAT16_FEATURES and fits

    def hessian_weights(self, W: Floats, b: Floats, loss: Loss, shares: Floats) -> HessianWeights:
        """As the other engines, of the losses that the core knows in bfloat16: 16 bits of W and of the rows."""
        if not (self.has_kernel(loss) and _core.bfloat16()):
            return super().hessian_weights(W, b, loss, shares)
        W, b = self._checked(W, b)
        q = np.empty((-(-len(self._y) // _core.HESSIAN_ROWS), len(b), _core.HESSIAN_ROWS), np.float16)
        _core.hessian_weights(
            self._X,
            self._picked,
            **self._affine,
            y=self._y,
            W=W,
            b=b,
            **fused_arguments(loss),
            q=q.view(np.uint16),
            threads=self._threads,
        )
        return HessianWeights(q, shares.astype(np.float32), loss.curvature_form == "star")

    def hessian_product(self, weights: HessianWeights, V: Floats, c: Floats) -> tuple[Floats, Floats]:
        """As the other engines, where there is bfloat16 in that: 8 bits of the rows, 16 of V."""
        if not _core.bfloat16():
            return super().hessian_product(weights, V, c)
        V, c = self._checked(V, c)
        out, sums = np.empty_like(V), np.empty_like(c)
        _core.hessian_product(
            self._X,
            self._picked,
            **self._affine,
            q=weights.q.view(np.uint16),
            share=weights.shares,
            y=self._y if weights.star else None,
            V=V,
            c=c,
            out_V=out,
            out_c=sums,
            threads=self._threads,
        )
        return out, sums

    def hessian_block(self, rows: npt.NDArray[np.int64], weight: Floats) -> Floats:
        """As the other engines, where there is bfloat16 in that, on the calling thread; below the diagonal it is 0."""
        if not _core.bfloat16():
            return super().hessian_block(rows, weight)
        D = self.examples.n_features
        side = (D + 16) // 16 * 16
        out = np.zeros((side, side), np.float32)
        roots = np.sqrt(weight).astype(np.float32)
        _core.hessian_block(self._X, self._positions(rows), **self._affine, root=roots, out=out)
        return out[: D + 1, : D + 1]

    def _blocks_of_any_loss(
        self,
        W: Floats,
        b: Floats,
        loss: Loss,
        rows: npt.NDArray[np.int64] | None,
        need_gradient: bool,
        precision: Precision,
    ) -> Sums:
        positions = np.arange(self.examples.n_images) if rows is None else np.asarray(rows)
        precise = precision >= Precision.PROOF
        dW, db = (np.zeros_like(W), np.zeros_like(b)) if need_gradient else (None, None)
        total = correct = total_weight = counted = 0.0
        for start in range(0, len(positions), BLOCK):
            block = positions[start : start + BLOCK]
            S = self.scores(W, b, block, precise=precise)
            y = self._y[block]
            weight = np.ones(len(block)) if self._weight is None else self._weight[block]
            values, dS = loss.value_and_gradient(S, y)
            total += float(weight @ values)
            correct += float(((S.argmax(axis=1) == y) & (weight > 0)).sum())
            total_weight += float(weight.sum())
            counted += float((weight > 0).sum())
            if dW is not None and db is not None:
                block_dW, block_db = self.gradient_of_scores(dS * weight[:, None], block, precise=precise)
                dW += block_dW
                db += block_db
        return Sums(total, dW, db, correct, total_weight, counted)

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
        """One step of ADMM in the scores: products in float32, prox and totals in float64."""
        W, b = self._checked(W, b)
        K, D = W.shape
        if not self.has_kernel(loss):
            raise IncompatibleError(
                f"the threads engine has no prox of {type(loss).__name__}; use engine='reference' or optimizer='sgd'."
            )
        back, columns = np.empty(((1 + need_dual) * K, D)), np.empty((1 + need_dual) * K)
        with _products(K):
            totals = _core.split(
                self._X,
                self._picked,
                **self._affine,
                y=self._y,
                weight=self._weight,
                W=W,
                b=b,
                **fused_arguments(loss),
                rho=rho,
                relax=relax,
                z=z,
                g=g,
                back=back,
                columns=columns,
                threads=self._threads,
            )
        dual = (back[K:], columns[K:]) if need_dual else (None, None)
        return SplitSums(*totals, back[:K], columns[:K], *dual)

    def second_moment(self, rows: npt.NDArray[np.int64] | None = None, *, dtype: type = np.float64) -> Floats:
        """sum_i weight_i x'_i x'_iᵀ over the images, (D, D).

        Of uint8 rows without weights in whole numbers, exact but for the map (in float32 of up to 16,384 rows, or
        more where the processor multiplies bytes); else float32 products, and totals of the requested dtype.
        """
        D = self.examples.n_features
        out: Floats = np.zeros((D, D), dtype)
        weight = self._weight if rows is None or self._weight is None else self._weight[rows]
        with ONE_BLAS_THREAD:
            _core.moment(
                self._X,
                self._positions(rows),
                **self._affine,
                root=None if weight is None else np.sqrt(weight),
                out=cast(Doubles, out) if dtype is np.float64 else None,
                single=cast(npt.NDArray[np.float32], out) if dtype is np.float32 else None,
                threads=self._threads,
            )
        return out

    def weighted_moment(self, rows: npt.NDArray[np.int64], weight: Floats) -> Floats:
        """As the other engines; products and totals in float32."""
        D = self.examples.n_features
        out: Floats = np.zeros((D, D), np.float32)
        with ONE_BLAS_THREAD:
            _core.moment(
                self._X,
                self._positions(rows),
                **self._affine,
                root=np.sqrt(np.ascontiguousarray(weight, np.float64)),
                out=None,
                single=out,
                threads=self._threads,
            )
        return out

    def gram(self, rows: npt.NDArray[np.int64], roots: Floats) -> Floats:
        """As the other engines; of uint8 rows with one scale for all features in whole numbers, each rounded once."""
        X, scale = self._X, self._affine["scale"]
        if X.dtype != np.uint8 or X.shape[1] > _core.GRAM_FEATURES or (scale is not None and np.ptp(scale) > 0.0):
            return super().gram(rows, roots)
        out: Floats = np.empty((len(rows), len(rows)), np.float32)
        root = np.ascontiguousarray(roots, np.float64)
        _core.gram(X, self._positions(rows), **self._affine, root=root, out=out, threads=self._threads)
        return out

    def has_kernel(self, loss: Loss) -> bool:
        """Whether the core knows this loss."""
        return (type(loss).__module__, type(loss).__qualname__) in FUSED

    def sgd_epoch(self, state: dict[str, npt.NDArray[Any]], loss: Loss, plan: EpochPlan) -> float:
        """The mini-batch updates of a plan, of `state`, in place; the mean loss seen, NaN where it was not finite."""
        run = _core.sgd_epoch_float64 if self.examples.X.dtype == np.float64 else _core.sgd_epoch_float32
        return run(
            self._X,
            self._rows_at(plan.order),
            **self._affine,
            y=self._y[plan.order],
            weight=None if self._weight is None else self._weight[plan.order] / self._weight.mean(),
            arrays=state,
            batch=plan.batch_size,
            rates=np.ascontiguousarray(plan.rates, dtype=np.float64),
            **fused_arguments(loss),
            update=plan.update,
            momentum=plan.momentum,
            rho=plan.rho,
            beta1=plan.beta1,
            beta2=plan.beta2,
            epsilon=plan.epsilon,
            l2=plan.l2,
            l1=plan.l1,
            step=plan.step,
            averaged=plan.averaged,
            bias_rate=plan.bias_rate,
            keys=None if plan.dropout is None else plan.dropout.keys(plan.order),
            kept_below=0 if plan.dropout is None else plan.dropout.threshold,
            kept_factor=1.0 if plan.dropout is None else plan.dropout.factor,
            threads=self._threads,
        )

    def describe(self) -> str:
        """One line: the engine, its instruction set, its threads and the precision of its sums."""
        dtype = self.examples.X.dtype
        precision = "float64" if dtype == np.float64 else "float32 products, float64 totals"
        if dtype == np.uint8 and _core.instruction_set() == WHOLE:
            precision = "products of whole numbers, float64 totals"
        elif self._in_bfloat16:
            precision += f", coarse passes in bfloat16 ({_core.bfloat16()})"
        return f"threads: {_core.instruction_set()}, {self._most_threads} threads, {precision}"


def _check_instruction_set() -> None:
    """Raise ParameterError where LINPROBE_INSTRUCTION_SET names no set of this build and processor."""
    try:
        _core.instruction_set()
    except ValueError as error:
        raise ParameterError(f"{error}.") from error


def fused_arguments(loss: Loss) -> _LossArguments:
    """The arguments of the core for a loss with fused code."""
    name = FUSED[type(loss).__module__, type(loss).__qualname__]
    return {"loss": name, "delta": loss.parameters.get("delta", 1.0)}
