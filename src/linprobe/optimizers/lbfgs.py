"""L-BFGS in the metric of the features: the exact optimum where the loss is smooth, with a certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify
from linprobe.engines.base import Precision
from linprobe.errors import IncompatibleError
from linprobe.objective import DataGradient, Objective
from linprobe.optimizers.balance import COARSE, balance, nearly_balance
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, zeros_state
from linprobe.optimizers.coordinate_descent import DescentSteps
from linprobe.optimizers.pairs import curves, flattest, keep, listed, numbered
from linprobe.optimizers.preconditioner import (
    DENSE_FEATURES,
    Preconditioners,
    SecondMoment,
    second_moment,
    typical_curvature,
)
from linprobe.optimizers.requests import GradientRequest, Point, Search, run_search, visit
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["LBFGS", "carried"]

SUFFICIENT, CURVATURE = 1e-4, 0.9
"""Of the search along a step: decrease of the objective and of the slope, as shares of the slope at its start."""

NOISE = {Precision.COARSE: 1e-5, Precision.SINGLE: 1e-6, Precision.DOUBLE: 1e-13}
"""Relative rounding of an objective: below it, slopes decide and not values."""

COARSE_LEFT = 1e-6
"""Share of the objective that seems to be left from which on 16 bits are not enough."""

ROUGH = 100.0
"""Times what rounding the weights probably adds to what is left that there must be."""

NOISY = 2.0
"""Ratio of the gaps that a point leaves in float64 and in float32 which shows that the latter is rounding."""

PATIENCE, HASTE, NEWS = 25, 5, 0.8
"""Iterations in float32, and in 16 bits, in which what seems to be left does not fall below this share of the lowest so
far."""

REVIEW, REVIEWED, FAR = 10, 3, 3.0
"""Iterations between two looks at the curvature that the metric assumes, pairs that tell, and what is too far off."""

UNSEEN = -1000.0
"""Bias of a class without weight: e^b is 0, and remains it beside scores of a few hundred."""

NEAR = 0.8
"""Scale of a dual point from which on what it loses by it is read from the slope of its value."""

SCALES = 3
"""Of the last pairs, whose mean (geometric) scales the metric: one alone depends on where its step went."""

TRIALS = 20
"""Steps tried along one direction."""

FLATTER = 100.0
"""Times what is wanted from which down a smaller gradient is looked for among those that the pairs tell of."""

QUICK, BLAMED = 2, 0.5
"""Proofs tried after one of Newton's steps in the bias; share of a gap from which on W is to blame for it."""


@final
@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Quasi-Newton steps from the last ten changes of the gradient, preconditioned by the features' second moment.

        (W, b) <- (W, b) - step * H ∇L,   H from the pairs, H_0 = gamma (c X'ᵀX'/N + 2 reg I)⁻¹

    The pixels of photographs are so alike that plain L-BFGS crawls; in this metric a dozen passes do, nearly
    whatever reg is. With |W| in the penalty each step goes to the minimum of a quadratic model of the data loss plus
    the whole penalty, found by coordinate descent (`DescentSteps`). Ends when the relative duality gap, proved in
    float64, is at most `tol`.

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
        moment: SecondMoment | None = None,
        spent: float = 0.0,
    ) -> Solution:
        """The weights found, with their certificate; one row of the trace per iteration.

        Args:
            moment: of the features, if it is there already.
            spent: seconds that it took.
        Raises:
            IncompatibleError: the loss has kinks, or there are too many features for a penalty that has.
        """
        clock = Clock(spent)
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            metrics = Preconditioners(moment or second_moment(objective), objective.engine)
            return run_search(objective, self.search(objective, metrics, start, callback, validation, clock()))

    def search(
        self,
        objective: Objective,
        metrics: Preconditioners,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
        spent: float = 0.0,
        hopeful: bool = False,
    ) -> Search[Solution]:
        """`minimize` as a search that asks for the gradients it needs: for many that share their passes.

        Args:
            metrics: of the features.
            start: a state to continue to the same bits, or weights alone, with pairs of another reg or none
                (`carried`), to begin from.
            spent: seconds that the moment took.
            hopeful: whether the start may well be good enough: its first pass is a proof, then.
        Raises:
            IncompatibleError: the loss has kinks, or there are too many features for a penalty that has.
        """
        _check(objective)
        start = start or State(0, _zeros(objective))
        clock = Clock(start.numbers.get("seconds", 0.0) + spent)
        # here and not in the search: of many, that go on side by side, each metric is factored by all cores
        pairs: _Pairs | DescentSteps
        if objective.penalised and objective.l1_weight > 0.0:
            pairs = DescentSteps(objective, metrics.moment, start.arrays)
        else:
            curvature = start.numbers.get("curvature", typical_curvature(objective))
            pairs = _Pairs(objective, metrics, curvature, start.arrays)
        return self._search(objective, pairs, start, Trace(objective, validation, callback), clock, hopeful)

    def _search(
        self,
        objective: Objective,
        pairs: _Pairs | DescentSteps,
        start: State,
        trace: Trace,
        clock: Clock,
        hopeful: bool,
    ) -> Search[Solution]:
        arrays, numbers = start.arrays, start.numbers
        precision = Precision(int(numbers.get("precision", Precision.COARSE)))
        # that of the pass at the point
        seen = Precision(int(numbers.get("seen", Precision.PROOF if hopeful else precision)))
        passes, wanted = numbers.get("passes", 0.0), numbers.get("wanted", self.tol)
        k, step_taken = start.epoch, 0.0
        lowest, since = numbers.get("lowest", math.inf), numbers.get("since", 0.0)
        best: _Proof | None = None
        state = start
        point: Point | None = None
        first_norm = numbers.get("first_norm", math.nan)
        status: Status | None = None
        try:
            W, b = arrays["W"], arrays["b"]
            if W.any():
                gradient = yield GradientRequest(W, b, seen)
            else:
                gradient = objective.gradient_at_zero(b)
            point = Point(W, b, *objective.with_penalty(gradient, W))
            if math.isnan(first_norm):
                first_norm = point.evaluation.gradient_norm
                passes += 1.0  # a resumed search repeats this one, and does not count it
            left = _left(objective, point)
            if hopeful and objective.penalised:
                best = _proof(objective, point.W, point.b, gradient, passes, clock)
            while True:
                seconds = clock()
                known = {
                    "seconds": seconds,
                    "passes": passes,
                    "first_norm": first_norm,
                    "wanted": wanted,
                    **pairs.numbers,
                    "precision": float(precision),
                    "seen": float(seen),
                    "lowest": lowest,
                    "since": since,
                    **({"left": left} if objective.penalised else {}),
                }
                state = State(k, {"W": point.W, "b": point.b, **pairs.arrays()}, known)
                shown = state if trace.callback is None else _to_keep(state)
                held_out = None if trace.validation is None else trace.validation.evaluate(point.W, point.b)
                stop = trace.add(
                    (point.evaluation, held_out),
                    shown,
                    learning_rate=step_taken,
                    passes=passes,
                    seconds=seconds,
                    given_away=True,
                )
                if _separable(objective, point):
                    status = Status.SEPARABLE
                elif stop:
                    status = Status.STOPPED
                elif k >= self.max_iter:
                    status = Status.MAX_ITER
                elif (status := self._proved(objective, best, first_norm)) is None:
                    unit = point.evaluation.objective if objective.penalised else first_norm
                    likely, promised = point, left
                    if wanted * unit < left <= FLATTER * wanted * unit and isinstance(pairs, _Pairs):
                        likely = pairs.flattest(point)
                        promised = _left(objective, likely)
                    if promised <= wanted * unit:
                        best, passes = yield from _certified(
                            objective, likely.W, likely.b, likely.db, self.tol, passes, clock
                        )
                        found = self._found(objective, best.certificate, first_norm)
                        status = self._proved(objective, best, first_norm)
                        # what the proof lost against the promise, it will probably lose again
                        hoped = self.tol - (found - promised / max(unit, 1e-300))
                        wanted = hoped if 0.25 * wanted < hoped < 0.9 * wanted else 0.5 * wanted
                if status is not None:
                    break
                tried = precision
                following, step_taken, trials = yield from _along(
                    objective, point, pairs.direction(point), precision, pairs.bend, left
                )
                passes += trials
                if precision is Precision.COARSE and (following is None or since > HASTE):
                    precision, since = Precision.SINGLE, 0.0
                    if following is None:
                        seen = precision
                        point = yield from visit(objective, point.W, point.b, seen)
                        passes, left = passes + 1.0, _left(objective, point)
                        pairs.clear()
                        continue
                # when float32 has no more to give
                noisy = since > PATIENCE or (
                    best is not None
                    and likely is point
                    and (not objective.penalised or _left(objective, best.point) > NOISY * left)
                )
                if (noisy or following is None) and precision is not Precision.DOUBLE:
                    if best is None:
                        best, passes = yield from _certified(
                            objective, point.W, point.b, point.db, self.tol, passes, clock
                        )
                    precision, since, point, seen = Precision.DOUBLE, 0.0, best.point, best.precision
                    left = _left(objective, point)
                    pairs.clear()
                    continue
                if following is None and pairs.count:
                    pairs.clear()  # rounding may have spoilt them; the metric alone is always a descent
                    continue
                if following is None:
                    status = Status.STALLED
                    break
                pairs.add(point, following)
                point, seen, k, best = following, tried, k + 1, None
                left = _left(objective, point)
                lowest, since = (left, 0.0) if left < NEWS * lowest else (lowest, since + 1.0)
                pairs.review(k, point)
                near = objective.penalised and left <= COARSE_LEFT * point.evaluation.objective
                if near and precision is Precision.COARSE:
                    precision = Precision.SINGLE
        except KeyboardInterrupt:
            status = Status.INTERRUPTED

        if best is None:
            W, b, db = (arrays["W"], arrays["b"], None) if point is None else (point.W, point.b, point.db)
            best, passes = yield from _certified(objective, W, b, db, self.tol, passes, clock)
        certificate, W, b = best.certificate, best.point.W, best.point.b
        if trace.history:
            trace.settle(best.point.evaluation)
        if status in (Status.STALLED, Status.MAX_ITER):
            status = self._proved(objective, best, first_norm) or status
        words = {"metric": "second moment of the features, from a sample of rows"}
        return Solution(W, b, status, trace.history, state, passes, clock(), words, certificate)

    def _proved(self, objective: Objective, best: _Proof | None, first_norm: float) -> Status | None:
        """How a search ends with this proof; None where it goes on."""
        if best is None or self._found(objective, best.certificate, first_norm) > self.tol:
            return None
        return Status.CERTIFIED if objective.penalised else Status.CONVERGED

    def _found(self, objective: Objective, certificate: Certificate, first_norm: float) -> float:
        """What is to be at most tol."""
        if not objective.penalised:
            return certificate.gradient_norm / first_norm if first_norm > 0.0 else 0.0
        return certificate.relative_gap


def _to_keep(state: State) -> State:
    """The state, with W and b of its own; of what is anyone else's all can only be read."""
    own = {name: state.arrays[name].copy() for name in ("W", "b")}
    return State(state.epoch, state.arrays | own, dict(state.numbers))


def carried(state: State, l2_change: float, W: Floats, b: Floats) -> State:
    """(W, b) as a start, with what `state`, of an objective with another reg, knows of the curvature.

    Args:
        state: of a search of `LBFGS`.
        l2_change: `Objective.l2_weight` now, less that of the other objective: its y change by 2 l2_change s.
        W, b: where to start.
    """
    arrays = {"W": W, "b": b}
    steps, changes = listed(state.arrays, "s"), [y.copy() for y in listed(state.arrays, "y")]
    for s, y in zip(steps, changes, strict=True):
        y[:, :-1] += 2.0 * l2_change * s[:, :-1]
    arrays |= numbered(s=steps, y=changes)
    numbers = {name: state.numbers[name] for name in ("curvature",) if name in state.numbers}
    return State(0, arrays, numbers)


def _left(objective: Objective, at: Point) -> float:
    """What a certificate from this gradient will probably say is left: the duality gap, or the norm of ∇L."""
    if not objective.penalised:
        return at.evaluation.gradient_norm
    if objective.l1_weight > 0.0:
        return _left_of_sizes(objective, at)
    # The bias is balanced before, which moves dW by the mean image of each class times db, or twice that.
    shares, sums = objective.class_means()
    means = np.square(sums).sum(axis=1) / np.square(np.where(shares > 0.0, shares, np.inf))
    slight = 2.5 * float(np.square(at.db) @ (objective.n_classes + means / (4.0 * objective.l2_weight)))
    return float(np.square(at.dW).sum()) / (4.0 * objective.l2_weight) + slight


def _left_of_sizes(objective: Objective, at: Point) -> float:
    """The same with |W|: of the dual point A, the data gradient, scaled until the penalty's conjugate is finite."""
    penalty, reg = objective.penalty, objective.reg
    assert penalty is not None
    A = at.dW - 2.0 * objective.l2_weight * at.W
    scale = penalty.dual_scale(A, reg)
    products = float((A * at.W).sum() + at.db @ at.b)
    value = at.evaluation.data_loss - products
    # at `scale` by its slope at 1, if that is near, and at least in proportion
    value = max(scale * value, value + (1.0 - scale) * products if scale > NEAR else -math.inf)
    return at.evaluation.objective - value + penalty.conjugate(-scale * A, reg)


class _Pairs:
    """The last steps s and changes of the gradient y, W and b side by side, and the direction they give."""

    def __init__(
        self, objective: Objective, metrics: Preconditioners, curvature: float, arrays: dict[str, Floats]
    ) -> None:
        self._ridge, self._metrics, self.curvature = 2.0 * objective.l2_weight, metrics, curvature
        self._metric = metrics.of(self._ridge / curvature)
        self._s, self._y = listed(arrays, "s"), listed(arrays, "y")
        # M⁻¹ y of each pair in this metric M, where it is known, and M⁻¹ ∇L where the last one begins
        self._z: list[Floats | None] = [arrays.get(f"z{i}") for i in range(len(self._s))]
        self._solved = arrays.get("solved")

    @property
    def count(self) -> int:
        return len(self._s)

    @property
    def bend(self) -> float:
        """What the data loss probably makes of the norm of a small step, in its gradient; inf without a ridge."""
        return math.inf if self._ridge == 0.0 else self.curvature * self._metrics.moment.spread

    def clear(self) -> None:
        self._s, self._y, self._z = [], [], []

    @property
    def numbers(self) -> dict[str, float]:
        return {"curvature": self.curvature}

    def review(self, step: int, point: Point) -> None:
        """Adopt the curvature of the loss that the last steps met, where it is far from the one in use.

        At the end of a search most images are far from their margins, and bend the objective much less than at
        its start; what matters is the ratio to the ridge, which does not change.
        """
        if step % REVIEW or not self._s:
            return
        steps, changes = np.stack(self._s[-REVIEWED:]), np.stack(self._y[-REVIEWED:])
        W, moment = steps[:, :, :-1], self._metrics.moment
        bends = float((steps * changes).sum()) - self._ridge * float(np.square(W).sum())
        shifts = steps[:, :, -1] + W @ moment.mean
        lengths = moment.along(W.reshape(-1, W.shape[2])) + float(np.square(shifts).sum())
        if not (bends > 0.0 and lengths > 0.0):
            return
        found = bends / lengths
        if not 1.0 / FAR < found / self.curvature < FAR:
            self.curvature = found
            self._metric = self._metrics.of(self._ridge / found)
            self._z, self._solved = [None] * len(self._s), None

    def arrays(self) -> dict[str, Floats]:
        return numbered(s=self._s, y=self._y, z=self._z) | ({} if self._solved is None else {"solved": self._solved})

    def add(self, point: Point, following: Point) -> None:
        s, y = point.step_to(following), following.gradient - point.gradient
        if curves(s, y):
            keep((self._s, s), (self._y, y))
            keep((self._z, None))

    def flattest(self, point: Point) -> Point:
        """Where the gradient is smallest, of the point and of what the pairs tell of others: what a proof wants.

        Steps lower the objective: along what all images share, where it bends most, they leave a gradient that costs
        the bound far more than it does the objective.
        """
        if not self._s:
            return point
        step, left = flattest(self._s, self._y, point.gradient)
        return Point(point.W + step[:, :-1], point.b + step[:, -1], point.evaluation, left[:, :-1], left[:, -1])

    def direction(self, point: Point) -> Floats:
        """-H ∇L, (K, D + 1)."""
        q = point.gradient
        r = self._solve(q) if all(z is not None for z in self._z[:-1]) else None
        bends = [float(np.vdot(s, y)) for s, y in zip(self._s, self._y, strict=True)]
        weights = [0.0] * len(bends)
        for i in reversed(range(len(bends))):
            weights[i] = float(np.vdot(self._s[i], q)) / bends[i]
            q -= weights[i] * self._y[i]
            if r is not None and (z := self._z[i]) is not None:
                r -= weights[i] * z
        if r is None:  # the pairs are of another metric
            r, self._z[-1] = self._metric.solve_all([q, self._y[-1]])
            self._solved = None
        r *= self._scale(bends)
        for s, y, weight, bend in zip(self._s, self._y, weights, bends, strict=True):
            r += s * (weight - float(np.vdot(y, r)) / bend)
        return -r

    def _solve(self, gradient: Floats) -> Floats:
        """M⁻¹ ∇L, the caller's to change. From then on M⁻¹ y of all pairs is known: a difference of two of these."""
        if not self._z or self._z[-1] is not None:
            solved = self._metric.solve_all([gradient])[0]
        elif self._solved is not None:
            solved = self._metric.solve_all([gradient])[0]
            self._z[-1] = solved - self._solved
        else:
            solved, self._z[-1] = self._metric.solve_all([gradient, self._y[-1]])
        solved.setflags(write=False)
        self._solved = solved
        return solved.copy()

    def _scale(self, bends: list[float]) -> float:
        """Of M⁻¹, by the last pairs: what they bend the objective, to what they bend the metric."""
        scales = []
        for bend, y, z in list(zip(bends, self._y, self._z, strict=True))[-SCALES:]:
            product = 0.0 if z is None else float(np.vdot(y, z))
            if product > 0.0:  # y may be too small for float32
                scales.append(bend / product)
        return math.exp(sum(map(math.log, scales)) / len(scales)) if scales else 1.0 / self.curvature


def _along(
    objective: Objective, point: Point, direction: Floats, precision: Precision, bend: float, left: float
) -> Search[tuple[Point | None, float, int]]:
    """(a point along the direction that meets Wolfe's conditions, with |W| Armijo's; or None; its step; passes)."""
    dW, db, reg = direction[:, :-1], direction[:, -1], objective.l1_weight
    slope = float((point.dW * dW).sum() + point.db @ db)
    if reg > 0.0:  # of the chord, as the step goes to the minimum of a model with kinks, and never beyond
        slope += reg * float(np.abs(point.W + dW).sum() - np.abs(point.W).sum())
    if not slope < 0.0:
        return None, 0.0, 0
    value = point.evaluation.objective
    noise = NOISE[precision] * abs(value)
    low, high, step = 0.0, math.inf, 1.0
    for trial in range(1, TRIALS + 1):
        W = _at(objective, point.W + step * dW, precision, bend, left)
        following = yield from visit(objective, W, point.b + step * db, precision)
        found = following.evaluation.objective
        new_slope = float((following.dW * dW).sum() + following.db @ db)
        if reg > 0.0:  # from behind: a weight that has come to 0 had the other sign
            signs = np.where(following.W == 0.0, -np.sign(dW), np.sign(following.W))
            new_slope += reg * float((signs * dW).sum())
        falls = found <= value + SUFFICIENT * step * slope
        # where the decrease drowns in rounding, a slope that shrinks tells of it as well
        near = found <= value + noise and (2.0 * SUFFICIENT - 1.0) * slope >= new_slope
        if not (falls or near):  # NaN included
            high = step
        elif new_slope < CURVATURE * slope and reg == 0.0:
            low = step
        else:
            return following, step, trial
        step = 0.5 * (low + high) if math.isfinite(high) else 2.0 * step
    return None, 0.0, TRIALS


def _at(objective: Objective, W: Floats, precision: Precision, bend: float, left: float) -> Floats:
    """Where to make a pass for W: where the engine gains by it, at weights near by, while their rounding is little."""
    if precision is not Precision.COARSE or bend == math.inf:
        return W
    for near in objective.engine.coarse(W):
        noise = float(np.square(near - W).sum()) * bend**2 / (4.0 * objective.l2_weight)
        if ROUGH * noise <= left:
            return near
    return W


@dataclass(frozen=True)
class _Proof:
    """A certificate, and its point in float64: the bias is balanced."""

    certificate: Certificate
    point: Point
    precision: Precision


def _proof(
    objective: Objective,
    W: Floats,
    b: Floats,
    gradient: DataGradient,
    passes: float,
    clock: Clock,
    precision: Precision = Precision.PROOF,
) -> _Proof:
    """What the data gradient at (W, b) proves."""
    certificate = certify(objective, W, b, gradient=gradient, passes=passes, seconds=clock())
    return _Proof(certificate, Point(W, b, *objective.with_penalty(gradient, W)), precision)


def _certified(
    objective: Objective, W: Floats, b: Floats, db: Floats | None, tol: float, passes: float, clock: Clock
) -> Search[tuple[_Proof, float]]:
    """(what is proved near (W, b), passes); `db` is the gradient in the bias there, None where it is not known."""

    if db is not None and objective.penalised and tol >= COARSE:
        for _ in range(QUICK):
            found = yield from nearly_balance(objective, W, b, db)
            quick = _proof(objective, W, *found, passes + 1.0, clock)
            passes, b, db = quick.certificate.passes, quick.point.b, quick.point.db
            if quick.certificate.relative_gap <= tol or _left(objective, quick.point) > BLAMED * quick.certificate.gap:
                return quick, passes
    found = yield from balance(objective, W, b, tol)
    passes += 1.0
    proved = _proof(objective, W, *found, passes + 1.0, clock, Precision.DOUBLE)
    return proved, proved.certificate.passes


def _zeros(objective: Objective) -> dict[str, Floats]:
    """Zero weights; under softmax, a bias that leaves no probability to a class without weight.

    Softmax presses such a bias down for ever: the infimum is there once e^b is 0 in float64.
    """
    arrays: dict[str, Floats] = zeros_state(objective, np.float64).arrays
    if objective.loss.name == "softmax":
        arrays["b"][objective.class_means()[0] == 0.0] = UNSEEN
    return arrays


def _check(objective: Objective) -> None:
    if not objective.loss.smooth:
        raise IncompatibleError(
            f"LBFGS needs a smooth loss and {type(objective.loss).__name__} has kinks. "
            "Use optimizer='exact', which takes ADMM for it, or optimizer='sgd'."
        )
    if objective.penalised and objective.l1_weight > 0.0 and objective.n_features > DENSE_FEATURES:
        raise IncompatibleError(
            f"LBFGS with |W| keeps a (D, D) matrix; there are D = {objective.n_features} features and it takes "
            f"{DENSE_FEATURES} at most. Use optimizer='exact', which takes ADMM for them, or optimizer='sgd'."
        )


def _separable(objective: Objective, point: Point) -> bool:
    """Whether the weights show that no minimum exists: no penalty, softmax, and every image classified correctly."""
    evaluation = point.evaluation
    return not objective.penalised and objective.loss.name == "softmax" and evaluation.accuracy == 1.0
