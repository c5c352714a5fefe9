"""The alternating direction method: the exact optimum where the loss or the penalty has kinks, with a certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify, lower_bound_from
from linprobe.objective import DualPoint, Evaluation, Objective, Split
from linprobe.optimizers.balance import bias_step
from linprobe.optimizers.base import Callback, Glimpse, Optimizer, Solution, State, Status, Watch, zeros_state
from linprobe.optimizers.normal_equations import ExactMoment, NormalEquations, exact_moment
from linprobe.optimizers.proofs import ProofPolicy
from linprobe.optimizers.states import SavedState, saved_array, saved_number, sizes_of
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["ADMM"]

STEPS_PER_ROUND = 10
"""Steps between two estimates of the gap; a round is an epoch of the trace. An estimate costs a tenth of a pass with
L2 and a pass with |W|. Chosen by argument: a certificate comes at most nine steps late, a tenth of a search."""

FIRST_THRESHOLD = 0.75
"""Predicted gap, as a share of tol, at which the first certificate is attempted. It costs half as much as a round, and
the gap it proves is a little above the predicted one. With |W| the share is 1: the dual point is made feasible before
the attempt. Passes in benchmarks/constants.py: a third: +6%; three times: -1%."""

RELAXATION_L2, RELAXATION = 1.9, 1.6
"""Factors of over-relaxation, in 1..2: with L2, and with |W| or no penalty, where the iterates spiral about the
optimum. 1.5 to 1.8 is usual (Boyd and others, 2011, section 3.4.3)."""

INNER_STEPS = 3
"""Alternations between the weights and their copy for each pass over the images. Chosen by argument: one costs two
products of (K, D) with (D, D), which is less than a pass while D is below N / 2. Passes in benchmarks/constants.py: a
third: +4%, 1 more of 12 uncertified; three times: +2%."""

TIE_STRENGTH = 0.3
"""Strength of the quadratic term that ties a weight to its copy, in units of rho times the variance of its feature.
Passes in benchmarks/constants.py: a third: +3%; three times: +3%."""

MIN_VARIANCE = 1e-12
"""Variance of a feature, as a share of the largest, below which it counts as constant. Chosen by argument: float64
products of the features round to 1e-16 of the largest."""

FIRST_SLACK, SLACK_DECAY = 0.1, 0.7
"""Share of reg by which L1 is at first weaker in the steps than in the objective, and the smallest factor of that share
from one round to the next. Chosen by argument: the share follows the excess of the dual point down, and must not fall
faster than the excess."""

MAX_RHO_IMBALANCE, MAX_RHO_CHANGE = 3.0, 30.0
"""Ratio of the two residuals above which rho is changed, and the largest factor of one change. Chosen by argument: a
change costs a factorisation, and the residuals themselves are only right up to a factor. Passes in
benchmarks/constants.py: MAX_RHO_IMBALANCE at a third: +5%, 2 more of 12 uncertified; three times: +9%, 2 more of 12
uncertified. MAX_RHO_CHANGE at a third: +3%; three times: 0%."""

MAX_SHIFTS = 3
"""Newton steps, at most, that bring the column sums of the dual point to 0 before a certificate; each costs a pass.
Chosen by argument: they converge quadratically, and one that raises the bound no further is the last. Passes in
benchmarks/constants.py: no change."""

SAMPLE_SCORES = 2**17
"""Scores (1 MB of float64) from which the Hessian of those steps is estimated. Chosen by argument: with ten classes
they are 13,000 images, whose mean is right to a hundredth. Passes in benchmarks/constants.py: no change."""

RHO_KINKED, RHO_KINKED_L1, RHO_SMOOTH, RHO_SQUARED = 2.0, 0.5, 0.06, 0.3
"""The first rho. For a loss with kinks, in units of 1 / `Loss.unit`: with L2, and with |W|. For a smooth loss, as a
multiple of its curvature where that is at most 1/2; for any other smooth loss, as it is. Measured on pixels with
benchmarks/optimum.py. Passes in benchmarks/constants.py: RHO_KINKED_L1 at a third: -2%; three times: -13%; the others
within 1%."""


@final
@dataclass(frozen=True, kw_only=True)
class ADMMState(SavedState):
    """What a search by ADMM saves; z and g are in float32, as the core updates them.

    Attributes:
        z, g: (N, K), the scores and rho times their multipliers; g is a dual point at every step.
        copy, price: (K, D), the copy of W with exact zeros and its scaled multiplier; None without |W|.
        miss, miss_columns: (K, D) and (K,), what the last fit of W and b missed; None before the first step.
        best_W, best_b: (K, D) and (K,), the candidate with the lowest objective; None before the first.
        dual_A, dual_c, dual_value: of the last dual point, where a certificate is due.
        first_norm: of the least subgradient at the start; NaN before the first pass.
        proof_threshold: of `ProofPolicy`; NaN for its first value.
        slack: share of reg by which L1 is weaker in the steps than in the objective.
        rho: the penalty parameter of the method.
        least: the lowest objective of a candidate.
        predicted_gap: the duality gap predicted for a certificate.
    """

    z: npt.NDArray[np.float32] | None = saved_array("N", "K", dtype=np.float32, group="scores")
    g: npt.NDArray[np.float32] | None = saved_array("N", "K", dtype=np.float32, group="scores")
    copy: Floats | None = saved_array("K", "D", group="copy")
    price: Floats | None = saved_array("K", "D", group="copy")
    miss: Floats | None = saved_array("K", "D", group="miss")
    miss_columns: Floats | None = saved_array("K", group="miss")
    best_W: Floats | None = saved_array("K", "D", group="best")
    best_b: Floats | None = saved_array("K", group="best")
    dual_A: Floats | None = saved_array("K", "D", group="dual")
    dual_c: Floats | None = saved_array("K", group="dual")
    dual_value: float = saved_number()
    first_norm: float = saved_number(low=0.0)
    proof_threshold: float = saved_number(low=0.0)
    slack: float = saved_number(low=0.0, high=1.0)
    rho: float = saved_number(low=0.0)
    least: float = saved_number(math.inf)
    predicted_gap: float = saved_number()


@final
@dataclass(frozen=True)
class ADMM(Optimizer):
    """Alternates between the losses, image by image, and one least squares fit of W to all scores.

        z_i <- argmin L_i(z) + (rho / 2) |z - v_i|²,   v_i = z_i + g_i / rho + relax (W x'_i + b - z_i)
        g_i <- rho (v_i - z_i)
        W, b <- argmin (rho / 2) mean |W x' + b - (z - g / rho)|² + reg R(W)

    The g_i are dual feasible at every step, and give the lower bound. The fit is solved exactly with one factor of
    the second moment of all images; |W| enters it through a copy of W with exact zeros, which is what is returned.
    Two numbers in float32 are kept for each score.

    Args:
        tol: relative duality gap to reach, >= 0. Without a penalty there is no finite dual bound, and the norm of
            the least subgradient, relative to its norm at W = 0, is to be at most tol.
        max_iter: steps at most, >= 0; ten steps are an epoch of the trace.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Boyd, Parikh, Chu, Peleato and Eckstein, "Distributed optimization and statistical learning via the
        alternating direction method of multipliers", 2011, sections 3.4 and 8.2.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l1", reg=0.1, engine="reference")
        >>> solution = ADMM(tol=1e-4).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 3)
        ('CERTIFIED', 0.2)
    """

    tol: float = 1e-4
    max_iter: int = 2000
    name: ClassVar[str] = "admm"

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
        moment: ExactMoment | None = None,
        spent: float = 0.0,
    ) -> Solution:
        """The weights found, with their certificate; one row of the trace per ten steps.

        Args:
            moment: of the features, if it is there already.
            spent: seconds that it took.
        Raises:
            IncompatibleError: the loss has no prox, or the penalty no coefficients; too many images and features.
        """
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            return _Search(self, objective, start, callback, validation, watch, moment, spent).run()

    @staticmethod
    def serves_other_regs(name: str) -> bool:
        """Whether that array of a state serves a search with another reg value: weights, scores and dual point."""
        return name in ("W", "b", "copy", "price", "z", "g")


class _Search:
    """One minimisation: the iterates, and what is known of them."""

    def __init__(
        self,
        settings: ADMM,
        objective: Objective,
        start: State | None,
        callback: Callback | None,
        validation: Objective | None,
        watch: Watch | None,
        moment: ExactMoment | None,
        spent: float,
    ) -> None:
        self.settings, self.objective, self.validation, self.watch = settings, objective, validation, watch
        start = zeros_state(objective, np.float64) if start is None else start
        saved = ADMMState.from_state(start, sizes_of(objective))
        self.clock, self.trace = Clock(saved.seconds + spent), Trace(objective, validation, callback)
        self.relax = RELAXATION_L2 if objective.l1_weight == 0.0 and objective.penalised else RELAXATION
        self.moment = moment or exact_moment(objective)
        self._set_rho(_first_rho(objective) if math.isnan(saved.rho) else saved.rho)
        self.W, self.b = saved.W.copy(), saved.b.copy()
        self.copy = (self.W if saved.copy is None else saved.copy).copy()
        self.price = np.zeros_like(self.W) if saved.price is None else saved.price.copy()
        shape = (objective.n_images, objective.n_classes)
        self.z: npt.NDArray[np.float32] = np.zeros(shape, np.float32) if saved.z is None else saved.z.copy()
        self.g: npt.NDArray[np.float32] = np.zeros(shape, np.float32) if saved.g is None else saved.g.copy()
        self.miss: tuple[Floats, Floats] | None = None
        if saved.miss is not None and saved.miss_columns is not None:
            self.miss = saved.miss, saved.miss_columns
        self.rounds, self.passes, self.first_norm = saved.epoch, saved.passes, saved.first_norm
        threshold = settings.tol if self.tied else FIRST_THRESHOLD * settings.tol
        self.policy = ProofPolicy(
            settings.tol, threshold if math.isnan(saved.proof_threshold) else saved.proof_threshold
        )
        only_l1 = objective.l1_weight > 0.0 and objective.l2_weight == 0.0
        self.slack = (FIRST_SLACK if only_l1 else 0.0) if math.isnan(saved.slack) else saved.slack
        self.least, self.predicted_gap = saved.least, saved.predicted_gap
        self.best: tuple[Floats, Floats] = self._candidate()
        if saved.best_W is not None and saved.best_b is not None:
            self.best = saved.best_W, saved.best_b
        self.dual_to_prove: DualPoint | None = None  # that of the last round, where a certificate is to be computed
        if saved.dual_A is not None and saved.dual_c is not None:
            self.dual_to_prove = DualPoint(saved.dual_value, saved.dual_A, saved.dual_c)

    def run(self) -> Solution:
        """Rounds until the gap is small enough, or the budget is spent."""
        certificate: Certificate | None = None
        status: Status | None = None
        try:
            if math.isnan(self.first_norm):
                evaluation = self.objective.evaluate(self.W, self.b)
                self.passes += 1.0
                self.first_norm, self.least = evaluation.gradient_norm, evaluation.objective
                status = Status.STOPPED if self._report(evaluation) else None
            while status is None:
                if self.dual_to_prove is not None:  # a search that is resumed here begins with the proof
                    certificate = self._attempt_proof(self.dual_to_prove)
                    self.dual_to_prove = None
                if certificate is not None and self._is_solved(certificate):
                    status = Status.CERTIFIED if self.objective.penalised else Status.CONVERGED
                elif self.rounds * STEPS_PER_ROUND >= self.settings.max_iter:
                    status = Status.MAX_ITER
                else:
                    certificate = None
                    split = self._round()
                    evaluation, attempts = self._measure(split)
                    self.dual_to_prove = split.dual if attempts else None
                    if self._report(evaluation):
                        status = Status.STOPPED
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if certificate is None or status not in (Status.CERTIFIED, Status.CONVERGED):
            certificate = self._certify(None)
            if status is Status.MAX_ITER and self.objective.penalised and self._is_solved(certificate):
                status = Status.CERTIFIED
        words = {
            "preconditioner": "second moment of the features, of all images",
            "penalty_of_admm": f"rho = {self.rho:g}",
        }
        W, b = self.best
        return Solution(
            W, b, status, self.trace.history, self.state, certificate.passes, self.clock(), words, certificate
        )

    def _attempt_proof(self, dual: DualPoint) -> Certificate:
        """The certificate by this dual point, its passes counted."""
        certificate = self._certify(dual)
        self.passes = certificate.passes
        predicted = self.predicted_gap / max(certificate.objective, 1e-300)
        self.policy.learn(predicted, certificate.relative_gap)
        return certificate

    def _round(self) -> Split:
        """Ten steps, each a fit to the scores of the last and a pass over the images."""
        z, g = self.z, self.g
        for step in range(STEPS_PER_ROUND):
            if self.miss is not None:
                self._fit(*self.miss)
            need_dual = step == STEPS_PER_ROUND - 1
            if need_dual:
                z, g = self.z.copy(), self.g.copy()
            split = self.objective.split_step(
                self.W, self.b, self.z, self.g, rho=self.rho, relax=self.relax, need_dual=need_dual
            )
            self.miss = split.miss, split.miss_columns
            self.passes += 1.0
            if self.watch is not None and step < STEPS_PER_ROUND - 1:
                self.watch(Glimpse(self.rounds + (step + 1) / STEPS_PER_ROUND, split.data_loss, *self._candidate()))
        self.rounds += 1
        if self.rounds & (self.rounds - 1) == 0:  # the 1st, 2nd, 4th, ...
            self._adapt_rho(z, g)
        return split

    def _set_rho(self, rho: float) -> None:
        """Take this rho: the factor, and the strength of the tie between weights and copy, follow it."""
        objective = self.objective
        self.rho, self.tied = rho, objective.l1_weight > 0.0
        self.tie: Floats = TIE_STRENGTH * rho * _variances(objective, self.moment) if self.tied else np.zeros(1)
        self.equations = NormalEquations(objective, self.moment, rho, 2.0 * objective.l2_weight + self.tie)

    def _adapt_rho(self, z: npt.NDArray[np.float32], g: npt.NDArray[np.float32]) -> None:
        """Balance how far scores and dual point still are from rest, if rho is far from it; z and g are a step old.

        Data that are nearly separable have scores far above the margins, and tiny g: a rho made for pixels that
        are not holds them back.
        """
        dz, dg = _size(self.z - z), _size(self.g - g)
        primal = _size((self.z - z) + (self.g - g) / np.float32(self.rho)) / self.relax / max(_size(self.z), 1e-30)
        dual = self.rho * dz / max(_size(self.g), 1e-30)
        if not (primal > 0.0 and dual > 0.0 and dg > 0.0):
            return
        factor = math.sqrt(primal / dual)
        if not 1.0 / MAX_RHO_IMBALANCE < factor < MAX_RHO_IMBALANCE:
            tie = self.tie
            self._set_rho(self.rho * min(max(factor, 1.0 / MAX_RHO_CHANGE), MAX_RHO_CHANGE))
            if self.tied:
                self.price = self.price * (tie / self.tie)
            self.miss = None  # it was measured with the other rho; the next step measures it again

    def _fit(self, miss: Floats, columns: Floats) -> None:
        """W and b, and the copy of W with exact zeros, fitted to the scores that missed them by so much."""
        W, mean, l2_weight = self.W, self.moment.mean, self.objective.l2_weight
        toward = self.rho * (miss - columns[:, None] * mean) - 2.0 * l2_weight * W
        if not self.tied:
            self.W = W + self.equations.solve(toward)
        else:
            for _ in range(INNER_STEPS):
                self.W = W + self.equations.solve(toward + self.tie * (self.copy - self.price - W))
                relaxed = RELAXATION * self.W + (1.0 - RELAXATION) * self.copy
                self.copy = self.objective.prox(relaxed + self.price, (1.0 - self.slack) / self.tie)
                self.price = self.price + relaxed - self.copy
        self.b = self.b + columns - (self.W - W) @ mean

    def _candidate(self) -> tuple[Floats, Floats]:
        """The weights to use: with a kinked penalty the copy, and the bias that leaves the mean scores as they are."""
        if not self.tied:
            return self.W, self.b
        return self.copy, self.b + (self.W - self.copy) @ self.moment.mean

    def _measure(self, split: Split) -> tuple[Evaluation, bool]:
        """(the candidate's evaluation; whether its dual point is predicted to prove enough, once balanced)."""
        objective, dual = self.objective, require_dual(split)
        W, b = self._candidate()
        if not self.tied:
            data_loss, penalty, accuracy = split.data_loss, objective.penalty_value(W), split.accuracy
        else:
            at = objective.evaluate(W, b)
            self.passes += 1.0
            data_loss, penalty, accuracy = at.data_loss, at.penalty, at.accuracy
        if self.slack > 0.0:
            self._update_slack(dual, penalty / max(data_loss + penalty, 1e-300))
        value, norm = data_loss + penalty, objective.least_norm(W, dual.A, dual.c)
        evaluation = Evaluation(value, data_loss, penalty, accuracy, norm)
        if value < self.least:
            self.least, self.best = value, (W, b)
        if objective.penalised:
            even = DualPoint(dual.value, dual.A, np.zeros_like(dual.c))
            self.predicted_gap = value - max(0.0, lower_bound_from(objective, even, value))
            return evaluation, self.policy.attempts(self.predicted_gap, value)
        near = self.policy.attempts(abs(value - dual.value), value)
        return evaluation, value == 0.0 or (self.policy.attempts(norm, self.first_norm) and near)

    def _update_slack(self, dual: DualPoint, penalised: float) -> None:
        """Choose by how much L1 is weaker in the steps than in the objective, for the next round.

        A dual point whose |A| exceeds reg is scaled down to it, and its bound with it. Steps with a reg that is
        smaller by a share have |A| <= reg once the error of |A| is below that share. The bound then loses that share
        of the penalty alone, which is `penalised` of the objective. The share decreases with the error.
        """
        excess = float(np.abs(dual.A).max()) / ((1.0 - self.slack) * self.objective.l1_weight) - 1.0
        least = min(FIRST_SLACK, 0.5 * self.settings.tol / max(penalised, 1e-300))
        self.slack = max(least, min(self.slack, max(excess, SLACK_DECAY * self.slack)))

    def _certify(self, dual: DualPoint | None) -> Certificate:
        """The certificate of the candidate; `dual` is that of g, None where the last step was not finished."""
        W, b = self.best
        g = self.g if dual is None else self._balanced(dual)
        G = g.astype(np.float64)
        rows, y = np.arange(len(G)), self.objective.examples.y
        G[rows, y] = 0.0
        G[rows, y] = -G.sum(axis=1)  # as float32 they sum to zero but for rounding
        return certify(self.objective, W, b, G, passes=self.passes, seconds=self.clock())

    def _balanced(self, dual: DualPoint) -> npt.NDArray[np.float32]:
        """The dual point g at v = z + g / rho, or that at v + shift, one shift for all images, with smaller columns.

        With an unpenalised bias each column of a dual point must sum to 0.
        """
        objective = self.objective
        best, bound = self.g, lower_bound_from(objective, dual, self.least)
        z, g = self.z.copy(), self.g.copy()
        zeros = zeros_state(objective, np.float64).arrays
        for _ in range(MAX_SHIFTS):
            if not objective.penalised or self.least - bound <= 0.5 * self.settings.tol * self.least:
                break
            positions = objective.statistics.sample(max(64, SAMPLE_SCORES // objective.n_classes))
            share = objective.shares()[positions]
            v = z[positions].astype(np.float64) + g[positions] / self.rho
            slope = objective.loss.prox_slope(v, objective.examples.y[positions], self.rho, share / share.sum())
            if not np.isfinite(slope).all():
                break  # scores of a search that diverged
            shift = -bias_step(slope, dual.c)
            z += g / np.float32(self.rho) + shift.astype(np.float32)
            g[:] = 0.0
            split = objective.split_step(zeros["W"], zeros["b"], z, g, rho=self.rho, relax=0.0, need_dual=True)
            self.passes += 1.0
            dual = require_dual(split)
            found = lower_bound_from(objective, dual, self.least)
            if not found > bound:
                break
            best, bound = g.copy(), found
        return best

    def _is_solved(self, certificate: Certificate) -> bool:
        if self.objective.penalised or certificate.objective == 0.0:
            return certificate.relative_gap <= self.settings.tol
        return True  # the gradient of the loss at (W, b), which the certificate has, does not vanish at a kink

    def _report(self, evaluation: Evaluation) -> bool:
        """A row of the trace; whether the callback requests a stop."""
        held_out = None if self.validation is None else self.validation.evaluate(*self._candidate())
        seconds = self.clock()
        return self.trace.add(
            (evaluation, held_out), self._state(seconds), learning_rate=0.0, passes=self.passes, seconds=seconds
        )

    @property
    def state(self) -> State:
        """All that is needed to resume."""
        return self._state(self.clock())

    def _state(self, seconds: float) -> State:
        miss, miss_columns = (None, None) if self.miss is None else self.miss
        best_W, best_b = self.best if math.isfinite(self.least) else (None, None)
        dual = self.dual_to_prove
        return ADMMState(
            epoch=self.rounds,
            W=self.W,
            b=self.b,
            seconds=seconds,
            passes=self.passes,
            z=self.z,
            g=self.g,
            copy=self.copy if self.tied else None,
            price=self.price if self.tied else None,
            miss=miss,
            miss_columns=miss_columns,
            best_W=best_W,
            best_b=best_b,
            dual_A=None if dual is None else dual.A,
            dual_c=None if dual is None else dual.c,
            dual_value=math.nan if dual is None else dual.value,
            first_norm=self.first_norm,
            proof_threshold=self.policy.threshold,
            slack=self.slack,
            rho=self.rho,
            least=self.least,
            predicted_gap=self.predicted_gap,
        ).to_state()


def _size(array: npt.NDArray[np.float32]) -> float:
    return math.sqrt(float(np.square(array, dtype=np.float64).sum()))


def require_dual(split: Split) -> DualPoint:
    """The dual point of a step that was to give one."""
    if split.dual is None:
        raise TypeError("the engine returned no dual point though need_dual was set")
    return split.dual


def _variances(objective: Objective, moment: ExactMoment) -> Floats:
    """The variance of each feature (D,), or (1,) their mean where there are fewer images than features.

    A tie that is right for the mean holds back the weights of a feature of another scale: those of a small one are
    large, and |W| prices each feature by its scale.
    """
    mean = moment.trace / max(1, objective.n_features) or 1.0
    if not moment.of_features:
        return np.array([mean])
    variances = np.diagonal(moment.matrix)
    # a weight of a constant feature changes no score: a weak tie would let it drift
    return np.where(variances > MIN_VARIANCE * variances.max(initial=0.0), variances, mean)


def _first_rho(objective: Objective) -> float:
    """rho: of the order of the slopes and curvatures of the loss."""
    bound = objective.loss.curvature(objective.n_classes)
    if math.isinf(bound):
        return (RHO_KINKED_L1 if objective.l1_weight > 0.0 else RHO_KINKED) / objective.loss.unit
    return RHO_SMOOTH * bound if bound <= 0.5 else RHO_SQUARED
