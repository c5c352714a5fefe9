"""One step of the interior point method: predictor, corrector, and centrality corrections."""

from __future__ import annotations

import numpy as np

from linprobe.optimizers.interior_system import Solve, SystemOptions
from linprobe.optimizers.interior_variables import Kinks, Moves, Reductions, Variables
from linprobe.shapes import Floats

__all__ = ["take_step"]

TO_BOUNDARY = 0.99
"""Step length, as a share of the largest step that keeps all variables in their bounds. The usual value."""

MAX_CORRECTORS, CORRECTOR_REACH, CENTRAL_LOW, CENTRAL_HIGH = 3, 1.5, 0.1, 10.0
"""Centrality correctors of a step; the factor by which each tries to lengthen the step; and the bounds, in units of the
complementarity aimed at, between which it brings the products (Gondzio, "Multiple centrality corrections in a
primal-dual method", 1996). Chosen by argument."""

MIN_CENTERING = 1e-3
"""Smallest centering parameter, the factor by which a step aims to lower the complementarity. Chosen by argument: with
a smaller one the iterates leave the central path, and gain little."""

MIN_COMPLEMENTARITY = 0.1
"""Smallest complementarity that a step aims at, as a share of the gap due to the residual. Chosen by argument: slopes
that reach their bounds while the gradient is far from 0 hardly move again."""

MUCH_RESIDUAL = 100.0
"""Gap due to the residual, in units of the complementarity's, above which a step keeps the complementarity. Below, each
step may halve it. Chosen by argument: softmax at an outlying image may need a dozen steps, by a factor of e each."""

MAX_HALVINGS = 30
"""Halvings of a step, at most, for a loss that is not piecewise quadratic. Chosen by argument."""

ARMIJO = 1e-4
"""Decrease of the merit function, as a share of what its slope predicts: the usual value."""

MERIT_ROUNDING = 1e-14
"""Rounding of the merit function, relative to the sizes of its terms. Chosen by argument: some roundings of float64."""


def take_step(variables: Variables, options: SystemOptions) -> float:
    """Move the variables once; the length of the step, 0 where none could be made.

    `options.by_class` becomes False where a system with blocks of classes was too hard to solve.
    """
    residual = variables.residual()
    try:
        system = variables.system(options)
        solve = system.solver()
    except np.linalg.LinAlgError:
        return 0.0
    step, moves, reductions, aim = _predict_and_correct(variables, solve, residual)
    if not _is_finite(step, moves):
        return 0.0
    length = _longest(variables, moves)
    if moves:
        step, moves, length = _centre(variables, solve, residual, step, moves, reductions, aim, length)
    if variables.margins is None:
        length = _line_search(variables, step, moves, length, aim)
    variables.theta = variables.theta + length * step
    options.by_class = options.by_class and not system.struggled
    for (kinks, _), move in zip(variables.kinds, moves, strict=True):
        kinks.move(length, *move)
    return length


def _predict_and_correct(
    variables: Variables, solve: Solve, residual: Floats
) -> tuple[Floats, Moves, Reductions, float]:
    """(step of theta, moves of the kinks, reductions of their products, the complementarity aimed at): Mehrotra's.

    The predictor aims at products of 0. The corrector aims at the complementarity that the predictor could reach, and
    takes the predictor's second order into account.
    """
    mu = variables.complementarity()
    reductions: Reductions = [kinks.products(kinks.g, kinks.u, kinks.v) for kinks, _ in variables.kinds]
    step, moves = _direction(variables, solve, residual, reductions)
    if not moves:
        return step, moves, reductions, 0.0
    longest = _longest(variables, moves)
    centering = max(MIN_CENTERING, (variables.complementarity(moves, longest) / max(mu, 1e-300)) ** 3)
    aim = min(centering, 1.0) * mu
    if centering < 1.0:
        cost = variables.residual_product(residual)
        gap = max(variables.gap(), 1e-300)
        most = 1.0 if cost > MUCH_RESIDUAL * gap else 0.5
        aim = max(aim, min(most * mu, MIN_COMPLEMENTARITY * cost * mu / gap))
    second_order = variables.margins is not None
    reductions = [
        (
            first - aim * kinks.unit - (dg * du if second_order else 0.0),
            second - aim * kinks.unit + (dg * dv if second_order else 0.0),
        )
        for (kinks, _), (first, second), (dg, du, dv) in zip(variables.kinds, reductions, moves, strict=True)
    ]
    step, moves = _direction(variables, solve, residual, reductions, step)
    return step, moves, reductions, aim


def _centre(
    variables: Variables,
    solve: Solve,
    residual: Floats,
    step: Floats,
    moves: Moves,
    reductions: Reductions,
    aim: float,
    length: float,
) -> tuple[Floats, Moves, float]:
    """(step, moves, length) after Gondzio's corrections, each of which must lengthen the step."""
    for _ in range(MAX_CORRECTORS):
        tried = min(1.0, CORRECTOR_REACH * length + 0.1)
        corrected = [
            _corrected(kinks, reduction, kinks.products_after(tried, move), aim)
            for reduction, (kinks, _), move in zip(reductions, variables.kinds, moves, strict=True)
        ]
        other = _direction(variables, solve, residual, corrected, step)
        longest = _longest(variables, other[1])
        if not longest > length + 0.1 * (tried - length) or not _is_finite(*other):
            break
        reductions, length, (step, moves) = corrected, longest, other
    return step, moves, length


def _corrected(
    kinks: Kinks, reduction: tuple[Floats, Floats], products: tuple[Floats, Floats], aim: float
) -> tuple[Floats, Floats]:
    """The reductions, changed so that products outside the bounds are brought to them."""
    target = aim * kinks.unit
    return reduction[0] - _toward(products[0], target), reduction[1] - _toward(products[1], target)


def _toward(products: Floats, aim: Floats) -> Floats:
    """What brings the products within CENTRAL_LOW..CENTRAL_HIGH times `aim`; at most CENTRAL_HIGH aim is subtracted."""
    change: Floats = np.maximum(
        np.clip(products, CENTRAL_LOW * aim, CENTRAL_HIGH * aim) - products, -CENTRAL_HIGH * aim
    )
    return change


def _direction(
    variables: Variables, solve: Solve, residual: Floats, reductions: Reductions, near: Floats | None = None
) -> tuple[Floats, Moves]:
    """(step of theta, moves of the kinks) by which the products fall by `reductions`, to first order."""
    Z, y, a, rows = variables.Z, variables.y, variables.a, np.arange(variables.n)
    right, targets = -residual, []
    for (kinks, _), z, (first, second) in zip(variables.kinds, variables.kink_arguments(), reductions, strict=True):
        rho = kinks.target(z, first, second)
        targets.append(rho)
        curved = kinks.curvature() * rho
        if kinks is variables.margins:
            right = right + variables.with_label(a[:, None] * curved).T @ Z
        else:
            right[:, :-1] += variables.l1 * curved
    step = solve(right, near)
    moves = []
    for (kinks, _), (first, second), rho in zip(variables.kinds, reductions, targets, strict=True):
        dz = step[:, :-1]
        if kinks is variables.margins:
            dS = Z @ step.T
            dz = dS - dS[rows, y][:, None]
        moves.append(kinks.steps(kinks.curvature() * (dz - rho), first, second))
    return step, moves


def _longest(variables: Variables, moves: Moves) -> float:
    """The longest step, up to 1, that keeps all slopes and slacks inside their bounds."""
    longest = [kinks.longest(*move) for (kinks, _), move in zip(variables.kinds, moves, strict=True)]
    return min([1.0, *(TO_BOUNDARY * step for step in longest)])


def _is_finite(step: Floats, moves: Moves) -> bool:
    """Whether a step is finite: rounding may have made the system singular."""
    return bool(np.isfinite(step).all()) and all(np.isfinite(part).all() for move in moves for part in move)


def _line_search(variables: Variables, step: Floats, moves: Moves, length: float, mu: float) -> float:
    """The length along which the smooth loss plus the barrier of |W| falls enough, by halving; 0 without one."""
    before = _merit(variables, variables.theta, moves, 0.0, mu)
    losses, dS = variables.objective.loss.value_and_gradient(variables.Z @ variables.theta.T, variables.y)
    W = variables.theta[:, :-1]
    slope = float(((variables.a[:, None] * dS).T @ variables.Z * step).sum())
    slope += float((2.0 * variables.l2 * W * step[:, :-1]).sum())
    rounding = float(variables.a @ np.abs(losses)) + float((variables.l2 * np.square(W)).sum())
    if variables.sizes is not None:
        (_, du, dv), u, v = moves[0], variables.sizes.u, variables.sizes.v
        aim = mu * variables.sizes.unit
        slope += float((variables.l1 * (du + dv - aim * (du / u + dv / v))).sum())
        rounding += float((variables.l1 * (u + v + aim * (np.abs(np.log(u)) + np.abs(np.log(v))))).sum())
    rounding *= MERIT_ROUNDING
    for _ in range(MAX_HALVINGS):
        after = _merit(variables, variables.theta + length * step, moves, length, mu)
        if after <= before + ARMIJO * length * min(slope, 0.0) + rounding:
            return length
        length *= 0.5
    return 0.0


def _merit(variables: Variables, theta: Floats, moves: Moves, length: float, mu: float) -> float:
    """The smooth objective plus the barrier of |W|, after a step of this length."""
    losses = variables.objective.loss.value_and_gradient(variables.Z @ theta.T, variables.y)[0]
    value = float(variables.a @ losses) + float((variables.l2 * np.square(theta[:, :-1])).sum())
    if variables.sizes is not None:
        _, du, dv = moves[0]
        u, v = variables.sizes.u + length * du, variables.sizes.v + length * dv
        barrier = u + v - mu * variables.sizes.unit * (np.log(u) + np.log(v))
        value += float((variables.l1 * barrier).sum())
    return value
