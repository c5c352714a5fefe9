"""The page "Gradient check": the analytic gradient against differences, and what h does to them."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Annotated

import numpy as np

from linprobe.gradcheck import CheckedCoordinate, check_gradient
from linprobe.lab.problem import ObjectiveRequest, SampleRequest, objective_over, sample
from linprobe.lab.protocol import Client, Method, Page
from linprobe.lab.wire import Axes, Seed
from linprobe.objective import Objective
from linprobe.shapes import Floats, check_range
from linprobe.typed_json import Within

__all__ = ["PAGE"]

STEPS = tuple(float(f"{h:.3g}") for h in 10.0 ** np.linspace(-1.0, -12.0, 45))
"""The values of h of a sweep, four in a decade."""


REACH, N_PLACES = 2.0, 121
"""How far the curve of one weight goes to either side, and its points."""


@dataclass(frozen=True, kw_only=True)
class SweepRequest(SampleRequest, ObjectiveRequest):
    """The objective over points of a planar set, at the weights that `weights_seed` draws."""

    weights_seed: Seed


@dataclass(frozen=True, kw_only=True)
class CheckRequest(SweepRequest):
    """A check with differences of step `h`."""

    h: Annotated[float, Within(1e-13, 1.0)]


@dataclass(frozen=True, kw_only=True)
class MoveRequest(CheckRequest):
    """One weight moved by `h`: that at position `coordinate` of W and b, laid out flat."""

    coordinate: Annotated[int, Within(0, 99)]


@dataclass(frozen=True)
class Moved:
    """L along one weight, and its derivative by a forward difference and by the formula.

    Attributes:
        name: W[k, d] or b[k].
        weight: where it stands.
        value, moved: L there, and with the weight h larger.
        quotient: (moved - value) / h.
        analytic: by the formula.
        weights, values: the curve: L for other values of the weight.
        n_losses: evaluations of L that the numeric gradient of all weights takes, with centred differences.
        numeric_seconds, analytic_seconds: of the gradient of all weights, as measured now.
    """

    name: str
    weight: float
    value: float
    moved: float
    quotient: float
    analytic: float
    weights: Annotated[Floats, Axes(1)]
    values: Annotated[Floats, Axes(1)]
    n_losses: int
    numeric_seconds: float
    analytic_seconds: float


@dataclass(frozen=True)
class Coordinate:
    """A coordinate of the gradient: by the formula and by differences, as in `CheckedCoordinate`.

    Attributes:
        error: |analytic - centred| / max(|analytic|, |centred|), whatever rounding has to do with it.
    """

    name: str
    analytic: float
    forward: float
    centred: float
    error: float
    kink: str | None
    ok: bool

    @classmethod
    def of(cls, row: CheckedCoordinate) -> Coordinate:
        """What the page shows of it."""
        size = max(abs(row.analytic), abs(row.centred))
        error = abs(row.analytic - row.centred) / size if size > 0.0 else 0.0
        return cls(row.name, row.analytic, row.forward, row.centred, error, row.kink, row.ok)


@dataclass(frozen=True)
class Checked:
    """A gradient check, as in `GradientCheck`, where it was made, and L there.

    Attributes:
        largest_error: of those that cross no kink. It is what is seen and not what is judged: the check leaves out
            what rounding explains. None where every coordinate crosses a kink.
    """

    ok: bool
    n_checked: int
    n_wrong: int
    n_kinks: int
    tolerance: float
    problems: tuple[str, ...]
    largest_error: float | None
    coordinates: tuple[Coordinate, ...]
    W: Annotated[Floats, Axes(2)]
    b: Annotated[Floats, Axes(1)]
    objective: float


@dataclass(frozen=True)
class Swept:
    """The absolute errors of differences: for each h of each coordinate.

    Attributes:
        kinks: whether the interval crosses a kink.
    """

    h: tuple[float, ...]
    names: tuple[str, ...]
    forward: tuple[tuple[float, ...], ...]
    centred: tuple[tuple[float, ...], ...]
    kinks: tuple[tuple[bool, ...], ...]


def check(client: Client, asked: CheckRequest) -> Checked:
    """Every coordinate at one h: analytic, forward, centred, error, kink."""
    objective, W, b = _placed(asked)
    found = check_gradient(objective, W, b, n_coordinates=None, n_images=None, step=asked.h)
    rows = tuple(map(Coordinate.of, found.coordinates))
    return Checked(
        ok=found.ok,
        n_checked=found.n_checked,
        n_wrong=found.n_wrong,
        n_kinks=found.n_kinks,
        tolerance=found.tolerance,
        problems=found.problems,
        largest_error=max((row.error for row in rows if row.kink is None), default=None),
        coordinates=rows,
        W=W,
        b=b,
        objective=objective.value(W, b),
    )


def sweep(client: Client, asked: SweepRequest) -> Swept:
    """The errors of both differences, coordinate by coordinate, for h from 1e-1 to 1e-12."""
    objective, W, b = _placed(asked)
    found = [check_gradient(objective, W, b, n_coordinates=None, n_images=None, step=h).coordinates for h in STEPS]
    return Swept(
        h=STEPS,
        names=tuple(row.name for row in found[0]),
        forward=tuple(tuple(abs(row.forward - row.analytic) for row in rows) for rows in found),
        centred=tuple(tuple(abs(row.centred - row.analytic) for row in rows) for rows in found),
        kinks=tuple(tuple(row.kink is not None for row in rows) for rows in found),
    )


def move(client: Client, asked: MoveRequest) -> Moved:
    """L along one weight, with the secant's slope and the tangent's, and what both gradients cost."""
    objective, W, b = _placed(asked)
    flat, c = np.concatenate([W.ravel(), b]), asked.coordinate
    check_range("coordinate", c, low=0, high=len(flat) - 1)

    def value(by: float, at: int = c) -> float:
        changed = flat.copy()
        changed[at] += by
        return objective.value(changed[: W.size].reshape(W.shape), changed[W.size :])

    started = time.perf_counter()
    _, dW, db = objective.value_and_gradient(W, b)
    between = time.perf_counter()
    for at in range(len(flat)):
        value(-asked.h, at)
        value(asked.h, at)
    ended = time.perf_counter()
    if objective.penalty is not None:
        dW = objective.penalty.least_subgradient(W, dW, objective.reg)
    here, there = value(0.0), value(asked.h)
    shifts = np.linspace(-REACH, REACH, N_PLACES)
    row, column = divmod(c, W.shape[1])
    return Moved(
        name=f"W[{row}, {column}]" if c < W.size else f"b[{c - W.size}]",
        weight=float(flat[c]),
        value=here,
        moved=there,
        quotient=(there - here) / asked.h,
        analytic=float(np.concatenate([dW.ravel(), db])[c]),
        weights=flat[c] + shifts,
        values=np.array([value(float(shift)) for shift in shifts]),
        n_losses=2 * len(flat),
        numeric_seconds=ended - between,
        analytic_seconds=between - started,
    )


def _placed(asked: SweepRequest) -> tuple[Objective, Floats, Floats]:
    """The objective over points of a planar set, and the weights of `weights_seed`."""
    points, _ = sample(asked)
    random = np.random.Generator(np.random.PCG64(asked.weights_seed))
    W = np.round(random.standard_normal((points.n_classes, 2)), 2)
    b = np.round(random.standard_normal(points.n_classes), 2)
    return objective_over(points, asked), W, b


PAGE = Page(
    "gradient",
    {"check": Method(CheckRequest, check), "sweep": Method(SweepRequest, sweep), "move": Method(MoveRequest, move)},
    for_students=True,
)
