"""Newton's method with conjugate gradients: the exact optimum of a smooth loss with L2 and many classes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify, lower_bound_from
from linprobe.engines.base import Precision
from linprobe.errors import IncompatibleError
from linprobe.objective import DataGradient, DualPoint, Evaluation, Objective
from linprobe.optimizers.balance import bias_curvature
from linprobe.optimizers.base import Callback, Epoch, Optimizer, Solution, State, Status, Watch
from linprobe.optimizers.curvature import ClassMetric, Hessian, curvature_at
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.model_point import model_point
from linprobe.optimizers.preconditioner import SecondMoment, second_moment
from linprobe.optimizers.states import checked_arrays, weights_of_state
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["Newton", "suits_newton"]

FIRST_REVIEW, REVIEW = 20, 10
"""Iterations of L-BFGS before it is first compared with Newton's method, and between two comparisons."""

EXPECTED_STEPS, EXPECTED_PRODUCTS = 5.0, 30.0
"""Newton's steps to a gap of 1e-4 from where L-BFGS ends, and products of each, for that comparison; measured by
benchmarks/many_classes.py."""

DENSE_PRODUCTS, DENSE_METRICS = 10.0, 2.0
"""The same where products are of all classes of all images: of a step, and metrics of them all."""

DENSE_PRODUCT, SOLVE, METRIC = 0.5, 15.0, 0.8
"""What a product takes there, in passes of L-BFGS; a use of the metric, times D / N; and a metric, times D² / N: by the
time they take on 50,000 x 768 with 100 classes (benchmarks/many_classes.py). Of few images a metric takes less: times D
at most."""

FORCING = 0.1
"""Share of the gradient that a Newton step may leave, by its own model."""

LEAST_CHANGE, MOST_CHANGE = 0.5, 10.0
"""Factor of the ridge of a class from one step to the next, at least and at most."""

SHORT, TINY = 0.25, 1e-300
"""Share of a step that counts as short; and a slope that is none."""

LEFT_OF_GAIN, PROOF_DAMPING, PROOF_LEFT = 8.0, 100.0, 0.1
"""Of the dual point of a step's model. It is tried once the gain of the step is below what is wanted, divided by
LEFT_OF_GAIN. Its step is damped by PROOF_DAMPING times the penalty, so that few margins are satisfied on its way, and
its gradient may leave PROOF_LEFT of tol. On many_classes.py at reg 1e-5 the gap that the gradient proves is 300 to
5,000 times the true one."""

MOST_SHORT = 12
"""Short steps, beyond which L-BFGS takes over again: where hardly any margin of a squared hinge is violated, each step
changes which they are."""

SEPARABLE, MOST_STEPS = 1e-3, 40
"""Data loss, as a share of that of equal scores, below which the classes are nearly separable, and the steps after
which L-BFGS takes over there. 15,000 of the vectors of many_classes.py at reg 1e-4, whose share is 1e-4, were not
certified after 6,600 passes; 50,000 at 1e-5, whose share is 0.02, take 751."""

LEAST_WANTED = 1e-13
"""Relative gap below which nothing is gained in float64."""

FAR_GAP, STAGE_GAP, STAGE = 3.0, 0.3, 10.0
"""Relative gap, predicted, above which a larger reg is solved for first: there full steps overshoot, as classes that
have no curvature yet gain some; relative gap down to which each of those is; and its ratio to the next."""

MOST_RENEWALS = 16.0
"""Steps, at most, that begin with a metric of their own once the metric of an earlier point was given up within one:
1, then twice as many each time, half as many after each that has served."""

SOLVED = 1.5
"""What a product and the metric's part in it cost, by the time they take, relative to their operations."""

NEXT_GAP, RATIOS = 1.0, (10.0, 5.6, 3.2, 1.8, 1.33)
"""Relative gap, predicted, up to which the next stage may be off at first, and the ratios that it is chosen from."""

MOST_PRODUCTS = 200
"""Products of a Newton step, at most."""

ARMIJO, TRIALS = 1e-4, 30
"""Of the search along a step: decrease of the objective as a share of its slope, and halvings at most."""

TURN, REFINED = 0.3, 3
"""Slope beyond the minimum along a step, as a share of the slope at its start, from which on a point nearer to the
minimum is looked for; points that are looked at for that."""

NOISE = {Precision.SINGLE: 1e-6, Precision.DOUBLE: 1e-13}
"""Relative rounding of an objective: below it the gradient decides and not the value."""

SINGLE_GAP = 1e-6
"""Relative gap below which gradients are computed in float64."""

PAIRS_PER_CLASS = 1.3
"""Pairs that a block of the metric sums, per feature: more cost more than the products that they save."""

DENSE_PAIRS_PER_CLASS = 5.0
"""The same where blocks are summed in bfloat16."""

METRIC_BYTES = 2**31
"""Factors of the metric, at most."""

COARSE_TOL = 1e-5
"""The tol from which on the first proof may lose what `Precision.PROOF` loses."""

BALANCES, BLAMED = 4, 0.5
"""Steps in the bias before a certificate, at most, each of a pass; and the share of a gap from which on W is to blame
for it, and balancing the bias further is of no use."""

SAMPLED, LEAST_Q = 1024, 1e-3
"""Images of the sample that predicts the products' cost, and the share of q from which on a class counts there."""


def suits_newton(objective: Objective) -> bool:
    """Whether `Newton` takes this objective: L2, a loss that gives its curvature, and factors that fit into memory."""
    D, K = objective.n_features, objective.n_classes
    return (
        objective.loss.smooth
        and objective.loss.curvature_form is not None
        and objective.penalised
        and objective.l2_weight > 0.0
        and objective.l1_weight == 0.0
        and K * (D + 129.0) ** 2 <= METRIC_BYTES
    )


@final
@dataclass(frozen=True)
class Newton(Optimizer):
    """Newton's method, each step by conjugate gradients, after some iterations of L-BFGS.

        (W, b) <- (W, b) - step H⁻¹ ∇L,   H = ∇²L

    The curvature of a trained classifier sits in a few classes of each image: a product with H looks at these alone
    and costs a few hundredths of a pass with 100 classes. Where the engine `multiplies_hessians` it takes all classes,
    in bfloat16. Conjugate gradients are preconditioned by the diagonal blocks of H, one for each class; those of an
    earlier point serve as long as they save more than new ones cost. A step ends near the minimum along it. Where the
    first gap is large, larger reg values come first, each as small as the gap that it leaves allows. Begins with
    L-BFGS, and stays with it as long as it is predicted to arrive sooner.
    Ends when the relative duality gap, proved in float64, is at most `tol`.

    `Solution.passes` counts the operations of all of this, in passes of 4 N K D.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: iterations at most, those of L-BFGS included, >= 0.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Nocedal and Wright, "Numerical Optimization", 2006, section 7.1; the smoothed residual is Weiss's, 1996.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="softmax", penalty="l2", reg=0.1, engine="reference")
        >>> solution = Newton(tol=1e-6).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 6)
        ('CERTIFIED', 0.400873)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "newton"

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
            IncompatibleError: the loss has kinks or gives no curvature, the penalty is not L2, or there are too many
                features and classes for the factors.
        """
        if not suits_newton(objective):
            raise IncompatibleError(
                f"Newton needs a smooth loss with curvature_weights, the penalty L2 with reg > 0, and factors of "
                f"K (D + 129)² bytes within 2 GB; this is {type(objective.loss).__name__} with {objective.penalty!r}, "
                f"K = {objective.n_classes} and D = {objective.n_features}. Use optimizer='exact'."
            )
        earlier = 0.0 if start is None else start.numbers.get("seconds", 0.0)
        clock = Clock(spent + earlier)
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            moment = moment or second_moment(objective)
            history: list[dict[str, float]] = []
            if start is None or "newton" not in start.numbers:
                review = _Review(objective, self.tol, start, callback)
                first = self._lbfgs(objective, start, review, validation, watch, moment, clock() - earlier)
                if not review.leaves or first.status is not Status.STOPPED:
                    return first
                history, start = first.history[:-1], _handed_over(first, self.tol)
            run = _Run(objective, moment, Trace(objective, validation, callback), start, clock, self)
            solution = run.finish(history)
            if not run.gives_up:
                return solution
            arrays = {"W": solution.W, "b": solution.b}
            last = State(run.k, arrays, {"passes": solution.passes, "stays": 1.0})
            review = _Review(objective, self.tol, last, callback)
            rest = self._lbfgs(objective, last, review, validation, watch, moment, clock())
            return replace(rest, history=solution.history[:-1] + rest.history)

    @staticmethod
    def serves_other_regs(name: str) -> bool:
        """Whether that array of a state serves a search with another reg value: what serves `LBFGS`."""
        return LBFGS.serves_other_regs(name)

    def _lbfgs(
        self,
        objective: Objective,
        start: State | None,
        review: _Review,
        validation: Objective | None,
        watch: Watch | None,
        moment: SecondMoment,
        spent: float,
    ) -> Solution:
        """What L-BFGS finds; its state knows what the review needs to decide alike after a resume."""
        found = LBFGS(self.tol, self.max_iter).minimize(objective, start, review, validation, watch, moment, spent)
        return replace(found, state=review.marked(found.state))


def _handed_over(first: Solution, tol: float) -> State:
    """The state of Newton's method where L-BFGS left off."""
    W = first.W - first.W.mean(axis=0)  # no loss with a `curvature_form` sees the mean, and L2 is less without it
    arrays = {"W": W, "b": first.b, "metric_W": W, "metric_b": first.b}
    return State(first.state.epoch, arrays, {"newton": 1.0, "passes": first.passes, "wanted": tol})


def _checked(objective: Objective, start: State) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a state of Newton's method.

    Raises:
        StateError: they do not fit the objective.
    """
    known = weights_of_state(objective)
    known |= {"metric_W": known["W"], "metric_b": known["b"], "damping": known["b"], "metric_damping": known["b"]}
    return checked_arrays(
        start, known, required=["W", "b", "metric_W", "metric_b"], together=[("damping", "metric_damping")]
    )


class _Review:
    """A callback of L-BFGS that ends it where Newton's method is predicted to arrive sooner.

    What it compares with is kept in the numbers of the state ("mark": the logarithm of the gap at the last review), so
    that a resumed search decides alike.
    """

    def __init__(self, objective: Objective, tol: float, start: State | None, callback: Callback | None) -> None:
        self._objective, self._tol, self._callback = objective, tol, callback
        numbers = {} if start is None else start.numbers
        self._mark, self._before = numbers.get("mark", math.nan), numbers.get("mark", math.nan)
        self._stays = numbers.get("stays", 0.0)
        self.leaves = False

    def __call__(self, epoch: Epoch) -> bool:
        self._before = self._mark
        if self._callback is not None and self._callback(replace(epoch, state=self.marked(epoch.state))) is True:
            return True
        if epoch.epoch % REVIEW or self._stays:
            return False
        gap = epoch.gradient_norm**2 / (4.0 * self._objective.l2_weight)
        mark = math.log(max(gap, 1e-300))
        before, self._mark = self._mark, mark
        if epoch.epoch < FIRST_REVIEW or math.isnan(before):
            return False
        target = math.log(max(self._tol * epoch.objective, 1e-300))
        rate = max(before - mark, 1e-3) / REVIEW
        self.leaves = (mark - target) / rate > self._newton_passes(epoch.state)
        return self.leaves

    def marked(self, state: State) -> State:
        """The state of the last row, with what was known before its review."""
        return replace(state, numbers=state.numbers | {"mark": self._before, "stays": self._stays})

    def _newton_passes(self, state: State) -> float:
        """What Newton's method would take from here, in passes: by the curvature of a sample of images."""
        objective = self._objective
        N, K, D = objective.n_images, objective.n_classes, objective.n_features
        if objective.engine.multiplies_hessians:
            product = DENSE_PRODUCT + SOLVE * D / N
            metric = METRIC * min(D * D / N, float(D))
            return EXPECTED_STEPS * (1.5 + DENSE_PRODUCTS * product) + DENSE_METRICS * metric
        positions = objective.statistics.sample(SAMPLED)
        S = objective.engine.scores(state.arrays["W"], state.arrays["b"], positions)
        q = objective.loss.curvature_weights(S, objective.examples.y[positions])
        share = float((q > q.sum(axis=1, keepdims=True) * LEAST_Q).mean())
        products = EXPECTED_STEPS * EXPECTED_PRODUCTS * (share + D / N + 0.5 * K / N)
        metric = 2.0 * (D * D / (12.0 * N) + PAIRS_PER_CLASS * D * D / (2.0 * N))
        return 2.0 * EXPECTED_STEPS + products + metric


@dataclass(frozen=True)
class _Point:
    """(W, b), with its data gradient, and the gradient of an objective: that of the stage."""

    W: Floats
    b: Floats
    gradient: DataGradient
    evaluation: Evaluation
    dW: Floats
    db: Floats

    @classmethod
    def of(cls, objective: Objective, W: Floats, b: Floats, gradient: DataGradient) -> _Point:
        return cls(W, b, gradient, *objective.with_penalty(gradient, W))


class _Run:
    """Newton's method from a state: its point, its metric, and what it has spent."""

    def __init__(
        self, objective: Objective, moment: SecondMoment, trace: Trace, start: State, clock: Clock, method: Newton
    ) -> None:
        self.objective, self.trace, self.clock, self.tol, self.max_iter = (
            objective,
            trace,
            clock,
            method.tol,
            method.max_iter,
        )
        self.mean, self.moment = moment.mean, moment.dense
        self.engine = objective.engine.about(moment.mean)
        numbers = start.numbers
        self.k, self.passes = start.epoch, numbers["passes"]
        self.wanted, self.precision = numbers["wanted"], Precision(int(numbers.get("precision", Precision.SINGLE)))
        arrays = _checked(objective, start)
        self.W, self.b = arrays["W"], arrays["b"]
        self.metric_at = (arrays["metric_W"], arrays["metric_b"])
        self.products, self.extra = numbers.get("products", 0.0), numbers.get("extra", 0.0)
        nothing = np.zeros(objective.n_classes)
        self.damping, self.metric_damping = (arrays.get(name, nothing) for name in ("damping", "metric_damping"))
        self.short, self.model_wanted = numbers.get("short", 0.0), numbers.get("model_wanted", self.tol)
        self.taken, self.gives_up = numbers.get("taken", 0.0), False
        self.metric_reg = numbers.get("metric_reg", objective.reg)
        self.renewals, self.patience = numbers.get("renewals", 0.0), numbers.get("patience", 0.5)
        self.metric: ClassMetric | None = None
        self.best: tuple[Certificate, _Point] | None = None
        self.resumed = self.resumed_metric = "products" in numbers
        self.stage = objective.with_reg(numbers.get("stage", objective.reg))
        self.state = start
        shares, sums = objective.statistics.class_means
        means = np.square(sums / np.where(shares > 0.0, shares, 1.0)[:, None] - self.mean).sum(axis=1)
        self.bias_weight = 10.0 * objective.l2_weight * objective.n_classes + 2.5 * float(means.mean())

    def finish(self, history: list[dict[str, float]]) -> Solution:
        """Runs to the end; `history` are the rows before it."""
        try:
            status = self._search()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if self.best is None:
            self._prove(self.W, self.b, None)
        assert self.best is not None
        certificate, point = self.best
        if status in (Status.STALLED, Status.MAX_ITER) and certificate.relative_gap <= self.tol:
            status = Status.CERTIFIED
        if self.trace.history:
            self.trace.settle(point.evaluation)
        words = {"metric": "a block of the Hessian for each class"}
        return Solution(
            point.W,
            point.b,
            status,
            history + self.trace.history,
            self.state,
            self.passes,
            self.clock(),
            words,
            certificate,
        )

    def _search(self) -> Status:
        opening = not self.resumed and self.objective.loss.margin_power is None
        point, step = self._visit(self.W, self.b, self.precision), math.nan
        while opening and self._predicted(point) > FAR_GAP * abs(point.evaluation.objective):
            self.stage = self.stage.with_reg(STAGE * self.stage.reg)
            point = _Point.of(self.stage, point.W, point.b, point.gradient)
        while True:
            if (stop := self._row(point, step)) is not None:
                return stop
            last = self.stage.reg == self.objective.reg
            if not last and self._predicted(point) <= STAGE_GAP * abs(point.evaluation.objective):
                point, last = self._next_stage(point)
            if last and self._predicted(point) <= self.wanted * abs(point.evaluation.objective):
                self._prove(point.W, point.b, point.db)
                assert self.best is not None
                found = self.best[0].relative_gap
                if found <= self.tol:
                    return Status.CERTIFIED
                self.wanted = 0.5 * min(self.wanted, self.wanted * self.tol / found)
                if self.wanted < LEAST_WANTED:
                    return Status.STALLED
                self.best = None
            if (
                last
                and self._predicted(point) <= SINGLE_GAP * abs(point.evaluation.objective)
                and self.precision < Precision.DOUBLE
            ):
                self.precision = Precision.DOUBLE
                point = self._visit(point.W, point.b, self.precision)
            way, curvature = self._step(point)
            following, step, overshoot = self._along(point, way)
            if last and following is not None and self._proves_by_model(point, following, curvature):
                return Status.CERTIFIED
            if following is None:
                if self.precision is Precision.DOUBLE:
                    return Status.STALLED
                self.precision = Precision.DOUBLE
                point = self._visit(point.W, point.b, self.precision)
                continue
            self.short += float(step <= SHORT)
            self.damping = _damped(self.damping, overshoot)
            point, self.k = following, self.k + 1
            self.W, self.b = point.W, point.b
            self.taken += 1.0
            if self.short > MOST_SHORT or (self.taken > MOST_STEPS and self._is_separable(point)):
                self.gives_up = True
                return Status.STALLED

    def _is_separable(self, point: _Point) -> bool:
        """Whether a loss of margins is nearly 0."""
        loss, K = self.objective.loss, self.objective.n_classes
        equal = float(loss.value(np.zeros((1, K)), np.zeros(1, np.int64))[0])
        return loss.margin_power is not None and point.evaluation.data_loss < SEPARABLE * equal

    def _next_stage(self, point: _Point) -> tuple[_Point, bool]:
        """(the point, of the objective of the next stage; whether that is the last), and a new metric to come."""
        for ratio in RATIOS:
            reg = max(self.objective.reg, self.stage.reg / ratio)
            stage = self.objective if reg < 1.001 * self.objective.reg else self.stage.with_reg(reg)
            found = _Point.of(stage, point.W, point.b, point.gradient)
            self.stage, before = stage, self.stage
            if self._predicted(found) <= NEXT_GAP * abs(found.evaluation.objective) or ratio == RATIOS[-1]:
                break
            self.stage = before
        return found, self.stage is self.objective

    def _row(self, point: _Point, step: float) -> Status | None:
        """Adds a row to the trace; how the search ends here, or None."""
        numbers = {
            "newton": 1.0,
            "seconds": self.clock(),
            "passes": self.passes,
            "wanted": self.wanted,
            "precision": float(self.precision),
            "products": self.products,
            "extra": self.extra,
            "stage": self.stage.reg,
            "metric_reg": self.metric_reg,
            "renewals": self.renewals,
            "patience": self.patience,
            "short": self.short,
            "taken": self.taken,
            "model_wanted": self.model_wanted,
            "predicted_gap": self._predicted(point),
        }
        arrays = {"W": point.W, "b": point.b, "metric_W": self.metric_at[0], "metric_b": self.metric_at[1]}
        arrays |= {"damping": self.damping, "metric_damping": self.metric_damping}
        self.state = State(self.k, arrays, numbers)
        held_out = None if self.trace.validation is None else self.trace.validation.evaluate(point.W, point.b)
        stop = self.trace.add(
            (self.objective.with_penalty(point.gradient, point.W)[0], held_out),
            self.state,
            learning_rate=step,
            passes=self.passes,
            seconds=self.clock(),
        )
        if stop:
            return Status.STOPPED
        return Status.MAX_ITER if self.k >= self.max_iter else None

    def _visit(self, W: Floats, b: Floats, precision: Precision) -> _Point:
        gradient = self.objective.data_gradient(W, b, precision=precision)
        if self.resumed:
            self.resumed = False  # a resumed search repeats the pass at its point, and does not count it
        else:
            self.passes += 1.0
        return _Point.of(self.stage, W, b, gradient)

    def _centred(self, point: _Point) -> Floats:
        """The gradient (K, D + 1) in the coordinates of `Curvature`."""
        return np.concatenate([point.dW - point.db[:, None] * self.mean, point.db[:, None]], axis=1)

    def _size(self, gradient: Floats) -> float:
        """Square of its norm, the bias weighted by what balancing it moves W's part by."""
        return float(np.square(gradient[:, :-1]).sum() + self.bias_weight * np.square(gradient[:, -1]).sum())

    def _predicted(self, point: _Point) -> float:
        """The gap that a certificate from this gradient is predicted to leave."""
        return self._size(self._centred(point)) / (4.0 * self.stage.l2_weight)

    def _step(self, point: _Point) -> tuple[Floats, Hessian]:
        """(-H⁻¹ ∇L nearly, (K, D + 1), in the coordinates of the objective; H)."""
        curvature = curvature_at(self.stage, self.engine, self.moment, point.W, point.b, self.damping)
        self.passes += 0.5
        metric = self._metric(curvature, point)
        gradient = self._centred(point)
        tol = FORCING * math.sqrt(self._size(gradient))
        search = _ConjugateGradients(curvature, gradient, self._size)
        each = curvature.cost + metric.solve_cost
        fresh = self.products == 0.0
        # a metric of an earlier point is given as many products more than it first took as a new one costs
        done = search.run(metric, tol, MOST_PRODUCTS if fresh else int(self.products + metric.cost / (SOLVED * each)))
        self.passes += search.products * each
        if not done and not fresh:
            self.metric, before = None, search.products
            self.patience = self.renewals = min(2.0 * self.patience, MOST_RENEWALS)
            metric = self._metric(curvature, point)
            search.run(metric, tol, MOST_PRODUCTS)
            self.passes += (search.products - before) * each
            self.products = float(max(1, search.products - before))
        elif fresh:
            self.renewals = max(0.0, self.renewals - 1.0)
            self.products = float(search.products)
        else:
            self.patience = max(0.5, 0.5 * self.patience)
            self.extra += max(0.0, search.products - self.products) * each * SOLVED
        return self._uncentred(search.best), curvature

    def _uncentred(self, step: Floats) -> Floats:
        """A step (K, D + 1) in the coordinates of `Curvature`, in those of the objective."""
        return np.concatenate([step[:, :-1], (step[:, -1] - step[:, :-1] @ self.mean)[:, None]], axis=1)

    def _proves_by_model(self, point: _Point, following: _Point, curvature: Hessian) -> bool:
        """Whether `tol` is proved at `following` by the dual point of a damped step from `point`; see `model_point`.

        Tried for squared margins once what the step gained is small.
        """
        objective, found = self.objective, following.evaluation.objective
        gained = point.evaluation.objective - found
        if objective.loss.margin_power != 2 or LEFT_OF_GAIN * gained > self.model_wanted * abs(found):
            return False
        ridge = 2.0 * objective.l2_weight * (1.0 + PROOF_DAMPING)
        search = _ConjugateGradients(
            curvature.with_ridge(np.full(objective.n_classes, ridge)), self._centred(point), self._size
        )
        metric = ClassMetric(search.curvature, self._most_pairs())
        self.passes += metric.cost
        search.run(metric, math.sqrt(4.0 * objective.l2_weight * PROOF_LEFT * self.tol * abs(found)), MOST_PRODUCTS)
        self.passes += search.products * (curvature.cost + metric.solve_cost)
        dual = model_point(objective, point.W, point.b, self._uncentred(search.best))
        self.passes += 1.5
        if dual is None:
            return False
        self._prove(following.W, following.b, None, dual)
        assert self.best is not None
        if self.best[0].relative_gap <= self.tol:
            return True
        self.model_wanted, self.best = 0.5 * self.model_wanted, None
        return False

    def _most_pairs(self) -> int:
        """Pairs that the blocks of a metric sum, at most."""
        most = DENSE_PAIRS_PER_CLASS if self.engine.multiplies_hessians else PAIRS_PER_CLASS
        return int(most * self.objective.n_features * self.objective.n_classes)

    def _metric(self, curvature: Hessian, point: _Point) -> ClassMetric:
        """That of an earlier point, until the products it costs more than at first are worth a new one."""
        most = self._most_pairs()
        if self.metric is None and self.products > 0.0 and self.resumed_metric:
            stage = self.stage.with_reg(self.metric_reg)
            at = curvature_at(stage, self.engine, self.moment, *self.metric_at, self.metric_damping)
            self.metric = ClassMetric(at, most)
        self.resumed_metric = False
        if self.metric is None or self.renewals > 0.0 or self.extra > self.metric.cost:
            self.metric = ClassMetric(curvature, most)
            self.metric_at, self.metric_reg, self.metric_damping = (point.W, point.b), self.stage.reg, self.damping
            self.passes += self.metric.cost
            self.products = self.extra = 0.0
        return self.metric

    def _along(self, point: _Point, step: Floats) -> tuple[_Point | None, float, Floats]:
        """(a point along the step whose objective is lower by enough, its share of the step, how far the whole step
        takes each class beyond its minimum, (K,): its slope there, relative to that at the start); None without one."""
        dW, db = step[:, :-1], step[:, -1]
        slopes = (point.dW * dW).sum(axis=1) + point.db * db
        slope, overshoot = float(slopes.sum()), np.zeros(len(db))
        if not slope < 0.0:
            return None, 0.0, overshoot
        value, share = point.evaluation.objective, 1.0
        noise = NOISE[self.precision] * abs(value)
        low, high = (0.0, slope), (math.inf, math.nan)  # shares, and slopes there: the minimum lies between them
        best: tuple[_Point, float] | None = None
        for trial in range(TRIALS):
            following = self._visit(point.W + share * dW, point.b + share * db, self.precision)
            found = following.evaluation.objective
            turned_slopes = (following.dW * dW).sum(axis=1) + following.db * db
            turned = float(turned_slopes.sum())
            if trial == 0:
                overshoot = turned_slopes / np.maximum(np.abs(slopes), TINY)
            flatter = self._predicted(following) < self._predicted(point)
            falls = found <= value + ARMIJO * share * slope or (found <= value + noise and flatter)
            if falls and (best is None or found < best[0].evaluation.objective):
                best = following, share
            if falls and turned <= TURN * abs(slope):
                break
            if best is not None and trial + 1 >= REFINED:
                break
            if falls and turned < 0.0:
                low = share, turned
            else:
                high = share, turned
            width = high[0] - low[0]
            part = 0.5
            if high[1] > 0.0 and math.isfinite(high[1]):
                part = min(max(low[1] / (low[1] - high[1]), 0.1), 0.9)
            share = low[0] + part * width
        return (None, 0.0, overshoot) if best is None else (*best, overshoot)

    def _prove(self, W: Floats, b: Floats, db: Floats | None, dual: DualPoint | None = None) -> None:
        """`best`: the certificate near (W, b), its bias balanced by Newton's method in the bias alone.

        Args:
            db: the gradient in the bias there, if it is known.
            dual: a dual point to use besides that gradient.
        """
        objective = self.objective
        inverse = np.linalg.pinv(bias_curvature(objective, W, b), rcond=1e-9, hermitian=True)
        for trial in range(BALANCES):
            if db is not None:
                b = b - inverse @ db
            precision = Precision.PROOF if trial == 0 and self.tol >= COARSE_TOL else Precision.DOUBLE
            gradient = objective.data_gradient(W, b, precision=precision)
            self.passes += 1.0
            certificate = certify(objective, W, b, gradient=gradient, passes=self.passes, seconds=self.clock())
            if dual is not None:
                bound = lower_bound_from(objective, dual, certificate.objective)
                bound = min(certificate.objective, max(certificate.lower_bound, bound))
                certificate = replace(certificate, lower_bound=bound)
            if self.best is None or certificate.relative_gap < self.best[0].relative_gap:
                self.best = certificate, _Point.of(objective, W, b, gradient)
            db = gradient.db
            unavoidable = self._predicted_of_weights(gradient, W)
            if certificate.relative_gap <= self.tol or dual is not None or unavoidable > BLAMED * certificate.gap:
                return

    def _predicted_of_weights(self, gradient: DataGradient, W: Floats) -> float:
        """The part of a gap that is due to W, whatever the bias."""
        dW = gradient.dW + 2.0 * self.objective.l2_weight * W
        return float(np.square(dW).sum()) / (4.0 * self.objective.l2_weight)


def _damped(damping: Floats, overshoot: Floats) -> Floats:
    """The damping of each class for the next step: the ridge that would have ended this one at the minimum."""
    found: Floats = np.maximum(1.0, (1.0 + damping) * np.clip(1.0 + overshoot, LEAST_CHANGE, MOST_CHANGE)) - 1.0
    return found


class _ConjugateGradients:
    """x with H x + gradient nearly 0, (K, D + 1), as far as it has come.

    Of all x between the iterates the one with the smallest residual is kept: a certificate asks for a small gradient,
    where conjugate gradients by themselves make the objective small and the gradient swing.

    Attributes:
        best: that x.
        products: made so far.
    """

    def __init__(self, curvature: Hessian, gradient: Floats, size: Callable[[Floats], float]) -> None:
        self.curvature, self._size = curvature, size
        self._x, self._r = np.zeros_like(gradient), -gradient
        self.best, self._left = self._x.copy(), self._r.copy()
        self.products = 0

    def run(self, metric: ClassMetric, tol: float, most: int) -> bool:
        """Goes on in this metric, from where it is, for `most` products at most; whether it has ended."""
        size, r = self._size, self._r
        if math.sqrt(size(self._left)) <= tol:
            return True
        z = metric.solve(r)
        p, rz = z.copy(), float(np.vdot(r, z))
        for _ in range(most):
            q = self.curvature.times(p)
            self.products += 1
            bend = float(np.vdot(p, q))
            if not (bend > 0.0 and rz > 0.0):  # rounding, or NaN
                return True
            self._x += rz / bend * p
            r -= rz / bend * q
            d = r - self._left
            length = size(d)
            inner = 0.5 * (size(r) - size(self._left) - length)
            if length > 0.0:
                share = -inner / length
                self._left += share * d
                self.best += share * (self._x - self.best)
            if math.sqrt(size(self._left)) <= tol:
                return True
            z = metric.solve(r)
            before, rz = rz, float(np.vdot(r, z))
            p = z + rz / before * p
        return False
