"""Dual coordinate ascent: the exact optimum of the hinges with a squared penalty, with a tight dual point."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.algebra.dual import DualModel
from linprobe.certificate import Certificate, absolute_tol, certify
from linprobe.errors import IncompatibleError
from linprobe.objective import Evaluation, Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.dual_acceleration import Acceleration, RunningMean
from linprobe.optimizers.dual_candidates import Candidates, Reached
from linprobe.optimizers.dual_images import DualImages, Margins, dual_bytes
from linprobe.optimizers.dual_sweeps import NONZERO_SWEEPS, DualSweeps, soft_weights
from linprobe.optimizers.proofs import ProofPolicy
from linprobe.optimizers.states import SavedState, saved_array, saved_flag, saved_number, sizes_of
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["DualAscent", "dual_bytes", "suits_dual_ascent"]

MAX_NONZERO_SWEEPS, SWEEPS_REVIEW_EVERY, SLOW_GAP = 80, 8, 0.6
"""With acceleration, the number of sweeps over the nonzero coordinates in a round is reviewed every SWEEPS_REVIEW_EVERY
rounds. If more than the share SLOW_GAP of the gap remains, it is doubled, up to MAX_NONZERO_SWEEPS: rounds that are
solved too loosely move the centre of the next round by more than they gain. On benchmarks/many_classes.py at reg 1e-5,
10 sweeps in every round end at a gap of 8e-3, and 30 at 3e-3."""

MAX_BYTES = 2**32
"""Bytes that the method may use besides the images: 4 GB."""

BIAS_CURVATURE, MIN_BIAS_CURVATURE = 0.1, 4.0
"""Curvature of the bias in the dual: BIAS_CURVATURE times the mean |x|² / ridge, and at least MIN_BIAS_CURVATURE times
delta. On benchmarks/few_shot.py 0.03 and 0.1 took 40% fewer rounds than 1, and 0.01 more again. The least value matters
if features are tiny or reg is large, and was chosen by argument."""

BIAS_CURVATURE_GROWTH, COLUMN_COST, FIRST_ROUNDS = 3.0, 3.0, 3
"""BIAS_CURVATURE_GROWTH is the factor by which that curvature grows after a round whose column sums cost more than the
gap divided by COLUMN_COST. The first FIRST_ROUNDS rounds are excepted. Chosen by argument."""

ATTEMPT_BELOW = 0.9
"""Estimated gap, as a share of tol, below which the first certificate is computed; it takes two passes. Chosen by
argument."""

ACCELERATE_ABOVE, ACCELERATED_CONDITION = 4.0, 0.6
"""The condition number c is the mean |x|² / (N ridge): about the epochs that plain dual ascent needs. Above
ACCELERATE_ABOVE a search is accelerated: the ridge is raised until c becomes sqrt(c) / ACCELERATED_CONDITION. Measured:
of c lowered to 2, 4 and 8, 4 was the best from c = 36 (the digits of 60,000 x 784, reg 1e-5), and 8 from 336
(benchmarks/many_classes.py, reg 1e-4)."""

SEPARABLE_LOSS, SEPARABLE_AFTER, SEPARABLE_RIDGE = 0.1, 4, 3.0
"""Mean loss, in units of the loss of one margin at equal scores, below which the classes count as separable; and the
rounds after which that is decided. The optimal weights are then large, and an added ridge keeps them small. So the
search continues with an added ridge of at most SEPARABLE_RIDGE times its own, and for the hinge with none. On 22,000
images of benchmarks/many_classes.py (squared hinge, reg 1e-5) the gap after 28 rounds is 1.4e-2 with 3.4, 3.8e-2 with
14 and 0.18 with 43; without an added ridge it is 0.95 after 32. The hinge on 12,000 images is certified after 69 rounds
without an added ridge; with 3.0 its gap is 1.4e-2 after 76."""

COMPARE_MEAN_EVERY = 4
"""Rounds between two comparisons of the running mean with the last weights. Chosen by argument."""

SCALE_BELOW_GAP = 0.5
"""Estimated relative gap of a large problem below which it pays to optimise a common factor of (W, b). Chosen by
argument."""

FIRST_FORECAST, FIRST_FORECAST_OF_LARGE, LARGE_PASS = 100, 16, 5e7
"""Round of the first forecast of how many more rounds are needed; the forecast is repeated whenever the number of
rounds has doubled. FIRST_FORECAST_OF_LARGE holds if a pass takes LARGE_PASS multiplications or more. Small problems may
take a hundred cheap rounds before they converge. Chosen by argument."""

EXPECTED_SPEEDUP = 3.0
"""Factor by which the rate of convergence may still improve after a forecast. Measured on the hinge of
benchmarks/many_classes.py at reg 1e-4, from round 16 to 32: with 10,000 images the gap falls by a factor of ten, and is
certified later. With 50,000, which need thousands of rounds, it falls by 2%."""


@final
@dataclass(frozen=True, kw_only=True)
class DualAscentState(SavedState):
    """What dual ascent saves: n images, k classes that occur, d columns of the rows (n in the Gram form).

    Attributes:
        A, V, dual_b: (n, k), (k, d) and (k,), of the `DualModel`; None in the state of another method.
        mean_W, mean_b: (k, d) and (k,), running mean of the weights.
        mean_A, mean_V: (n, k) and (k, d), running mean of the dual points.
        centre, previous_W: (k, d), of the acceleration: the centre of the added penalty, and W of the round before.
        bias_curvature: in the dual; NaN for its first value.
        added_ridge: of the acceleration; NaN for its first value.
        mean_is_better: whether the running mean was the better candidate at the last comparison.
        proves_mean: whether the mean of the dual points has the higher value.
        averages: rounds in the means.
        gain: increase of the dual predicted for the last sweep.
        threshold: of `ProofPolicy`; NaN for its first value.
        least: the lowest objective of a candidate.
        gap, earlier_gap: estimated now, and at the last review of the sweeps.
        nonzero_sweeps: sweeps over the nonzero coordinates in a round.
        forecast_round, forecast_gap: round of the last forecast, and the relative gap then.
        out_of_reach: whether tol is predicted to take more than `max_iter` rounds.
    """

    A: Floats | None = saved_array("n", "k", group="dual")
    V: Floats | None = saved_array("k", "d", group="dual")
    dual_b: Floats | None = saved_array("k", group="dual")
    mean_W: Floats | None = saved_array("k", "d", group="mean")
    mean_b: Floats | None = saved_array("k", group="mean")
    mean_A: Floats | None = saved_array("n", "k", group="mean dual")
    mean_V: Floats | None = saved_array("k", "d", group="mean dual")
    centre: Floats | None = saved_array("k", "d", group="centre")
    previous_W: Floats | None = saved_array("k", "d", group="centre", key="before")
    bias_curvature: float = saved_number(low=0.0, key="bias")
    added_ridge: float = saved_number(low=0.0, key="extra")
    mean_is_better: bool = saved_flag(False, key="averaged")
    proves_mean: bool = saved_flag(False)
    averages: int = saved_number(0, low=0)
    gain: float = saved_number(0.0)
    threshold: float = saved_number(low=0.0, key="wanted")
    least: float = saved_number(math.inf, low=0.0)
    gap: float = saved_number(math.inf, key="left")
    earlier_gap: float = saved_number(math.inf, key="left_before")
    nonzero_sweeps: int = saved_number(NONZERO_SWEEPS, low=0, key="sweeps")
    forecast_round: int = saved_number(0, low=0, key="halfway")
    forecast_gap: float = saved_number(low=0.0, key="halfway_left")
    out_of_reach: bool = saved_flag(False, key="hopeless")

    @classmethod
    def of(cls, start: State, objective: Objective, images: DualImages) -> DualAscentState:
        """The record of `start`.

        Raises:
            StateError: it does not fit the problem.
        """
        sizes = {"n": len(images.y), "k": len(images.present), "d": images.rows.shape[1]}
        return cls.from_state(start, sizes_of(objective) | sizes)


@final
@dataclass(frozen=True)
class DualAscent(Optimizer):
    """Maximises the dual by block coordinate ascent, a block being the coordinates of one image.

        G_i <- argmax of the dual in the row of image i,   W = soft(-sum_i a_i G_i x'_iᵀ, l1) / (2 l2)

    For a loss that is a sum over margins (`Loss.margin_power`) the optimum of a row is the root of one equation. A
    round is a sweep over all images and classes, then ten over the nonzero coordinates; up to 80 in an accelerated
    search whose gap hardly falls. For up to 8,192 images the search stores their Gram matrix and all scores (the Gram
    form); for more, a float32 copy of the images. The bias has no penalty, so the columns of G must sum to 0. Each
    round penalises a change of the bias a little.

    With the float32 copy, a round first finds all violated margins by one matrix product on all threads. It lists them
    with the nonzero coordinates, and its sweeps visit only the listed pairs of image and class. After the round the
    weights are computed again from G, in float64.

    With many images and a small reg these sweeps converge slowly. The search is then accelerated: each round has an
    added squared penalty about a centre, which Nesterov's method moves between rounds. The weights to return are the
    last ones or their running mean, whichever is better, and the dual point likewise.

    Memory for each image: K float64 numbers, with acceleration 2 K, and D float32 numbers; in the Gram form 2 K + N
    float64 numbers. A sweep runs on one thread.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: rounds at most, >= 0; a round is an epoch of the trace.
        seed: of the random order in which the images are visited.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Hsieh, Chang, Lin, Keerthi and Sundararajan, "A dual coordinate descent method for large-scale linear SVM",
        2008; Wang and Scott, "An exact solver for the Weston-Watkins SVM subproblem", 2021; Shalev-Shwartz and Zhang,
        "Accelerated proximal stochastic dual coordinate ascent for regularized loss minimization", 2014.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l2", reg=0.1, engine="reference")
        >>> solution = DualAscent(tol=1e-4).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 3)
        ('CERTIFIED', 0.2)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    seed: int = 0
    name: ClassVar[str] = "dual-ascent"

    def __post_init__(self) -> None:
        check_range("tol", self.tol, low=0.0)
        check_range("max_iter", self.max_iter, low=0)
        check_range("seed", self.seed, low=0)

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
            IncompatibleError: the loss is not a sum over margins, or the penalty has no sum W².
            StateError: `start` is not of this problem.
        """
        if objective.loss.margin_power is None or objective.l2_weight == 0.0:
            raise IncompatibleError(
                f"DualAscent needs a loss that is a sum over margins and a penalty with sum W²; found "
                f"{type(objective.loss).__name__} and {type(objective.penalty).__name__} with reg {objective.reg:g}. "
                "Use loss='hinge' or 'squared-hinge' with penalty='l2' or 'elastic-net', or optimizer='exact'."
            )
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            return _Search(self, objective, start, callback, validation).run()


def suits_dual_ascent(objective: Objective) -> bool:
    """Whether `DualAscent` can minimise the objective within its limit of memory."""
    return objective.loss.margin_power is not None and objective.l2_weight > 0.0 and dual_bytes(objective) <= MAX_BYTES


@dataclass(frozen=True)
class _Measure:
    """What was measured after a round.

    Attributes:
        reached: the better of its candidates.
        dual, mean_dual: estimated values of the dual point, and of the mean of the dual points, with balanced columns.
        columns: (k,) column sums of the dual point.
        column_cost: the change of the dual value that balancing them causes, with its sign.
    """

    reached: Reached
    dual: float
    mean_dual: float
    columns: Floats
    column_cost: float


class _Search:
    """One minimisation."""

    def __init__(
        self,
        settings: DualAscent,
        objective: Objective,
        start: State | None,
        callback: Callback | None,
        validation: Objective | None,
    ) -> None:
        self.settings, self.objective, self.validation = settings, objective, validation
        self.trace, self.reported = Trace(objective, validation, callback), callback is not None
        margins = self.margins = Margins.of(objective)
        images = self.images = DualImages(objective, settings.tol, settings.seed)
        saved = DualAscentState() if start is None else DualAscentState.of(start, objective, images)
        self.clock, self.rounds, self.passes = Clock(saved.seconds), saved.epoch, saved.passes
        self.ridge = 2.0 * objective.l2_weight
        self.acceleration = self._first_acceleration(saved)
        self.model = self._first_model(saved)
        self.mean = RunningMean(
            _copies(saved.mean_W, saved.mean_b),
            _copies(saved.mean_A, saved.mean_V),
            saved.averages,
            saved.mean_is_better,
            saved.proves_mean,
        )
        self.pass_products = 2.0 * objective.n_images * objective.n_classes * max(1, objective.n_features)
        self.sweeps = DualSweeps(objective, images, settings.seed, self.pass_products, saved.gain)
        W: Floats = np.zeros((objective.n_classes, objective.n_features)) if start is None else saved.W
        b: Floats = np.zeros(objective.n_classes) if start is None else saved.b
        self.candidates = Candidates(objective, images, margins, W, b, saved.least)
        threshold = ATTEMPT_BELOW * settings.tol if math.isnan(saved.threshold) else saved.threshold
        self.policy = ProofPolicy(settings.tol, threshold)
        self.gap, self.earlier_gap, self.nonzero_sweeps = saved.gap, saved.earlier_gap, saved.nonzero_sweeps
        self.forecast_round, self.forecast_gap = saved.forecast_round, saved.forecast_gap
        self.out_of_reach = saved.out_of_reach
        if images.gram and start is None:
            self.passes += 0.5 * len(images.y) ** 2 / (2.0 * objective.n_images * objective.n_classes)

    def _first_acceleration(self, saved: DualAscentState) -> Acceleration:
        """The acceleration of the state; for a new search it depends on the condition number."""
        images = self.images
        condition = self._mean_square() / (len(images.y) * self.ridge)
        added = saved.added_ridge
        if math.isnan(added):
            accelerates = not images.gram and condition > ACCELERATE_ABOVE
            factor = max(0.0, math.sqrt(condition) / ACCELERATED_CONDITION - 1.0)
            added = factor * self.ridge if accelerates else 0.0
        shape = (0, 0) if images.gram else (len(images.present), images.rows.shape[1])
        centre = np.zeros(shape) if saved.centre is None else saved.centre.copy()
        previous_W = np.zeros(shape) if saved.previous_W is None else saved.previous_W.copy()
        return Acceleration(added, centre, previous_W)

    def _first_model(self, saved: DualAscentState) -> DualModel:
        """The model with the dual point of the state, or with 0."""
        images, margins = self.images, self.margins
        n, K, D = len(images.y), len(images.present), images.rows.shape[1]
        ridge = self.ridge + self.acceleration.ridge
        bias = saved.bias_curvature
        if math.isnan(bias):
            bias = max(BIAS_CURVATURE * self._mean_square() / ridge, MIN_BIAS_CURVATURE * margins.delta)
        V = np.zeros((K, D)) if saved.V is None else saved.V.copy()
        return DualModel(
            images.rows,
            images.squares,
            images.y,
            images.share,
            ridge=ridge,
            size=self.objective.l1_weight,
            bias=bias,
            delta=margins.delta,
            most=margins.most,
            curvature=margins.curvature,
            A=np.zeros((n, K)) if saved.A is None else saved.A.copy(),
            V=V,
            W=None if images.gram else soft_weights(V, self.objective.l1_weight, ridge),
            b=np.zeros(K) if saved.dual_b is None else saved.dual_b.copy(),
        )

    def _mean_square(self) -> float:
        """Mean |x|² of the images about their mean."""
        images = self.images
        return float(images.share @ images.squares / images.share.sum())

    def run(self) -> Solution:
        """Rounds until the gap is at most tol, or `max_iter` is reached."""
        certificate: Certificate | None = None
        status: Status | None = None
        try:
            if self.rounds == 0 and math.isinf(self.candidates.least):
                status = self._begin()
            while status is None:
                if self._attempts_proof():  # a resumed search begins with the certificate
                    certificate = self._certify()
                    self.passes = certificate.passes
                    status = proved_status(self.objective, certificate, self.settings.tol)
                    if status is not None:
                        break
                    predicted = self.gap / max(self.candidates.least, 1e-300)
                    self.policy.learn_within_bounds(predicted, certificate.relative_gap)
                if self.rounds >= self.settings.max_iter or self.out_of_reach:
                    status = Status.MAX_ITER
                    break
                measure = self._round()
                if self._report(measure):
                    status = Status.STOPPED
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        if certificate is None or status not in (Status.CERTIFIED, Status.CERTIFIED_ABSOLUTE):
            certificate = self._certify()
            if status is Status.MAX_ITER:
                status = proved_status(self.objective, certificate, self.settings.tol) or status
        W, b = self.candidates.best()
        words = {"form": "products of the images" if self.images.gram else "images", "bias": f"{self.model.bias:g}"}
        history, state, passes = self.trace.history, self._state(self.clock()), certificate.passes
        return Solution(W, b, status, history, state, passes, self.clock(), words, certificate)

    def _begin(self) -> Status | None:
        """The row of the trace at W = 0; no image is read."""
        W, b = self.candidates.best()
        evaluation = self.objective.with_penalty(self.objective.gradient_at_zero(b), W)[0]
        self.candidates.least = evaluation.objective
        return Status.STOPPED if self._row(evaluation) else None

    def _attempts_proof(self) -> bool:
        """Whether a certificate is worth its passes."""
        if self.rounds == 0:
            return False
        least = self.candidates.least
        return self.policy.attempts(self.gap, least) or least <= absolute_tol(self.objective, self.settings.tol)

    def _round(self) -> _Measure:
        """Run one round, measure it, and prepare the next one."""
        model, acceleration = self.model, self.acceleration
        if self.images.listed:
            shift = acceleration.ridge * acceleration.centre
            self.passes += self.sweeps.listed_round(model, self.rounds, self.nonzero_sweeps, shift)
        else:
            for passes in self.sweeps.round(model, self.rounds):
                self.passes += passes
        self.rounds += 1
        measure = self._measure()
        self.gap = self.candidates.least - max(measure.dual, measure.mean_dual)
        self.mean.proves = measure.mean_dual > measure.dual
        self._update_bias(measure)
        if acceleration.ridge > 0.0 and self.rounds == SEPARABLE_AFTER and self._is_separable(measure):
            self._slow_down(measure)
        acceleration.move_centre(self.model, self.ridge)
        self._update_sweeps()
        self._forecast()
        return measure

    def _measure(self) -> _Measure:
        """The dual point, and the best of the candidates that are tried."""
        model, candidates = self.model, self.candidates
        columns = self.images.column_sums(model.A)
        column_cost = float(columns @ model.b)
        dual = self.margins.conjugates(model.A, self.images.share) + column_cost
        if model.W is None:
            reached, squares = candidates.try_dual(model.A, model.V, model.b, self._scales())
            return _Measure(reached, dual - squares, -math.inf, columns, column_cost)
        accelerated = self.acceleration.ridge > 0.0
        V = model.V - self.acceleration.ridge * self.acceleration.centre if accelerated else model.V
        dual -= 0.5 * self.ridge * float(np.square(soft_weights(V, model.size, self.ridge)).sum())
        mean = self.mean.add_weights(model.W, model.b)
        mean_dual = self._mean_dual(V) if accelerated else -math.inf
        last = (model.W, model.b)
        compares = self.rounds % COMPARE_MEAN_EVERY == 0
        tried = [last, mean] if compares else [mean if self.mean.is_better else last]
        found = []
        for W, b in tried:
            found.append(candidates.try_weights(W, b, self._scales()))
            self.passes += 0.5
        best = min(found, key=lambda reached: reached.primal)
        if compares:
            self.mean.is_better = best is found[1]
        return _Measure(best, dual, mean_dual, columns, column_cost)

    def _mean_dual(self, V: Floats) -> float:
        """The value of the running mean of the dual points.

        With acceleration the added penalty shifts the weights of a dual point. In the mean these shifts cancel.

        Args:
            V: of the last dual point, without the part of the added penalty.
        """
        model = self.model
        A, mean_V = self.mean.add_dual(model.A, V)
        assert self.mean.weights is not None
        squares = float(np.square(soft_weights(mean_V, model.size, self.ridge)).sum())
        value = self.margins.conjugates(A, self.images.share)
        return value + float(self.images.column_sums(A) @ self.mean.weights[1]) - 0.5 * self.ridge * squares

    def _scales(self) -> bool:
        """Whether to optimise a common factor of the weights of a candidate."""
        near = self.gap < SCALE_BELOW_GAP * self.candidates.least or self.pass_products < LARGE_PASS
        return near and self.acceleration.ridge == 0.0

    def _update_bias(self, measure: _Measure) -> None:
        """A step of the proximal point method for the bias, with a smaller penalty if the column sums cost much.

        The next round penalises the change from the bias of this one. It begins at the bias that the column sums
        predict.
        """
        model = self.model
        if (
            abs(measure.column_cost) > (self.candidates.least - measure.dual) / COLUMN_COST
            and self.rounds > FIRST_ROUNDS
        ):
            self.model = model = replace(model, bias=BIAS_CURVATURE_GROWTH * model.bias)
        model.b[:] -= model.bias * measure.columns

    def _is_separable(self, measure: _Measure) -> bool:
        return measure.reached.data_loss < SEPARABLE_LOSS * float(self.margins.losses(np.array(self.margins.delta)))

    def _slow_down(self, measure: _Measure) -> None:
        """Continue with less acceleration or none, from the current dual point, or from 0 if its value is negative.

        The centre, and the weights before it, become the current weights.
        """
        model, acceleration = self.model, self.acceleration
        assert model.W is not None
        added = 0.0 if math.isinf(self.margins.curvature) else min(acceleration.ridge, SEPARABLE_RIDGE * self.ridge)
        model.V[:] -= acceleration.ridge * acceleration.centre
        if measure.dual < 0.0:
            model.A[:], model.V[:], model.b[:] = 0.0, 0.0, 0.0
        acceleration.ridge, acceleration.centre, acceleration.previous_W = added, model.W.copy(), model.W.copy()
        model.V[:] += added * acceleration.centre
        self.model = replace(model, ridge=self.ridge + added, bias=model.bias * model.ridge / (self.ridge + added))
        model.W[:] = soft_weights(model.V, model.size, self.ridge + added)
        self.mean.forget()

    def _certify(self) -> Certificate:
        """The certificate of the best candidate, with the better of the two dual points."""
        images, objective = self.images, self.objective
        A = self.mean.dual[0] if self.mean.proves and self.mean.dual is not None else self.model.A
        A = images.balanced(A, self.margins)
        G = np.zeros((objective.n_images, objective.n_classes))
        G[np.ix_(images.counted, images.present)] = images.with_label(A / images.share[:, None])
        W, b = self.candidates.best()
        return certify(objective, W, b, G, passes=self.passes, seconds=self.clock())

    def _update_sweeps(self) -> None:
        """With acceleration, do more sweeps in a round if the gap hardly falls."""
        if self.acceleration.ridge > 0.0 and self.rounds % SWEEPS_REVIEW_EVERY == 0:
            if self.gap > SLOW_GAP * self.earlier_gap:
                self.nonzero_sweeps = min(2 * self.nonzero_sweeps, MAX_NONZERO_SWEEPS)
            self.earlier_gap = self.gap

    def _forecast(self) -> None:
        """Predict, from the rate of convergence over the last half of the rounds, whether tol is out of reach."""
        first = FIRST_FORECAST if self.pass_products < LARGE_PASS else FIRST_FORECAST_OF_LARGE
        if self.rounds < max(first, 2 * self.forecast_round):
            return
        relative_gap, target = self.gap / max(self.candidates.least, 1e-300), self.policy.threshold
        before, after = self.forecast_gap, max(relative_gap, 1e-300)
        self.forecast_round, self.forecast_gap = self.rounds, after
        if relative_gap > target and not math.isnan(before):
            rate = math.log(before / after) / (0.5 * self.rounds)
            possible = EXPECTED_SPEEDUP * rate * (self.settings.max_iter - self.rounds)
            self.out_of_reach = possible < math.log(after / max(target, 1e-300))

    def _report(self, measure: _Measure) -> bool:
        reached = measure.reached
        norm = float(np.sqrt(np.square(measure.columns).sum()))
        return self._row(Evaluation(reached.primal, reached.data_loss, reached.penalty, reached.accuracy, norm))

    def _row(self, evaluation: Evaluation) -> bool:
        """Add a row to the trace; whether the callback requests a stop."""
        held_out = None if self.validation is None else self.validation.evaluate(*self.candidates.best())
        seconds = self.clock()
        state = self._state(seconds) if self.reported else State(self.rounds, {}, {})
        return self.trace.add((evaluation, held_out), state, learning_rate=0.0, passes=self.passes, seconds=seconds)

    def _state(self, seconds: float) -> State:
        """All that is needed to resume."""
        model, mean, acceleration = self.model, self.mean, self.acceleration
        W, b = self.candidates.best()
        accelerated = acceleration.ridge > 0.0
        mean_W, mean_b = (None, None) if mean.weights is None else mean.weights
        mean_A, mean_V = (None, None) if mean.dual is None else mean.dual
        return DualAscentState(
            epoch=self.rounds,
            W=W,
            b=b,
            seconds=seconds,
            passes=self.passes,
            A=model.A,
            V=model.V,
            dual_b=model.b,
            mean_W=mean_W,
            mean_b=mean_b,
            mean_A=mean_A,
            mean_V=mean_V,
            centre=acceleration.centre if accelerated else None,
            previous_W=acceleration.previous_W if accelerated else None,
            bias_curvature=model.bias,
            added_ridge=acceleration.ridge,
            mean_is_better=mean.is_better,
            proves_mean=mean.proves,
            averages=mean.averages,
            gain=self.sweeps.gain,
            threshold=self.policy.threshold,
            least=self.candidates.least,
            gap=self.gap,
            earlier_gap=self.earlier_gap,
            nonzero_sweeps=self.nonzero_sweeps,
            forecast_round=self.forecast_round,
            forecast_gap=self.forecast_gap,
            out_of_reach=self.out_of_reach,
        ).to_state()


def _copies(first: Floats | None, second: Floats | None) -> tuple[Floats, Floats] | None:
    """Copies of two arrays; None if one is None."""
    return None if first is None or second is None else (first.copy(), second.copy())
