"""Fewer images than features, and L2: the same problem with one feature for each image."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
import scipy.linalg
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify
from linprobe.engines.base import ENGINES
from linprobe.errors import IncompatibleError
from linprobe.objective import Objective
from linprobe.optimizers.base import Callback, Epoch, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.gram import centred_products
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.states import SavedState, saved_number, sizes_of
from linprobe.optimizers.trace import Clock
from linprobe.shapes import Floats, check_range

__all__ = ["SpanOfImages", "suits_span"]

MAX_IMAGES = 8192
"""Images up to which their products are factored: 512 MB of float64, some 10 seconds."""

RIDGE = 1e-11
"""Added to the products, relative to their mean diagonal: repeated images make them singular. Chosen by argument."""

FLOAT32_TOL, FLOAT32_IMAGES = 1e-5, 512
"""Smallest tol and smallest number of images with which the reduced features are kept in float32. Its rounding moves
the optimum by less than that tol; with fewer images passes in float64 take no longer. Chosen by argument."""

TIGHTER_TOL, MAX_TRIES = 0.3, 4
"""Factor of the tol of the reduced problem after its solution was not certified on the images, and attempts at most.
Chosen by argument."""

PREFIX = "span_"
"""Prefix, in a state, of the arrays of the reduced problem."""


@final
@dataclass(frozen=True, kw_only=True)
class SpanState(SavedState):
    """What a search in the span of the images saves, besides the state of the reduced problem.

    Attributes:
        inner_tol: tol of the reduced problem; NaN for that of a new search.
    """

    inner_tol: float = saved_number(low=0.0)


@final
@dataclass(frozen=True)
class SpanOfImages(Optimizer):
    """Minimises over the weights in the span of the images, which with L2 has the optimum: N numbers a class, not D.

        X' - mean = F Q,  F Fᵀ = (X' - mean)(X' - mean)ᵀ, F (N, N) triangular, Q Qᵀ = I;   W = V Q,  |W| = |V|

    `LBFGS` finds V on the rows of F, and the certificate is that of (W, b) on the images themselves.

    Args:
        tol: relative duality gap to reach, >= 0.
        max_iter: iterations at most, >= 0.
    Raises:
        ParameterError: an argument outside its range.
    Source:
        Kimeldorf and Wahba, "Some results on Tchebycheffian spline functions", 1971: the representer theorem.
    Example:
        >>> X, y = np.eye(3, 8), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="softmax", penalty="l2", reg=0.1, engine="reference")
        >>> SpanOfImages(tol=1e-6).minimize(objective).status.name
        'CERTIFIED'
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "span-of-images"

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
            IncompatibleError: the objective has kinks, no L2, or no fewer images than features.
        """
        if not suits_span(objective):
            raise IncompatibleError(
                "SpanOfImages needs a smooth loss with L2 on fewer images than features, "
                f"{MAX_IMAGES} at most. Use optimizer='exact', which takes another method here."
            )
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            return self._minimize(objective, start, callback, validation)

    def _minimize(
        self, objective: Objective, start: State | None, callback: Callback | None, validation: Objective | None
    ) -> Solution:
        clock = Clock(0.0)
        span = _Span(objective, self.tol)
        inner = span.inner_state(start)
        tol = self.tol
        if start is not None:
            saved = SpanState.from_state(start, sizes_of(objective))
            tol = self.tol if math.isnan(saved.inner_tol) else saved.inner_tol
        history: list[dict[str, float]] = []
        certificate: Certificate | None = None
        # forming and factoring the products takes as many operations as some passes over the images; a resumed search
        # repeats them, and counts what an unbroken one counts
        passes = objective.n_images / (4.0 * objective.n_classes)
        for _ in range(MAX_TRIES):
            outer = span.callback(callback, validation, tol)
            found = LBFGS(tol, self.max_iter).minimize(span.reduced, inner, outer, spent=clock())
            history = history[:-1] + found.history if history else found.history
            W, b = span.weights(found.W, found.b)
            certificate = certify(objective, W, b, passes=passes + found.passes, seconds=clock())
            if found.status is Status.INTERRUPTED:  # also where the proof suffices: a resumed run gets further
                status = None
                break
            status = proved_status(objective, certificate, self.tol)
            if status is not None or found.status not in (Status.CERTIFIED, Status.CERTIFIED_ABSOLUTE):
                break
            inner, tol = found.state, TIGHTER_TOL * tol
        assert certificate is not None
        ended = Status.STALLED if found.status in (Status.CERTIFIED, Status.CERTIFIED_ABSOLUTE) else found.status
        return Solution(
            W,
            b,
            status or ended,
            history,
            span.outer_state(found.state, tol),
            certificate.passes,
            clock(),
            found.chosen,
            certificate,
        )


def suits_span(objective: Objective) -> bool:
    """Whether `SpanOfImages` takes this objective."""
    smooth = objective.loss.smooth and objective.l2_weight > 0.0 and objective.l1_weight == 0.0
    return smooth and objective.n_images <= min(MAX_IMAGES, objective.n_features - 1)


class _Span:
    """The reduced problem, and the weights on the images that its solution stands for.

    Attributes:
        reduced: the objective over V (K, n), on the images whose weight is above 0.
    """

    def __init__(self, objective: Objective, tol: float) -> None:
        shares = objective.shares()
        self._objective, self._counted = objective, np.flatnonzero(shares > 0.0)
        self._mean = objective.statistics.class_means.sums.sum(axis=0)
        products = centred_products(objective, self._counted, self._mean)
        ridge = RIDGE * float(np.trace(products)) / len(products) or 1.0
        while True:
            products[np.diag_indices(len(products))] += ridge
            try:
                self._factor = scipy.linalg.cholesky(products, lower=True, check_finite=False)
                break
            except scipy.linalg.LinAlgError:
                ridge *= 10.0
        weight = objective.examples.sample_weight
        engine = next(name for name, made in ENGINES.items() if made == type(objective.engine).__name__)
        self.reduced = Objective(
            self._factor.astype(np.float32) if tol >= FLOAT32_TOL and len(products) >= FLOAT32_IMAGES else self._factor,
            objective.examples.y[self._counted],
            loss=objective.loss,
            penalty=objective.penalty,
            reg=objective.reg,
            n_classes=objective.n_classes,
            sample_weight=None if weight is None else weight[self._counted],
            engine=engine,
            n_threads=objective.engine.n_threads,
        )

    def weights(self, V: Floats, c: Floats) -> tuple[Floats, Floats]:
        """(W, b) on the images for V (K, n) and the bias c about their mean."""
        B = np.zeros((self._objective.n_images, len(V)))
        B[self._counted] = scipy.linalg.solve_triangular(self._factor, V.T, lower=True, trans="T", check_finite=False)
        W, sums = self._objective.engine.gradient_of_scores(B, precise=True)
        W = W - sums[:, None] * self._mean
        return W, c - W @ self._mean

    def inner_state(self, start: State | None) -> State | None:
        """The state of the reduced problem that a state holds; None where it holds none."""
        if start is None or f"{PREFIX}W" not in start.arrays:
            return None
        arrays = {name.removeprefix(PREFIX): a for name, a in start.arrays.items() if name.startswith(PREFIX)}
        return State(start.epoch, arrays, start.numbers)

    def outer_state(self, inner: State, tol: float) -> State:
        """A state of the problem itself: its W and b, and all of the reduced problem."""
        W, b = self.weights(inner.arrays["W"], inner.arrays["b"])
        arrays = {f"{PREFIX}{name}": array for name, array in inner.arrays.items()}
        return State(inner.epoch, {"W": W, "b": b, **arrays}, inner.numbers | {"inner_tol": tol})

    def callback(
        self, callback: Callback | None, validation: Objective | None, tol: float
    ) -> Callable[[Epoch], bool | None] | None:
        """A callback of the reduced problem that hands its rows on, with the weights on the images."""
        if callback is None:
            return None

        def hand_on(epoch: Epoch) -> bool | None:
            state = self.outer_state(epoch.state, tol)
            if validation is not None:
                held_out = validation.evaluate(state.arrays["W"], state.arrays["b"])
                epoch = replace(epoch, validation_loss=held_out.data_loss, validation_accuracy=held_out.accuracy)
            return callback(replace(epoch, state=state))

        return hand_on
