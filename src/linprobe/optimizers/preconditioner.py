"""The second moment of the features as a preconditioner, for features that are strongly correlated."""

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
from linprobe.optimizers.obstacles import SQUARES_TOO_LARGE
from linprobe.shapes import Floats

__all__ = ["Preconditioner", "Preconditioners", "Sample", "SecondMoment", "second_moment", "typical_curvature"]

ROWS_PER_FEATURE, ROWS_FOR_MANY = 2, 6
"""Sampled rows per feature, for one reg value and for many. Measured on pixels: with 2 a search takes a tenth more
passes than with all rows (benchmarks/optimum.py). With 2 to 4 a path takes 4 to 8 more passes than with 6
(benchmarks/path.py), and the further rows cost as much as a few passes."""

MIN_ROWS = 2048
"""Sampled rows, at least, or all rows if there are fewer. Chosen by argument: with few features a sample is cheap."""

DENSE_FEATURES = 6144
"""Features up to which the moment is a (D, D) float32 matrix; with more it is a sketch of sampled rows. At this number
the matrix takes 151 MB, and the D³ / 6 products of its factor 0.4 s on a core."""

MAX_SKETCH_ROWS = 4096
"""Rows of a sketch, at most, with more features than `DENSE_FEATURES`: their Gram matrix takes 67 MB."""

ROWS_PER_DIRECTION, MIN_SKETCH_ROWS, SKETCH_SHARE = 1.75, 1024, 0.7
"""A sketch has ROWS_PER_DIRECTION rows for each direction in which the data loss has more curvature than the penalty,
and at least MIN_SKETCH_ROWS. Above SKETCH_SHARE times D rows a dense matrix is cheaper. The number of directions is
bounded by the trace of the moment. Measured with benchmarks/optimum.py, softmax with L2 at reg 0.01: with 1.5 rows half
of the seeds take one more pass."""

PROBE_ROWS = 256
"""Rows from which the total variance of the features is estimated, for that bound. Chosen by argument: the estimate is
right to a few percent, and the bound is less tight than that."""

SPREAD_ROWS = 256
"""Rows of the matrix from which the root mean square of its eigenvalues is estimated. Chosen by argument, as
`PROBE_ROWS`."""

RIDGE = 1e-6
"""Smallest ridge, as a share of the mean eigenvalue; for Woodbury's identity, of the trace. Chosen by argument: the
rounding of float32 products is 6e-8 of the largest eigenvalue, and would hide a smaller ridge. Passes in
benchmarks/constants.py: no change with a third or three times of it."""

SHARED_FACTOR = 8.0
"""Ratio between the ridges for which a path computes factors; any other ridge uses the nearest of them. Measured with
benchmarks/path.py: ratios of 12 to 50 take 6 to 11 more passes, and smaller ones need more factors."""

MAX_RATIO = 1e30
"""Largest ratio of ridge to curvature, so that float32 does not overflow: the curvature is 0 if no margin is violated.
Chosen by argument."""

SOFT_CURVATURE, MAX_CURVATURE = 0.2, 2.0
"""Typical curvature of a loss at the start. If the bound on the curvature is at most 1/2, it is SOFT_CURVATURE times
the bound: 0.1 for softmax, about p (1 - p) with ten classes. For other losses it is at most MAX_CURVATURE, that of one
squared margin. Measured with benchmarks/path.py: 0.06 to 0.15 in place of 0.1 gain nothing. Change of passes in
benchmarks/constants.py: SOFT_CURVATURE at a third +3%, at three times +3%; MAX_CURVATURE at a third +4%, at three times
-3%."""


@dataclass(frozen=True)
class Sample:
    """Some of the images as rows R, sqrt(a_i) (x'_i - mean). They are not stored: each use reads the images.

    Attributes:
        engine: over all images, about the mean.
        positions: (n,) of the sampled images.
        shares: (n,) a_i, their weights divided by the sum of these.
        mean: (D,).
    """

    engine: Engine
    positions: npt.NDArray[np.int64]
    shares: Floats
    mean: Floats

    @classmethod
    def of(cls, objective: Objective, n_rows: int, seed: int) -> Sample:
        """A random sample of `n_rows` images of an objective, or all if there are fewer."""
        positions = objective.statistics.sample(n_rows, seed)
        shares = objective.shares()[positions]
        shares /= shares.sum()
        mean = objective.engine.gradient_of_scores(shares[:, None], positions, precise=True)[0][0]
        # Not centred, float32 products would lose a variance that is small compared with the squared mean.
        return cls(objective.engine.about(mean), positions, shares, mean)

    @cached_property
    def products(self) -> Floats:
        """R Rᵀ, (n, n), float32; the preconditioners of all ratios use it."""
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
        mean: (D,), sum_i a_i x'_i. The moment is about the mean, since the bias accounts for it.
        matrix: (D, D) float32; None if a sketch of fewer rows is used instead.
        rows: of the sketch; None if there is a matrix.
    """

    mean: Floats
    matrix: Floats | None
    rows: Sample | None = None

    @property
    def factored(self) -> Floats:
        """The matrix that a preconditioner factors, float32: the moment, or the Gram matrix of the sketch."""
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
        """Root mean square of the eigenvalues, estimated from some rows of the matrix."""
        n = len(self.factored)
        some = np.random.Generator(np.random.PCG64(0)).permutation(n)[:SPREAD_ROWS]  # features may come in a pattern
        rows = self.factored[some]
        # A power of 2 changes no digit; without it the squares of large or tiny features leave the range of float32.
        scale = np.float32(2.0 ** math.frexp(float(np.abs(rows).max(initial=0.0)))[1] if self.finite else 1.0)
        of_all = n / max(1, len(some)) * float(np.square(rows / scale).sum(dtype=np.float64))
        return float(scale) * math.sqrt(of_all / max(1, len(self.mean)))

    @cached_property
    def finite(self) -> bool:
        """Whether `factored` is finite in float32. Its largest numbers are on the diagonal, so only that is checked."""
        return bool(np.isfinite(np.diagonal(self.factored)).all())

    @property
    def dense(self) -> Floats:
        """The moment as a (D, D) float32 matrix; computed here if only a sketch is stored."""
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
    """The moment of a random sample of the images, as many as this objective needs.

    Usually a matrix, from 2 D rows. If the data loss has more curvature than the penalty in few directions only, a
    sketch of fewer rows, which is enough for those directions.

    Args:
        seed: of the sample.
        many: whether many reg values will use the moment, none below the objective's; it is then from 6 D rows.
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
    """Rows of a sketch that is enough for all directions that matter; inf if a matrix is needed.

    At most trace / ratio eigenvalues of the moment exceed the ratio. The ridge dominates the others.
    """
    D = objective.n_features
    most = MAX_SKETCH_ROWS if D > DENSE_FEATURES else math.inf
    # coordinate descent needs the matrix; with few features a sketch saves nothing: no image is read
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
    """Solves with M: moment + ratio * I for W, and 1 for the bias of the centred features.

    In float32, by a Cholesky factor of M, or, from n < D sampled rows R, by Woodbury's identity with one of the
    (n, n) matrix R Rᵀ.

    Args:
        moment: of the features.
        engine: solves with the factor.
        ratio: of the ridge, 2 * reg * (coefficient of W² in the penalty), to the typical curvature of the loss in the
            scores; >= 0.
    """

    def __init__(self, moment: SecondMoment, engine: Engine, ratio: float) -> None:
        self._moment, self._engine = moment, engine
        D = len(moment.mean)
        # Woodbury's identity divides a difference in float32 by the ratio.
        least = RIDGE * moment.trace / (1 if moment.matrix is None else max(1, D))
        self._ratio = min(max(ratio, least, float(np.finfo(np.float32).tiny) * 1e8), MAX_RATIO)
        if not moment.finite:
            raise IncompatibleError(SQUARES_TOO_LARGE)
        while True:
            try:
                self._factor = engine.algebra.factored(moment.factored, self._ratio)
                return
            except np.linalg.LinAlgError:  # the rounding of the moment was larger than the ridge
                self._ratio *= 10.0

    def solve(self, dW: Floats, db: Floats) -> tuple[Floats, Floats]:
        """M⁻¹ applied to a gradient (K, D) and (K,), float64: a preconditioned step."""
        # In the variables (W, b + W·mean) M is block diagonal: the moment for W, and 1 for the bias.
        mean, rows = self._moment.mean, self._moment.rows
        centred = dW - db[:, None] * mean
        if rows is None:
            step_W = self._solved(centred)
        else:
            step_W = (centred - rows.combined(self._solved(rows.scores(centred).T).T)) / self._ratio
        return step_W, db - step_W @ mean

    def _solved(self, G: Floats) -> Floats:
        """The system of the factor solved for each row of G, float64."""
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
        engine: solves with the factors.
        shared: whether ratios within a factor of 8 share a preconditioner. The difference costs a pass or two, and a
            factor of its own costs more.
    """

    def __init__(self, moment: SecondMoment, engine: Engine, *, shared: bool = False) -> None:
        self.moment, self._engine = moment, engine
        self._shared = shared
        self._known: dict[float, tuple[Lock, list[Preconditioner]]] = {}

    def of(self, ratio: float) -> Preconditioner:
        """The preconditioner of this ratio; with `shared`, of the nearest ratio that is factored."""
        if self._shared and ratio > 0.0:
            ratio = SHARED_FACTOR ** round(math.log(ratio, SHARED_FACTOR))
        lock, made = self._known.setdefault(ratio, (Lock(), []))
        with lock:
            if not made:
                made.append(Preconditioner(self.moment, self._engine, ratio))
        return made[0]
