"""L-BFGS in the metric of the features: the exact optimum of a smooth objective, with a certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify
from linprobe.errors import IncompatibleError
from linprobe.objective import DataGradient, Evaluation, Objective
from linprobe.optimizers.asking import Ask, Asking, answer
from linprobe.optimizers.balance import COARSE, balance, nearly_balance
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, zeros_state
from linprobe.optimizers.preconditioner import Preconditioners, second_moment
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["LBFGS", "carried"]

MEMORY = 10
"""Pairs of steps and changes of the gradient that are kept."""

SUFFICIENT, CURVATURE = 1e-4, 0.9
"""Of the search along a step: decrease of the objective and of the slope, as shares of the slope at its start."""

NOISE = 1e-6
"""Relative rounding of an objective whose scores are float32: below it, slopes decide and not values."""

NOISE_PRECISE = 1e-13
"""The same of float64."""

NOISY = 2.0
"""Ratio of the gaps that a point leaves in float64 and in float32 which shows that the latter is rounding."""

REVIEW, FAR = 10, 3.0
"""Iterations between two looks at the curvature that the metric assumes, and the factor that is too far off."""

UNSEEN = -1000.0
"""Bias of a class without weight: e^b is 0, and remains it beside scores of a few hundred."""

TRIALS = 20
"""Steps tried along one direction."""


@final
@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Quasi-Newton steps from the last ten changes of the gradient, preconditioned by the features' second moment.

        (W, b) <- (W, b) - step * H ∇L,   H from the pairs, H_0 = gamma (c X'ᵀX'/N + 2 reg I)⁻¹

    The pixels of photographs are so alike that plain L-BFGS crawls; in this metric a dozen passes do, nearly
    whatever reg is. Ends when the relative duality gap, proved in float64, is at most `tol`.

    Args:
        tol: relative duality gap to reach, >= 0. Without a penalty there is no finite dual bound, and the
            norm of the gradient, relative to its norm at W = 0, is to be at most tol.
        max_iter: iterations at most, >= 0.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989; the conditions
        near rounding are Hager and Zhang's, 2005.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="softmax", penalty="l2", reg=0.1, engine="reference")
        >>> solution = LBFGS(tol=1e-6).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 6)
        ('CERTIFIED', 0.400873)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "lbfgs"

    def __post_init__(self) -> None:
        check_range("tol", self.tol, low=0.0)
        check_range("max_iter", self.max_iter, low=0)

    def minimize(
        self,
        objective: Objective,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
        watch: Watch | None = None,
    ) -> Solution:
        """The weights found, with their certificate; one row of the trace per iteration.

        Raises:
            IncompatibleError: the loss or the penalty has kinks.
        """
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            metrics = Preconditioners(second_moment(objective))
            return answer(objective, self.search(objective, metrics, start, callback, validation))

    def search(
        self,
        objective: Objective,
        metrics: Preconditioners,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
    ) -> Asking[Solution]:
        """`minimize` as a search that asks for the gradients it needs: for many that share their passes.

        Args:
            metrics: of the features.
            start: a state to continue to the same bits, or weights alone, with pairs of another reg or none
                (`carried`), to begin from.
        Raises:
            IncompatibleError: the loss or the penalty has kinks.
        """
        _check_smooth(objective)
        return self._search(objective, metrics, start, callback, validation)

    def _search(
        self,
        objective: Objective,
        metrics: Preconditioners,
        start: State | None,
        callback: Callback | None,
        validation: Objective | None,
    ) -> Asking[Solution]:
        arrays, numbers = (_zeros(objective), {}) if start is None else (start.arrays, start.numbers)
        clock, trace = Clock(numbers.get("seconds", 0.0)), Trace(objective, validation, callback)
        precise = bool(numbers.get("precise", 0.0))
        pairs = _Pairs(objective, metrics, numbers.get("curvature", _typical_curvature(objective)), arrays)
        passes, wanted = numbers.get("passes", 0.0), numbers.get("wanted", self.tol)
        k, step_taken = 0 if start is None else start.epoch, 0.0
        best: _Proof | None = None
        state = State(k, {"W": arrays["W"], "b": arrays["b"]}, numbers)
        point: _Point | None = None
        first_norm = numbers.get("first_norm", math.nan)
        status: Status | None = None
        try:
            point = yield from _at(objective, arrays["W"], arrays["b"], precise)
            if math.isnan(first_norm):
                first_norm = point.evaluation.gradient_norm
                passes += 1.0  # a resumed search repeats this one, and does not count it
            while True:
                seconds = clock()
                known = {
                    "seconds": seconds,
                    "passes": passes,
                    "first_norm": first_norm,
                    "wanted": wanted,
                    "curvature": pairs.curvature,
                    "precise": float(precise),
                    **({"left": point.left(objective)} if objective.penalised else {}),
                }
                # the pairs are large: they are gathered for those who look, and at the end
                gathered = pairs.arrays() if callback is not None else {}
                state = State(k, {"W": point.W, "b": point.b, **gathered}, known)
                held_out = None if validation is None else validation.evaluate(point.W, point.b)
                stop = trace.add(
                    (point.evaluation, held_out), state, learning_rate=step_taken, passes=passes, seconds=seconds
                )
                if _separable(objective, point):
                    status = Status.SEPARABLE
                elif stop:
                    status = Status.STOPPED
                elif k >= self.max_iter:
                    status = Status.MAX_ITER
                elif point.left(objective) <= wanted * (
                    point.evaluation.objective if objective.penalised else first_norm
                ):
                    best, passes = yield from _certified(objective, point.W, point.b, point.db, self.tol, passes, clock)
                    if self._met(objective, best.certificate, first_norm):
                        status = Status.CERTIFIED if objective.penalised else Status.CONVERGED
                    wanted *= 0.5
                if status is not None:
                    break
                following, step_taken, trials = yield from _along(objective, point, pairs.direction(point), precise)
                passes += trials
                # when float32 has no more to give
                noisy = best is not None and (
                    not objective.penalised or best.point.left(objective) > NOISY * point.left(objective)
                )
                if (noisy or following is None) and not precise:
                    if best is None:
                        best, passes = yield from _certified(
                            objective, point.W, point.b, point.db, self.tol, passes, clock
                        )
                    precise, point = True, best.point
                    pairs.clear()
                    continue
                if following is None and pairs.count:
                    pairs.clear()  # rounding may have spoilt them; the metric alone is always a descent
                    continue
                if following is None:
                    status = Status.STALLED
                    break
                pairs.add(point, following)
                point, k, best = following, k + 1, None
                if k % REVIEW == 0:
                    pairs.review()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED

        if best is None:
            W, b, db = (arrays["W"], arrays["b"], None) if point is None else (point.W, point.b, point.db)
            best, passes = yield from _certified(objective, W, b, db, self.tol, passes, clock)
        certificate, W, b = best.certificate, best.point.W, best.point.b
        state = State(state.epoch, {**state.arrays, **pairs.arrays()}, state.numbers)
        if status in (Status.STALLED, Status.MAX_ITER) and self._met(objective, certificate, first_norm):
            status = Status.CERTIFIED if objective.penalised else Status.CONVERGED
        words = {"metric": "second moment of the features, from a sample of rows"}
        return Solution(W, b, status, trace.history, state, passes, clock(), words, certificate)

    def _met(self, objective: Objective, certificate: Certificate, first_norm: float) -> bool:
        if not objective.penalised:
            return certificate.gradient_norm <= self.tol * first_norm
        return certificate.relative_gap <= self.tol


def carried(state: State, squares: float, W: Floats, b: Floats) -> State:
    """(W, b) as a start, with what `state`, of an objective with another reg, knows of the curvature.

    Args:
        state: of a search of `LBFGS`.
        squares: `Objective.squares` now, less that of the other objective: the change of its y is 2 squares s.
        W, b: where to start.
    """
    arrays = {"W": W, "b": b}
    if "s" in state.arrays:
        s, y = state.arrays["s"], state.arrays["y"].copy()
        y[:, :, :-1] += 2.0 * squares * s[:, :, :-1]
        arrays |= {"s": s, "y": y}
    numbers = {name: state.numbers[name] for name in ("curvature",) if name in state.numbers}
    return State(0, arrays, numbers)


@dataclass(frozen=True)
class _Point:
    """(W, b), with what a pass tells of it."""

    W: Floats
    b: Floats
    evaluation: Evaluation
    dW: Floats
    db: Floats

    def left(self, objective: Objective) -> float:
        """What a certificate from this gradient will probably say is left: the duality gap, or the norm of ∇L."""
        if not objective.penalised:
            return self.evaluation.gradient_norm
        # The bias is balanced before, which moves dW by the mean image of each class times db, or twice that.
        shares, sums = objective.class_means()
        means = np.square(sums).sum(axis=1) / np.square(np.where(shares > 0.0, shares, np.inf))
        slight = 2.5 * float(np.square(self.db) @ (objective.n_classes + means / (4.0 * objective.squares)))
        return float(np.square(self.dW).sum()) / (4.0 * objective.squares) + slight


def _at(objective: Objective, W: Floats, b: Floats, precise: bool) -> Asking[_Point]:
    gradient = yield Ask(W, b, precise)
    return _Point(W, b, *objective.with_penalty(gradient, W))


class _Pairs:
    """The last steps s and changes of the gradient y, W and b side by side, and the direction they give.

    The metric M is linear: M⁻¹y is the change of M⁻¹∇L, and kept too, so that a direction takes one solve.
    """

    def __init__(
        self, objective: Objective, metrics: Preconditioners, curvature: float, arrays: dict[str, Floats]
    ) -> None:
        self._ridge, self._metrics, self.curvature = 2.0 * objective.squares, metrics, curvature
        self._metric = metrics.of(self._ridge / curvature)
        self._s: list[Floats] = []
        self._y: list[Floats] = []
        self._z: list[Floats] = []
        self._solved: tuple[_Point, Floats] | None = None  # M⁻¹∇L at the point that was last asked for
        if "s" in arrays:
            self._s, self._y = list(arrays["s"]), list(arrays["y"])
            self._z = list(arrays["z"]) if "z" in arrays else self._metric.solve_all(self._y)

    @property
    def count(self) -> int:
        return len(self._s)

    def clear(self) -> None:
        self._s, self._y, self._z = [], [], []

    def review(self) -> None:
        """Adopt the curvature of the loss that the last steps met, where it is far from the one in use.

        At the end of a search most images are far from their margins, and bend the objective much less than at
        its start; what matters is the ratio to the ridge, which does not change.
        """
        if not self._s:
            return
        steps, changes = np.stack(self._s), np.stack(self._y)
        W, moment = steps[:, :, :-1], self._metrics.moment
        bends = float((steps * changes).sum()) - self._ridge * float(np.square(W).sum())
        shifts = steps[:, :, -1] + W @ moment.mean
        lengths = moment.along(W.reshape(-1, W.shape[2])) + float(np.square(shifts).sum())
        if not (bends > 0.0 and lengths > 0.0):
            return
        found = bends / lengths
        if not 1.0 / FAR < found / self.curvature < FAR:
            self.curvature = found
            self._metric, self._solved = self._metrics.of(self._ridge / found), None
            self._z = self._metric.solve_all(self._y)

    def arrays(self) -> dict[str, Floats]:
        return {"s": np.array(self._s), "y": np.array(self._y), "z": np.array(self._z)} if self._s else {}

    def add(self, point: _Point, following: _Point) -> None:
        s = _joined(following.W - point.W, following.b - point.b)
        y = _joined(following.dW - point.dW, following.db - point.db)
        if float((s * y).sum()) > 1e-12 * float(np.sqrt(np.square(s).sum() * np.square(y).sum())):
            z = -self._solve(point)
            z += self._solve(following)
            for kept, new in ((self._s, s), (self._y, y), (self._z, z)):
                kept.append(new)
                del kept[:-MEMORY]

    def direction(self, point: _Point) -> Floats:
        """-H ∇L, (K, D + 1)."""
        q, r = _joined(point.dW, point.db), self._solve(point).copy()
        weights = []
        for s, y, z in zip(reversed(self._s), reversed(self._y), reversed(self._z), strict=True):
            weights.append(float((s * q).sum() / (s * y).sum()))
            q -= weights[-1] * y
            r -= weights[-1] * z
        r /= self.curvature
        if self._s:
            s, y, z = self._s[-1], self._y[-1], self._z[-1]
            bend = float((y * z).sum()) / self.curvature
            r *= float((s * y).sum()) / bend if bend > 0.0 else 1.0  # y may be too small for float32
        for s, y, weight in zip(self._s, self._y, reversed(weights), strict=True):
            r += s * (weight - float((y * r).sum() / (s * y).sum()))
        return -r

    def _solve(self, point: _Point) -> Floats:
        """M⁻¹∇L at `point`."""
        if self._solved is None or self._solved[0] is not point:
            self._solved = point, _joined(*self._metric.solve(point.dW, point.db))
        return self._solved[1]


def _joined(W: Floats, b: Floats) -> Floats:
    return np.concatenate([W, b[:, None]], axis=1)


def _along(
    objective: Objective, point: _Point, direction: Floats, precise: bool
) -> Asking[tuple[_Point | None, float, int]]:
    """(a point along the direction that meets Wolfe's conditions, or None; its step; passes)."""
    dW, db = direction[:, :-1], direction[:, -1]
    slope = float((point.dW * dW).sum() + point.db @ db)
    if not slope < 0.0:
        return None, 0.0, 0
    value = point.evaluation.objective
    noise = (NOISE_PRECISE if precise else NOISE) * abs(value)
    low, high, step = 0.0, math.inf, 1.0
    for trial in range(1, TRIALS + 1):
        following = yield from _at(objective, point.W + step * dW, point.b + step * db, precise)
        found = following.evaluation.objective
        new_slope = float((following.dW * dW).sum() + following.db @ db)
        falls = found <= value + SUFFICIENT * step * slope
        # where the decrease drowns in rounding, a slope that shrinks tells of it as well
        near = found <= value + noise and (2.0 * SUFFICIENT - 1.0) * slope >= new_slope
        if not (falls or near):  # NaN included
            high = step
        elif new_slope < CURVATURE * slope:
            low = step
        else:
            return following, step, trial
        step = 0.5 * (low + high) if math.isfinite(high) else 2.0 * step
    return None, 0.0, TRIALS


@dataclass(frozen=True)
class _Proof:
    """A certificate, and its point in float64: the bias is balanced."""

    certificate: Certificate
    point: _Point


def _certified(
    objective: Objective, W: Floats, b: Floats, db: Floats | None, tol: float, passes: float, clock: Clock
) -> Asking[tuple[_Proof, float]]:
    """(what is proved near (W, b), passes); `db` is the gradient in the bias there, None where it is not known."""

    def proof(bias: Floats, gradient: DataGradient) -> _Proof:
        certificate = certify(objective, W, bias, gradient=gradient, passes=passes, seconds=clock())
        return _Proof(certificate, _Point(W, bias, *objective.with_penalty(gradient, W)))

    if db is not None and objective.penalised and tol >= COARSE:
        found = yield from nearly_balance(objective, W, b, db)
        passes += 1.0
        quick = proof(*found)
        if quick.certificate.relative_gap <= tol:
            return quick, passes
    found = yield from balance(objective, W, b, tol)
    passes += 2.0
    return proof(*found), passes


def _zeros(objective: Objective) -> dict[str, Floats]:
    """Zero weights; under softmax, a bias that leaves no probability to a class without weight.

    Softmax presses such a bias down for ever: the infimum is there once e^b is 0 in float64.
    """
    arrays: dict[str, Floats] = zeros_state(objective, np.float64).arrays
    if objective.loss.name == "softmax":
        arrays["b"][objective.class_means()[0] == 0.0] = UNSEEN
    return arrays


def _typical_curvature(objective: Objective) -> float:
    """Of the loss along scores, at the start: 0.1 for softmax, p (1 - p) over ten classes; 2 for a squared margin."""
    bound = objective.loss.curvature(objective.n_classes)
    return 0.2 * bound if bound <= 0.5 else min(bound, 2.0)


def _check_smooth(objective: Objective) -> None:
    for part in (objective.loss, objective.penalty if objective.penalised else None):
        if part is not None and not part.smooth:
            raise IncompatibleError(
                f"LBFGS needs a smooth objective and {type(part).__name__} has kinks. "
                "Use optimizer='exact', which takes ADMM for it, or optimizer='sgd'."
            )


def _separable(objective: Objective, point: _Point) -> bool:
    """Whether the weights show that no minimum exists: no penalty, softmax, and every image classified correctly."""
    evaluation = point.evaluation
    return not objective.penalised and objective.loss.name == "softmax" and evaluation.accuracy == 1.0
