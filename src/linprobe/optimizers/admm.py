"""The alternating direction method: the exact optimum where the loss or the penalty has kinks, with a certificate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify, lower_bound_from
from linprobe.objective import DualPoint, Evaluation, Objective, Split
from linprobe.optimizers.base import Callback, Glimpse, Optimizer, Solution, State, Status, Watch, zeros_state
from linprobe.optimizers.normal_equations import ExactMoment, NormalEquations, exact_moment
from linprobe.optimizers.proofs import ProofPolicy
from linprobe.optimizers.states import ArrayOfState, checked_arrays, weights_of_state
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["ADMM"]

STEPS_PER_ROUND = 10
"""Steps between two estimates of the gap; a round is an epoch of the trace. An estimate costs a tenth of a pass with
L2 and a pass with |W|. Chosen by argument: a proof can come nine steps late, a tenth of what a search takes."""

FIRST_THRESHOLD = 0.75
"""Predicted gap, as a share of tol, at which the first certificate is attempted. It costs half as much as a round and
proves a little less than predicted. With a copy of the weights the dual point is made to fit beforehand and a proof
loses next to nothing: the share is 1 there. Passes in benchmarks/constants.py: a third: +6%; three times: -1%."""

RELAXATION_L2, RELAXATION = 1.9, 1.6
"""Factors of over-relaxation, in 1..2: with L2, and with |W| or no penalty, where the iterates spiral about the
optimum. 1.5 to 1.8 is usual (Boyd and others, 2011, section 3.4.3)."""

INNER_STEPS = 3
"""Alternations between the weights and their copy for each pass over the images. Chosen by argument: one costs two
products of (K, D) with (D, D), which is less than a pass while D is below N / 2. Passes in benchmarks/constants.py: a
third: +4%, 1 more of 12 uncertified; three times: +2%."""

TIE_STRENGTH = 0.3
"""Strength of the tie between a weight and its copy, in units of rho times the variance of its feature. Passes in
benchmarks/constants.py: a third: +3%; three times: +3%."""

LEAST_VARIANCE = 1e-12
"""Least variance of a feature that its tie is made for, as a share of the largest. Chosen by argument: float64
products of the features round to 1e-16 of the largest, so that below it a feature is as good as constant."""

FIRST_SLACK, SLACK_DECAY = 0.1, 0.7
"""Share of reg by which L1 is weaker in the steps than in the objective at first, and the least factor of that share
from one round to the next. Chosen by argument: the share follows the excess of the dual point down, and must not fall
faster than that does."""

RHO_MOST_OFF, RHO_MOST_CHANGE = 3.0, 30.0
"""Factor by which rho may be off its balance before it is changed, and the largest factor of one change. Chosen by
argument: a change costs a factor of the moment, and the residuals that it is judged by are off by a factor themselves.
Passes in benchmarks/constants.py: RHO_MOST_OFF at a third: +5%, 2 more of 12 uncertified; three times: +9%, 2 more of
12 uncertified. RHO_MOST_CHANGE at a third: +3%; three times: 0%."""

MOST_SHIFTS = 3
"""Newton steps, at most, that bring the column sums of the dual point to 0 before a certificate; each costs a pass.
Chosen by argument: they converge quadratically, and one that proves no more is the last. Passes in
benchmarks/constants.py: no change."""

SAMPLE_SCORES = 2**17
"""Scores (1 MB of float64) from which the slope of those steps is taken. Chosen by argument: for ten classes 13,000
images, whose mean slope is right to a hundredth. Passes in benchmarks/constants.py: no change."""

RHO_KINKED, RHO_KINKED_L1, RHO_SMOOTH, RHO_SQUARED = 2.0, 0.5, 0.06, 0.3
"""The first rho: of a loss with kinks in units of its unit's inverse, with L2 and with |W|; of a smooth loss as a
multiple of its curvature where that is at most 1/2; of any other. Measured on pixels with benchmarks/optimum.py;
passes in benchmarks/constants.py: RHO_KINKED_L1 at a third: -2%; three times: -13%; the others within 1%."""


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
        numbers, arrays = _checked(objective, zeros_state(objective, np.float64) if start is None else start)
        self.clock, self.trace = Clock(numbers.get("seconds", 0.0) + spent), Trace(objective, validation, callback)
        self.relax = RELAXATION_L2 if objective.l1_weight == 0.0 and objective.penalised else RELAXATION
        self.moment = moment or exact_moment(objective)
        self._stiffen(numbers.get("rho", _first_rho(objective)))
        self.W, self.b = arrays["W"].copy(), arrays["b"].copy()
        self.copy = arrays["copy"].copy() if "copy" in arrays else self.W.copy()
        self.price = arrays["price"].copy() if "price" in arrays else np.zeros_like(self.W)
        scores = (objective.n_images, objective.n_classes)
        self.z: npt.NDArray[np.float32] = arrays["z"].copy() if "z" in arrays else np.zeros(scores, np.float32)
        self.g: npt.NDArray[np.float32] = arrays["g"].copy() if "g" in arrays else np.zeros(scores, np.float32)
        self.miss = (arrays["miss"], arrays["miss_columns"]) if "miss" in arrays else None
        self.rounds = 0 if start is None else start.epoch
        self.passes = numbers.get("passes", 0.0)
        self.first_norm = numbers.get("first_norm", math.nan)
        first_threshold = settings.tol if self.tied else FIRST_THRESHOLD * settings.tol
        self.policy = ProofPolicy(settings.tol, numbers.get("proof_threshold", first_threshold))
        alone = objective.l1_weight > 0.0 and objective.l2_weight == 0.0
        self.slack = numbers.get("slack", FIRST_SLACK if alone else 0.0)
        self.least = numbers.get("least", math.inf)  # the lowest objective of a candidate
        self.predicted_gap = numbers.get("predicted_gap", math.nan)  # the gap that a certificate would probably show
        self.candidate = (arrays["best_W"], arrays["best_b"]) if "best_W" in arrays else self._candidate()
        self.promising: DualPoint | None = None  # that of the last round, while a proof is to be made of it
        if "dual_A" in arrays:
            self.promising = DualPoint(numbers["dual_value"], arrays["dual_A"], arrays["dual_c"])

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
                if self.promising is not None:  # a search that is resumed here begins with the proof
                    certificate = self._attempt_proof(self.promising)
                    self.promising = None
                if certificate is not None and self._met(certificate):
                    status = Status.CERTIFIED if self.objective.penalised else Status.CONVERGED
                elif self.rounds * STEPS_PER_ROUND >= self.settings.max_iter:
                    status = Status.MAX_ITER
                else:
                    certificate = None
                    split = self._round()
                    evaluation, promises = self._measure(split)
                    self.promising = split.dual if promises else None
                    if self._report(evaluation):
                        status = Status.STOPPED
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if certificate is None or status not in (Status.CERTIFIED, Status.CONVERGED):
            certificate = self._certify(None)
            if status is Status.MAX_ITER and self.objective.penalised and self._met(certificate):
                status = Status.CERTIFIED
        words = {"metric": "second moment of the features, exact", "rho": f"{self.rho:g}"}
        W, b = self.candidate
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
            self._review(z, g)
        return split

    def _stiffen(self, rho: float) -> None:
        """Take this rho: the factor, and the strength of the tie between weights and copy, follow it."""
        objective = self.objective
        self.rho, self.tied = rho, objective.l1_weight > 0.0
        self.tie: Floats = TIE_STRENGTH * rho * _variances(objective, self.moment) if self.tied else np.zeros(1)
        self.equations = NormalEquations(objective, self.moment, rho, 2.0 * objective.l2_weight + self.tie)

    def _review(self, z: npt.NDArray[np.float32], g: npt.NDArray[np.float32]) -> None:
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
        if not 1.0 / RHO_MOST_OFF < factor < RHO_MOST_OFF:
            tie = self.tie
            self._stiffen(self.rho * min(max(factor, 1.0 / RHO_MOST_CHANGE), RHO_MOST_CHANGE))
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
        """(the candidate's evaluation; whether the dual point, its columns evened out, may bound it closely)."""
        objective, dual = self.objective, require_dual(split)
        W, b = self._candidate()
        if not self.tied:
            data_loss, penalty, accuracy = split.data_loss, objective.penalty_value(W), split.accuracy
        else:
            at = objective.evaluate(W, b)
            self.passes += 1.0
            data_loss, penalty, accuracy = at.data_loss, at.penalty, at.accuracy
        if self.slack > 0.0:
            self._loosen(dual, penalty / max(data_loss + penalty, 1e-300))
        value, norm = data_loss + penalty, objective.least_norm(W, dual.A, dual.c)
        evaluation = Evaluation(value, data_loss, penalty, accuracy, norm)
        if value < self.least:
            self.least, self.candidate = value, (W, b)
        if objective.penalised:
            even = DualPoint(dual.value, dual.A, np.zeros_like(dual.c))
            self.predicted_gap = value - max(0.0, lower_bound_from(objective, even, value))
            return evaluation, self.policy.attempts(self.predicted_gap, value)
        near = self.policy.attempts(abs(value - dual.value), value)
        return evaluation, value == 0.0 or (self.policy.attempts(norm, self.first_norm) and near)

    def _loosen(self, dual: DualPoint, penalised: float) -> None:
        """Choose by how much L1 is weaker in the steps than in the objective, for the next round.

        A dual point whose |A| exceeds reg is scaled down to it, and its bound with it. Steps with a reg that is
        smaller by a share have their |A| within reg as soon as it errs by less than that share, and the bound then
        loses the same share of the penalty alone, `penalised` of the objective. The share follows the error down.
        """
        excess = float(np.abs(dual.A).max()) / ((1.0 - self.slack) * self.objective.l1_weight) - 1.0
        least = min(FIRST_SLACK, 0.5 * self.settings.tol / max(penalised, 1e-300))
        self.slack = max(least, min(self.slack, max(excess, SLACK_DECAY * self.slack)))

    def _certify(self, dual: DualPoint | None) -> Certificate:
        """The certificate of the candidate; `dual` is that of g, None where the last step was not finished."""
        W, b = self.candidate
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
        for _ in range(MOST_SHIFTS):
            if not objective.penalised or self.least - bound <= 0.5 * self.settings.tol * self.least:
                break
            positions = objective.sample(max(64, SAMPLE_SCORES // objective.n_classes))
            share = objective.shares()[positions]
            v = z[positions].astype(np.float64) + g[positions] / self.rho
            slope = objective.loss.prox_slope(v, objective.examples.y[positions], self.rho, share / share.sum())
            if not np.isfinite(slope).all():
                break  # scores of a search that diverged
            shift = -np.linalg.pinv(slope, rcond=1e-9, hermitian=True) @ dual.c
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

    def _met(self, certificate: Certificate) -> bool:
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
        """All that is needed to go on."""
        return self._state(self.clock())

    def _state(self, seconds: float) -> State:
        arrays: dict[str, npt.NDArray[np.floating]] = {"W": self.W, "b": self.b, "z": self.z, "g": self.g}
        if self.tied:
            arrays |= {"copy": self.copy, "price": self.price}
        if self.miss is not None:
            arrays |= {"miss": self.miss[0], "miss_columns": self.miss[1]}
        if math.isfinite(self.least):
            arrays |= {"best_W": self.candidate[0], "best_b": self.candidate[1]}
        numbers = {
            "seconds": seconds,
            "passes": self.passes,
            "first_norm": self.first_norm,
            "proof_threshold": self.policy.threshold,
            "slack": self.slack,
            "rho": self.rho,
            "least": self.least,
        }
        if math.isfinite(self.predicted_gap):
            numbers["predicted_gap"] = self.predicted_gap
        if self.promising is not None:
            arrays |= {"dual_A": self.promising.A, "dual_c": self.promising.c}
            numbers["dual_value"] = self.promising.value
        return State(self.rounds, arrays, numbers)


def _size(array: npt.NDArray[np.float32]) -> float:
    return math.sqrt(float(np.square(array, dtype=np.float64).sum()))


def require_dual(split: Split) -> DualPoint:
    """The dual point of a step that was to give one."""
    if split.dual is None:
        raise TypeError("the engine returned no dual point though need_dual was set")
    return split.dual


def _checked(objective: Objective, state: State) -> tuple[dict[str, float], dict[str, npt.NDArray[Any]]]:
    """(numbers, arrays) of a state: weights in float64, what the core changes for each score in float32."""
    weights = weights_of_state(objective)
    of_scores: ArrayOfState = ((objective.n_images, objective.n_classes), np.float32)
    known = {"z": of_scores, "g": of_scores, **weights}
    known |= dict.fromkeys(("copy", "price", "miss", "best_W", "dual_A"), weights["W"])
    known |= dict.fromkeys(("miss_columns", "best_b", "dual_c"), weights["b"])
    together = [("z", "g"), ("copy", "price"), ("miss", "miss_columns"), ("best_W", "best_b"), ("dual_A", "dual_c")]
    return state.numbers, checked_arrays(state, known, together=together)


def _variances(objective: Objective, moment: ExactMoment) -> Floats:
    """The variance of each feature (D,), or (1,) their mean where there are fewer images than features.

    A tie that is right for the mean holds back the weights of a feature of another scale: those of a small one are
    large, and |W| prices each feature by its scale.
    """
    mean = moment.trace / max(1, objective.n_features) or 1.0
    if not moment.of_features:
        return np.array([mean])
    variances = np.diagonal(moment.matrix)
    # a weight of a constant feature changes no score: with a loose tie it would wander off
    return np.where(variances > LEAST_VARIANCE * variances.max(initial=0.0), variances, mean)


def _first_rho(objective: Objective) -> float:
    """rho: of the order of the slopes and curvatures of the loss."""
    bound = objective.loss.curvature(objective.n_classes)
    if math.isinf(bound):
        return (RHO_KINKED_L1 if objective.l1_weight > 0.0 else RHO_KINKED) / objective.loss.unit
    return RHO_SMOOTH * bound if bound <= 0.5 else RHO_SQUARED
