"""Newton's method with conjugate gradients: the exact optimum of a smooth loss with L2 and many classes."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify, lower_bound_from
from linprobe.engines.base import Precision
from linprobe.errors import IncompatibleError
from linprobe.objective import DataGradient, DualPoint, Evaluation, Objective
from linprobe.optimizers.balance import bias_curvature, bias_inverse
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch
from linprobe.optimizers.conjugate_gradients import SmoothedConjugateGradients
from linprobe.optimizers.curvature import ClassMetric, Hessian, curvature_at, most_pairs
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.model_point import model_point
from linprobe.optimizers.newton_forecast import NewtonForecast
from linprobe.optimizers.newton_metric import MAX_PRODUCTS, KeptMetric
from linprobe.optimizers.newton_state import NewtonState, handed_over
from linprobe.optimizers.preconditioner import SecondMoment, second_moment
from linprobe.optimizers.predicted_gap import BALANCED_SHIFT
from linprobe.optimizers.proofs import ProofPolicy
from linprobe.optimizers.states import sizes_of
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["Newton", "suits_newton"]

FORCING_TERM = 0.1
"""Norm of the residual at which conjugate gradients end, as a share of the norm of the gradient. Chosen by argument."""

MIN_RIDGE_CHANGE, MAX_RIDGE_CHANGE = 0.5, 10.0
"""Smallest and largest factor by which the ridge of a class changes from one step to the next. Chosen by argument."""

SHORT_STEP, MAX_SHORT_STEPS = 0.25, 12
"""Step length, as a share of the full step, up to which a step counts as short; and the number of short steps above
which L-BFGS takes over again. Steps are short if few margins of a squared hinge are violated, and each step changes
which. Chosen by argument."""

TINY = 1e-300
"""Smallest slope to divide by, so that nothing is divided by 0."""

MODEL_PROOF_GAIN, PROOF_DAMPING, PROOF_RESIDUAL = 8.0, 100.0, 0.1
"""For the dual point of the quadratic model of a step (`model_point`). It is tried once a step lowers the objective by
less than the threshold of a certificate divided by MODEL_PROOF_GAIN. The step is damped by PROOF_DAMPING times the
penalty, so that it crosses few kinks of margins. The residual of its linear system may add PROOF_RESIDUAL of tol to the
gap. On benchmarks/many_classes.py at reg 1e-5 the gap proved by the gradient alone is 300 to 5,000 times the true
one."""

SEPARABLE_LOSS, MAX_SEPARABLE_STEPS = 1e-3, 40
"""Data loss, as a share of that of equal scores, below which the classes are nearly separable; and the steps after
which L-BFGS then takes over. On benchmarks/many_classes.py, 15,000 vectors at reg 1e-4 (share 1e-4) were not certified
after 6,600 passes; 50,000 at 1e-5 (share 0.02) take 751."""

MIN_THRESHOLD = 1e-13
"""Threshold of a certificate below which float64 cannot lower the gap further, and the search ends. Chosen by
argument."""

STAGES_ABOVE_GAP, STAGE_GAP, STAGE_RATIO = 3.0, 0.3, 10.0
"""Predicted relative gap above which problems with larger reg values, called stages, are solved first. Far from the
optimum a full step overshoots: classes that have no curvature at its start gain curvature along it. Then the relative
gap to which a stage is solved, and the ratio of reg between the first stages. Chosen by argument."""

NEXT_STAGE_GAP, NEXT_RATIOS = 1.0, (10.0, 5.6, 3.2, 1.8, 1.33)
"""Predicted relative gap up to which the next stage may begin, and the ratios of reg that are tried for it, the largest
first. Chosen by argument."""

SAME_REG = 1.001
"""Ratio of reg values below which two of them count as equal: it allows for the rounding of divisions by `NEXT_RATIOS`.
Chosen by argument."""

ARMIJO, MAX_TRIALS = 1e-4, 30
"""For the line search: required decrease of the objective, as a share of the decrease that the slope predicts (the
usual value); and trials, at most (chosen by argument)."""

MAX_OVERSHOOT, MAX_REFINEMENTS = 0.3, 3
"""Slope at the end of a step, as a share of the slope at its start, above which the step is refined to a point nearer
to the minimum along it; and refinements, at most. Chosen by argument."""

RELATIVE_ROUNDING = {Precision.SINGLE: 1e-6, Precision.DOUBLE: 1e-13}
"""Relative rounding of an objective. For smaller differences the gradient decides whether a step is accepted, as in
line_search.py."""

SINGLE_GAP = 1e-6
"""Predicted relative gap below which gradients are computed in float64. Chosen by argument."""

METRIC_BYTES = 2**31
"""Bytes that the factors of the preconditioner may take: 2 GB."""

FAST_PROOF_TOL = 1e-5
"""Smallest tol for which the first certificate uses `Precision.PROOF`. Chosen by argument."""

MAX_BALANCES, BLAMED_ON_W = 4, 0.5
"""Newton steps in the bias before a certificate, at most, a pass each; and the share of the gap due to W above which
further steps in the bias gain nothing. Chosen by argument."""


def suits_newton(objective: Objective) -> bool:
    """Whether `Newton` can minimise this objective: L2, a loss with a curvature, and factors that fit into memory."""
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

    Near the optimum only a few classes of each image have curvature. A product with H uses only these, and costs a few
    hundredths of a pass with 100 classes. If the engine `multiplies_hessians`, a product uses all classes, in bfloat16.
    The preconditioner is the diagonal blocks of H, one for each class. Blocks of an earlier point are kept as long as
    that is cheaper. A line search ends near the minimum along the step. If the first gap is large, problems with larger
    reg values are solved first. The search begins with L-BFGS, and stays with it as long as it is predicted to finish
    sooner. It ends when the relative duality gap, proved in float64, is at most `tol`.

    `Solution.passes` counts all operations, in units of a pass of 4 N K D.

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
            moment: second moment of the features, if it is computed already.
            spent: seconds that computing it took.
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
                forecast = NewtonForecast(objective, self.tol, start, callback)
                first = self._lbfgs(objective, start, forecast, validation, watch, moment, clock() - earlier)
                if not forecast.leaves or first.status is not Status.STOPPED:
                    return first
                history, start = first.history[:-1], handed_over(first, self.tol)
            run = _Run(self, objective, moment, Trace(objective, validation, callback), start, clock)
            solution = run.finish(history)
            if not run.gives_up:
                return solution
            arrays = {"W": solution.W, "b": solution.b}
            last = State(run.iteration, arrays, {"passes": solution.passes, "stays": 1.0})
            forecast = NewtonForecast(objective, self.tol, last, callback)
            rest = self._lbfgs(objective, last, forecast, validation, watch, moment, clock())
            return replace(rest, history=solution.history[:-1] + rest.history)

    @staticmethod
    def serves_other_regs(name: str) -> bool:
        """Whether that array of a state serves a search with another reg value: what serves `LBFGS`."""
        return LBFGS.serves_other_regs(name)

    def _lbfgs(
        self,
        objective: Objective,
        start: State | None,
        forecast: NewtonForecast,
        validation: Objective | None,
        watch: Watch | None,
        moment: SecondMoment,
        spent: float,
    ) -> Solution:
        """The solution of L-BFGS; its state includes what the forecast needs to decide the same in a resumed search."""
        found = LBFGS(self.tol, self.max_iter).minimize(objective, start, forecast, validation, watch, moment, spent)
        return replace(found, state=forecast.marked(found.state))


@dataclass(frozen=True)
class _Point:
    """(W, b), the data gradient there, and the gradient of the objective of the stage."""

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
    """One run of Newton's method from a state."""

    def __init__(
        self, method: Newton, objective: Objective, moment: SecondMoment, trace: Trace, start: State, clock: Clock
    ) -> None:
        self.objective, self.trace, self.clock = objective, trace, clock
        self.tol, self.max_iter = method.tol, method.max_iter
        self.mean, self.moment = moment.mean, moment.dense
        self.engine = objective.engine.about(moment.mean)
        saved = NewtonState.from_state(start, sizes_of(objective))
        self.iteration, self.passes, self.W, self.b = saved.epoch, saved.passes, saved.W, saved.b
        self.policy = ProofPolicy(self.tol, self.tol if math.isnan(saved.threshold) else saved.threshold)
        model_threshold = self.tol if math.isnan(saved.model_threshold) else saved.model_threshold
        self.model_policy = ProofPolicy(self.tol, model_threshold)
        self.precision = Precision(saved.precision)
        self.short_steps, self.steps, self.gives_up = saved.short_steps, saved.steps, False
        self.repeats_pass = not math.isnan(saved.products)  # a resumed search repeats its last pass
        self.stage = objective.with_reg(objective.reg if math.isnan(saved.stage_reg) else saved.stage_reg)
        zeros = np.zeros(objective.n_classes)
        self.damping: Floats = zeros if saved.damping is None else saved.damping
        self.metric = KeptMetric(
            self.engine,
            self.moment,
            self._spend,
            at=(
                saved.W if saved.metric_W is None else saved.metric_W,
                saved.b if saved.metric_b is None else saved.metric_b,
                zeros if saved.metric_damping is None else saved.metric_damping,
                objective.reg if math.isnan(saved.metric_reg) else saved.metric_reg,
            ),
            products=saved.products if self.repeats_pass else 0.0,
            extra_cost=saved.extra_cost,
            renewals=saved.renewals,
            patience=saved.patience,
        )
        self.best: tuple[Certificate, _Point] | None = None
        self.state = start
        shares, sums = objective.statistics.class_means
        means = np.square(sums / np.where(shares > 0.0, shares, 1.0)[:, None] - self.mean).sum(axis=1)
        # 4 l2_weight times the weight of |db|² in `predicted_gap`, with the mean over the classes
        curvature = 4.0 * BALANCED_SHIFT * objective.l2_weight * objective.n_classes
        self.bias_weight = curvature + BALANCED_SHIFT * float(means.mean())

    def finish(self, history: list[dict[str, float]]) -> Solution:
        """The solution of this run; `history` are the rows of the trace before it."""
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
        words = {"preconditioner": "a block of the Hessian for each class"}
        rows, seconds = history + self.trace.history, self.clock()
        return Solution(point.W, point.b, status, rows, self.state, self.passes, seconds, words, certificate)

    def _search(self) -> Status:
        """The status at the end of the loop: add a row to the trace, attempt a proof, take a step."""
        opens = not self.repeats_pass and self.objective.loss.margin_power is None
        point, step = self._visit(self.W, self.b, self.precision), math.nan
        while opens and self._predicted(point) > STAGES_ABOVE_GAP * abs(point.evaluation.objective):
            self.stage = self.stage.with_reg(STAGE_RATIO * self.stage.reg)
            point = _Point.of(self.stage, point.W, point.b, point.gradient)
        while True:
            if (status := self._row(point, step)) is not None:
                return status
            point, is_last = self._stage_of(point)
            if is_last:
                if (status := self._attempt_proof(point)) is not None:
                    return status
                if self._needs_double(point):
                    point = self._in_double(point)
            direction, curvature = self._step(point)
            following, step, overshoot = self._line_search(point, direction)
            if is_last and following is not None and self._proves_by_model(point, following, curvature):
                return Status.CERTIFIED
            if following is None:
                if self.precision is Precision.DOUBLE:
                    return Status.STALLED
                point = self._in_double(point)
                continue
            self._move_to(following, step, overshoot)
            point = following
            if self.short_steps > MAX_SHORT_STEPS or (self.steps > MAX_SEPARABLE_STEPS and self._is_separable(point)):
                self.gives_up = True
                return Status.STALLED

    def _attempt_proof(self, point: _Point) -> Status | None:
        """Compute a certificate if it is predicted to reach tol; the status if the search ends by it, else None."""
        if not self.policy.attempts(self._predicted(point), abs(point.evaluation.objective)):
            return None
        self._prove(point.W, point.b, point.db)
        assert self.best is not None
        proved = self.best[0].relative_gap
        if proved <= self.tol:
            return Status.CERTIFIED
        self.policy.learn_ratio(proved)
        if self.policy.threshold < MIN_THRESHOLD:
            return Status.STALLED
        self.best = None
        return None

    def _needs_double(self, point: _Point) -> bool:
        """Whether float32 passes are too coarse for the gap that is predicted here."""
        small = self._predicted(point) <= SINGLE_GAP * abs(point.evaluation.objective)
        return small and self.precision < Precision.DOUBLE

    def _in_double(self, point: _Point) -> _Point:
        """The point, computed again in float64; so are all later points."""
        self.precision = Precision.DOUBLE
        return self._visit(point.W, point.b, self.precision)

    def _move_to(self, following: _Point, step: float, overshoot: Floats) -> None:
        """Begin the next iteration at `following`."""
        self.short_steps += int(step <= SHORT_STEP)
        self.damping = _next_damping(self.damping, overshoot)
        self.iteration, self.steps = self.iteration + 1, self.steps + 1
        self.W, self.b = following.W, following.b

    def _is_separable(self, point: _Point) -> bool:
        """Whether the classes are nearly separable: the data loss, of margins, is nearly 0."""
        loss, K = self.objective.loss, self.objective.n_classes
        equal = float(loss.value(np.zeros((1, K)), np.zeros(1, np.int64))[0])
        return loss.margin_power is not None and point.evaluation.data_loss < SEPARABLE_LOSS * equal

    def _stage_of(self, point: _Point) -> tuple[_Point, bool]:
        """(the point, moved to the next stage if this one is solved; whether the stage is the objective itself)."""
        if self.stage.reg == self.objective.reg:
            return point, True
        if self._predicted(point) > STAGE_GAP * abs(point.evaluation.objective):
            return point, False
        for ratio in NEXT_RATIOS:
            reg = max(self.objective.reg, self.stage.reg / ratio)
            stage = self.objective if reg < SAME_REG * self.objective.reg else self.stage.with_reg(reg)
            found = _Point.of(stage, point.W, point.b, point.gradient)
            self.stage, before = stage, self.stage
            if self._predicted(found) <= NEXT_STAGE_GAP * abs(found.evaluation.objective) or ratio == NEXT_RATIOS[-1]:
                break
            self.stage = before
        return found, self.stage is self.objective

    def _row(self, point: _Point, step: float) -> Status | None:
        """Add a row to the trace; the status if the search ends here, else None."""
        metric = self.metric
        self.state = NewtonState(
            epoch=self.iteration,
            W=point.W,
            b=point.b,
            seconds=self.clock(),
            passes=self.passes,
            metric_W=metric.W,
            metric_b=metric.b,
            damping=self.damping,
            metric_damping=metric.damping,
            threshold=self.policy.threshold,
            model_threshold=self.model_policy.threshold,
            precision=int(self.precision),
            products=metric.products,
            extra_cost=metric.extra_cost,
            stage_reg=self.stage.reg,
            metric_reg=metric.reg,
            renewals=metric.renewals,
            patience=metric.patience,
            short_steps=self.short_steps,
            steps=self.steps,
            predicted_gap=self._predicted(point),
        ).to_state()
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
        return Status.MAX_ITER if self.iteration >= self.max_iter else None

    def _visit(self, W: Floats, b: Floats, precision: Precision) -> _Point:
        """The point (W, b), by one pass. The first pass of a resumed search is not counted again."""
        gradient = self.objective.data_gradient(W, b, precision=precision)
        if self.repeats_pass:
            self.repeats_pass = False
        else:
            self.passes += 1.0
        return _Point.of(self.stage, W, b, gradient)

    def _centred(self, point: _Point) -> Floats:
        """The gradient (K, D + 1) in the coordinates of `Hessian`."""
        return np.concatenate([point.dW - point.db[:, None] * self.mean, point.db[:, None]], axis=1)

    def _uncentred(self, step: Floats) -> Floats:
        """A step (K, D + 1) in the coordinates of `Hessian`, in those of the objective."""
        return np.concatenate([step[:, :-1], (step[:, -1] - step[:, :-1] @ self.mean)[:, None]], axis=1)

    def _squared_norm(self, gradient: Floats) -> float:
        """Squared norm of a gradient; the part in the bias times `bias_weight`, as balancing the bias before a proof
        changes the gradient in W."""
        return float(np.square(gradient[:, :-1]).sum() + self.bias_weight * np.square(gradient[:, -1]).sum())

    def _predicted(self, point: _Point) -> float:
        """The duality gap that the gradient predicts."""
        return self._squared_norm(self._centred(point)) / (4.0 * self.stage.l2_weight)

    def _step(self, point: _Point) -> tuple[Floats, Hessian]:
        """(about -H⁻¹ ∇L, (K, D + 1), in the coordinates of the objective; H)."""
        curvature = curvature_at(self.stage, self.engine, self.moment, point.W, point.b, self.damping)
        self._spend(0.5)
        gradient = self._centred(point)
        search = SmoothedConjugateGradients(curvature, gradient, self._squared_norm)
        tol = FORCING_TERM * math.sqrt(self._squared_norm(gradient))
        self.metric.solve(self.stage, (point.W, point.b, self.damping), search, tol)
        return self._uncentred(search.best), curvature

    def _spend(self, passes: float) -> None:
        """Count passes over the images."""
        self.passes += passes

    def _proves_by_model(self, point: _Point, following: _Point, curvature: Hessian) -> bool:
        """Whether `tol` is proved at `following` by the dual point of a damped step from `point`; see `model_point`.

        Only for squared margins, and only after a step that lowered the objective by little.
        """
        objective, value = self.objective, following.evaluation.objective
        gained, threshold = point.evaluation.objective - value, self.model_policy.threshold
        if objective.loss.margin_power != 2 or MODEL_PROOF_GAIN * gained > threshold * abs(value):
            return False
        ridge = np.full(objective.n_classes, 2.0 * objective.l2_weight * (1.0 + PROOF_DAMPING))
        damped = curvature.with_ridge(ridge)
        search = SmoothedConjugateGradients(damped, self._centred(point), self._squared_norm)
        metric = ClassMetric(damped, most_pairs(self.engine))
        self.passes += metric.cost
        tol = math.sqrt(4.0 * objective.l2_weight * PROOF_RESIDUAL * self.tol * abs(value))
        search.run(metric, tol, MAX_PRODUCTS)
        self.passes += search.products * (curvature.cost + metric.solve_cost)
        dual = model_point(objective, point.W, point.b, self._uncentred(search.best))
        self.passes += 1.5  # the reads of `model_point`
        if dual is None:
            return False
        self._prove(following.W, following.b, None, dual)
        assert self.best is not None
        if self.best[0].relative_gap <= self.tol:
            return True
        self.model_policy.halve()
        self.best = None
        return False

    def _line_search(self, point: _Point, step: Floats) -> tuple[_Point | None, float, Floats]:
        """(a point along the step with a sufficient decrease, or None; its step length; the overshoot of each class
        (K,): its slope after the full step, relative to that at the start)."""
        dW, db = step[:, :-1], step[:, -1]
        slopes = (point.dW * dW).sum(axis=1) + point.db * db
        slope, overshoot = float(slopes.sum()), np.zeros(len(db))
        if not slope < 0.0:
            return None, 0.0, overshoot
        value, share = point.evaluation.objective, 1.0
        rounding = RELATIVE_ROUNDING[self.precision] * abs(value)
        low, high = (0.0, slope), (math.inf, math.nan)  # (step length, slope) on both sides of the minimum
        best: tuple[_Point, float] | None = None
        for trial in range(MAX_TRIALS):
            following = self._visit(point.W + share * dW, point.b + share * db, self.precision)
            found = following.evaluation.objective
            new_slopes = (following.dW * dW).sum(axis=1) + following.db * db
            new_slope = float(new_slopes.sum())
            if trial == 0:
                overshoot = new_slopes / np.maximum(np.abs(slopes), TINY)
            flatter = self._predicted(following) < self._predicted(point)
            falls = found <= value + ARMIJO * share * slope or (found <= value + rounding and flatter)
            if falls and (best is None or found < best[0].evaluation.objective):
                best = following, share
            if (falls and new_slope <= MAX_OVERSHOOT * abs(slope)) or (best and trial + 1 >= MAX_REFINEMENTS):
                break
            if falls and new_slope < 0.0:
                low = share, new_slope
            else:
                high = share, new_slope
            share = _between(low, high)
        return (None, 0.0, overshoot) if best is None else (*best, overshoot)

    def _prove(self, W: Floats, b: Floats, db: Floats | None, dual: DualPoint | None = None) -> None:
        """`best`: the certificate near (W, b), its bias balanced by Newton's method in the bias alone.

        Args:
            db: the gradient in the bias there, if it is known.
            dual: a second dual point; the higher of the two bounds counts.
        """
        objective = self.objective
        inverse = bias_inverse(bias_curvature(objective, W, b))
        for trial in range(MAX_BALANCES):
            if db is not None:
                b = b - inverse @ db
            precision = Precision.PROOF if trial == 0 and self.tol >= FAST_PROOF_TOL else Precision.DOUBLE
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
            if certificate.relative_gap <= self.tol or dual is not None or unavoidable > BLAMED_ON_W * certificate.gap:
                return

    def _predicted_of_weights(self, gradient: DataGradient, W: Floats) -> float:
        """The part of the predicted gap that is due to W, for any bias."""
        dW = gradient.dW + 2.0 * self.objective.l2_weight * W
        return float(np.square(dW).sum()) / (4.0 * self.objective.l2_weight)


def _between(low: tuple[float, float], high: tuple[float, float]) -> float:
    """The next step length to try, from (step length, slope) on both sides of the minimum: by the secant, or
    halfway."""
    part = 0.5
    if high[1] > 0.0 and math.isfinite(high[1]):
        part = min(max(low[1] / (low[1] - high[1]), 0.1), 0.9)  # a tenth of the interval from its ends, at least
    return low[0] + part * (high[0] - low[0])


def _next_damping(damping: Floats, overshoot: Floats) -> Floats:
    """The damping (K,) of the next step: with it, this step would have ended at the minimum of each class."""
    change = np.clip(1.0 + overshoot, MIN_RIDGE_CHANGE, MAX_RIDGE_CHANGE)
    following: Floats = np.maximum(1.0, (1.0 + damping) * change) - 1.0
    return following
