"""Working sets: the exact optimum with |W| where few features are used, and of the hinge where the images are many."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, absolute_tol, certify
from linprobe.errors import IncompatibleError, StateError
from linprobe.objective import Evaluation, Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.hinge_program import MAX_PAIRS, HingeProgram
from linprobe.optimizers.interior_point import Within, minimize_within
from linprobe.optimizers.proximal_newton import FIRST_DAMPING, Columns, ProximalNewton, Smoothed, Step, check_curved
from linprobe.optimizers.states import checked_arrays, weights_of_state
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["WorkingSet", "suits_working_set", "uses_few_weights", "working_set_cost"]

FEWEST, GROWTH = 100, 2
"""Features that join at once, at most: FEWEST, or GROWTH times those in use where that is more."""

NEAR = 0.7
"""Size of a feature's slope, as a share of what |W| asks, from which down it leaves the set if its weights are 0."""

BEYOND = 1e-9
"""What the size of a slope may exceed it by before the feature joins, relative: rounding."""

FIRST_RHO, FIRST_RHO_OF_MANY, GROW, SLOW = 1.0, 0.01, 3.0, 0.3
"""Of a hinge: curvature of its smoothed kinks at first, in units of 1 / delta, where few weights are used and where
many are; its growth where the gap over the set falls by less than to the share SLOW. With many weights the scores vary
by more, and with 1 the steps do not arrive: the bound stays 0 (benchmarks/gauntlet.py, tame, large, seed 1019)."""

FEW_WEIGHTS = 1e-3
"""Weight of |W|, as a share of the largest slope at W = 0, from which on few weights are used."""

FIRST_ETA, LEAST_ETA, OF_GAP = 0.1, 0.1, 0.1
"""What may be left of the slopes of a set, as a share of that of |W|: at first; then OF_GAP of the gap over the set, or
less where that falls slowly, and no less than LEAST_ETA of what is wanted at the end."""

EVEN = 0.1
"""What may be left of the slope of a bias, as a share of what of an objective it may cost, for a bias of one unit
of the scores."""

NEWTON_STEPS = 30
"""Newton steps over one set, at most."""

SMOOTHED_ROUNDS, MANY_STEPS, LONGEST, FAR = 3, 10, 8, 1e-2
"""Of margins with |W|: rounds of Newton steps before the interior point method, in any case; Newton steps of a round
from which on it takes over then; rounds after which it does so anyway; and the relative gap up to which it does not.
The rounds are cheap at first, and tell which weights matter; later most take as long as the interior point method
(benchmarks/gauntlet.py, large)."""

PART_OF_TOL = 0.25
"""Gap over the likely weights at which that method ends, as a share of what is wanted of all."""

PAIRS_PER_WEIGHT = 2
"""Pairs of an image and another class, for each likely weight, up to which the program of the set is solved instead: it
has an unknown for each pair, and holds all weights of the set."""

OF_PROGRAM, DIRECT = 0.1, 30.0
"""Gap of the program of a set: a share of the gap over all features; where that is below DIRECT times what is wanted at
the end, at once PART_OF_TOL of that, as a few steps more cost less than to begin anew."""

CLOSE = 0.8
"""Size of a slope, as a share of what |W| asks, from which on a feature joins a set whose program is solved: its time
hardly depends on the number of features."""

LIKELY, MOST_LIKELY = 0.95, 2000
"""Size of the slope of a weight, as a share of what |W| asks, from which on it may not be 0 at the optimum; and such
weights, up to which the interior point method takes them: 0.1 s a factor (an AVX-512 core at 30 GFLOP/s). With 0.9
there are a third more of them, and as many rounds (benchmarks/gauntlet.py)."""

MOST_PARTLY = 0.5
"""Share of the weights of a set that may not be 0, above which all of them are taken: to leave out few saves little."""

UNSEEN = -1000.0
"""Bias of a class without weight under softmax, which presses it down for ever: the infimum is where e^b is 0."""

PATIENCE, NEWS = 12, 0.9
"""Rounds in which the gap does not fall below NEWS times the lowest so far, after which the search ends."""

ATTEMPT = 0.9
"""A certificate is computed once the gap is below this share of tol."""


@final
@dataclass(frozen=True)
class WorkingSet(Optimizer):
    """Solves the problem on few features, looks at all, takes in those whose slopes are too large, and starts over.

    At the optimum the slope of the data loss in a weight that is 0 is at most reg in size, and most can be left
    out if it is known which. Without |W| the set is all features. A round minimises over the set by `ProximalNewton`
    steps; a hinge is smoothed about its multipliers. Of margins with |W|, once these rounds tell which weights may not
    be 0, `minimize_within` solves for these. One pass over all features then gives every slope at a dual point, and a
    lower bound on the objective.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: rounds at most, >= 0; each takes a pass over the images, and the work over its set.
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
    """Whether `WorkingSet` takes this objective."""
    try:
        _check(objective)
    except IncompatibleError:
        return False
    return True


def uses_few_weights(objective: Objective) -> bool:
    """Whether |W| weighs enough against the slopes at W = 0, all margins violated, for most weights to be 0."""
    shares, sums = objective.statistics.class_means
    centred = sums - shares[:, None] * sums.sum(axis=0)
    largest = float(np.abs(centred.sum(axis=0) - len(shares) * centred).max(initial=0.0))
    return objective.l1_weight >= FEW_WEIGHTS * largest


def working_set_cost(objective: Objective, n_features: int) -> float:
    """Bytes, about, that a search keeps with this many features in its set."""
    N, K = objective.n_images, objective.n_classes
    unknowns = min(n_features * K, MOST_LIKELY) if _may_restrict(objective) else 0
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
    """Whether `minimize_within` takes the objective."""
    return objective.loss.margin_power is not None and objective.l1_weight > 0.0


def _has_program(objective: Objective) -> bool:
    """Whether the program of a set is small enough to be solved directly."""
    return objective.loss.margin_power == 1 and objective.l1_weight > 0.0 and _pairs(objective) <= MAX_PAIRS


def _pairs(objective: Objective) -> int:
    """Pairs of an image that counts and another class than its own."""
    return int((objective.shares() > 0.0).sum()) * (objective.n_classes - 1)


def _checked(objective: Objective, state: State) -> dict[str, npt.NDArray[Any]]:
    """The arrays of a state to resume from, or of weights to begin near.

    Raises:
        StateError: they do not fit the objective.
    """
    K, N, D = objective.n_classes, objective.n_images, objective.n_features
    n = state.arrays["positions"].size if "positions" in state.arrays else 0
    own = {"centred": (K,), "positions": (n,), "likely": (n, K), "G": (N, K), "best_G": (N, K)}
    known = weights_of_state(objective) | {name: (shape, np.float64) for name, shape in own.items()}
    arrays = checked_arrays(state, known, together=[tuple(own)])
    positions = arrays.get("positions", np.zeros(0))
    within = (positions == np.floor(positions)) & (positions >= 0) & (positions < D)
    if not within.all() or len(np.unique(positions)) < n:
        raise StateError(
            f"the state's array 'positions' does not hold different whole numbers in 0..{D - 1}. "
            "Was the state made with other features?"
        )
    return arrays


@dataclass
class _Round:
    """What one round found.

    Attributes:
        value, data_loss, accuracy: at its weights.
        A, columns: (K, D) and (K,), sums of a_i G_i x_iᵀ and a_i G_i.
        gap: of the value to the best bound so far; absolute.
        gap_of_set: of the value to a bound of the problem of the set alone; absolute.
    """

    value: float
    data_loss: float
    accuracy: float
    A: Floats
    columns: Floats
    gap: float
    gap_of_set: float


class _Search:
    """One minimisation: the set, its weights, and what is known of them."""

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
        numbers, arrays = ({}, {}) if start is None else (start.numbers, _checked(objective, start))
        self.restricts = bool(numbers.get("restricts", float(_may_restrict(objective))))
        self.programs = bool(numbers.get("programs", float(_has_program(objective))))
        self.restricted, self.steps = bool(numbers.get("restricted", 0.0)), int(numbers.get("steps", 0.0))
        K, N, D = objective.n_classes, objective.n_images, objective.n_features
        self.clock, self.passes = Clock(numbers.get("seconds", 0.0)), numbers.get("passes", 0.0)
        positions = arrays.get("positions", np.zeros(0)).astype(np.int64)
        W = arrays.get("W", np.zeros((K, D)))
        if "positions" not in arrays:  # none, or weights alone to begin near; without |W| every feature is used
            positions = np.flatnonzero(W.any(axis=0)) if objective.l1_weight > 0.0 else np.arange(D)
        self.columns = Columns(objective, positions, D)
        self.W: Floats = np.ascontiguousarray(W[:, positions].T)
        self.b: Floats = (
            arrays["centred"].copy()
            if "centred" in arrays
            else arrays.get("b", np.zeros(K)) + self.columns.mean @ self.W
        )
        if start is None and objective.loss.margin_power is None:
            self.b[objective.statistics.class_means.shares == 0.0] = UNSEEN * objective.loss.unit
        self.G: Floats = arrays["G"].copy() if "G" in arrays else np.zeros((N, K))
        self.rounds = 0 if start is None else start.epoch
        self.rho = numbers["rho"] if "rho" in numbers else self._first_rho()
        self.eta, self.damping = numbers.get("eta", FIRST_ETA), numbers.get("damping", FIRST_DAMPING)
        self.lowest, self.since = numbers.get("lowest", math.inf), numbers.get("since", 0.0)
        self.value = numbers.get("value", float(objective.loss.value(np.zeros((1, K)), np.zeros(1, np.int64))[0]))
        self.relative_gap, self.gap = numbers.get("relative_gap", math.inf), numbers.get("gap", math.inf)
        self.gap_of_set, self.bound = numbers.get("gap_of_set", math.inf), numbers.get("bound", 0.0)
        self.wanted = numbers.get("wanted", ATTEMPT * settings.tol)
        self.best_G: Floats = arrays["best_G"].copy() if "best_G" in arrays else self.G
        self.likely = arrays["likely"] > 0.0 if "likely" in arrays else self.W != 0.0
        self.state = start

    def run(self) -> Solution:
        """Rounds until the gap is small enough, or the budget is spent."""
        certificate: Certificate | None = None
        status: Status | None = None
        try:
            if self.state is None:
                at = self._look(self._solve_set())
                self._follow(at)
                status = self._report(at)
            while status is None:
                if self._promising():
                    certificate = self._certificate()
                    status = proved_status(self.objective, certificate, self.settings.tol)
                    if status is not None:
                        break
                    self.wanted *= 0.5
                if self.rounds >= self.settings.max_iter:
                    status = Status.MAX_ITER
                    break
                if self.since > PATIENCE:
                    status = Status.STALLED
                    break
                certificate = None
                at = self._look(self._solve_set())
                self.rounds += 1
                self._follow(at)
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

    def _promising(self) -> bool:
        """Whether a certificate may show what is asked."""
        small = (
            absolute_tol(self.objective, self.settings.tol) * self.wanted / self.settings.tol
            if self.settings.tol
            else 0.0
        )
        return self.relative_gap <= self.wanted or self.gap <= small

    def _first_rho(self) -> float:
        """The curvature of the smoothed kinks of a hinge at first; a smooth loss has none."""
        objective = self.objective
        few = objective.loss.smooth or objective.l1_weight == 0.0 or uses_few_weights(objective)
        return (FIRST_RHO if few else FIRST_RHO_OF_MANY) / objective.loss.unit

    def _rounds_are_long(self) -> bool:
        """Whether the rounds of Newton steps have told what they can."""
        many = self.steps >= MANY_STEPS or self.rounds > LONGEST
        return self.restricted or (self.rounds >= SMOOTHED_ROUNDS and many and self.relative_gap > FAR)

    def _is_program(self) -> bool:
        """Whether the program of the set is the smaller problem."""
        few = _pairs(self.objective) <= PAIRS_PER_WEIGHT * int(self.likely.sum())
        begun = self.rounds > SMOOTHED_ROUNDS or (self.rounds == SMOOTHED_ROUNDS and self.steps >= MANY_STEPS)
        return self.programs and few and begun and len(self.W) > 0

    def _program(self) -> HingeProgram:
        """The program of the set."""
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

    def _tol_of_program(self) -> float:
        """The relative gap at which it ends."""
        tol = OF_PROGRAM * self.relative_gap
        return PART_OF_TOL * self.wanted if tol < DIRECT * self.wanted else tol

    def _solve_set(self) -> Step:
        """Weights near the minimum over the set, and slopes near its dual optimum."""
        objective, likely = self.objective, int(self.likely.sum())
        if self._is_program():
            point = self._program().minimize(self.W, self.b, self.G, tol := self._tol_of_program())
            # rounding has its limits: the multipliers go on from there
            self.programs = point is not None and point.gap <= tol
            if point is not None:
                return Step(point.W, point.b, self.columns.scores(point.W, point.b), point.G)
        self.restricted = self.restricts and 0 < likely <= MOST_LIKELY and self._rounds_are_long()
        if self.restricted:
            found = minimize_within(objective, Within(self.columns.positions, self.likely), PART_OF_TOL * self.wanted)
            if found is not None:
                W = np.ascontiguousarray(found.W.T)
                b = found.b + self.columns.mean @ W
                return Step(W, b, self.columns.scores(W, b), found.G)
            self.restricts = self.restricted = False
        newton = ProximalNewton(objective, self.columns, self.damping)
        smoothed = Smoothed(objective, self.G, self.rho)
        even = EVEN * self.eta * self.value / objective.loss.unit
        enough = self._is_enough if objective.loss.smooth else None
        step = newton.minimize(smoothed, self.W, self.b, self.eta, even, NEWTON_STEPS, enough)
        self.damping, self.steps = newton.damping, newton.taken
        return step

    def _is_enough(self, value: float, step: Step, slope: Floats, columns: Floats) -> bool:
        """Whether the gap over the set is a small part of that over all features."""
        gap = value - self._bound(step.G, slope.T) + self._uneven(step.b, columns)
        return gap <= max(OF_GAP * min(self.gap, value), PART_OF_TOL * self.wanted * value)

    def _uneven(self, b: Floats, columns: Floats) -> float:
        """What columns of a dual point that are not even cost a bound, about: what they make of the bias."""
        apart = np.abs(b - b[int(self.objective.statistics.class_means.shares.argmax())])
        return float(np.abs(columns) @ (apart + self.objective.loss.unit))

    def _look(self, step: Step) -> _Round:
        """Take the weights and slopes of a step, and look at all features: one pass."""
        objective, shares = self.objective, self.shares
        A, columns = objective.engine.gradient_of_scores(shares[:, None] * step.G, precise=True)
        self.passes += 1.0
        losses = objective.loss.value(step.S, self.y)
        data_loss = float(shares @ losses)
        hits = float(shares @ (step.S.argmax(axis=1) == self.y))
        value = data_loss + objective.penalty_value(step.W)
        uneven = self._uneven(step.b, columns)
        bound = self._bound(step.G, A) - uneven
        of_set = self._bound(step.G, A[:, self.columns.positions]) - uneven
        self.W, self.b, self.G = step.W, step.b, step.G
        if bound > self.bound:
            self.bound, self.best_G = bound, step.G
        return _Round(value, data_loss, hits, A, columns, value - self.bound, value - of_set)

    def _bound(self, G: Floats, A: Floats) -> float:
        """The dual value of slopes, as if their columns were even."""
        objective, penalty = self.objective, self.objective.penalty
        assert penalty is not None
        counted = self.shares > 0.0
        scale = penalty.dual_scale(A, objective.reg)
        conjugates = objective.loss.conjugate(scale * G[counted], self.y[counted])
        return -float(self.shares[counted] @ conjugates) - penalty.conjugate(-scale * A, objective.reg)

    def _follow(self, at: _Round) -> None:
        """What the next round begins with: its set, and how exact it is to be."""
        value = max(abs(at.value), 1e-300)
        self.gap, self.value = max(at.gap, 0.0), value
        self.relative_gap, of_set = self.gap / value, max(at.gap_of_set, 0.0) / value
        self.lowest, self.since = (
            (self.relative_gap, 0.0) if self.relative_gap < NEWS * self.lowest else (self.lowest, self.since + 1.0)
        )
        sizes = np.abs(at.A).max(axis=0)
        size, used = self.objective.l1_weight, self.W.any(axis=1)
        violated = sizes > size * (1.0 + BEYOND)
        violated[self.columns.positions] = False
        if len(self.W) or not violated.any():
            slow = of_set > max(SLOW * self.gap_of_set, self.settings.tol)
            if self.objective.loss.margin_power == 1 and slow and not self.restricted:
                self.rho *= GROW
            eta = min(OF_GAP * of_set, SLOW * self.eta if slow else self.eta)
            self.gap_of_set, self.eta = of_set, min(self.eta, max(LEAST_ETA * self.wanted, eta))
        self._mark(at, self.likely)
        if not violated.any():
            return
        close = CLOSE if self._is_program() else LIKELY if self.restricted else 1.0 + BEYOND
        joining = sizes > close * size
        joining[self.columns.positions] = False
        new = np.flatnonzero(joining)
        most = max(FEWEST, GROWTH * int(used.sum()))
        if len(new) > most:
            new = new[np.sort(np.argsort(-sizes[new], kind="stable")[:most])]
        keep = used | (sizes[self.columns.positions] > NEAR * size)
        self.columns.keep(keep)
        self.columns.add(new)
        self.W = np.concatenate([self.W[keep], np.zeros((len(new), self.W.shape[1]))])
        self._mark(at, np.concatenate([self.likely[keep], np.zeros((len(new), self.W.shape[1]), bool)]))

    def _mark(self, at: _Round, before: npt.NDArray[np.bool_]) -> None:
        """Find the weights that may not be 0 at the optimum; once these are solved for, none leaves."""
        slopes = np.abs(at.A[:, self.columns.positions].T)
        self.likely = (self.W != 0.0) | (slopes >= LIKELY * self.objective.l1_weight)
        if self.restricted:
            self.likely |= before
        if MOST_PARTLY * self.likely.size < self.likely.sum() and self.likely.size <= MOST_LIKELY:
            self.likely[:] = True

    def _weights(self) -> tuple[Floats, Floats]:
        """(W, b) of the last row: Ctrl-C may come while the set changes."""
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
        """Add a row to the trace; STOPPED where the callback asks for it."""
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
        arrays: dict[str, npt.NDArray[np.floating]] = {
            "W": W,
            "b": b,
            "centred": self.b,
            "positions": self.columns.positions.astype(np.float64),
            "likely": self.likely.astype(np.float64),
            "G": self.G,
            "best_G": self.best_G,
        }
        numbers = {
            "seconds": seconds,
            "passes": self.passes,
            "programs": float(self.programs),
            "restricts": float(self.restricts),
            "restricted": float(self.restricted),
            "steps": float(self.steps),
            "rho": self.rho,
            "eta": self.eta,
            "damping": self.damping,
            "lowest": self.lowest,
            "since": self.since,
            "relative_gap": self.relative_gap,
            "gap": self.gap,
            "value": self.value,
            "gap_of_set": self.gap_of_set,
            "bound": self.bound,
            "wanted": self.wanted,
        }
        return State(self.rounds, arrays, numbers)
