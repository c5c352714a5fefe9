"""The interior point method: the exact optimum of small problems, for any loss, penalty and scale."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, absolute_tol, certify
from linprobe.errors import IncompatibleError
from linprobe.objective import Evaluation, Objective
from linprobe.optimizers.base import Callback, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.interior_features import needs_all_features
from linprobe.optimizers.interior_step import take_step
from linprobe.optimizers.interior_system import (
    EXACT_RESIDUAL,
    MAX_EXACT,
    MAX_PART,
    MAX_WHOLE,
    ROUGH_RESIDUAL,
    SystemOptions,
)
from linprobe.optimizers.interior_variables import Variables, Within
from linprobe.optimizers.states import SavedState, require_arrays, saved_array, saved_flag, saved_number, sizes_of
from linprobe.optimizers.trace import Clock, Trace
from linprobe.shapes import Floats, check_range

__all__ = ["InteriorPoint", "PointWithin", "Within", "interior_point_cost", "minimize_within"]

ATTEMPT_BELOW, RETRY_BELOW = 0.3, 0.1
"""A certificate is computed once the estimated gap is below ATTEMPT_BELOW times tol; after one that failed, once it is
also below RETRY_BELOW times the gap estimated then. Chosen by argument: a step lowers the gap by a factor of 3 to
10."""

MAX_STEPS = 300
"""Iterations, at most, whatever `max_iter`: most problems need 8 to 30 (benchmarks/gauntlet.py)."""

SHORT_STEP, MAX_SHORT_STEPS = 1e-6, 4
"""The search ends after MAX_SHORT_STEPS successive steps shorter than SHORT_STEP times the full one. Chosen by
argument."""

PROGRESS, FALL, MAX_STALLED = 0.9, 1e-3, 8
"""An iteration makes progress if the gap falls below PROGRESS times the lowest gap so far, or the objective falls by
the share FALL below its lowest value. The search ends after MAX_STALLED successive iterations without progress. Chosen
by argument."""

ZERO_RATIOS = (1.0, 1e-2, 1e-4)
"""Ratios of `with_exact_zeros` that are tried in this order, before no weight is set to 0: the first whose certificate
suffices is taken. With 1 alone 3 of 9 problems of 160 digits (three losses, L1 and the elastic net) kept weights of
1e-5 where 0 is optimal."""

RESIDUAL_CUT = 0.01
"""Factor by which the residual of the linear systems is lowered when the gap stops falling. Chosen by argument."""

EXPECTED_PRODUCTS = 200.0
"""Expected products with the linear system of a step, if conjugate gradients solve it; for the estimate of its cost.
Chosen by argument."""


@final
@dataclass(frozen=True, kw_only=True)
class InteriorPointState(SavedState):
    """What the interior point method saves: for n images and k classes of weight above 0, and d features.

    Attributes:
        theta: (k, d + 1), the weights in the coordinates of the method; None in the state of another method.
        margin_g, margin_u, margin_v: (n, k), slopes and slacks of the margins; None without margins.
        size_g, size_u, size_v: (k, d), slopes and slacks of |W|; None without |W|.
        short_steps: successive short steps.
        exact, residual, by_class: of `SystemOptions`; None and NaN for those of a new search.
        lowest, least: the lowest gap, and the lowest objective, that counted as progress.
        stalled: iterations since then.
        attempted: the gap that was estimated at the last certificate.
        predicted_gap: the gap estimated now.
    """

    theta: Floats | None = saved_array("k", "e")
    margin_g: Floats | None = saved_array("n", "k", group="margins")
    margin_u: Floats | None = saved_array("n", "k", group="margins")
    margin_v: Floats | None = saved_array("n", "k", group="margins")
    size_g: Floats | None = saved_array("k", "d", group="sizes")
    size_u: Floats | None = saved_array("k", "d", group="sizes")
    size_v: Floats | None = saved_array("k", "d", group="sizes")
    short_steps: int = saved_number(0, low=0, key="short")
    exact: bool | None = saved_flag()
    residual: float = saved_number(low=0.0, key="left")
    by_class: bool = saved_flag(True, key="coarse")
    lowest: float = saved_number(math.inf)
    least: float = saved_number(math.inf)
    stalled: int = saved_number(0, low=0, key="since")
    attempted: float = saved_number(math.inf)
    predicted_gap: float = saved_number(math.inf)

    @classmethod
    def of(cls, start: State, variables: Variables) -> InteriorPointState:
        """The record of `start`; that of a new search if `start` is of another method, or weights alone.

        Raises:
            StateError: it does not fit the problem.
        """
        sizes = sizes_of(variables.objective) | {"n": variables.n, "k": variables.K}
        sizes |= {"d": variables.d, "e": variables.d + 1}
        if "theta" not in start.arrays:
            weights = {name: array for name, array in start.arrays.items() if name in ("W", "b")}
            return cls.from_state(State(start.epoch, weights), sizes)
        needed = [f"margin_{part}" for part in "guv"] if variables.margins is not None else []
        needed += [f"size_{part}" for part in "guv"] if variables.sizes is not None else []
        require_arrays(start, needed)
        return cls.from_state(start, sizes)


@final
@dataclass(frozen=True)
class InteriorPoint(Optimizer):
    """Primal-dual Newton steps on the optimality conditions, along the central path.

    Each kink, max(0, m) of a margin m or |w| of a weight w, has a slope g inside its bounds and two slacks u and v:

        m = u - v,   (1 - g) u = mu,   g v = mu,   u, v > 0,   0 < g < 1        (|w|: slopes in (-1, 1))

    and mu goes to 0. Softmax needs no slacks: the step uses its Hessian. One step solves a dense symmetric system of K
    (D + 1) unknowns, or K (min(N, D) + 1) with L2 alone, so the method is for small problems. Ten to thirty steps are
    enough for any scale of the features and any reg. The slopes g are a tight dual point.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: iterations at most, >= 0.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Mehrotra, "On the implementation of a primal-dual interior point method", 1992; Wright, "Primal-dual
        interior-point methods", 1997.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l1", reg=0.1, engine="reference")
        >>> solution = InteriorPoint(tol=1e-6).minimize(objective)
        >>> solution.status.name, round(solution.certificate.objective, 6)
        ('CERTIFIED', 0.2)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "interior-point"

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
            IncompatibleError: the loss declares neither margins nor `curvature_weights`, or the penalty no
            coefficients.
        """
        _check(objective)
        # a slope rounded to its bound causes a division by 0; the step is then not finite, and ends the search
        with threadpool_limits(1), np.errstate(all="ignore"):  # the bits must not depend on the threads of the BLAS
            return _Search(self, objective, start, Trace(objective, validation, callback)).run()


def minimize_within(
    objective: Objective,
    within: Within,
    tol: float,
    near: PointWithin | None = None,
    gap: float = math.inf,
    exact_zeros: bool = True,
) -> PointWithin | None:
    """The optimum over a subset of the weights, for a loss of margins with |W|; None if a step was not finite.

    Args:
        objective: a loss of margins, and a penalty with |W|.
        within: the subset; all other weights are 0.
        tol: the relative gap over these weights at which the search ends.
        near: the point near which it begins; None for weights of 0.
        gap: duality gap, absolute and > 0, of the point of the central path at which it begins.
        exact_zeros: whether weights that are 0 at the optimum are to be exactly 0, within `tol`.
    """
    with threadpool_limits(1), np.errstate(all="ignore"):
        search = _Search(InteriorPoint(tol), objective, None, Trace(objective, None, None), within)
        if near is not None:
            search.variables.start_near(near.W, near.b, near.G, gap)
        search.to_tolerance(exact_zeros)
        W, b = search.variables.features.weights(search.variables.theta)
        G = search.variables.dual_point()
    assert G is not None
    finite = np.isfinite(W).all() and np.isfinite(b).all() and np.isfinite(G).all()
    return PointWithin(W, b, G) if finite else None


def interior_point_cost(objective: Objective) -> tuple[float, float]:
    """(floating point operations, bytes) of one iteration of `InteriorPoint` on this objective."""
    N, K = objective.n_images, objective.n_classes
    D = objective.n_features if needs_all_features(objective) else min(N, objective.n_features)
    n = K * (D + 1)
    factored = n if n <= MAX_WHOLE else min(n, MAX_PART)
    of_pairs = objective.loss.margin_power is not None
    assembly = 4.0 * N * (min(n * (D + 1), MAX_PART * factored) if of_pairs else factored**2)
    products = EXPECTED_PRODUCTS * 4.0 * N * n if n > MAX_WHOLE else 0.0
    numbers = 2.0 * min(n, MAX_EXACT) ** 2 + N * (3.0 * D + 20.0 * K) + 20.0 * n
    return assembly + products + factored**3 / 3.0, 8.0 * numbers


def _check(objective: Objective) -> None:
    """Raise IncompatibleError if `InteriorPoint` cannot minimise this objective."""
    loss, penalty = objective.loss, objective.penalty
    if loss.margin_power is None and loss.curvature_form != "spread":
        raise IncompatibleError(
            f"InteriorPoint needs a loss of margins, or curvature_weights; {type(loss).__name__} declares neither. "
            "Use optimizer='exact'."
        )
    if penalty is not None and penalty.coefficients is None:
        raise IncompatibleError(
            f"InteriorPoint needs a penalty a sum W² + c sum |W|; {type(penalty).__name__} has no coefficients. "
            "Use optimizer='sgd'."
        )


@dataclass(frozen=True)
class PointWithin:
    """The solution over a subset of the weights.

    Attributes:
        W: (K, n) float64, with exact zeros if these were requested.
        b: (K,) float64.
        G: (N, K) float64, a dual point of the problem over these weights.
    """

    W: Floats
    b: Floats
    G: Floats


class _Search:
    """One search.

    Args:
        settings: tol and max_iter.
        objective: what is minimised.
        start: a state to resume bit-identically; None for a new search. Weights alone are ignored.
        trace: receives a row per iteration.
        within: the weights to search over; None for all.
    """

    def __init__(
        self,
        settings: InteriorPoint,
        objective: Objective,
        start: State | None,
        trace: Trace,
        within: Within | None = None,
    ) -> None:
        self.settings, self.objective, self.trace = settings, objective, trace
        variables = self.variables = Variables(objective, within)
        saved = InteriorPointState() if start is None else InteriorPointState.of(start, variables)
        if saved.theta is not None:
            variables.restore(saved.to_state().arrays)
        exact = saved.exact
        if exact is None:
            exact = variables.n_unknowns <= (MAX_WHOLE if within is None else MAX_PART)
        residual = saved.residual
        if math.isnan(residual):
            residual = EXACT_RESIDUAL if exact else ROUGH_RESIDUAL
        self.options = SystemOptions(exact, residual, saved.by_class)
        self.clock, self.passes, self.iteration = Clock(saved.seconds), saved.passes, saved.epoch
        self.short_steps, self.stalled = saved.short_steps, saved.stalled
        self.lowest, self.least = saved.lowest, saved.least
        self.attempted, self.predicted = saved.attempted, math.inf

    def run(self) -> Solution:
        """Steps until the certificate reaches tol, or there is no more progress."""
        certificate: Certificate | None = None
        candidate: list[Floats] = []
        status: Status | None = None
        try:
            while status is None:
                W, b = self._weights()
                evaluation = self._evaluate(W, b)
                if self._report(evaluation, W, b):
                    status = Status.STOPPED
                    break
                promising = self.predicted <= min(
                    ATTEMPT_BELOW * self._absolute_tol(evaluation), RETRY_BELOW * self.attempted
                )
                self._watch_progress(evaluation.objective)
                ended = self._has_stalled() or self.iteration >= min(self.settings.max_iter, MAX_STEPS)
                if promising or ended:
                    self.attempted = self.predicted
                    certificate, *candidate = self._certify()
                    status = self._status(certificate, promising, ended)
                if status is None:
                    self._step()
                    self.passes += 3.0  # one for scores and curvature, two for sums of slopes
        except KeyboardInterrupt:
            status = Status.INTERRUPTED
        # saved before the certificate of an interrupted search: an uninterrupted one does not make its passes
        state = self._state(*self._weights())
        if certificate is None:
            certificate, *candidate = self._certify()
        W, b = candidate
        if self.trace.history:
            data_loss = certificate.objective - self.objective.penalty_value(W)
            self.trace.history[-1] |= {"objective": certificate.objective, "data_loss": data_loss}
        return Solution(W, b, status, self.trace.history, state, self.passes, self.clock(), {}, certificate)

    def to_tolerance(self, exact_zeros: bool) -> None:
        """Steps until the gap over these weights is at most tol, or progress ends; with exact zeros on request."""
        variables = self.variables
        while True:
            evaluation = self._evaluate(*self._weights())
            allowed = max(abs(evaluation.objective), 1e-300) * self.settings.tol
            self._watch_progress(evaluation.objective)
            ended = self._has_stalled() or self.iteration >= MAX_STEPS
            if self.predicted <= allowed and not exact_zeros:
                return
            if ended or self.predicted <= allowed:
                sparse = variables.with_exact_zeros()
                better = variables.value(sparse) <= evaluation.objective + allowed
                if better or ended:
                    variables.theta = sparse if better else variables.theta
                    return
            self._step()

    def _step(self) -> None:
        """One iteration."""
        length = take_step(self.variables, self.options)
        self.short_steps = self.short_steps + 1 if length < SHORT_STEP else 0
        self.iteration += 1

    def _weights(self) -> tuple[Floats, Floats]:
        return self.variables.features.weights(self.variables.theta)

    def _absolute_tol(self, evaluation: Evaluation) -> float:
        """The gap to reach: tol times the objective, or `absolute_tol` if the objective tends to 0."""
        negligible = absolute_tol(self.objective, self.settings.tol)
        return self.settings.tol * evaluation.objective if evaluation.objective > negligible else negligible

    def _has_stalled(self) -> bool:
        """Whether `MAX_SHORT_STEPS` steps were short, or `MAX_STALLED` made no progress."""
        return self.short_steps >= MAX_SHORT_STEPS or self.stalled >= MAX_STALLED

    def _status(self, certificate: Certificate, promising: bool, ended: bool) -> Status | None:
        """The status if the search ends after this certificate, else None."""
        status = proved_status(self.objective, certificate, self.settings.tol)
        if status is None and promising and not self.objective.penalised:
            # weights that grow without end make any gap small, relative to their objective
            at_zero = self.objective.gradient_at_zero(np.zeros(self.objective.n_classes)).loss
            return Status.CONVERGED if certificate.objective <= at_zero else Status.STALLED
        if status is None and ended:
            return Status.STALLED if self.iteration < self.settings.max_iter else Status.MAX_ITER
        return status

    def _watch_progress(self, value: float) -> None:
        """Count iterations without progress; after one, solve the linear systems more precisely.

        Progress is measured from the first step on: the cost of the residual is a product with W, and 0 at the start.
        """
        options = self.options
        if self.iteration == 0:
            return
        if value < self.least - FALL * abs(value):
            self.least, self.stalled = value, 0
        if self.predicted < PROGRESS * self.lowest:
            self.lowest, self.stalled = self.predicted, 0
            return
        self.stalled += 1
        if options.exact:
            return
        options.residual = max(EXACT_RESIDUAL, RESIDUAL_CUT * options.residual)
        if self.stalled >= MAX_SHORT_STEPS and self.variables.theta.size <= MAX_EXACT:
            options.exact, options.residual = True, EXACT_RESIDUAL
            self.stalled = self.short_steps = 0

    def _evaluate(self, W: Floats, b: Floats) -> Evaluation:
        """The objective at the weights. Sets `predicted`, the gap that the slopes g would prove."""
        objective, variables = self.objective, self.variables
        S = variables.Z @ variables.theta.T
        losses = objective.loss.value(S, variables.y)
        data_loss, penalty = float(variables.a @ losses), objective.penalty_value(W)
        accuracy = float((S.argmax(axis=1) == variables.y).mean())
        r = variables.residual()
        norm = float(np.sqrt(np.square(r[:, :-1] / variables.features.scale).sum() + np.square(r[:, -1]).sum()))
        value = data_loss + penalty
        self.predicted = variables.gap() + variables.residual_cost(r) if math.isfinite(value) else math.inf
        return Evaluation(value, data_loss, penalty, accuracy, norm)

    def _certify(self) -> tuple[Certificate, Floats, Floats]:
        """(certificate, W, b): the present weights, with exact zeros in W where these can be certified."""
        objective, variables = self.objective, self.variables
        G = variables.dual_point()
        best: tuple[Certificate, Floats, Floats] | None = None
        sparse = [] if variables.sizes is None else map(variables.with_exact_zeros, ZERO_RATIOS)
        tried: list[Floats] = []
        for theta in (*sparse, variables.theta):
            if any(np.array_equal(theta, other) for other in tried):
                continue  # another ratio sets the same weights to 0
            tried.append(theta)
            at, bias = variables.features.weights(theta)
            found = certify(objective, at, bias, G, careful=True, passes=self.passes, seconds=self.clock())
            self.passes = found.passes
            if best is None or found.relative_gap < best[0].relative_gap:
                best = found, at, bias
            if proved_status(objective, found, self.settings.tol):
                break
        assert best is not None
        return best

    def _report(self, evaluation: Evaluation, W: Floats, b: Floats) -> bool:
        """Add a row to the trace; True if the callback requests a stop."""
        validation = self.trace.validation
        held_out = None if validation is None else validation.evaluate(W, b)
        seconds = self.clock()
        return self.trace.add(
            (evaluation, held_out), self._state(W, b), learning_rate=0.0, passes=self.passes, seconds=seconds
        )

    def _state(self, W: Floats, b: Floats) -> State:
        return InteriorPointState(
            epoch=self.iteration,
            W=W,
            b=b,
            seconds=self.clock(),
            passes=self.passes,
            short_steps=self.short_steps,
            exact=self.options.exact,
            residual=self.options.residual,
            by_class=self.options.by_class,
            lowest=self.lowest,
            least=self.least,
            stalled=self.stalled,
            attempted=self.attempted,
            predicted_gap=self.predicted,
            **self.variables.arrays(),
        ).to_state()
