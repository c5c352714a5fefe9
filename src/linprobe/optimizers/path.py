"""A path of reg values: every optimum of a grid, with its certificate, for little more than one costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from linprobe.errors import ParameterError
from linprobe.objective import Objective
from linprobe.optimizers.base import Epoch, Solution, State, Status
from linprobe.optimizers.exact import Exact
from linprobe.optimizers.lbfgs import LBFGS, carried
from linprobe.optimizers.moments import Moments
from linprobe.optimizers.normal_equations import ExactMoment
from linprobe.optimizers.plan import is_smooth
from linprobe.optimizers.preconditioner import Preconditioners, SecondMoment
from linprobe.optimizers.requests import run_searches
from linprobe.optimizers.trace import Clock
from linprobe.shapes import Floats, check_range

__all__ = ["Path", "Progress", "check_rates", "check_regs", "rate_grid", "reg_grid", "solve_path"]

MAX_REG_RATIO = 300.0
"""Ratio of two neighbouring reg values above which the middle between them also starts at zero weights. Chosen by
argument: the norm of W changes by an order of magnitude there, and a curve between the two is no better than zero."""

MANY_REGS = 3
"""Number of reg values from which on the second moment is taken of a larger sample. Chosen by argument: its rows cost
what a few passes do, and each reg value gains one or two."""

CLOSE_RATIO = 5.0
"""Ratio of the reg values on both sides of a member up to which its start on the curve is certified first. Measured
with benchmarks/path.py: of 20 values over six decades nearly all members of the last level are certified by that
pass."""

CURVE_POINTS = 4
"""Optima that the curve goes through, at most: a cubic in log reg. Measured with benchmarks/path.py: members begin
near enough to take 4 to 9 passes, in place of 9 to 30 from zero weights."""


@dataclass(frozen=True)
class Path:
    """The optima of a grid of reg values.

    Attributes:
        regs: ascending, without repeats.
        solutions: one for each, with its certificate; a state has W and b only.
        passes: passes over the images, a shared one counted once.
        seconds: of all of it.
    """

    regs: tuple[float, ...]
    solutions: tuple[Solution, ...]
    passes: float
    seconds: float


@dataclass(frozen=True)
class Progress:
    """How far a path is.

    Attributes:
        reg: of the member that made this step.
        epoch: its row of the trace, as in `Epoch`.
        n_done: members whose search has ended.
        n_members: all of them.
    """

    reg: float
    epoch: Epoch
    n_done: int
    n_members: int


def reg_grid(text: str) -> tuple[float, ...]:
    """The reg values of `LOW:HIGH:COUNT`, evenly spaced in their logarithm, or of a list `A,B,...`.

    Raises:
        ParameterError: it is neither, or holds a value that is no weight of a penalty.
    Example:
        >>> reg_grid("1e-2:1:3")
        (0.01, 0.1, 1.0)
    """
    return check_regs(_grid_values(text, "reg"))


def _grid_values(text: str, name: str) -> list[float]:
    """The values of `LOW:HIGH:COUNT`, evenly spaced in their logarithm, or of a list `A,B,...`, as they stand there.

    Args:
        text: the grid.
        name: what messages call its values.
    Raises:
        ParameterError: it is neither; LOW, HIGH and COUNT must be positive.
    """
    expected = "expected LOW:HIGH:COUNT, as in 1e-6:1e0:20, or values with commas between them"
    try:
        if ":" in text:
            low, high, count = text.split(":")
            n = int(count)
            if not (0.0 < float(low) <= float(high) < math.inf and n >= 1) or (n == 1 and float(low) != float(high)):
                raise ValueError
            values: list[float] = np.geomspace(float(low), float(high), n).tolist()
        else:
            values = [float(value) for value in text.split(",")]
    except ValueError:
        raise ParameterError(f"{name} grid {text!r}; {expected}.") from None
    return values


def rate_grid(text: str) -> tuple[float, ...]:
    """The learning rates of `LOW:HIGH:COUNT`, evenly spaced in their logarithm, or of a list `A,B,...`; ascending.

    Raises:
        ParameterError: it is neither, or holds a value that is no learning rate.
    """
    return check_rates(_grid_values(text, "learning rate"))


def check_rates(rates: Sequence[float]) -> tuple[float, ...]:
    """`rates` as floats, without repeats, in ascending order.

    Raises:
        ParameterError: there is none, or one is not above 0, or not finite.
    """
    if len(rates) == 0:
        raise ParameterError("the learning rate grid is empty; give at least one value.")
    for rate in rates:
        check_range("learning_rate", rate, low=0.0, open_low=True)
    return tuple(sorted({float(rate) for rate in rates}))


def check_regs(regs: Sequence[float]) -> tuple[float, ...]:
    """`regs` as floats, without repeats, in ascending order.

    Raises:
        ParameterError: there is none, or one is negative or not finite.
    """
    if len(regs) == 0:
        raise ParameterError("the reg grid is empty; give at least one value.")
    for reg in regs:
        check_range("reg", reg, low=0.0)
    return tuple(sorted({float(reg) for reg in regs}))


def solve_path(
    objective: Objective,
    regs: Sequence[float],
    *,
    tol: float = 1e-4,
    max_iter: int = 1000,
    callback: Callable[[Progress], None] | None = None,
    moment: SecondMoment | ExactMoment | None = None,
    start: tuple[Floats, Floats] | None = None,
) -> Path:
    """The optimum for each reg value, all other things as in `objective` (whose own reg is not looked at).

    Where `LBFGS` is the method of `Exact`, all are solved jointly, level by level. The ends of the grid start from
    zero weights. Then the middles of the gaps between solved members start on a cubic in log reg through the nearest of
    these, with the curvature of the nearest, until there are no gaps. Within a level every pass over the images serves
    all members that are not certified yet, their weights stacked. Reg values within a factor of 8 share one factor of
    the second moment. For any other method they are solved one after the other, from the largest reg down, with one
    second moment for all. Each starts from the result before; smooth ones start on the line in log reg through the two
    before.

    Args:
        regs: each >= 0.
        tol, max_iter: as in `Exact`.
        callback: called with each step of each member, in the thread that took it.
        moment: of the features, if it is there already: what `path_moment` gives.
        start: W (K, D) and b (K,) near the optimum of the largest reg value, float64; None for zero weights.
    Raises:
        ParameterError: a reg value, tol or max_iter out of range.
        IncompatibleError: as for `Exact`.
    """
    regs = check_regs(regs)
    exact, clock = Exact(tol, max_iter), Clock(0.0)
    with threadpool_limits(1):  # the bits must not depend on the threads of the BLAS
        moments = _moments(objective, regs, moment)
        if _is_joint(exact, objective, regs, moments):
            solutions, passes = _jointly(exact, objective, regs, moments, callback, start)
        else:
            solutions, passes = _in_turn(exact, objective, regs, moments, callback, start)
    return Path(regs, tuple(solutions), passes, clock())


def path_moment(
    objective: Objective, regs: Sequence[float], *, tol: float = 1e-4, max_iter: int = 1000
) -> SecondMoment | ExactMoment | None:
    """The second moment that `solve_path` needs with these arguments: of a sample or of all images; None for none."""
    regs = check_regs(regs)
    moments = _moments(objective, regs)
    kinds = {step.moment for reg in regs for step in Exact(tol, max_iter).plan(objective.with_reg(reg), moments)[:1]}
    return moments.exact if "exact" in kinds else moments.sampled if "sampled" in kinds else None


def _moments(objective: Objective, regs: Sequence[float], known: SecondMoment | ExactMoment | None = None) -> Moments:
    """Those of a path: what serves its least reg value serves all."""
    return Moments(objective.with_reg(min(regs)), known, many=len(regs) >= MANY_REGS)


def _is_joint(exact: Exact, objective: Objective, regs: tuple[float, ...], moments: Moments) -> bool:
    """Whether `LBFGS` is the method of all reg values: its searches share their passes."""
    if not is_smooth(objective.with_reg(max(regs))):
        return False
    ends = (objective.with_reg(reg) for reg in (regs[0], regs[-1]))
    return all(isinstance(exact.plan(end, moments)[0].method, LBFGS) for end in ends)


class _Teller:
    """Hands the rows of each member's trace on."""

    def __init__(self, callback: Callable[[Progress], None] | None, n_members: int) -> None:
        self.callback, self.n_members, self.n_done = callback, n_members, 0

    def of(self, reg: float) -> Callable[[Epoch], None] | None:
        """The callback of a member."""
        callback = self.callback
        if callback is None:
            return None
        return lambda epoch: callback(Progress(reg, epoch, self.n_done, self.n_members))


def _jointly(
    exact: Exact,
    objective: Objective,
    regs: tuple[float, ...],
    moments: Moments,
    callback: Callable[[Progress], None] | None,
    near: tuple[Floats, Floats] | None,
) -> tuple[list[Solution], float]:
    method, moment = LBFGS(exact.tol, exact.max_iter), moments.sampled
    metrics, teller = Preconditioners(moment, objective.engine, shared=True), _Teller(callback, len(regs))
    members = [objective.with_reg(reg) for reg in regs]
    solutions: dict[int, Solution] = {}
    passes, stopped = 0.0, False
    for level in _levels(regs):
        if stopped:  # the others are certified where they begin
            method = replace(method, max_iter=0)
        known = {i: solution for i, solution in solutions.items() if regs[i] > 0.0}
        searches = []
        for i in level:
            start = _between(members, known, i) if known else None
            certify_first = _certify_first(regs, known, i)
            if near is not None and i == len(regs) - 1:
                start, certify_first = State(0, {"W": near[0], "b": near[1]}), True
            search = method.search(members[i], metrics, start, teller.of(regs[i]), certify_first=certify_first)
            searches.append(search)
        found, more = run_searches(objective, searches)
        if not stopped:
            for k, (i, solution) in enumerate(zip(level, found, strict=True)):
                found[k] = exact.finished(members[i], solution, moments)
                more += found[k].passes - solution.passes
        solutions |= {
            i: _trimmed(_ended(solution, stopped), LBFGS.serves_other_regs)
            for i, solution in zip(level, found, strict=True)
        }
        passes, teller.n_done = passes + more, len(solutions)
        stopped = stopped or any(solution.status is Status.INTERRUPTED for solution in found)
    return [_trimmed(solutions[i], _is_weight) for i in range(len(regs))], passes


def _levels(regs: tuple[float, ...]) -> list[list[int]]:
    """Which of the ascending reg values are solved together: the first from zero weights, the others on a curve."""
    # without a penalty there is no curve to follow, and the first gradient norm is a measure of the last
    first = [i for i in range(len(regs)) if regs[i] == 0.0]
    known = sorted({len(first), len(regs) - 1}) if len(first) < len(regs) else []

    def middles(least: float) -> list[int]:
        gaps = [(low, high) for low, high in pairwise(known) if high - low > 1 and regs[high] > least * regs[low]]
        return [(low + high) // 2 for low, high in gaps]

    while far := middles(MAX_REG_RATIO):
        known = sorted(known + far)
    levels = [first + known]
    while level := middles(0.0):
        levels.append(level)
        known = sorted(known + level)
    return levels


def _certify_first(regs: tuple[float, ...], known: Iterable[int], i: int) -> bool:
    """Whether member i begins on a curve through close neighbours on both sides, which may already satisfy tol."""
    low, high = max((j for j in known if j < i), default=None), min((j for j in known if j > i), default=None)
    return low is not None and high is not None and regs[high] <= CLOSE_RATIO * regs[low]


def _between(members: list[Objective], known: dict[int, Solution], i: int) -> State:
    """Where member i begins, given the solutions of others."""
    order = sorted(known, key=lambda j: abs(math.log(members[j].reg / members[i].reg)))
    nearest, points = order[0], order[:CURVE_POINTS]
    W, b = _interpolated([members[j].reg for j in points], [known[j] for j in points], members[i].reg)
    return carried(known[nearest].state, members[i].l2_weight - members[nearest].l2_weight, W, b)


def _ended(solution: Solution, stopped: bool) -> Solution:
    """The solution; if Ctrl-C stopped the path, marked so unless it is certified all the same."""
    return replace(solution, status=Status.INTERRUPTED) if stopped and solution.status is Status.MAX_ITER else solution


def _is_weight(name: str) -> bool:
    """Whether an array of a state is kept at the end: the others of all members take a hundred times the memory."""
    return name in ("W", "b")


def _trimmed(solution: Solution, keeps: Callable[[str], bool]) -> Solution:
    """The solution, with those arrays of its state only whose names `keeps` accepts."""
    state = solution.state
    arrays = {name: array for name, array in state.arrays.items() if keeps(name)}
    return replace(solution, state=State(state.epoch, arrays, state.numbers))


def _interpolated(regs: list[float], solutions: list[Solution], reg: float) -> tuple[Floats, Floats]:
    """W and b at `reg`, on the polynomial in log reg through the solutions."""
    t = [math.log(other / reg) for other in regs]
    W, b = np.zeros_like(solutions[0].W), np.zeros_like(solutions[0].b)
    for n, solution in enumerate(solutions):
        weight = math.prod(t[m] / (t[m] - t[n]) for m in range(len(t)) if m != n)
        W += weight * solution.W
        b += weight * solution.b
    return W, b


def _in_turn(
    exact: Exact,
    objective: Objective,
    regs: tuple[float, ...],
    moments: Moments,
    callback: Callable[[Progress], None] | None,
    near: tuple[Floats, Floats] | None,
) -> tuple[list[Solution], float]:
    teller, members = _Teller(callback, len(regs)), [objective.with_reg(reg) for reg in regs]
    solutions: dict[int, Solution] = {}
    known: dict[int, Solution] = {}
    stopped, passes = False, 0.0
    for i in reversed(range(len(regs))):
        if stopped:
            exact = replace(exact, max_iter=0)
        start = None if known or near is None else State(0, {"W": near[0], "b": near[1]})
        if known:
            serves = exact.plan(members[i], moments)[0].method.serves_other_regs
            arrays = _trimmed(known[i + 1], serves).state.arrays
            if len(known) > 1 and is_smooth(members[i]) and regs[i] > 0.0:
                W, b = _interpolated([regs[j] for j in known], list(known.values()), regs[i])
                arrays = arrays | {"W": W, "b": b}
            start = State(0, arrays)
        solution = exact.minimize(members[i], start, teller.of(regs[i]), moments=moments)
        passes, stopped = passes + solution.passes, stopped or solution.status is Status.INTERRUPTED
        known = {j: known[j] for j in (i + 1,) if j in known} | {i: solution}
        solutions[i] = _trimmed(_ended(solution, stopped), _is_weight)
        teller.n_done += 1
    return [solutions[i] for i in range(len(regs))], passes
