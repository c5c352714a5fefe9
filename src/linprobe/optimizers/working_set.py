"""Working sets: the exact optimum with |W| if few features have weights, and of the hinge if there are many images."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, absolute_tol, certify
from linprobe.errors import IncompatibleError
from linprobe.objective import Evaluation, Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.hinge_program import MAX_PAIRS, HingeProgram
from linprobe.optimizers.interior_point import PointWithin, Within, minimize_within
from linprobe.optimizers.lbfgs import ABSENT_BIAS
from linprobe.optimizers.proofs import ProofPolicy
from linprobe.optimizers.proximal_newton import FIRST_DAMPING, Columns, ProximalNewton, Smoothed, Step, check_curved
from linprobe.optimizers.trace import Clock, Trace
from linprobe.optimizers.working_set_state import WorkingSetState
from linprobe.shapes import Floats, check_range

__all__ = ["WorkingSet", "suits_working_set", "uses_few_weights", "working_set_cost"]

JOINING_FEATURES, JOINING_RATIO = 100, 2
"""Features that join the set in one round, at most: JOINING_FEATURES, or JOINING_RATIO times those with weights if that
is more. Chosen by argument."""

KEEP_ABOVE = 0.7
"""Slope of a feature whose weights are 0, as a share of the l1 weight, above which it stays in the set. Chosen by
argument."""

JOIN_ROUNDING = 1e-9
"""Relative excess of a slope over the l1 weight above which its feature joins; a smaller one is rounding. Chosen by
argument."""

FIRST_RHO, FIRST_RHO_OF_MANY, RHO_GROWTH, SLOW_GAP = 1.0, 0.01, 3.0, 0.3
"""For a hinge: the first curvature rho of its smoothed kinks, in units of 1 / delta, if few weights are nonzero
(FIRST_RHO) or many (FIRST_RHO_OF_MANY). It grows by RHO_GROWTH after a round in which more than the share SLOW_GAP of
the gap over the set remains. With many weights the scores vary more; with 1 the steps do not converge there, and the
bound stays 0 (benchmarks/gauntlet.py, tame, large, seed 1019)."""

FEW_WEIGHTS_L1 = 1e-3
"""The l1 weight, as a share of the largest slope at W = 0, from which few weights are expected to be nonzero. Chosen by
argument."""

FIRST_SLOPE_TOL, MIN_SLOPE_TOL, GAP_SHARE = 0.1, 0.1, 0.1
"""A round ends when no slope over its set exceeds the slope tolerance, a share of the l1 weight. It begins at
FIRST_SLOPE_TOL, follows GAP_SHARE times the relative gap over the set, and stays above MIN_SLOPE_TOL times the
threshold of a certificate. Chosen by argument."""

BIAS_SLOPE_COST = 0.1
"""Largest slope of a bias that a round may leave: for a bias of one unit of the scores, it costs this share of the
slope tolerance times the objective. Chosen by argument."""

MAX_NEWTON_STEPS = 30
"""Newton steps over one set, at most. Chosen by argument."""

SMOOTHED_ROUNDS, MANY_STEPS, MAX_SMOOTHED_ROUNDS, NEARLY_SOLVED = 3, 10, 8, 1e-2
"""When the interior point method takes over from rounds of Newton steps, for margins with |W|: after SMOOTHED_ROUNDS
rounds, once a round takes MANY_STEPS steps, or after MAX_SMOOTHED_ROUNDS rounds. It does not if the relative gap is
below NEARLY_SOLVED. The first rounds are cheap, and find the weights that are not 0. Later rounds take as long as the
interior point method (benchmarks/gauntlet.py, large)."""

PART_OF_TOL = 0.25
"""Relative gap at which the interior point method ends, over the weights that it solves for, as a share of the
threshold of a certificate. Chosen by argument."""

WITHIN_GAP, WITHIN_TO_END, WITHIN_START_GAP = 0.01, 30.0, 10.0
"""Gap at which the interior point method ends where weights may still join: a share of the gap over all features. Where
that is below WITHIN_TO_END times the threshold of a certificate, PART_OF_TOL of the threshold at once. And the gap of
the point of the central path at which it begins, in units of that of the weights so far. With 74 classes
(benchmarks/gauntlet.py, ordinary, large, seed 1091) it took 77 steps from W = 0 and to PART_OF_TOL each time. With 0.01
and 10 it takes 37, with 0.01 and 100 it takes 53, and with 0.1 and 1 it does not arrive."""

PAIRS_PER_WEIGHT = 2
"""Pairs of an image and a wrong class, per weight that may be nonzero, up to which `HingeProgram` solves over the set
instead. It has one unknown for each pair, and solves for all weights of the set. Chosen by argument."""

PROGRAM_GAP, PROGRAM_TO_END = 0.1, 30.0
"""Relative gap at which `HingeProgram` ends: PROGRAM_GAP times the gap over all features. If that is below
PROGRAM_TO_END times the threshold of a certificate, it ends at PART_OF_TOL times the threshold: a few more steps cost
less than another start. Chosen by argument."""

JOIN_PROGRAM_ABOVE = 0.8
"""Slope of a feature, as a share of the l1 weight, above which it joins a set that `HingeProgram` solves: the time of
the program hardly depends on the number of features. Chosen by argument."""

NONZERO_ABOVE, MAX_NONZERO = 0.95, 2000
"""Slope of a weight, as a share of the l1 weight, above which it may be nonzero at the optimum; and the number of such
weights up to which the interior point method solves for them. At that number a factor takes 0.1 s (an AVX-512 core at
30 GFLOP/s). With 0.9 there are a third more of these weights, and as many rounds (benchmarks/gauntlet.py)."""

ALL_NONZERO_SHARE = 0.5
"""If more than this share of the weights of a set may be nonzero, all of them are solved for. Chosen by argument."""

PROGRESS, MAX_STALLED = 0.9, 12
"""A round makes progress if the gap falls below PROGRESS times the lowest gap so far. The search ends after MAX_STALLED
rounds without progress. Chosen by argument."""

ATTEMPT_BELOW = 0.9
"""Estimated gap, as a share of tol, below which the first certificate is computed. Chosen by argument."""


@final
@dataclass(frozen=True)
class WorkingSet(Optimizer):
    """Solves the problem over a set of few features, computes the slopes of all, adds those that matter, and repeats.

    At the optimum a weight is 0 if the slope of the data loss in it is smaller than the l1 weight, so most features can
    be left out. Without |W| the set is all features. A round minimises over the set by `ProximalNewton` steps; a hinge
    is smoothed about its multipliers. For margins with |W|, these rounds show which weights may be nonzero. Then
    `minimize_within` solves for these alone. After each round one pass over all features computes every slope at a dual
    point, and with it a lower bound on the objective.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: rounds at most, >= 0; each takes a pass over the images, besides the work on its set.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Massias, Gramfort and Salmon, "Celer: a fast solver for the lasso with dual extrapolation", 2018; Ndiaye,
        Fercoq, Gramfort and Salmon, "Gap safe screening rules for sparsity enforcing penalties", 2017.
    Example:
        >>> X, y = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 0.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l1", reg=0.1, engine="reference")
        >>> solution = WorkingSet(tol=1e-6).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 6)
        ('CERTIFIED', 0.2)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "working-set"

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
        """The weights found, with their certificate; one row of the trace per round.

        Raises:
            IncompatibleError: the penalty has no |W|, or the loss declares neither margins nor a Hessian.
        """
        _check(objective)
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            return _Search(self, objective, start, callback, validation).run()


def suits_working_set(objective: Objective) -> bool:
    """Whether `WorkingSet` can minimise this objective."""
    try:
        _check(objective)
    except IncompatibleError:
        return False
    return True


def uses_few_weights(objective: Objective) -> bool:
    """Whether few weights are expected to be nonzero: |W| outweighs most slopes at W = 0, all margins violated."""
    shares, sums = objective.statistics.class_means
    centred = sums - shares[:, None] * sums.sum(axis=0)
    largest = float(np.abs(centred.sum(axis=0) - len(shares) * centred).max(initial=0.0))
    return objective.l1_weight >= FEW_WEIGHTS_L1 * largest


def working_set_cost(objective: Objective, n_features: int) -> float:
    """Estimated bytes of a search with this many features in its set."""
    N, K = objective.n_images, objective.n_classes
    unknowns = min(n_features * K, MAX_NONZERO) if _may_restrict(objective) else 0
    numbers = N * n_features + 10 * N * K + 3 * K * objective.n_features + 2 * unknowns**2
    if _has_program(objective):
        pairs = N * (K - 1)
        numbers += pairs * pairs * 2 + 8 * n_features * K
    return 8.0 * numbers


def _check(objective: Objective) -> None:
    penalty = objective.penalty
    if not objective.penalised or penalty is None or penalty.coefficients is None:
        raise IncompatibleError(
            "working sets need a penalty a sum W² + c sum |W| and reg > 0. Use optimizer='exact', which takes another "
            "method here."
        )
    check_curved(objective)


def _may_restrict(objective: Objective) -> bool:
    """Whether `minimize_within` can minimise the objective."""
    return objective.loss.margin_power is not None and objective.l1_weight > 0.0


def _has_program(objective: Objective) -> bool:
    """Whether the problem over a set is small enough for `HingeProgram`."""
    return objective.loss.margin_power == 1 and objective.l1_weight > 0.0 and _pairs(objective) <= MAX_PAIRS


def _pairs(objective: Objective) -> int:
    """Number of pairs of an image of weight above 0 and a wrong class."""
    return int((objective.shares() > 0.0).sum()) * (objective.n_classes - 1)


@dataclass
class _Round:
    """The result of one round.

    Attributes:
        value, data_loss, accuracy: at its weights.
        A, columns: (K, D) and (K,), sums of a_i G_i x_iᵀ and a_i G_i.
        gap: value minus the best bound so far; absolute.
        gap_of_set: value minus a bound for the problem over the set alone; absolute.
    """

    value: float
    data_loss: float
    accuracy: float
    A: Floats
    columns: Floats
    gap: float
    gap_of_set: float


class _Search:
    """One minimisation."""

    def __init__(
        self,
        settings: WorkingSet,
        objective: Objective,
        start: State | None,
        callback: Callback | None,
        validation: Objective | None,
    ) -> None:
        self.settings, self.objective = settings, objective
        self.trace = Trace(objective, validation, callback)
        self.shares, self.y = objective.shares(), objective.examples.y
        K, N, D = objective.n_classes, objective.n_images, objective.n_features
        saved = WorkingSetState() if start is None else WorkingSetState.of(start, objective)
        self.may_restrict = _may_restrict(objective) if saved.may_restrict is None else saved.may_restrict
        self.may_program = _has_program(objective) if saved.may_program is None else saved.may_program
        self.restricted, self.newton_steps = saved.restricted, saved.newton_steps
        self.clock, self.passes, self.rounds = Clock(saved.seconds), saved.passes, saved.epoch
        W = np.zeros((K, D)) if start is None else saved.W
        if saved.positions is not None:
            positions = saved.positions.astype(np.int64)
        else:  # no start, or weights alone; without |W| the set is all features
            positions = np.flatnonzero(W.any(axis=0)) if objective.l1_weight > 0.0 else np.arange(D)
        self.columns = Columns(objective, positions, D)
        self.W: Floats = np.ascontiguousarray(W[:, positions].T)
        self.b: Floats
        if saved.centred_b is not None:
            self.b = saved.centred_b.copy()
        else:
            self.b = (np.zeros(K) if start is None else saved.b) + self.columns.mean @ self.W
        if start is None and objective.loss.margin_power is None:
            self.b[objective.statistics.class_means.shares == 0.0] = ABSENT_BIAS * objective.loss.unit
        self.G: Floats = np.zeros((N, K)) if saved.G is None else saved.G.copy()
        self.best_G: Floats = self.G if saved.best_G is None else saved.best_G.copy()
        self.nonzero = self.W != 0.0 if saved.nonzero is None else saved.nonzero > 0.0
        self.rho = self._first_rho() if math.isnan(saved.rho) else saved.rho
        self.slope_tol = FIRST_SLOPE_TOL if math.isnan(saved.slope_tol) else saved.slope_tol
        self.damping = FIRST_DAMPING if math.isnan(saved.damping) else saved.damping
        self.lowest, self.stalled = saved.lowest, saved.stalled
        self.relative_gap, self.gap = saved.relative_gap, saved.gap
        self.gap_of_set, self.bound = saved.gap_of_set, saved.bound
        self.value = saved.value
        if math.isnan(self.value):
            self.value = float(objective.loss.value(np.zeros((1, K)), np.zeros(1, np.int64))[0])
        threshold = ATTEMPT_BELOW * settings.tol if math.isnan(saved.threshold) else saved.threshold
        self.policy = ProofPolicy(settings.tol, threshold)
        self.state = start

    def run(self) -> Solution:
        """Rounds until the gap is at most tol, or `max_iter` is reached."""
        certificate: Certificate | None = None
        status: Status | None = None
        try:
            if self.state is None:
                at = self._evaluate(self._solve_set())
                self._update_set(at)
                status = self._report(at)
            while status is None:
                if self._attempts_proof():
                    certificate = self._certificate()
                    status = proved_status(self.objective, certificate, self.settings.tol)
                    if status is not None:
                        break
                    self.policy.halve()
                if self.rounds >= self.settings.max_iter:
                    status = Status.MAX_ITER
                    break
                if self.stalled > MAX_STALLED:
                    status = Status.STALLED
                    break
                certificate = None
                at = self._evaluate(self._solve_set())
                self.rounds += 1
                self._update_set(at)
                status = self._report(at)
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if certificate is None:
            certificate = self._certificate()
            if status in (Status.MAX_ITER, Status.STALLED):
                status = proved_status(self.objective, certificate, self.settings.tol) or status
        W, b = self._weights()
        state = self.state or State(0, {"W": W, "b": b})
        words = {"features": f"{len(self.columns.positions)} of {self.objective.n_features} in the last set"}
        return Solution(W, b, status, self.trace.history, state, certificate.passes, self.clock(), words, certificate)

    def _attempts_proof(self) -> bool:
        """Whether to compute a certificate now."""
        tol, threshold = self.settings.tol, self.policy.threshold
        negligible = absolute_tol(self.objective, tol) * threshold / tol if tol else 0.0
        return self.policy.attempts(self.relative_gap, 1.0) or self.gap <= negligible

    def _first_rho(self) -> float:
        """The first curvature of the smoothed kinks of a hinge; a smooth loss does not use it."""
        objective = self.objective
        few = objective.loss.smooth or objective.l1_weight == 0.0 or uses_few_weights(objective)
        return (FIRST_RHO if few else FIRST_RHO_OF_MANY) / objective.loss.unit

    def _takes_over(self) -> bool:
        """Whether the interior point method takes over from rounds of Newton steps."""
        many = self.newton_steps >= MANY_STEPS or self.rounds > MAX_SMOOTHED_ROUNDS
        return self.restricted or (self.rounds >= SMOOTHED_ROUNDS and many and self.relative_gap > NEARLY_SOLVED)

    def _takes_program(self) -> bool:
        """Whether `HingeProgram` solves over the set: it is the smaller problem, and the set is nearly complete."""
        few = _pairs(self.objective) <= PAIRS_PER_WEIGHT * int(self.nonzero.sum())
        begun = self.rounds > SMOOTHED_ROUNDS or (self.rounds == SMOOTHED_ROUNDS and self.newton_steps >= MANY_STEPS)
        return self.may_program and few and begun and len(self.W) > 0

    def _program(self) -> HingeProgram:
        """The problem over the set as a `HingeProgram`."""
        objective = self.objective
        return HingeProgram(
            self.columns.X,
            self.y,
            self.shares,
            objective.n_classes,
            delta=objective.loss.unit,
            squares=objective.l2_weight,
            size=objective.l1_weight,
            n_threads=objective.engine.n_threads,
        )

    def _tol_of_part(self, share: float, to_end: float) -> float:
        """The relative gap over a part of the weights at which its solver ends.

        Args:
            share: of the gap over all features.
            to_end: thresholds of a certificate below which PART_OF_TOL of the threshold is aimed at.
        """
        tol = share * self.relative_gap
        return PART_OF_TOL * self.policy.threshold if tol < to_end * self.policy.threshold else tol

    def _solve_set(self) -> Step:
        """Weights near the minimum over the set, and slopes near its dual optimum."""
        objective, n_nonzero = self.objective, int(self.nonzero.sum())
        if self._takes_program():
            tol = self._tol_of_part(PROGRAM_GAP, PROGRAM_TO_END)
            point = self._program().minimize(self.W, self.b, self.G, tol)
            # if rounding keeps it from that gap, rounds of Newton steps follow
            self.may_program = point is not None and point.gap <= tol
            if point is not None:
                return Step(point.W, point.b, self.columns.scores(point.W, point.b), point.G)
        self.restricted = self.may_restrict and 0 < n_nonzero <= MAX_NONZERO and self._takes_over()
        if self.restricted:
            within = Within(self.columns.positions, self.nonzero)
            near = PointWithin(self.W.T, self.b - self.columns.mean @ self.W, self.G)
            gap, tol = max(WITHIN_START_GAP * self.gap, 1e-300), self._tol_of_part(WITHIN_GAP, WITHIN_TO_END)
            exact_zeros = tol <= PART_OF_TOL * self.policy.threshold
            found = minimize_within(objective, within, tol, near, gap, exact_zeros)
            if found is not None:
                W = np.ascontiguousarray(found.W.T)
                b = found.b + self.columns.mean @ W
                return Step(W, b, self.columns.scores(W, b), found.G)
            self.may_restrict = self.restricted = False
        newton = ProximalNewton(objective, self.columns, self.damping)
        smoothed = Smoothed(objective, self.G, self.rho)
        bias_slope = BIAS_SLOPE_COST * self.slope_tol * self.value / objective.loss.unit
        enough = self._is_enough if objective.loss.smooth else None
        step = newton.minimize(smoothed, self.W, self.b, self.slope_tol, bias_slope, MAX_NEWTON_STEPS, enough)
        self.damping, self.newton_steps = newton.damping, newton.taken
        return step

    def _is_enough(self, value: float, step: Step, slope: Floats, columns: Floats) -> bool:
        """Whether the gap over the set is a small part of that over all features."""
        gap = value - self._bound(step.G, slope.T) + self._column_cost(step.b, columns)
        return gap <= max(GAP_SHARE * min(self.gap, value), PART_OF_TOL * self.policy.threshold * value)

    def _column_cost(self, b: Floats, columns: Floats) -> float:
        """Estimate of how much nonzero column sums of a dual point lower its bound, given the bias."""
        apart = np.abs(b - b[int(self.objective.statistics.class_means.shares.argmax())])
        return float(np.abs(columns) @ (apart + self.objective.loss.unit))

    def _evaluate(self, step: Step) -> _Round:
        """Adopt the weights and multipliers of a step, and compute the slopes of all features, in one pass."""
        objective, shares = self.objective, self.shares
        A, columns = objective.engine.gradient_of_scores(shares[:, None] * step.G, precise=True)
        self.passes += 1.0
        losses = objective.loss.value(step.S, self.y)
        data_loss = float(shares @ losses)
        hits = float(shares @ (step.S.argmax(axis=1) == self.y))
        value = data_loss + objective.penalty_value(step.W)
        column_cost = self._column_cost(step.b, columns)
        bound = self._bound(step.G, A) - column_cost
        of_set = self._bound(step.G, A[:, self.columns.positions]) - column_cost
        self.W, self.b, self.G = step.W, step.b, step.G
        if bound > self.bound:
            self.bound, self.best_G = bound, step.G
        return _Round(value, data_loss, hits, A, columns, value - self.bound, value - of_set)

    def _bound(self, G: Floats, A: Floats) -> float:
        """The dual value of G if its columns summed to 0, with A (K, D) or (K, n) its sums over the images."""
        objective, penalty = self.objective, self.objective.penalty
        assert penalty is not None
        counted = self.shares > 0.0
        scale = penalty.dual_scale(A, objective.reg)
        conjugates = objective.loss.conjugate(scale * G[counted], self.y[counted])
        return -float(self.shares[counted] @ conjugates) - penalty.conjugate(-scale * A, objective.reg)

    def _update_set(self, at: _Round) -> None:
        """Set the precision and the features of the next round."""
        self._update_gaps(at)
        sizes, l1_weight = np.abs(at.A).max(axis=0), self.objective.l1_weight
        violated = sizes > l1_weight * (1.0 + JOIN_ROUNDING)
        violated[self.columns.positions] = False
        if len(self.W) or not violated.any():
            self._update_precision(max(at.gap_of_set, 0.0) / self.value)
        self._update_nonzero(at, self.nonzero)
        if not violated.any():
            return
        used = self.W.any(axis=1)
        new = self._joining(sizes, int(used.sum()))
        keep = used | (sizes[self.columns.positions] > KEEP_ABOVE * l1_weight)
        self.columns.keep(keep)
        self.columns.add(new)
        self.W = np.concatenate([self.W[keep], np.zeros((len(new), self.W.shape[1]))])
        # the columns have changed, and with them the order of the weights
        self._update_nonzero(at, np.concatenate([self.nonzero[keep], np.zeros((len(new), self.W.shape[1]), bool)]))

    def _joining(self, sizes: Floats, n_used: int) -> npt.NDArray[np.int64]:
        """The features that join the set: those with the largest slopes.

        Args:
            sizes: (D,) largest slope of each feature.
            n_used: features of the set with weights.
        """
        join_above = 1.0 + JOIN_ROUNDING
        if self._takes_program():
            join_above = JOIN_PROGRAM_ABOVE
        elif self.restricted:
            join_above = NONZERO_ABOVE
        joining = sizes > join_above * self.objective.l1_weight
        joining[self.columns.positions] = False
        new: npt.NDArray[np.int64] = np.flatnonzero(joining)
        most = max(JOINING_FEATURES, JOINING_RATIO * n_used)
        if len(new) > most:
            new = new[np.sort(np.argsort(-sizes[new], kind="stable")[:most])]
        return new

    def _update_gaps(self, at: _Round) -> None:
        """Take the gap of a round, and count the rounds without progress."""
        self.value = max(abs(at.value), 1e-300)
        self.gap = max(at.gap, 0.0)
        self.relative_gap = self.gap / self.value
        if self.relative_gap < PROGRESS * self.lowest:
            self.lowest, self.stalled = self.relative_gap, 0
        else:
            self.stalled += 1

    def _update_precision(self, gap_of_set: float) -> None:
        """Choose how precisely the next round minimises, by the relative gap over the set."""
        slow = gap_of_set > max(SLOW_GAP * self.gap_of_set, self.settings.tol)
        if self.objective.loss.margin_power == 1 and slow and not self.restricted:
            self.rho *= RHO_GROWTH
        slope_tol = min(GAP_SHARE * gap_of_set, SLOW_GAP * self.slope_tol if slow else self.slope_tol)
        self.gap_of_set = gap_of_set
        self.slope_tol = min(self.slope_tol, max(MIN_SLOPE_TOL * self.policy.threshold, slope_tol))

    def _update_nonzero(self, at: _Round, before: npt.NDArray[np.bool_]) -> None:
        """Find the weights that may be nonzero at the optimum; once they are solved for alone, none leaves.

        Args:
            before: (n, K), those of the features now in the set.
        """
        if not (self.may_restrict or self.may_program):  # nothing depends on them
            self.nonzero = before
            return
        slopes = np.abs(at.A[:, self.columns.positions].T)
        self.nonzero = (self.W != 0.0) | (slopes >= NONZERO_ABOVE * self.objective.l1_weight)
        if self.restricted:
            self.nonzero |= before
        if ALL_NONZERO_SHARE * self.nonzero.size < self.nonzero.sum() and self.nonzero.size <= MAX_NONZERO:
            self.nonzero[:] = True

    def _weights(self) -> tuple[Floats, Floats]:
        """(W, b) of the last row of the trace, which are complete even if Ctrl-C interrupts a change of the set."""
        if self.state is None:
            return np.zeros((self.objective.n_classes, self.objective.n_features)), np.zeros(self.objective.n_classes)
        arrays = self.state.arrays
        return arrays["W"].astype(np.float64, copy=False), arrays["b"].astype(np.float64, copy=False)

    def _certificate(self) -> Certificate:
        W, b = self._weights()
        found = certify(self.objective, W, b, self.best_G, passes=self.passes, seconds=self.clock())
        self.passes = found.passes
        return found

    def _report(self, at: _Round) -> Status | None:
        """Add a row to the trace; STOPPED where the callback requests it."""
        W, b = self.columns.to_all(self.W, self.b)
        norm = self.objective.least_norm(W, at.A, at.columns)
        evaluation = Evaluation(at.value, at.data_loss, at.value - at.data_loss, at.accuracy, norm)
        validation = self.trace.validation
        held_out = None if validation is None else validation.evaluate(W, b)
        seconds = self.clock()
        self.state = self._state(seconds)
        measured = (evaluation, held_out)
        stop = self.trace.add(measured, self.state, learning_rate=0.0, passes=self.passes, seconds=seconds)
        return Status.STOPPED if stop else None

    def _state(self, seconds: float) -> State:
        W, b = self.columns.to_all(self.W, self.b)
        return WorkingSetState(
            epoch=self.rounds,
            W=W,
            b=b,
            seconds=seconds,
            passes=self.passes,
            positions=self.columns.positions.astype(np.float64),
            centred_b=self.b,
            G=self.G,
            best_G=self.best_G,
            nonzero=self.nonzero.astype(np.float64) if self.may_restrict or self.may_program else None,
            may_restrict=self.may_restrict,
            may_program=self.may_program,
            restricted=self.restricted,
            newton_steps=self.newton_steps,
            rho=self.rho,
            slope_tol=self.slope_tol,
            damping=self.damping,
            lowest=self.lowest,
            stalled=self.stalled,
            relative_gap=self.relative_gap,
            gap=self.gap,
            value=self.value,
            gap_of_set=self.gap_of_set,
            bound=self.bound,
            threshold=self.policy.threshold,
        ).to_state()
