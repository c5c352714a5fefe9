"""Optimizers a few steps at a time: every request brings the state, and every answer returns the next one."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from linprobe.certificate import Certificate
from linprobe.choices import choices
from linprobe.lab.protocol import Params
from linprobe.objective import Objective
from linprobe.optimizers import SGD, Exact, GradientDescent
from linprobe.optimizers.base import Epoch, State, Status
from linprobe.shapes import Floats

__all__ = ["METHODS", "Walk", "walk"]

METHODS = ("gd", "sgd", "exact")
"""Optimizers of the playground."""

MOST_STEPS = 500
"""Steps of one request, at most."""

MOST_EPOCHS = 1000
"""Epochs of the schedule of SGD, at most."""
MOST_NAMES = 16
"""Arrays, and numbers, that the state of a request may hold; those of SGD are at most 8."""

GRADIENT_NORM = 1e-6
"""Norm of the gradient at which gradient descent ends."""


@dataclass
class Walk:
    """The path of an optimizer.

    Attributes:
        W, b: after each step, (K, 2) and (K,).
        objective: L there.
        status: why it ended, as a sentence; "" while it can continue.
        state: to continue from; None at the end of the exact optimizer.
        learning_rate: of the last step; None of the exact optimizer.
        chosen: the learning rate in words, where it was chosen.
        batch: the images of the last mini-batch.
        epoch: passes over the images.
        certificate: of the exact optimizer.
    """

    W: list[Floats] = field(default_factory=list)
    b: list[Floats] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    status: str = ""
    state: State | None = None
    learning_rate: float | None = None
    chosen: str = ""
    batch: list[int] = field(default_factory=list)
    epoch: float = 0.0
    certificate: Certificate | None = None

    def add(self, W: Floats, b: Floats, value: float) -> None:
        """Keep a step."""
        self.W.append(W.copy())
        self.b.append(b.copy())
        self.objective.append(value)


def walk(params: Params, objective: Objective, W: Floats, b: Floats) -> Walk:
    """`steps` steps of the optimizer `method` from (W, b), or from `state`.

    Raises:
        ParameterError: something in `params` is missing or out of range.
    """
    match params.choice("method", METHODS):
        case "gd":
            return _descend(params, objective, W, b)
        case "sgd":
            return _descend_by_batches(params, objective, W, b)
        case _:
            return _solve(objective, W, b)


def as_json(state: State) -> dict[str, Any]:
    """A state as a request holds it."""
    return {"epoch": state.epoch, "arrays": state.arrays, "numbers": state.numbers}


def _read_state(params: Params, W: Floats, b: Floats) -> State:
    """The `state` of a request, whose meaning its optimizer knows and checks; a new one where there is none.

    Arrays whose names begin with W have the shape of W, all others that of b.
    """
    if "state" not in params:
        return State(0, {"W": W, "b": b})
    given = params.group("state")
    arrays, numbers = given.group("arrays"), given.group("numbers")
    found = State(given.whole("epoch", low=0, high=2**31), {})
    for name in dict.fromkeys(["W", "b", *arrays.names(MOST_NAMES)]):
        shape = W.shape if name.startswith("W") else b.shape
        found.arrays[name] = arrays.floats(name, shape, most=len(W), size=1e100)
    for name in numbers.names(MOST_NAMES):
        found.numbers[name] = numbers.number(name, low=-1e100, high=1e100)
    return found


def _rate(params: Params) -> Any:
    """`learning_rate`: a number, or "auto" where it is missing."""
    return params.number("learning_rate", low=0, open_low=True) if "learning_rate" in params else "auto"


def _descend(params: Params, objective: Objective, W: Floats, b: Floats) -> Walk:
    start = _read_state(params, W, b)
    steps, found = params.whole("steps", low=1, high=MOST_STEPS), Walk()
    optimizer = GradientDescent(
        max_iter=start.epoch + steps,
        tol=GRADIENT_NORM,
        learning_rate=_rate(params),
        line_search="backtracking" if params.flag("line_search") else "fixed",
    )
    seen: list[Epoch] = []
    solution = optimizer.minimize(objective, start, seen.append)
    for row in seen[1:]:
        found.add(row.state.arrays["W"], row.state.arrays["b"], row.objective)
    found.state, found.epoch = solution.state, solution.passes
    found.learning_rate, found.chosen = solution.history[-1]["learning_rate"], solution.chosen["learning_rate"]
    found.status = "" if solution.status is Status.MAX_ITER else solution.status.value
    return found


def _descend_by_batches(params: Params, objective: Objective, W: Floats, b: Floats) -> Walk:
    """Single mini-batches of the epochs that `SGD` would run, in its order, at its rates."""
    sgd = SGD(
        batch_size=params.whole("batch_size", low=1, high=objective.n_images),
        epochs=params.whole("epochs", low=1, high=MOST_EPOCHS),
        learning_rate=_rate(params),
        schedule=params.choice("schedule", choices("schedule")),
        update=params.choice("update", choices("update")),
        momentum=params.number("momentum", low=0),
        seed=params.whole("seed", low=0, high=2**31 - 1),
    )
    start, found = _read_state(params, W, b), Walk()
    for step in itertools.islice(sgd.steps(objective, start), params.whole("steps", low=1, high=MOST_STEPS)):
        found.state = step.state
        if "state" not in params and sgd.learning_rate == "auto":
            found.chosen = step.chosen["learning_rate"]
        if step.status is not None:
            found.status = step.status.value
            break
        found.learning_rate, found.batch = step.learning_rate, [int(row) for row in step.rows]
        found.add(step.state.arrays["W"], step.state.arrays["b"], step.objective)
    if found.state is not None:
        found.epoch = found.state.numbers["steps"] / -(-objective.n_images // sgd.batch_size)
    return found


def _solve(objective: Objective, W: Floats, b: Floats) -> Walk:
    """From W = 0, where the exact optimizers start; the path is that of their own iterates."""
    found = Walk()

    def keep(row: Epoch) -> None:
        if row.epoch > 0:
            found.add(row.state.arrays["W"], row.state.arrays["b"], row.objective)

    solution = Exact().minimize(objective, callback=keep)
    found.add(solution.W, solution.b, objective.value(solution.W, solution.b))
    found.status, found.certificate, found.epoch = solution.status.value, solution.certificate, solution.passes
    return found
