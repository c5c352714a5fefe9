"""L-BFGS, preconditioned by the second moment of the features: the exact optimum of a smooth loss."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.engines.base import Precision
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, proved_status, zeros_state
from linprobe.optimizers.coordinate_descent import DescentSteps
from linprobe.optimizers.line_search import wolfe_search
from linprobe.optimizers.pairs import MEMORY, is_numbered, listed, numbered
from linprobe.optimizers.precision_ladder import PrecisionLadder, rounding_gap
from linprobe.optimizers.preconditioner import (
    DENSE_FEATURES,
    Preconditioners,
    SecondMoment,
    second_moment,
    typical_curvature,
)
from linprobe.optimizers.predicted_gap import predicted_gap
from linprobe.optimizers.proofs import Proof, ProofPolicy, prove_near, prove_with
from linprobe.optimizers.quasi_newton import QuasiNewtonSteps
from linprobe.optimizers.requests import GradientRequest, Point, Search, run_search, visit
from linprobe.optimizers.states import ArrayOfState, SavedState, checked_arrays, saved_array, saved_number, sizes_of
from linprobe.optimizers.steps import Steps
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["LBFGS", "carried"]

LEAST_CURVATURE = 1e-100
"""Least curvature of the loss that a state may hold: reg is divided by it. Chosen by argument: it is 0.01 or more."""

ABSENT_BIAS = -1000.0
"""Bias, in units of the scores, of a class whose images all have weight 0, for a loss whose infimum is at infinity.
e^-1000 is 0 in float64, also relative to other scores of a few hundred. Chosen by argument."""

ROUNDING_RATIO = 2.0
"""If the gap predicted in float64 is larger than that in float32 by more than this factor, float32 is too coarse, and
float64 is used. Chosen by argument: without rounding the factor is 1. Change of passes in benchmarks/constants.py with
a third of the value: 0%; with three times: -2%."""


@final
@dataclass(frozen=True, kw_only=True)
class LBFGSState(SavedState):
    """What a search by L-BFGS saves.

    Attributes:
        solved, coupling, pairs: the arrays of `Steps.arrays`; `pairs` has s0, y0, z0, ..., each (K, D + 1).
        curvature: of the loss in the scores, for which the preconditioner was made; NaN for the typical one.
        first_norm: norm of the gradient at the start; NaN before the first pass.
        proof_threshold: of `ProofPolicy`; NaN for its first value.
        precision, point_precision: of the next pass, and of the pass at (W, b), as `Precision` numbers them; -1 for
            those of a new search.
        lowest_gap: the lowest predicted gap that counted as progress.
        stalled: iterations since then.
        predicted_gap: the duality gap predicted at (W, b); NaN without a penalty.
    """

    solved: Floats | None = saved_array("K", "J")
    coupling: Floats | None = saved_array("K", "K")
    pairs: Mapping[str, Floats] = field(default_factory=dict)
    curvature: float = saved_number(low=LEAST_CURVATURE)
    first_norm: float = saved_number(low=0.0)
    proof_threshold: float = saved_number(low=0.0)
    precision: int = saved_number(-1, low=min(Precision), high=max(Precision))
    point_precision: int = saved_number(-1, low=min(Precision), high=max(Precision))
    lowest_gap: float = saved_number(math.inf)
    stalled: float = saved_number(0.0, low=0.0)
    predicted_gap: float = saved_number()

    @classmethod
    def of(cls, start: State, objective: Objective) -> LBFGSState:
        """The record of `start`, its pairs included.

        Raises:
            StateError: it does not fit the problem.
        """
        shape = objective.n_classes, objective.n_features + 1
        known: dict[str, ArrayOfState] = {f"{name}{i}": (shape, np.float64) for name in "syz" for i in range(MEMORY)}
        together = [(f"s{i}", f"y{i}") for i in range(MEMORY)]
        pairs = checked_arrays(start, known, required=(), together=together)
        return replace(cls.from_state(start, sizes_of(objective)), pairs=pairs)

    @property
    def step_arrays(self) -> dict[str, Floats]:
        """The arrays from which `Steps` are made."""
        own = {"solved": self.solved, "coupling": self.coupling}
        return dict(self.pairs) | {name: array for name, array in own.items() if array is not None}

    def to_state(self) -> State:
        state = super().to_state()
        return State(state.epoch, state.arrays | dict(self.pairs), state.numbers)


@final
@dataclass(frozen=True)
class LBFGS(Optimizer):
    """Quasi-Newton steps from the last ten changes of the gradient, preconditioned by the features' second moment.

        (W, b) <- (W, b) - step * H ∇L,   H from the pairs, H_0 = gamma (c X'ᵀX'/N + 2 reg I)⁻¹

    The pixels of photographs are so correlated that plain L-BFGS converges slowly. With this preconditioner a dozen
    passes are enough, for nearly any reg. With |W| in the penalty a step goes to the minimum of a quadratic model of
    the data loss plus the whole penalty, found by coordinate descent (`DescentSteps`). The search ends when the
    relative duality gap, proved in float64, is at most `tol`.

    Args:
        tol: relative duality gap to reach, >= 0. Without a penalty there is no useful dual bound: then the norm of the
            gradient, relative to its norm at W = 0, must be at most tol.
        max_iter: iterations at most, >= 0.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", 1989.
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
            moment: second moment of the features, if it is computed already.
            spent: seconds that computing it took.
        Raises:
            IncompatibleError: the loss has kinks, or the penalty has and there are too many features.
            StateError: `start` is not of this problem.
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
        certify_first: bool = False,
    ) -> Search[Solution]:
        """`minimize` as a generator that requests its gradients, so that several searches can share passes.

        Args:
            metrics: preconditioners of the features.
            start: a state to resume bit-identically; or a start from `carried`, with weights and perhaps pairs.
            spent: seconds that computing the moment took.
            certify_first: whether the first pass computes a certificate, as the start may already satisfy `tol`.
        Raises:
            IncompatibleError: the loss has kinks, or the penalty has and there are too many features.
            StateError: `start` is not of this problem.
        """
        _check(objective)
        saved = LBFGSState.of(_start(objective) if start is None else start, objective)
        clock = Clock(saved.seconds + spent)
        # here and not in `run`: if several searches run in parallel, all cores factor each preconditioner
        steps: Steps
        if objective.penalised and objective.l1_weight > 0.0:
            steps = DescentSteps(objective, metrics.moment, saved.step_arrays)
        else:
            curvature = typical_curvature(objective) if math.isnan(saved.curvature) else saved.curvature
            steps = QuasiNewtonSteps(objective, metrics, curvature, saved.step_arrays)
        trace = Trace(objective, validation, callback)
        return _Search(self, objective, steps, saved, trace, clock, certify_first).run()

    @staticmethod
    def serves_other_regs(name: str) -> bool:
        """Whether that array of a state serves a search with another reg value: the weights, and the pairs."""
        return name in ("W", "b", "coupling") or is_numbered(name, "s") or is_numbered(name, "y")


@dataclass
class SearchState:
    """What changes between iterations; `LBFGSState` saves it.

    Attributes:
        point: None before the first pass.
        point_precision: of the pass at the point.
        predicted_gap: the duality gap, or the norm of the gradient, predicted from that pass.
        ladder: the precision of the next passes.
        policy: when a certificate is attempted.
        proof: the last certificate; None after a step.
        proof_is_here: whether the proof is of the point itself.
        iteration, passes, step: iterations done, passes over the images, the last step.
        first_norm: norm of the gradient at the start; NaN before the first pass.
    """

    point: Point | None
    point_precision: Precision
    predicted_gap: float
    ladder: PrecisionLadder
    policy: ProofPolicy
    proof: Proof | None
    proof_is_here: bool
    iteration: int
    passes: float
    step: float
    first_norm: float

    @classmethod
    def of(cls, saved: LBFGSState, tol: float, certify_first: bool) -> SearchState:
        """As it was when the state was saved."""
        precision = Precision(saved.precision) if saved.precision >= 0 else Precision.COARSE
        first = Precision.PROOF if certify_first else precision
        return cls(
            point=None,
            point_precision=Precision(saved.point_precision) if saved.point_precision >= 0 else first,
            predicted_gap=math.nan,
            ladder=PrecisionLadder(precision, saved.lowest_gap, saved.stalled),
            policy=ProofPolicy(tol, tol if math.isnan(saved.proof_threshold) else saved.proof_threshold),
            proof=None,
            proof_is_here=False,
            iteration=saved.epoch,
            passes=saved.passes,
            step=0.0,
            first_norm=saved.first_norm,
        )

    @property
    def here(self) -> Point:
        """The point, after the first pass."""
        assert self.point is not None
        return self.point


class _Search:
    """One search: its settings, and its state `now`."""

    def __init__(
        self,
        settings: LBFGS,
        objective: Objective,
        steps: Steps,
        saved: LBFGSState,
        trace: Trace,
        clock: Clock,
        certify_first: bool,
    ) -> None:
        self.settings, self.objective, self.steps = settings, objective, steps
        self.trace, self.clock, self.certify_first = trace, clock, certify_first
        self.kept = saved.to_state()  # the state of the last row of the trace, to resume from
        self.now = SearchState.of(saved, settings.tol, certify_first)
        self.now.ladder.rounding = rounding_gap(objective)

    def run(self) -> Search[Solution]:
        """Report, try to prove, step; until one of them returns the status. Then the certificate."""
        status: Status | None = None
        try:
            yield from self._begin()
            while status is None:
                status = self._report()
                if status is None:
                    status = yield from self._attempt_proof()
                if status is None:
                    status = yield from self._advance()
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        return (yield from self._end(status))

    def _begin(self) -> Search[None]:
        """The pass at the start. A resumed search repeats this pass without counting it."""
        now, objective = self.now, self.objective
        W, b = self.kept.arrays["W"], self.kept.arrays["b"]
        if W.any():
            gradient = yield GradientRequest(W, b, now.point_precision)
        else:
            gradient = objective.gradient_at_zero(b)
        now.point = Point(W, b, *objective.with_penalty(gradient, W))
        if math.isnan(now.first_norm):
            now.first_norm = now.point.evaluation.gradient_norm
            now.passes += 1.0
        now.predicted_gap = predicted_gap(objective, now.point)
        if self.certify_first and objective.penalised:
            now.proof = prove_with(objective, W, b, gradient, now.passes, self.clock)

    def _report(self) -> Status | None:
        """Add a row to the trace, with the state to resume from; the status if the search ends here, else None."""
        now, point, trace = self.now, self.now.here, self.trace
        seconds = self.clock()
        arrays = self.steps.arrays()
        self.kept = LBFGSState(
            epoch=now.iteration,
            W=point.W,
            b=point.b,
            seconds=seconds,
            passes=now.passes,
            solved=arrays.pop("solved", None),
            coupling=arrays.pop("coupling", None),
            pairs=arrays,
            curvature=self.steps.numbers.get("curvature", math.nan),
            first_norm=now.first_norm,
            proof_threshold=now.policy.threshold,
            precision=int(now.ladder.precision),
            point_precision=int(now.point_precision),
            lowest_gap=now.ladder.lowest_gap,
            stalled=now.ladder.stalled,
            predicted_gap=now.predicted_gap if self.objective.penalised else math.nan,
        ).to_state()
        shown = self.kept if trace.callback is None else _with_own_weights(self.kept)
        held_out = None if trace.validation is None else trace.validation.evaluate(point.W, point.b)
        stop = trace.add(
            (point.evaluation, held_out),
            shown,
            learning_rate=now.step,
            passes=now.passes,
            seconds=seconds,
            given_away=True,
        )
        if _has_no_minimum(self.objective, point):
            return Status.SEPARABLE
        if stop:
            return Status.STOPPED
        return Status.MAX_ITER if now.iteration >= self.settings.max_iter else None

    def _attempt_proof(self) -> Search[Status | None]:
        """Compute a certificate if it is predicted to reach tol: here, or where the pairs predict a smaller
        gradient."""
        now, objective = self.now, self.objective
        if (status := self._proved()) is not None:
            return status
        candidate, predicted = now.here, now.predicted_gap
        unit = now.here.value if objective.penalised else now.first_norm
        if not objective.penalised:
            predicted = _unpenalised_measure(now.here, now.first_norm) * now.first_norm
        if now.policy.is_near(predicted, unit):
            candidate = self.steps.flattest(now.here)
            predicted = predicted_gap(objective, candidate)
        now.proof_is_here = candidate is now.here
        if now.policy.attempts(predicted, unit):
            now.proof = yield from self._prove(candidate.W, candidate.b, candidate.db)
            now.policy.learn(predicted / max(unit, 1e-300), self._stopping_measure(now.proof))
        return self._proved()

    def _advance(self) -> Search[Status | None]:
        """Take a step. If there is none, or float32 is exhausted: raise the precision, or drop the pairs, or end."""
        now, ladder = self.now, self.now.ladder
        precision, direction = ladder.precision, self.steps.direction(now.here)
        following, now.step, trials = yield from wolfe_search(
            self.objective, now.here, direction, precision, self.steps.rms_curvature, now.predicted_gap
        )
        now.passes += trials
        if precision is Precision.COARSE and (following is None or ladder.has_stalled):
            ladder.climb(Precision.SINGLE)
            if following is None:
                point = yield from visit(self.objective, now.here.W, now.here.b, Precision.SINGLE)
                now.passes += 1.0
                self._restart_at(point, Precision.SINGLE)
                return None
        exhausted = following is None or ladder.has_stalled or self._is_rounding()
        if exhausted and ladder.precision is not Precision.DOUBLE:
            if now.proof is None:
                now.proof = yield from self._prove(now.here.W, now.here.b, now.here.db)
            ladder.climb(Precision.DOUBLE)
            self._restart_at(now.proof.point, now.proof.precision)
        elif following is not None:
            self._move_to(following, precision)
            if ladder.rounding > 0.0 and precision is Precision.COARSE and ladder.precision is not precision:
                yield from self._measure_again()
        elif self.steps.count:
            self.steps.clear()  # rounding may have spoilt the pairs; without them the direction is a descent direction
        else:
            return Status.STALLED
        return None

    def _move_to(self, following: Point, precision: Precision) -> None:
        """Begin the next iteration at `following`."""
        now, objective = self.now, self.objective
        self.steps.add(now.here, following)
        now.point, now.point_precision, now.proof = following, precision, None
        now.iteration += 1
        now.predicted_gap = predicted_gap(objective, following)
        now.ladder.observe(now.predicted_gap, following.value if objective.penalised else None)
        self.steps.review(now.iteration, following)

    def _measure_again(self) -> Search[None]:
        """Compute the point again in the precision of the next pass: a coarse pass rounds rows, so its L differs."""
        now = self.now
        now.point = yield from visit(self.objective, now.here.W, now.here.b, now.ladder.precision)
        now.point_precision, now.passes = now.ladder.precision, now.passes + 1.0
        now.predicted_gap = predicted_gap(self.objective, now.point)
        now.ladder.climb(now.ladder.precision)

    def _restart_at(self, point: Point, precision: Precision) -> None:
        """Restart the iteration at a point computed more precisely, without pairs."""
        now = self.now
        now.point, now.point_precision = point, precision
        now.predicted_gap = predicted_gap(self.objective, point)
        self.steps.clear()

    def _is_rounding(self) -> bool:
        """Whether a proof at this point shows that the gap predicted from its pass was an effect of rounding."""
        now, objective = self.now, self.objective
        if now.proof is None or not now.proof_is_here:
            return False
        return not objective.penalised or (
            predicted_gap(objective, now.proof.point) > ROUNDING_RATIO * now.predicted_gap
        )

    def _prove(self, W: Floats, b: Floats, db: Floats | None) -> Search[Proof]:
        """A proof near (W, b); its passes are counted."""
        now = self.now
        proof = yield from prove_near(self.objective, W, b, db, self.settings.tol, now.passes, self.clock)
        now.passes = proof.certificate.passes
        return proof

    def _end(self, status: Status) -> Search[Solution]:
        """The solution: the weights of the last proof; without one, those of the last point, proved now."""
        now = self.now
        if now.proof is None:
            if now.point is None:
                now.proof = yield from self._prove(self.kept.arrays["W"], self.kept.arrays["b"], None)
            else:
                now.proof = yield from self._prove(now.point.W, now.point.b, now.point.db)
        if self.trace.history:
            self.trace.settle(now.proof.point.evaluation)
        if status in (Status.STALLED, Status.MAX_ITER):
            status = self._proved() or status
        point, certificate = now.proof.point, now.proof.certificate
        words = {"preconditioner": "second moment of the features, from a sample of the images"}
        history, seconds = self.trace.history, self.clock()
        return Solution(point.W, point.b, status, history, self.kept, now.passes, seconds, words, certificate)

    def _proved(self) -> Status | None:
        """The status if the proof is sufficient; None if there is none, or it is not."""
        proof = self.now.proof
        if proof is None:
            return None
        if (status := proved_status(self.objective, proof.certificate, self.settings.tol)) is not None:
            return status
        converged = not self.objective.penalised and self._stopping_measure(proof) <= self.settings.tol
        return Status.CONVERGED if converged else None

    def _stopping_measure(self, proof: Proof) -> float:
        """The number that must be at most tol: the relative gap, or without a penalty `_unpenalised_measure`."""
        if self.objective.penalised:
            return proof.certificate.relative_gap
        return _unpenalised_measure(proof.point, self.now.first_norm)


def _unpenalised_measure(point: Point, first_norm: float) -> float:
    """The larger of |∇L| relative to the first one, and of |∇L·(W, b)| relative to L.

    The second is the duality gap of the slopes at (W, b), if the gradient were 0. On separable data the first becomes
    small long before the objective does.
    """
    norm = point.evaluation.gradient_norm / first_norm if first_norm > 0.0 else 0.0
    along = abs(float((point.dW * point.W).sum() + point.db @ point.b))
    return max(norm, along / max(point.value, 1e-300))


def carried(state: State, l2_change: float, W: Floats, b: Floats) -> State:
    """(W, b) as a start, with the curvature pairs of `state`, of an objective with another reg.

    Args:
        state: of a search of `LBFGS`.
        l2_change: `Objective.l2_weight` now, minus that of the other objective: y becomes y + 2 l2_change s.
        W, b: where to start.
    """
    arrays = {"W": W, "b": b}
    steps, changes = listed(state.arrays, "s"), [y.copy() for y in listed(state.arrays, "y")]
    for s, y in zip(steps, changes, strict=True):
        y[:, :-1] += 2.0 * l2_change * s[:, :-1]
    arrays |= numbered(s=steps, y=changes)
    numbers = {name: state.numbers[name] for name in ("curvature",) if name in state.numbers}
    return State(0, arrays, numbers)


def _start(objective: Objective) -> State:
    """Zero weights; the bias of a class without weight begins at `ABSENT_BIAS` if the loss is least at infinity."""
    arrays: dict[str, Floats] = zeros_state(objective, np.float64).arrays
    if objective.loss.infimum_at_infinity:
        arrays["b"][objective.statistics.class_means.shares == 0.0] = ABSENT_BIAS
    return State(0, arrays)


def _with_own_weights(state: State) -> State:
    """The state with its own copies of W and b, which its receiver may change. Other arrays are shared, read-only."""
    own = {name: state.arrays[name].copy() for name in ("W", "b")}
    return State(state.epoch, state.arrays | own, dict(state.numbers))


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


def _has_no_minimum(objective: Objective, point: Point) -> bool:
    """Whether the weights show that no minimum exists: without a penalty, and with every image classified correctly,
    larger weights always lower the loss."""
    return not objective.penalised and objective.loss.infimum_at_infinity and point.evaluation.accuracy == 1.0
