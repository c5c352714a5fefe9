"""The second moment of the features as a preconditioner: with it, features that are nearly alike are easy to fit."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
import numpy.typing as npt

from linprobe.engines.base import Engine
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.shapes import Floats

__all__ = ["Preconditioner", "Preconditioners", "Sample", "SecondMoment", "second_moment", "typical_curvature"]

ROWS_PER_FEATURE, ROWS_FOR_MANY = 2, 6
"""Sampled rows per feature, for one reg value and for many. Measured on pixels: with 2 a search takes one pass in ten
more than with all rows (benchmarks/optimum.py); with 2 to 4 a path takes 4 to 8 passes more than with 6
(benchmarks/path.py), which cost what a few passes do."""

MIN_ROWS = 2048
"""Sampled rows, at least, if there are so many. Chosen by argument: for few features the sample costs nothing."""

DENSE_FEATURES = 6144
"""Features up to which the moment is a (D, D) float32 matrix, 151 MB at most; beyond, it is a sketch of sampled rows.
A bound on memory, and on the factor's D³ / 6 products, 0.4 s a core there."""

MAX_SKETCH_ROWS = 4096
"""Rows of the sketch beyond `DENSE_FEATURES`: its products with each other are a matrix of 67 MB."""

ROWS_PER_DIRECTION, MIN_SKETCH_ROWS, SKETCH_SHARE = 1.75, 1024, 0.7
"""Rows of a sketch for each direction along which the images curve the objective more than the penalty does; its rows
at least; and the share of D above which a dense matrix is cheaper. The number of directions is estimated by a bound.
Measured with benchmarks/optimum.py, softmax with L2 at reg 0.01: 1.5 rows take a pass more with half of the seeds."""

PROBE_ROWS = 256
"""Rows from which the total variance of the features is estimated, for that bound. Chosen by argument: their mean is
right to a few hundredths, and the bound is loose by more."""

SPREAD_ROWS = 256
"""Rows of the matrix from which the root mean square of its eigenvalues is estimated. Chosen by argument, as
`PROBE_ROWS`."""

RIDGE = 1e-6
"""Smallest ridge, as a share of the mean eigenvalue; for Woodbury's identity, of the trace. Chosen by argument: float32
products round to 6e-8 of the largest eigenvalue, and a smaller ridge would be lost in that. Passes in
benchmarks/constants.py: no change."""

SHARED_FACTOR = 8.0
"""Ratio of neighbouring ridges that a path factors; a ridge between two uses the nearest. Measured with
benchmarks/path.py: 12 to 50 take 6 to 11 more passes, and a smaller ratio more factors."""

MAX_RATIO = 1e30
"""Largest ratio of ridge to curvature, so that float32 holds it: the curvature is 0 where all margins are met. Chosen
by argument."""

SOFT_CURVATURE, MAX_CURVATURE = 0.2, 2.0
"""Typical curvature of a loss at the start. Where its bound is at most 1/2, this share of the bound: for softmax 0.1,
as p (1 - p) with ten classes. For other losses at most that of one squared margin. Measured with benchmarks/path.py:
0.06 to 0.15 in place of 0.1 gain nothing. Passes in benchmarks/constants.py: SOFT_CURVATURE at a third: +3%; three
times: +3%. MAX_CURVATURE at a third: +4%; three times: -3%."""


@dataclass(frozen=True)
class Sample:
    """Some of the images: rows R, sqrt(a_i) (x'_i - mean), a_i their shares; read anew at each use.

    Attributes:
        engine: over all images, about the mean.
        positions: (n,) which of them.
        shares: (n,) of the weight of these.
        mean: (D,).
    """

    engine: Engine
    positions: npt.NDArray[np.int64]
    shares: Floats
    mean: Floats

    @classmethod
    def of(cls, objective: Objective, n_rows: int, seed: int) -> Sample:
        """A seeded one of `n_rows` of the images of an objective, or of all if there are fewer."""
        positions = objective.statistics.sample(n_rows, seed)
        shares = objective.shares()[positions]
        shares /= shares.sum()
        mean = objective.engine.gradient_of_scores(shares[:, None], positions, precise=True)[0][0]
        # About 0, float32 products would lose a variance that is small compared with the squared mean.
        return cls(objective.engine.about(mean), positions, shares, mean)

    @cached_property
    def products(self) -> Floats:
        """R Rᵀ, (n, n), float32: the preconditioner of every ratio has them."""
        return self.engine.gram(self.positions, self._roots[:, 0])

    @cached_property
    def matrix(self) -> Floats:
        """RᵀR, (D, D), float32."""
        matrix = self.engine.second_moment(self.positions, dtype=np.float32)
        weight = self.engine.examples.sample_weight
        matrix /= np.float32(len(self.positions) if weight is None else weight[self.positions].sum())
        return matrix

    def scores(self, V: Floats) -> Floats:
        """R Vᵀ, (n, K), for V (K, D)."""
        return self._roots * self.engine.scores(V, np.zeros(len(V)), self.positions)

    def combined(self, G: Floats) -> Floats:
        """GᵀR, (K, D), for G (n, K)."""
        return self.engine.gradient_of_scores(self._roots * G, self.positions)[0]

    @property
    def _roots(self) -> Floats:
        return np.sqrt(self.shares)[:, None]


@dataclass(frozen=True)
class SecondMoment:
    """sum_i a_i (x'_i - mean)(x'_i - mean)ᵀ over images with shares a_i.

    Attributes:
        mean: (D,), sum_i a_i x'_i: it is taken out of the moment, as the bias has it.
        matrix: (D, D) float32; None where a sketch of fewer rows serves as well.
        rows: those of the sketch, when `matrix` is None.
    """

    mean: Floats
    matrix: Floats | None
    rows: Sample | None = None

    @property
    def factored(self) -> Floats:
        """What a preconditioner factors, float32: the matrix, or the products of the rows of the sketch."""
        if self.matrix is not None:
            return self.matrix
        assert self.rows is not None
        return self.rows.products

    @cached_property
    def trace(self) -> float:
        """Total variance of the features."""
        return float(np.trace(self.factored, dtype=np.float64))

    @cached_property
    def spread(self) -> float:
        """Root mean square of the eigenvalues, by some rows of the matrix."""
        n = len(self.factored)
        some = np.random.Generator(np.random.PCG64(0)).permutation(n)[:SPREAD_ROWS]  # features may come in a pattern
        of_all = n / max(1, len(some)) * float(np.square(self.factored[some]).sum(dtype=np.float64))
        return math.sqrt(of_all / max(1, len(self.mean)))

    @cached_property
    def finite(self) -> bool:
        """Whether no number of what is factored is too large for float32: none is larger than those of its diagonal."""
        return bool(np.isfinite(np.diagonal(self.factored)).all())

    @property
    def dense(self) -> Floats:
        """(D, D) the moment as a matrix, float32, whatever is kept of it."""
        if self.matrix is not None:
            return self.matrix
        assert self.rows is not None
        return self.rows.matrix

    def along(self, W: Floats) -> float:
        """sum_k w_kᵀ (moment) w_k, for W (K, D)."""
        if self.matrix is not None:
            V = W.astype(np.float32)
            return float(((V @ self.matrix) * V).sum(dtype=np.float64))
        assert self.rows is not None
        return float(np.square(self.rows.scores(W)).sum())


def second_moment(objective: Objective, seed: int = 0, *, many: bool = False) -> SecondMoment:
    """The moment of a seeded sample of the images: of as many as this objective needs.

    Of 2 D rows, as a matrix. Where the penalty curves the objective more than the images do along all but a few
    directions, as a sketch of fewer rows, which holds those directions.

    Args:
        seed: of the sample.
        many: whether many reg values will use it, none below the objective's: of 6 D rows, then.
    """
    D = objective.n_features
    n_rows = _sketch_rows(objective, seed)
    sketched = n_rows <= SKETCH_SHARE * D
    if not sketched:
        n_rows = max(MIN_ROWS, (ROWS_FOR_MANY if many else ROWS_PER_FEATURE) * D)
    sample = Sample.of(objective, int(n_rows), seed)
    if sketched or len(sample.positions) < D:
        return SecondMoment(sample.mean, None, sample)
    return SecondMoment(sample.mean, sample.matrix)


def _sketch_rows(objective: Objective, seed: int) -> float:
    """Rows of a sketch that holds all directions that matter; inf where a matrix is needed.

    At most trace / ratio eigenvalues of the moment exceed the ratio; the others matter little compared with the ridge.
    """
    D = objective.n_features
    most = MAX_SKETCH_ROWS if D > DENSE_FEATURES else math.inf
    # coordinate descent is on the matrix; and of few features no sketch is small enough: nothing has to be read
    if objective.l1_weight > 0.0 or objective.l2_weight == 0.0 or MIN_SKETCH_ROWS > SKETCH_SHARE * D:
        return most
    trace = float(np.trace(Sample.of(objective, PROBE_ROWS, seed).products, dtype=np.float64))
    directions = trace * typical_curvature(objective) / (2.0 * objective.l2_weight)
    if not directions * ROWS_PER_DIRECTION < most:  # NaN included
        return most
    return max(MIN_SKETCH_ROWS, math.ceil(ROWS_PER_DIRECTION * directions))


def typical_curvature(objective: Objective) -> float:
    """The curvature of the loss along scores that a search begins with: 0.1 for softmax, 2 for squared margins."""
    bound = objective.loss.curvature(objective.n_classes)
    return SOFT_CURVATURE * bound if bound <= 0.5 else min(bound, MAX_CURVATURE)


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
        # Woodbury's identity divides a difference in float32 by the ratio.
        least = RIDGE * moment.trace / (1 if moment.matrix is None else max(1, D))
        self._ratio = min(max(ratio, least, float(np.finfo(np.float32).tiny) * 1e8), MAX_RATIO)
        if not moment.finite:
            raise IncompatibleError(
                "the preconditioner needs the squares of the features, and some are too large for float32 (above about "
                "1e19): scale the features down, or standardise them."
            )
        while True:
            try:
                self._factor = engine.algebra.factored(moment.factored, self._ratio)
                return
            except np.linalg.LinAlgError:  # the rounding of the moment was larger than the ridge
                self._ratio *= 10.0

    def solve(self, dW: Floats, db: Floats) -> tuple[Floats, Floats]:
        """M⁻¹ applied to a gradient (K, D) and (K,), float64: a step in the metric of the features."""
        # In the variables (W, b + W·mean) the moment about the mean and the bias do not see each other.
        mean, rows = self._moment.mean, self._moment.rows
        centred = dW - db[:, None] * mean
        if rows is None:
            step_W = self._solved(centred)
        else:
            step_W = (centred - rows.combined(self._solved(rows.scores(centred).T).T)) / self._ratio
        return step_W, db - step_W @ mean

    def _solved(self, G: Floats) -> Floats:
        """What the factor makes of the rows of G, float64."""
        solved = self._engine.algebra.solve_factored(self._factor, np.ascontiguousarray(G, np.float32))
        return np.ascontiguousarray(solved, np.float64)

    def solve_all(self, gradients: list[Floats]) -> list[Floats]:
        """M⁻¹ applied to each of some gradients (K, D + 1), W and b side by side."""
        if not gradients:
            return []
        together = np.concatenate(gradients)
        step_W, step_b = self.solve(together[:, :-1], together[:, -1])
        return np.split(np.concatenate([step_W, step_b[:, None]], axis=1), len(gradients))


class Preconditioners:
    """The preconditioners of one moment, each factored once, by whichever of several threads needs it first.

    Args:
        moment: of the features.
        engine: that solves with the factors.
        shared: whether ratios within a factor of 8 share a preconditioner: one that is off by so much costs a pass or
            two, and another factor more than that.
    """

    def __init__(self, moment: SecondMoment, engine: Engine, *, shared: bool = False) -> None:
        self.moment, self._engine = moment, engine
        self._shared = shared
        self._known: dict[float, tuple[Lock, list[Preconditioner]]] = {}

    def of(self, ratio: float) -> Preconditioner:
        """The one of this ratio, or of a near one."""
        if self._shared and ratio > 0.0:
            ratio = SHARED_FACTOR ** round(math.log(ratio, SHARED_FACTOR))
        lock, made = self._known.setdefault(ratio, (Lock(), []))
        with lock:
            if not made:
                made.append(Preconditioner(self.moment, self._engine, ratio))
        return made[0]
