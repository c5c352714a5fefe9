"""The second moment of the features as a preconditioner: what makes pixels, all alike, easy to fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np

from linprobe.cores import by_threads, usable_cores
from linprobe.engines.base import Engine
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.shapes import Floats, slices

__all__ = ["Preconditioner", "Preconditioners", "SecondMoment", "second_moment"]

ROWS_PER_FEATURE, ROWS_FOR_MANY = 2, 6
"""Rows of the sample per feature: the moment of a sample of 2 D rows serves like that of all, but for one pass in ten.
The moment of 6 D rows costs what a few passes do: many reg values gain them."""

FEWEST_ROWS = 2048
"""Rows of the sample, at least, if there are so many."""

DENSE_FEATURES = 6144
"""Features up to which the moment is kept as a matrix; beyond, its sample of rows is (`Preconditioner`)."""

SKETCH_ROWS = 4096
"""Rows of the sample beyond DENSE_FEATURES: a sketch of the moment of that rank."""

BLOCK_ROWS, BLOCK_COLUMNS = 256, 4096
"""Of the sample, for one thread at a time: of its products with a few vectors, the BLAS forms small ones soonest."""

RIDGE = 1e-6
"""Share of the mean eigenvalue, and for Woodbury's identity of all together, that is added at least."""

COARSE = 8.0
"""Ratio of one shared ridge to the next."""

MOST_RATIO = 1e30
"""Largest ridge, for float32: the loss may bend not at all where all margins are met."""


@dataclass(frozen=True)
class SecondMoment:
    """sum_i a_i x'_i x'_iᵀ over a seeded sample of the images, float32.

    Attributes:
        mean: (D,) the mean of the sampled rows, taken out of the moment: the bias has it.
        matrix: (D, D) moment about the mean; None where there are fewer rows than features, or very many.
        rows: (n, D) centred rows, each times the root of its share, when `matrix` is None.
        trace: of the moment about the mean.
        n_threads: of the products with `rows`; they do not change a bit.
    """

    mean: Floats
    matrix: Floats | None
    rows: Floats | None
    trace: float
    n_threads: int = 1

    @cached_property
    def products(self) -> Floats:
        """(n, n) products of the sampled rows with each other, float32: the preconditioner of every ratio has them."""
        rows = self.rows
        assert rows is not None
        products = np.empty((len(rows), len(rows)), np.float32)

        def some(block: slice) -> None:
            products[block, : block.stop] = rows[block] @ rows[: block.stop].T
            products[: block.start, block] = products[block, : block.start].T

        list(by_threads(some, slices(len(rows), BLOCK_ROWS)[::-1], self.n_threads))  # the longest first
        return products

    @cached_property
    def finite(self) -> bool:
        """Whether no number of what is factored is too large for float32."""
        return bool(np.isfinite(self.products if self.matrix is None else self.matrix).all())

    @cached_property
    def dense(self) -> Floats:
        """(D, D) the moment as a matrix, float32, whatever is kept of it."""
        if self.matrix is not None:
            return self.matrix
        rows = self.rows
        assert rows is not None
        return self.combined(rows)

    def scores(self, V: Floats) -> Floats:
        """(n, K), the products of the sampled rows with V (K, D), float32."""
        rows = self.rows
        assert rows is not None
        blocks = slices(len(rows), BLOCK_ROWS)
        return np.concatenate(list(by_threads(lambda block: rows[block] @ V.T, blocks, self.n_threads)))

    def combined(self, G: Floats) -> Floats:
        """(K, D), the sums of the sampled rows, each times its row of G (n, K), float32."""
        rows = self.rows
        assert rows is not None
        blocks = slices(rows.shape[1], BLOCK_COLUMNS)
        return np.concatenate(list(by_threads(lambda block: G.T @ rows[:, block], blocks, self.n_threads)), axis=1)

    def along(self, W: Floats) -> float:
        """sum_k w_kᵀ (moment) w_k, for W (K, D)."""
        V = W.astype(np.float32)
        if self.matrix is not None:
            return float(((V @ self.matrix) * V).sum(dtype=np.float64))
        return float(np.square(self.scores(V), dtype=np.float64).sum())


def second_moment(objective: Objective, seed: int = 0, *, many: bool = False) -> SecondMoment:
    """The moment of a sample of 2 D rows, read block by block: exact for fewer images than that.

    Args:
        seed: of the sample.
        many: whether many reg values will use it: of 6 D rows, then.
    """
    D = objective.n_features
    n_wanted = (
        SKETCH_ROWS if D > DENSE_FEATURES else max(FEWEST_ROWS, (ROWS_FOR_MANY if many else ROWS_PER_FEATURE) * D)
    )
    positions = objective.sample(n_wanted, seed)
    shares = objective.shares()[positions]
    total = shares.sum()
    shares = shares / total
    mean = objective.engine.gradient_of_scores(shares[:, None], positions, precise=True)[0][0]
    if D <= DENSE_FEATURES and len(positions) >= D:
        # Taken about 0 the float32 products would lose a variance that is small beside the squared mean.
        matrix = objective.engine.about(mean).second_moment(positions, dtype=np.float32)
        matrix /= np.float32(total * objective.examples.total_weight)
        return SecondMoment(mean, matrix, None, float(np.trace(matrix, dtype=np.float64)))
    rows, roots = np.empty((len(positions), D), np.float32), np.sqrt(shares)
    n_threads = objective.engine.n_threads or usable_cores()

    def read(block: slice) -> float:
        rows[block] = (objective.examples.mapped(positions[block]) - mean) * roots[block, None]
        return float(np.square(rows[block], dtype=np.float64).sum())

    return SecondMoment(mean, None, rows, sum(by_threads(read, _blocks(len(positions), D), n_threads)), n_threads)


def _blocks(n_rows: int, n_features: int) -> list[slice]:
    size = max(1, 2**21 // max(1, n_features))
    return slices(n_rows, size)


class Preconditioner:
    """Solves with M = moment + ratio * I for W, and with 1 for the bias about the mean.

    In float32, by a Cholesky factor of M, or, from n < D sampled rows R, by Woodbury's identity with one of the
    (n, n) matrix R Rᵀ.

    Args:
        moment: of the features.
        engine: that solves with the factor.
        ratio: of the ridge, 2 * reg * (coefficient of W² in the penalty), to the curvature of the loss along
            scores, typical rather than worst; >= 0.
    """

    def __init__(self, moment: SecondMoment, engine: Engine, ratio: float) -> None:
        self._moment, self._engine = moment, engine
        D = len(moment.mean)
        # Woodbury's identity divides what is left of a difference in float32 by the ratio.
        least = RIDGE * moment.trace / (1 if moment.matrix is None else max(1, D))
        self._ratio = min(max(ratio, least, float(np.finfo(np.float32).tiny) * 1e8), MOST_RATIO)
        plain = moment.products if moment.matrix is None else moment.matrix
        if not moment.finite:
            raise IncompatibleError(
                "the preconditioner needs the squares of the features, and some are too large for float32 (above about "
                "1e19): scale the features down, or standardise them."
            )
        while True:
            try:
                self._factor = engine.factored(plain, self._ratio)
                return
            except np.linalg.LinAlgError:  # the rounding of the moment was larger than the ridge
                self._ratio *= 10.0

    def solve(self, dW: Floats, db: Floats) -> tuple[Floats, Floats]:
        """M⁻¹ applied to a gradient (K, D) and (K,), float64: a step in the metric of the features."""
        # In the variables (W, b + W·mean) the moment about the mean and the bias do not see each other.
        mean = self._moment.mean
        centred = (dW - db[:, None] * mean).astype(np.float32)
        if self._moment.matrix is not None:
            step = self._engine.solve_factored(self._factor, centred)
        else:
            scores = self._moment.scores(centred)
            inner = self._engine.solve_factored(self._factor, scores.T)
            step = (centred - self._moment.combined(inner.T)) / np.float32(self._ratio)
        step_W = np.ascontiguousarray(step).astype(np.float64)
        return step_W, db - step_W @ mean

    def solve_all(self, gradients: list[Floats]) -> list[Floats]:
        """M⁻¹ applied to each of some gradients (K, D + 1), W and b side by side."""
        if not gradients:
            return []
        together = np.concatenate(gradients)
        step_W, step_b = self.solve(together[:, :-1], together[:, -1])
        return np.split(np.concatenate([step_W, step_b[:, None]], axis=1), len(gradients))


class Preconditioners:
    """The preconditioners of one moment, each factored once, whichever of several threads asks for it first.

    Args:
        moment: of the features.
        engine: that solves with the factors.
        coarse: whether ratios that are alike within a factor of 8 share a factor: a metric that is off by so much
            costs a pass or two, a factor more than that.
    """

    def __init__(self, moment: SecondMoment, engine: Engine, *, coarse: bool = False) -> None:
        self.moment, self._engine = moment, engine
        self._coarse = coarse
        self._known: dict[float, tuple[Lock, list[Preconditioner]]] = {}

    def of(self, ratio: float) -> Preconditioner:
        """The one of this ratio, or of a near one."""
        if self._coarse and ratio > 0.0:
            ratio = COARSE ** round(math.log(ratio, COARSE))
        lock, made = self._known.setdefault(ratio, (Lock(), []))
        with lock:
            if not made:
                made.append(Preconditioner(self.moment, self._engine, ratio))
        return made[0]
