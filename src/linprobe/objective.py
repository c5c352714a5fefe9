"""The objective L(W, b) = (1/N) sum L_i + reg R(W): its value, gradient, prox and dual value."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.engines.base import Engine, Examples, Precision, Sums, open_engine
from linprobe.equivalents import equivalents
from linprobe.errors import ParameterError, ShapeError
from linprobe.features.base import Affine
from linprobe.losses import Loss, make_loss
from linprobe.penalties import Penalty, make_penalty
from linprobe.shapes import Floats, Labels, check_range, slices, usual_weights
from linprobe.statistics import Statistics

__all__ = ["DataGradient", "DualPoint", "Evaluation", "Objective", "Split"]

BLOCK_NUMBERS = 2**20
"""Float64 numbers in a block of rows, at most: 8 MB."""


@dataclass(frozen=True)
class Evaluation:
    """The objective at one (W, b), and what the same pass over the images measures.

    Attributes:
        objective: data_loss + penalty.
        data_loss: weighted mean of L_i.
        penalty: reg R(W).
        accuracy: share of the images of weight above 0 that are classified correctly, 0..1; each counts once.
        gradient_norm: Euclidean norm, over W and b together, of the gradient; with a kinked penalty, of the
            least subgradient. With a smooth loss it is 0 exactly at a minimum.
    """

    objective: float
    data_loss: float
    penalty: float
    accuracy: float
    gradient_norm: float


@dataclass(frozen=True)
class DataGradient:
    """The data loss at one (W, b), its gradient dW (K, D) and db (K,), without a penalty; the accuracy, 0..1.

    score_error bounds the error of each score, and slope_error the mean absolute error of an image's slopes, as in
    `Sums`. Both are 0 if floating-point rounding is the only error.
    """

    loss: float
    dW: Floats
    db: Floats
    accuracy: float
    score_error: float = 0.0
    slope_error: float = 0.0


@dataclass(frozen=True)
class DualPoint:
    """What a lower bound needs to know of a point of the dual problem, G (N, K) with feasible rows.

    Attributes:
        value: -sum_i a_i L*_i(G_i), with a_i = w_i / sum w.
        A: (K, D), sum_i a_i G_i x'_iᵀ.
        c: (K,), sum_i a_i G_i; with an unpenalised bias it must be 0.
        terms: sum of the absolute terms that add up to `value`, to which its rounding is proportional; 0 if that is
            no more than |value|.
        score_error: bound on the error of the scores from which `value` was computed, rounding excluded.
        slope_error: bound on sum_i a_i |error of G_i| for the G from which A was computed, rounding excluded.
    """

    value: float
    A: Floats
    c: Floats
    terms: float = 0.0
    score_error: float = 0.0
    slope_error: float = 0.0


@dataclass(frozen=True)
class Split:
    """What one step of ADMM computes, as means over the images.

    Attributes:
        data_loss, accuracy: at the scores s of (W, b).
        miss: (K, D), mean of (z_i - g_i / rho - s_i) x'_iᵀ: the residual of the next least squares fit of s.
        miss_columns: (K,), the same without x'.
        dual: the dual point of the new g; None if it was not requested.
    """

    data_loss: float
    accuracy: float
    miss: Floats
    miss_columns: Floats
    dual: DualPoint | None


class Objective:
    """The function of (W, b) to be minimised, over the images of one `Examples`.

        L(W, b) = (1 / sum_i w_i) sum_i w_i L_i(W x'_i + b, y_i) + reg R(W)

    with x' the mapped row, scale * x + shift; without sample weights this is the lecture's
    (1/N) sum L_i + reg R(W). Weights count like repetitions: weight 2 is the image twice. R(W) is that of the
    weights of the mapped features, and leaves out the bias.

    Args:
        X: (M, D) uint8, float16, float32 or float64, finite. It is not copied.
        y: (N,) integers in 0..n_classes-1, one per used row.
        loss: a Loss, or the name of one.
        penalty: a Penalty, the name of one, or None for no penalty.
        reg: weight of the penalty, lambda in the lecture, >= 0.
        n_classes: K; None for the largest label plus one.
        sample_weight: (N,) weights >= 0, or None for all ones. Only their ratios count; a weight below 1e-100 of the
            largest counts as 0.
        rows: (N,) positions in X of the used rows, or None for all.
        affine: map of each row, applied as it is read; None for none.
        engine: "threads" or "reference".
        n_threads: for the engine; None for one per core, and at most four per core (16 on fewer than four cores).
    Raises:
        ShapeError, LabelError, ParameterError: arguments that do not fit together, or out of range.
    Example:
        >>> X = np.array([[1.0, 0.0], [0.0, 1.0]])
        >>> y = np.array([0, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l2", reg=0.5, engine="reference")
        >>> objective.value(np.eye(2), np.zeros(2))
        1.0
    """

    loss: Loss
    penalty: Penalty | None
    reg: float
    engine: Engine
    statistics: Statistics
    n_images: int
    n_features: int
    n_classes: int

    def __init__(
        self,
        X: npt.NDArray[Any],
        y: Labels,
        *,
        loss: Loss | str,
        penalty: Penalty | str | None,
        reg: float,
        n_classes: int | None = None,
        sample_weight: Floats | None = None,
        rows: npt.NDArray[np.int64] | None = None,
        affine: Affine | None = None,
        engine: str = "threads",
        n_threads: int | None = None,
    ) -> None:
        check_range("reg", reg, low=0.0)
        if n_classes is None:
            n_classes = int(y.max()) + 1 if y.size else 0
        if n_classes < 2:
            raise ParameterError(f"n_classes = {n_classes}; a classifier needs at least 2 classes.")
        exponent = 0
        if sample_weight is not None:
            sample_weight, exponent = usual_weights(np.asarray(sample_weight, dtype=np.float64))
        examples = Examples(X, y, n_classes, rows, sample_weight, affine)
        self.loss = make_loss(loss) if isinstance(loss, str) else loss
        self.penalty = make_penalty(penalty) if isinstance(penalty, str) else penalty
        self.reg = float(reg)
        self.engine = open_engine(engine, examples, n_threads)
        self.n_images, self.n_features, self.n_classes = examples.n_images, examples.n_features, n_classes
        self._total_weight = examples.total_weight
        self._weight_exponent = exponent
        self.statistics = Statistics(self.engine)

    @property
    def examples(self) -> Examples:
        """The images the engine runs over."""
        return self.engine.examples

    @property
    def given_weight(self) -> float:
        """Sum of the sample weights as they were given; N without any; inf where float64 cannot hold it."""
        with np.errstate(over="ignore"):
            return float(np.ldexp(self._total_weight, self._weight_exponent))

    @property
    def l2_weight(self) -> float:
        """The weight of sum W² in the objective: reg times its coefficient in the penalty; 0 where it has none."""
        coefficients = None if self.penalty is None else self.penalty.coefficients
        return 0.0 if coefficients is None else self.reg * coefficients[0]

    @property
    def l1_weight(self) -> float:
        """The weight of sum |W| in the objective: reg times its coefficient in the penalty; 0 where it has none."""
        coefficients = None if self.penalty is None else self.penalty.coefficients
        return 0.0 if coefficients is None else self.reg * coefficients[1]

    @property
    def penalised(self) -> bool:
        """Whether the objective has a penalty with reg > 0."""
        return self.penalty is not None and self.reg > 0.0

    def with_engine(self, engine: str, n_threads: int | None = None) -> Objective:
        """The same objective over the same memory, run by another engine."""
        examples = self.examples
        return Objective(
            examples.X,
            examples.y,
            loss=self.loss,
            penalty=self.penalty,
            reg=self.reg,
            n_classes=self.n_classes,
            sample_weight=examples.sample_weight,
            rows=examples.rows,
            affine=examples.affine,
            engine=engine,
            n_threads=n_threads,
        )

    def value(self, W: Floats, b: Floats) -> float:
        """L(W, b)."""
        sums = self.engine.loss_and_gradient(W, b, self.loss, need_gradient=False)
        return sums.loss / self._total_weight + self.penalty_value(W)

    def value_and_gradient(
        self, W: Floats, b: Floats, rows: npt.NDArray[np.int64] | None = None
    ) -> tuple[float, Floats, Floats]:
        """L, and the gradient (K, D) and (K,), float64, of its smooth part: the data loss and reg smooth(W).

        With `rows` (n,), positions 0..N-1, the mean is over that mini-batch, with the weights normalised to
        mean 1 over all N images: sum_{i in rows} w_i L_i / (n sum_i w_i / N). Averaged over all batches of
        one size it is the full gradient. L holds all of reg R(W), the kinked part included.
        """
        sums = self.engine.loss_and_gradient(W, b, self.loss, rows)
        divisor = self._total_weight if rows is None else len(rows) * self._total_weight / self.n_images
        gradient = self._data_gradient(sums, divisor)
        return gradient.loss + self.penalty_value(W), self._smooth_gradient(gradient, W), gradient.db

    def evaluate(self, W: Floats, b: Floats) -> Evaluation:
        """Objective, its parts, accuracy and gradient norm, in one pass over the images."""
        return self.with_penalty(self.data_gradient(W, b, precision=Precision.SINGLE), W)[0]

    def data_gradient(self, W: Floats, b: Floats, *, precision: Precision = Precision.DOUBLE) -> DataGradient:
        """The data loss and its gradient, without the penalty."""
        return self._data_gradient(self.engine.loss_and_gradient(W, b, self.loss, precision=precision))

    def data_gradients(self, W: Floats, b: Floats, *, precision: Precision) -> list[DataGradient]:
        """The data gradient of each of L classifiers, W (L, K, D) and b (L, K); in one pass if the engine can."""
        return [
            self._data_gradient(sums)
            for sums in self.engine.stacked_loss_and_gradient(W, b, self.loss, precision=precision)
        ]

    def gradient_at_zero(self, b: Floats) -> DataGradient:
        """The data gradient at W = 0 and b (K,), in float64. All images have the same scores there: none is read."""
        shares, sums = self.statistics.class_means
        values, dS = self.loss.value_and_gradient(np.tile(b, (len(b), 1)), np.arange(len(b)))
        predicted = self.examples.count(np.flatnonzero(self.examples.y == b.argmax()))
        accuracy = predicted / self.examples.n_counted
        return DataGradient(float(shares @ values), dS.T @ sums, shares @ dS, accuracy)

    def with_penalty(self, gradient: DataGradient, W: Floats) -> tuple[Evaluation, Floats, Floats]:
        """(evaluation, and the gradient (K, D) and (K,) of the smooth part) at the W of a data gradient."""
        norm, penalty = self.least_norm(W, gradient.dW, gradient.db), self.penalty_value(W)
        evaluation = Evaluation(gradient.loss + penalty, gradient.loss, penalty, gradient.accuracy, norm)
        return evaluation, self._smooth_gradient(gradient, W), gradient.db

    def split_step(
        self,
        W: Floats,
        b: Floats,
        z: npt.NDArray[np.float32],
        g: npt.NDArray[np.float32],
        *,
        rho: float,
        relax: float,
        need_dual: bool,
    ) -> Split:
        """One step of ADMM in the scores, `z` and `g` (N, K) changed in place; see `Engine.split_step`."""
        sums = self.engine.split_step(W, b, self.loss, z, g, rho=rho, relax=relax, need_dual=need_dual)
        total, dual = self._total_weight, None
        if sums.dual is not None and sums.dual_columns is not None:
            dual = DualPoint(-sums.conjugate / total, sums.dual / total, sums.dual_columns / total)
        accuracy = sums.correct / self.examples.n_counted
        return Split(sums.loss / total, accuracy, sums.miss / total, sums.miss_columns / total, dual)

    def with_reg(self, reg: float) -> Objective:
        """The same objective with another weight of the penalty, on the same engine, with the same statistics."""
        check_range("reg", reg, low=0.0)
        other = copy.copy(self)
        other.reg = float(reg)
        return other

    def penalty_value(self, W: Floats) -> float:
        """reg R(W)."""
        if self.penalty is None:
            return 0.0
        with np.errstate(over="ignore", invalid="ignore"):  # diverged weights give inf or NaN, unwarned
            return self.reg * self.penalty.value(W)

    def least_norm(self, W: Floats, dW: Floats, db: Floats) -> float:
        """Norm, over W and b together, of the least subgradient of the objective: that of dW + reg ∂R(W), and db.

        dW (K, D) and db (K,) are a subgradient of the data loss. A norm of 0 proves a minimum.
        """
        with np.errstate(over="ignore", invalid="ignore"):  # diverged weights give inf or NaN, unwarned
            least = dW
            if self.penalty is not None:
                least = self.penalty.least_subgradient(W, dW + self.reg * self.penalty.gradient(W), self.reg)
            return float(np.sqrt(np.square(least).sum() + np.square(db).sum()))

    def prox(self, W: Floats, step: Floats | float) -> Floats:
        """argmin over V of (1/2) sum (V - W)² + step reg kinked(V), (K, D); W if the penalty has no kink."""
        return W if self.penalty is None else self.penalty.prox(W, self.reg * step)

    def dual_value(self, G: Floats) -> float:
        """A lower bound on L(W, b) for every (W, b), from any `G` (N, K); -inf where G is not dual feasible.

            dual = -(1/N) sum_i L*_i(G_i) - (reg R)*(-Gᵀ X' / N),   where each column of G sums to 0

        It holds since L_i(s) >= g·s - L*_i(g) for every s. The bias is outside the penalty, so that a column
        of G that does not sum to 0 would let b push the bound to -inf. With sample weights both means, and the sums of
        the columns, are weighted by w_i / sum w. A column sum counts as 0 up to 64 eps sum |g|, its rounding.

        Raises:
            ShapeError: G is not (n_images, n_classes).
            IncompatibleError: the loss has no conjugate.
        """
        examples = self.examples
        if G.shape != (self.n_images, self.n_classes):
            expected = (self.n_images, self.n_classes)
            raise ShapeError(f"G has shape {G.shape}; expected (n_images, n_classes) = {expected}.")
        share = self.shares()
        columns, sizes = (share[:, None] * G).sum(axis=0), (share[:, None] * np.abs(G)).sum(axis=0)
        if (np.abs(columns) > 64.0 * float(np.finfo(G.dtype).eps) * sizes).any():
            return float("-inf")
        conjugates = self.loss.conjugate(G, examples.y)
        data = float(
            (share[share > 0] * conjugates[share > 0]).sum()
        )  # rows of G of images of weight 0 may be infeasible
        V = np.zeros((self.n_classes, self.n_features))
        for block in _blocks(self.n_images, self.n_features):
            V -= (share[block, None] * G[block]).T @ examples.mapped(block)
        if self.penalty is not None:
            return -data - self.penalty.conjugate(V, self.reg)
        return -data if not V.any() else float("-inf")

    def shares(self) -> Floats:
        """a_i = w_i / sum w, (N,): the weight of each image in the data loss."""
        return self.examples.shares()

    def describe(self) -> str:
        """The objective in words, and the constants that make other tools minimise the same one."""
        weight = self.given_weight
        lines = equivalents(
            self.loss,
            self.penalty,
            self.reg,
            n_classes=self.n_classes,
            total_weight=weight,
            weighted=self.examples.sample_weight is not None,
            class_weights=self._class_weights(),
        )
        return "\n".join([self._formula(), *lines])

    def _class_weights(self) -> Floats | None:
        """(K,) the weight of every image of a class; None where images of a class differ, or a class has none."""
        weight = self.examples.sample_weight
        if weight is None:
            return None
        highest, lowest = np.full(self.n_classes, -np.inf), np.full(self.n_classes, np.inf)
        np.maximum.at(highest, self.examples.y, weight)
        np.minimum.at(lowest, self.examples.y, weight)
        if not np.array_equal(highest, lowest):
            return None
        with np.errstate(over="ignore"):
            given: Floats = np.ldexp(highest, self._weight_exponent)
        return given

    def _formula(self) -> str:
        weights = "(1/N) sum L_i" if self.examples.sample_weight is None else "(1/sum w) sum w_i L_i"
        penalty = "" if self.penalty is None else f" + {self.reg:g} R(W), R = {self.penalty!r}"
        return (
            f"L(W, b) = {weights}{penalty}, L_i = {self.loss!r}; "
            f"N = {self.n_images}, D = {self.n_features}, K = {self.n_classes}"
        )

    def _data_gradient(self, sums: Sums, divisor: float | None = None) -> DataGradient:
        """The means of `sums`; None divides by the total weight."""
        if sums.dW is None or sums.db is None:
            raise TypeError(f"{type(self.engine).__name__} returned no gradient, though one was requested")
        total = self._total_weight if divisor is None else divisor
        with np.errstate(over="ignore", invalid="ignore"):  # diverged weights give inf or NaN, unwarned
            means = (sums.loss / total, sums.dW / total, sums.db / total, sums.accuracy)
            return DataGradient(*means, sums.score_error, sums.slope_error / total)

    def _smooth_gradient(self, gradient: DataGradient, W: Floats) -> Floats:
        """dW of all that is smooth: the data loss, and reg smooth(W)."""
        with np.errstate(over="ignore", invalid="ignore"):
            return gradient.dW if self.penalty is None else gradient.dW + self.reg * self.penalty.gradient(W)


def _blocks(n_rows: int, n_numbers: int) -> list[slice]:
    """Slices of the rows, of `n_numbers` each, that hold at most `BLOCK_NUMBERS` numbers."""
    return slices(n_rows, max(1, BLOCK_NUMBERS // max(1, n_numbers)))
