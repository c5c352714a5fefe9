"""The exact optimum of any objective here, with a certificate: the optimizer that fits the objective is taken."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any, ClassVar, TypeAlias, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify
from linprobe.errors import IncompatibleError, StateError
from linprobe.objective import Objective
from linprobe.optimizers.admm import ADMM
from linprobe.optimizers.base import Callback, Epoch, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.coordinate_descent import is_sparse
from linprobe.optimizers.dual_ascent import DualAscent, dual_bytes, suits_dual_ascent
from linprobe.optimizers.interior_point import InteriorPoint, interior_point_cost
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.newton import Newton, suits_newton
from linprobe.optimizers.normal_equations import ExactMoment, exact_moment
from linprobe.optimizers.preconditioner import DENSE_FEATURES, SecondMoment, second_moment
from linprobe.optimizers.span import SpanOfImages, suits_span
from linprobe.optimizers.trace import Clock
from linprobe.optimizers.working_set import WorkingSet, suits_working_set, uses_few_weights, working_set_cost
from linprobe.shapes import check_range

__all__ = ["Exact", "Moments", "is_smooth"]

AT_ONCE, SOON, SOON_OF_SQUARED = 5e8, 2e9, 3e10
"""Operations of a step of the interior point method up to which it is tried first on kinks: in any case, some 15 ms;
where most weights of |W| are used; and there for squared margins of few images. Working sets save little then
(benchmarks/gauntlet.py)."""

FEW_IMAGES = 1.25
"""Images for each feature up to which they are few: the data are separable then."""

AFTERWARDS, MOST_BYTES = 1e11, 2e9
"""Operations and bytes of such a step up to which it is tried at all: some seconds, 2 GB."""

FIRST_EPOCHS = 100
"""Epochs of dual ascent before working sets: well conditioned problems need fewer."""

LATER_ITERATIONS = 300
"""Iterations, of `max_iter`, that are left to each method after the first; a smaller `max_iter` is for the first
alone."""

DUAL_IMAGES, DUAL_IMAGES_OF_HINGE, DUAL_PER_WEIGHT = 20_000, 100_000, 0.3
"""Images up to which dual ascent is tried, for a smooth loss and for the hinge: a smooth loss has a faster method for
many images. The former also up to DUAL_PER_WEIGHT images for each weight: so many weights nearly separate the classes,
which that method does not suit. On 50,000 x 768 with 1,000 classes (0.07 a weight, squared hinge, reg 1e-4)
`Newton` is at 20 times the optimum after 420 passes, and `DualAscent` at a gap of 4e-3 after 29."""

DUAL_BYTES, DUAL_BYTES_OF_VECTORS = 2**28, 2**30
"""Bytes that it may keep where rows are pixels of 8 bits, and where they are vectors: pixels are smaller as they are
than in float32, and `ADMM` needs some hundred passes for them; of 50,000 vectors of 100 classes it leaves a gap of 1
after 1,000."""

WORKING_BYTES, WORKING_BYTES_OF_PIXELS = 2e9, 2.5e8
"""Bytes that working sets may keep where all features could be used; and where images are bytes, which ADMM reads as
they are."""

FEW_SCORES, SOME_SCORES = 2**16, 2**18
"""Scores, N times K, up to which working sets are tried for a smooth loss whatever the number of features; and those
for the squared hinge where few weights are used: with L1 on 1,600 vectors of 100 classes they take a quarter of the
time of LBFGS."""

MANY_CLASSES = 32
"""Classes from which on `Newton` takes the place of `LBFGS`; it begins as that, and stays with it where it converges
quickly. With fewer classes a product with the Hessian saves little (benchmarks/many_classes.py)."""

SOME_CLASSES = 8
"""The same where the engine multiplies all classes in bfloat16. On 60,000 x 784 with ten classes and reg 1e-5 `Newton`
takes 0.6 of the time of `LBFGS` with softmax, and 0.4 with the squared hinge; where that converges quickly it stays
with it."""

UNPROVED = (Status.MAX_ITER, Status.STALLED)
"""How a method ends that has proved too little."""

USUAL = 1e20
"""Mean variance of the features, and its inverse, up to which float32 has room for their moment and its inverse."""


class Moments:
    """The second moments of the features of an objective, each computed when it is first asked for.

    Args:
        objective: any with these images.
        known: one of them, or None.
        many: whether many reg values will use them.
    """

    def __init__(
        self, objective: Objective, known: SecondMoment | ExactMoment | None = None, *, many: bool = False
    ) -> None:
        self._objective, self._known, self._many = objective, known, many

    @cached_property
    def sampled(self) -> SecondMoment:
        """That of a sample, or of all images if it is known."""
        known = self._known
        if isinstance(known, SecondMoment):
            return known
        if known is not None and known.of_features:
            return SecondMoment(known.mean, known.matrix.astype(np.float32))
        return second_moment(self._objective, many=self._many)

    @cached_property
    def exact(self) -> ExactMoment:
        """That of all images."""
        return self._known if isinstance(self._known, ExactMoment) else exact_moment(self._objective)


@dataclass(frozen=True)
class Step:
    """A method of a plan.

    Attributes:
        method: with its own tol and max_iter.
        moment: which of the `Moments` of the features it is given; "" for none.
    """

    method: Optimizer
    moment: str = ""

    def arguments(self, moments: Moments) -> dict[str, Any]:
        """What `minimize` of the method takes besides: the moment of the features, computed now if it is not there."""
        return {"moment": getattr(moments, self.moment)} if self.moment else {}


@final
@dataclass(frozen=True)
class Exact(Optimizer):
    """The optimum by the method that fits the objective, and by a second one where the first ends without a proof.

    See `plan` for which method runs when, and docs/training.md for why.

    Args:
        tol: relative duality gap to reach, >= 0; for objectives that tend to 0 see `proved_status`, and without a
            penalty `LBFGS` and `InteriorPoint`.
        max_iter: iterations at most, >= 0, of all methods together; each takes a pass over the images, or a few.
    Raises:
        ParameterError: an argument outside its range.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0]]), np.array([0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l2", reg=0.1, engine="reference")
        >>> solution = Exact(tol=1e-4).minimize(objective)
        >>> solution.status.name, solution.certificate.relative_gap <= 1e-4
        ('CERTIFIED', True)
    """

    tol: float = 1e-4
    max_iter: int = 1000
    name: ClassVar[str] = "exact"

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
        moments: Moments | None = None,
    ) -> Solution:
        """The weights found, with their certificate.

        Args:
            moments: of the features, if others share them.
        Raises:
            IncompatibleError: the loss has no conjugate or no prox, or the penalty no coefficients.
        """
        clock = Clock(0.0)
        moments = moments or Moments(objective)
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            plan = self.plan(objective, moments)
            first = 0 if start is None else int(start.numbers.get("step", 0.0))
            before = 0 if start is None else int(start.numbers.get("rows_before", 0.0))
            if start is not None and before:
                start = State(start.epoch - before, start.arrays, start.numbers)
            start, best = (None, None) if start is None else _parted(start)
            for number in range(first, len(plan)):
                step = plan[number]
                rows = _Rows(callback, number, before, best)
                options = step.arguments(moments)
                if options:
                    options["spent"] = clock()
                solution = step.method.minimize(
                    objective, start, rows if callback is not None else None, validation, watch, **options
                )
                solution = replace(
                    solution,
                    history=[row | {"epoch": row["epoch"] + before} for row in solution.history],
                    state=rows.told(solution.state),
                    chosen={**solution.chosen, "method": step.method.name},
                )
                best = solution if best is None else _better(objective, best, solution, self.tol)
                if best.status not in UNPROVED:
                    return best
                start = None
                if solution.history:  # a resumed method has not all of its rows
                    before = int(solution.history[-1]["epoch"]) + 1
            assert best is not None
            return _carefully(objective, best, self.tol)

    def finished(self, objective: Objective, solution: Solution, moments: Moments) -> Solution:
        """A solution of `LBFGS`, or where it has no proof the better one of that and what the others of the plan find.

        Args:
            moments: of the features.
        """
        if solution.status not in UNPROVED or self.max_iter == 0:
            return solution
        best = solution
        for step in self.plan(objective, moments):
            if isinstance(step.method, LBFGS):
                continue
            found = step.method.minimize(objective, **step.arguments(moments))
            best = _better(objective, best, found, self.tol)
            if best.status not in UNPROVED:
                return best
        return _carefully(objective, best, self.tol)

    def plan(self, objective: Objective, moments: Moments) -> list[Step]:
        """The methods that are tried, in this order, until one ends with a proof.

        1. Small problems with kinks, of the loss or of |W|: `InteriorPoint`.
        2. |W| that leaves few weights, with kinks of the loss, or few scores, or many features: `WorkingSet`.
        3. Losses of margins with a squared penalty, on few images: `DualAscent`; for some epochs only, where |W| has
           kinks and 4. can follow.
        4. A hinge whose features fit memory as float64; |W| that leaves most weights, as in 2.: `WorkingSet`.
        5. Smooth losses with L2 on fewer images than features: `SpanOfImages`.
        6. Smooth objectives: `LBFGS`, or with L2 and many classes `Newton`; with |W| `LBFGS` takes the steps of
           coordinate descent, where that is faster.
        7. All else: `ADMM`.

        What fits of the others follows, `WorkingSet` or `DualAscent` after `LBFGS` and `InteriorPoint` last: it needs
        few unknowns, and images that fit memory as float64.

        Args:
            moments: of its features, which are looked at where a smooth loss has a penalty with |W|.
        Raises:
            IncompatibleError: the exact optimum of such a penalty is not to be had.
        """
        made = _chosen(objective, moments)
        if self.max_iter <= LATER_ITERATIONS:
            made = made[:1]
        steps: list[Step] = []
        left = self.max_iter
        for number, (method, moment) in enumerate(made):
            later = len(made) - number - 1
            share = max(left - later * LATER_ITERATIONS, left // 2) if later else left
            if method is DualAscent and objective.l1_weight > 0.0 and (WorkingSet, "") in made[number:]:
                share = min(share, FIRST_EPOCHS)
            steps.append(Step(method(self.tol, share), moment))
            left -= share
        return steps


Method: TypeAlias = tuple[Callable[[float, int], Optimizer], str]
"""(an optimizer, made of tol and max_iter; the moment of the features that it is given, "" for none)."""


def _chosen(objective: Objective, moments: Moments) -> list[Method]:
    """The methods of `Exact.plan`, in their order."""
    smooth = is_smooth(objective)
    operations, numbers = _interior(objective)
    sets = not smooth and suits_working_set(objective)
    kinked = sets and objective.loss.margin_power is not None and objective.l1_weight > 0.0
    few = kinked and uses_few_weights(objective)
    in_sets = sets and _suits_working_set(objective, few)
    soon = AT_ONCE
    if kinked and not few:
        few_images = objective.n_images <= FEW_IMAGES * objective.n_features
        soon = SOON_OF_SQUARED if objective.loss.margin_power == 2 and few_images else SOON
    made: list[Method] = []
    if not smooth and operations <= soon and numbers <= MOST_BYTES:
        made.append((InteriorPoint, ""))
    if in_sets and few:
        made.append((WorkingSet, ""))
    if suits_dual_ascent(objective) and _suits_dual(objective) and not (smooth and operations <= AT_ONCE):
        made.append((DualAscent, ""))
    if in_sets and not few:
        made.append((WorkingSet, ""))
    if suits_span(objective):
        made.append((SpanOfImages, ""))
    elif not made or smooth:
        made.append(_by_gradients(objective, moments))
    fits = sets and working_set_cost(objective, objective.n_features) <= WORKING_BYTES
    if fits and (WorkingSet, "") not in made:
        made.append((WorkingSet, ""))
    if smooth and suits_dual_ascent(objective) and _fits_dual(objective) and (DualAscent, "") not in made:
        made.append((DualAscent, ""))
    if (InteriorPoint, "") not in made and operations <= AFTERWARDS and numbers <= MOST_BYTES:
        made.append((InteriorPoint, ""))
    return made


def _by_gradients(objective: Objective, moments: Moments) -> Method:
    """The method that reads the images through sums over all of them."""
    smooth = is_smooth(objective)
    least = SOME_CLASSES if objective.engine.multiplies_hessians else MANY_CLASSES
    if suits_newton(objective) and objective.n_classes >= least:
        return Newton, "sampled"
    if smooth or (objective.loss.smooth and _descends(objective, moments)):
        return LBFGS, "sampled"
    return ADMM, "exact"


def _suits_dual(objective: Objective) -> bool:
    """Whether dual ascent is the faster way: few images, or the hinge on vectors that fit memory."""
    weights = objective.n_features * objective.n_classes
    most = max(DUAL_IMAGES, DUAL_PER_WEIGHT * weights) if objective.loss.smooth else DUAL_IMAGES_OF_HINGE
    return objective.n_images <= most and _fits_dual(objective)


def _fits_dual(objective: Objective) -> bool:
    """Whether dual ascent keeps no more bytes than it may."""
    most = DUAL_BYTES if objective.examples.X.dtype == np.uint8 else DUAL_BYTES_OF_VECTORS
    return dual_bytes(objective) <= most


def _suits_working_set(objective: Objective, few: bool) -> bool:
    """Whether working sets are the faster way of a hinge or of |W|; `few` weights are used, or most.

    They hold the features in use as float64. With a smooth loss LBFGS is faster, but for few scores and where its
    (D, D) matrix would be too large; large pixels stay as they are, for ADMM.
    """
    N, D, power = objective.n_images, objective.n_features, objective.loss.margin_power
    if power != 1:
        return D > DENSE_FEATURES or N * objective.n_classes <= (SOME_SCORES if power == 2 and few else FEW_SCORES)
    if objective.l1_weight > 0.0 and D > DENSE_FEATURES:
        return True
    bytes_kept = working_set_cost(objective, D)
    return bytes_kept <= (WORKING_BYTES_OF_PIXELS if objective.examples.X.dtype == np.uint8 else WORKING_BYTES)


EARLIER = "earlier_"
"""Prefix, in a state of the plan, of what the methods before had found."""


class _Rows:
    """A callback that numbers the rows and states of one method among those of all."""

    def __init__(self, callback: Callback | None, step: int, before: int, best: Solution | None) -> None:
        self._callback, self._step, self._before, self._best = callback, step, before, best

    def told(self, state: State) -> State:
        """The state with what it takes to resume the plan at this method."""
        if self._step == 0:
            return state
        numbers = state.numbers | {"step": float(self._step), "rows_before": float(self._before)}
        arrays = state.arrays
        if self._best is not None and self._best.certificate is not None:
            arrays = arrays | {f"{EARLIER}W": self._best.W, f"{EARLIER}b": self._best.b}
            numbers |= {f"{EARLIER}{name}": value for name, value in vars(self._best.certificate).items()}
        return State(state.epoch + self._before, arrays, numbers)

    def __call__(self, epoch: Epoch) -> bool | None:
        if self._callback is None:
            return None
        return self._callback(replace(epoch, epoch=epoch.epoch + self._before, state=self.told(epoch.state)))


def _parted(start: State) -> tuple[State, Solution | None]:
    """(the state of the method that was running, what the methods before it had found; None where it was the first).

    Raises:
        StateError: the certificate of what they had found is not whole.
    """
    if f"{EARLIER}W" not in start.arrays:
        return start, None
    own = State(
        start.epoch,
        {name: array for name, array in start.arrays.items() if not name.startswith(EARLIER)},
        {name: number for name, number in start.numbers.items() if not name.startswith(EARLIER)},
    )
    names = [field.name for field in fields(Certificate)]
    missing = [f"{EARLIER}{name}" for name in names if f"{EARLIER}{name}" not in start.numbers]
    if missing or f"{EARLIER}b" not in start.arrays:
        raise StateError(f"the state lacks {missing or f'{EARLIER}b'}. Resume from an earlier state, or begin anew.")
    W, b = (start.arrays[f"{EARLIER}{name}"].astype(np.float64, copy=False) for name in "Wb")
    for name, array, expected in (("W", W, start.arrays["W"].shape), ("b", b, start.arrays["b"].shape)):
        if array.shape != expected or not np.isfinite(array).all():
            raise StateError(f"the state's array '{EARLIER}{name}' is not finite and of shape {expected}. Begin anew.")
    proved = Certificate(*(start.numbers[f"{EARLIER}{name}"] for name in names))
    return own, Solution(W, b, Status.STALLED, [], own, proved.passes, proved.seconds, {}, proved)


def _interior(objective: Objective) -> tuple[float, float]:
    """(operations of a step of the interior point method, bytes it takes); infinite where it cannot run."""
    loss, penalty = objective.loss, objective.penalty
    if loss.margin_power is None and loss.curvature_form != "spread":
        return math.inf, math.inf
    if penalty is not None and penalty.coefficients is None:
        return math.inf, math.inf
    return interior_point_cost(objective)


def _better(objective: Objective, first: Solution, second: Solution, tol: float) -> Solution:
    """The solution with the lower objective, under the higher of the two bounds: both hold for all weights."""
    a, b = first.certificate, second.certificate
    if a is None or b is None:
        return second
    kept = first if a.objective < b.objective else second
    assert kept.certificate is not None
    bound = min(kept.certificate.objective, max(a.lower_bound, b.lower_bound))
    certificate = replace(
        kept.certificate, lower_bound=bound, passes=first.passes + second.passes, seconds=first.seconds + second.seconds
    )
    status = second.status
    if status in UNPROVED and objective.penalised:
        status = proved_status(objective, certificate, tol) or status
    return replace(
        second,
        W=kept.W,
        b=kept.b,
        status=status,
        history=first.history + second.history,
        passes=certificate.passes,
        seconds=certificate.seconds,
        certificate=certificate,
    )


def _carefully(objective: Objective, solution: Solution, tol: float) -> Solution:
    """The solution, with the tighter bound of a careful certificate where that is one."""
    old = solution.certificate
    if old is None or not objective.penalised:
        return solution
    if not objective.loss.smooth:
        return replace(solution, status=proved_status(objective, old, tol, ended=True) or solution.status)
    found = certify(objective, solution.W, solution.b, careful=True, passes=old.passes, seconds=old.seconds)
    if found.lower_bound < old.lower_bound:
        found = replace(found, lower_bound=min(found.objective, old.lower_bound))
    status = proved_status(objective, found, tol, ended=True) or solution.status
    return replace(solution, certificate=found, passes=found.passes, status=status)


def is_smooth(objective: Objective) -> bool:
    """Whether neither the loss nor the penalty has kinks.

    Raises:
        IncompatibleError: the exact optimum of such a penalty is not to be had.
    """
    if objective.penalty is not None and objective.penalty.coefficients is None:
        raise IncompatibleError(
            f"optimizer='exact' needs a penalty a sum W² + c sum |W|; {type(objective.penalty).__name__} has no "
            "coefficients: use optimizer='sgd' or 'gd'."
        )
    return objective.loss.smooth and not (objective.penalised and objective.l1_weight > 0.0)


def _descends(objective: Objective, moments: Moments) -> bool:
    """Whether the steps of `LBFGS` with |W|, by coordinate descent, are the sooner way.

    With L1 alone they are even where few weights are 0: ADMM then takes many hundred passes.
    """
    if objective.n_features > DENSE_FEATURES:
        return False
    variance = moments.sampled.trace / max(1, objective.n_features)
    usual = 1.0 / USUAL < variance < USUAL
    return usual and (objective.l2_weight == 0.0 or is_sparse(objective, moments.sampled))
