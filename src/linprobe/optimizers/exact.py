"""The exact optimum of any objective, with a certificate, by the method that suits the objective."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import ClassVar, final

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.certificate import Certificate, certify
from linprobe.errors import StateError
from linprobe.objective import Objective
from linprobe.optimizers.base import Callback, Epoch, Optimizer, Solution, State, Status, Watch, proved_status
from linprobe.optimizers.lbfgs import LBFGS
from linprobe.optimizers.moments import Moments
from linprobe.optimizers.obstacles import OBSTACLE, obstacle
from linprobe.optimizers.plan import PlannedMethod, plan_methods
from linprobe.optimizers.trace import Clock
from linprobe.shapes import check_range

__all__ = ["Exact"]

UNPROVED = (Status.MAX_ITER, Status.STALLED)
"""Statuses of a method that ended without a proof of tol."""

EARLIER = "earlier_"
"""Prefix, in the state of a plan, of the arrays and numbers of the best solution of the earlier methods."""


@final
@dataclass(frozen=True)
class Exact(Optimizer):
    """The optimum by the method that suits the objective, and by further ones if the first ends without a proof.

    See `plan` for which method runs when, and docs/training.md for why.

    Args:
        tol: relative duality gap to reach, >= 0. For objectives that tend to 0 see `proved_status`; without a penalty
            see `LBFGS` and `InteriorPoint`.
        max_iter: iterations of all methods together, at most, >= 0. An iteration takes one or a few passes over the
            images.
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
            moments: of the features, if they are shared with other objectives.
        Raises:
            IncompatibleError: the loss has no conjugate or no prox, or the penalty no coefficients.
        """
        clock = Clock(0.0)
        moments = moments or Moments(objective)
        with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
            planned = self.plan(objective, moments)
            position = PlanPosition() if start is None else PlanPosition.of(start)
            inner = None if start is None else position.inner_state(start)
            best = position.best
            for number in range(position.step, len(planned)):
                method, options = planned[number].method, planned[number].arguments(moments)
                if options:
                    options["spent"] = clock()
                position = PlanPosition(number, position.rows_before, best)
                rows = None if callback is None else position.callback(callback)
                solution = method.minimize(objective, inner, rows, validation, watch, **options)
                solution = replace(
                    solution,
                    history=[row | {"epoch": row["epoch"] + position.rows_before} for row in solution.history],
                    state=position.outer_state(solution.state),
                    chosen={**solution.chosen, "method": method.name},
                )
                best = solution if best is None else _better(objective, best, solution, self.tol)
                if best.status not in UNPROVED:
                    return best
                inner = None
                if solution.history:  # a resumed method lacks its earlier rows
                    position = replace(position, rows_before=int(solution.history[-1]["epoch"]) + 1)
            assert best is not None
            return _with_careful_certificate(objective, best, self.tol)

    def finished(self, objective: Objective, solution: Solution, moments: Moments) -> Solution:
        """A solution of `LBFGS` if it is proved; else the best of it and the solutions of the other methods of the
        plan.

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
        return _with_careful_certificate(objective, best, self.tol)

    def plan(self, objective: Objective, moments: Moments) -> list[PlannedMethod]:
        """The methods that are tried, in this order, until one ends with a proof.

        1. `InteriorPoint`, if the loss or the penalty has kinks and the problem is small.
        2. `WorkingSet`, if the penalty leaves few weights nonzero, and the loss has kinks too, or there are few scores
           or many features.
        3. `DualAscent`, for losses of margins with a squared penalty, if there are few images in all or per weight.
           With |W| it gets some epochs only, if 4. can follow. For a hinge without |W| `InteriorPoint` follows, if a
           step of it takes some tenths of a second.
        4. `WorkingSet`, for a hinge whose features fit memory as float64, and as in 2. if most weights are nonzero.
        5. `SpanOfImages`, for smooth losses with L2 and fewer images than features.
        6. `LBFGS`, for smooth losses; with L2 and many classes `Newton`. With |W| it takes steps by coordinate descent,
           where these are faster than 7.
        7. `ADMM`, for all else.

        After the method chosen by these rules come the others that apply: `WorkingSet` or `DualAscent` after `LBFGS`,
        and `InteriorPoint` last. It needs few unknowns, and images that fit memory as float64.

        Args:
            moments: of the features. They are computed here if a smooth loss has a penalty with |W|.
        Raises:
            IncompatibleError: the exact optimum of such a penalty cannot be had.
        """
        return plan_methods(objective, moments, self.tol, self.max_iter)


@dataclass(frozen=True)
class PlanPosition:
    """How far a plan has come: what the state of a plan holds besides the state of the running method.

    Attributes:
        step: index of the running method in the plan.
        rows_before: rows of the trace by earlier methods.
        best: the best solution of earlier methods; None for the first method.
    """

    step: int = 0
    rows_before: int = 0
    best: Solution | None = None

    @classmethod
    def of(cls, state: State) -> PlanPosition:
        """The position that a state of the plan holds; the first method where it holds none.

        Raises:
            StateError: a number is not whole, or the best solution is not complete.
        """
        numbers = {name: state.numbers.get(name, 0.0) for name in ("step", "rows_before")}
        for name, number in numbers.items():
            if not (number >= 0 and number == int(number)):
                raise StateError(f"the state's number {name!r} is {number}; expected a whole number.")
        step, rows_before = int(numbers["step"]), int(numbers["rows_before"])
        if f"{EARLIER}W" not in state.arrays:
            return cls(step, rows_before)
        names = [field.name for field in fields(Certificate)]
        missing = [f"{EARLIER}{name}" for name in names if f"{EARLIER}{name}" not in state.numbers]
        if missing or f"{EARLIER}b" not in state.arrays:
            raise StateError(
                f"the state lacks {missing or f'{EARLIER}b'}. "
                "Resume from an earlier state, or start from the beginning."
            )
        W, b = (state.arrays[f"{EARLIER}{name}"].astype(np.float64, copy=False) for name in "Wb")
        for name, array in (("W", W), ("b", b)):
            expected = state.arrays[name].shape
            if array.shape != expected or not np.isfinite(array).all():
                raise StateError(
                    f"the state's array '{EARLIER}{name}' is not finite and of shape {expected}. "
                    "Start from the beginning."
                )
        proved = Certificate(*(state.numbers[f"{EARLIER}{name}"] for name in names))
        best = Solution(W, b, Status.STALLED, [], state, proved.passes, proved.seconds, {}, proved)
        return cls(step, rows_before, best)

    def inner_state(self, state: State) -> State:
        """The state of the method that was running."""
        if self.best is None and self.rows_before == 0:
            return state
        arrays = {name: array for name, array in state.arrays.items() if not name.startswith(EARLIER)}
        numbers = {name: number for name, number in state.numbers.items() if not name.startswith(EARLIER)}
        return State(state.epoch - self.rows_before, arrays, numbers)

    def outer_state(self, state: State) -> State:
        """The state of the running method, with what is needed to resume the plan there."""
        if self.step == 0:
            return state
        numbers = state.numbers | {"step": float(self.step), "rows_before": float(self.rows_before)}
        arrays = state.arrays
        if self.best is not None and self.best.certificate is not None:
            arrays = arrays | {f"{EARLIER}W": self.best.W, f"{EARLIER}b": self.best.b}
            numbers |= {f"{EARLIER}{name}": value for name, value in vars(self.best.certificate).items()}
        return State(state.epoch + self.rows_before, arrays, numbers)

    def callback(self, callback: Callback) -> Callback:
        """The callback for the running method: it counts rows from the first method on."""

        def number(epoch: Epoch) -> bool | None:
            return callback(replace(epoch, epoch=epoch.epoch + self.rows_before, state=self.outer_state(epoch.state)))

        return number


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


def _with_careful_certificate(objective: Objective, solution: Solution, tol: float) -> Solution:
    """The solution, with a careful certificate if its bound is tighter."""
    old = solution.certificate
    if old is None or not objective.penalised:
        return _explained(objective, solution)
    if not objective.loss.smooth:
        proved = replace(solution, status=proved_status(objective, old, tol, ended=True) or solution.status)
        return _explained(objective, proved)
    found = certify(objective, solution.W, solution.b, careful=True, passes=old.passes, seconds=old.seconds)
    if found.lower_bound < old.lower_bound:
        found = replace(found, lower_bound=min(found.objective, old.lower_bound))
    status = proved_status(objective, found, tol, ended=True) or solution.status
    return _explained(objective, replace(solution, certificate=found, passes=found.passes, status=status))


def _explained(objective: Objective, solution: Solution) -> Solution:
    """The solution; if it is STALLED, with what in the data is in the way of a proof."""
    if solution.status is not Status.STALLED:
        return solution
    return replace(solution, chosen={**solution.chosen, OBSTACLE: obstacle(objective)})
