"""Optimizers a few steps at a time: every request brings the state, and every answer returns the next one."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

from linprobe.certificate import Certificate
from linprobe.lab.problem import MOST_POINTS, WeightsRequest
from linprobe.lab.wire import Most, NotNegative, Numbers, Positive, Registered, Seed
from linprobe.objective import Objective
from linprobe.optimizers import SGD, Exact, GradientDescent
from linprobe.optimizers.base import Epoch, State, Status
from linprobe.shapes import Floats, check_range
from linprobe.typed_json import Closed, Within
from linprobe.wording import in_words

__all__ = ["MOST_STEPS", "StateRecord", "StepsRequest", "Walk", "state_record", "walk"]

MOST_STEPS = 500
"""Steps of one request, at most."""

MOST_EPOCHS = 1000
"""Epochs of the schedule of SGD, at most."""

MOST_NAMES = 16
"""Arrays, and numbers, that the state of a request may hold; those of SGD are at most 8."""

GRADIENT_NORM = 1e-6
"""Norm of the gradient at which gradient descent ends."""


OptimizerName: TypeAlias = Literal["gd", "sgd", "exact"]
"""Optimizers of the playground: gradient descent, SGD, and the exact one."""

Saved: TypeAlias = Annotated[float, Within(-1e100, 1e100)]
SavedMatrix: TypeAlias = Annotated[Floats, Numbers((None, 2), MOST_NAMES, 1e100)]
SavedVector: TypeAlias = Annotated[Floats, Numbers((None,), MOST_NAMES, 1e100)]


@dataclass(frozen=True)
class StateRecord(Closed):
    """The state of an optimizer, on its way to the page and back; its meaning is checked by the optimizer.

    Attributes:
        epoch: done.
        arrays: (K, 2) or (K,), by name.
        numbers: by name.
    """

    epoch: Annotated[int, Within(0, 2**31)]
    arrays: Annotated[Mapping[str, SavedMatrix | SavedVector], Most(MOST_NAMES)]
    numbers: Annotated[Mapping[str, Saved], Most(MOST_NAMES)]


@dataclass(frozen=True, kw_only=True)
class StepsRequest(WeightsRequest):
    """`steps` steps of an optimizer, from (W, b) or from `state`.

    Args:
        learning_rate: None for one that the optimizer chooses.
        line_search: of gradient descent.
        batch_size, epochs, schedule, update, momentum, seed: of SGD.
    """

    method: OptimizerName
    steps: Annotated[int, Within(1, MOST_STEPS)]
    state: StateRecord | None = None
    learning_rate: Positive | None = None
    line_search: bool = False
    batch_size: Annotated[int, Within(1, MOST_POINTS)] = 32
    epochs: Annotated[int, Within(1, MOST_EPOCHS)] = 20
    schedule: Annotated[str, Registered("schedule")] = "cosine"
    update: Annotated[str, Registered("update")] = "momentum"
    momentum: NotNegative = 0.9
    seed: Seed = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.method == "sgd":
            check_range("batch_size", self.batch_size, low=1, high=len(self.points))

    @property
    def start(self) -> State:
        """Where the steps begin."""
        if self.state is None:
            return State(0, {"W": self.W, "b": self.b})
        return State(self.state.epoch, dict(self.state.arrays), dict(self.state.numbers))


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


def walk(asked: StepsRequest, objective: Objective) -> Walk:
    """The steps of a request.

    Raises:
        ParameterError: a setting does not suit the optimizer.
        StateError: the state is not one of the optimizer, or not of this objective.
    """
    match asked.method:
        case "gd":
            return _descend(asked, objective)
        case "sgd":
            return _descend_by_batches(asked, objective)
        case "exact":
            return _solve(objective)


def state_record(state: State) -> StateRecord:
    """A state as the page keeps it."""
    return StateRecord(state.epoch, state.arrays, state.numbers)


def _descend(asked: StepsRequest, objective: Objective) -> Walk:
    start, found = asked.start, Walk()
    optimizer = GradientDescent(
        max_iter=start.epoch + asked.steps,
        tol=GRADIENT_NORM,
        learning_rate=asked.learning_rate or "auto",
        line_search="backtracking" if asked.line_search else "fixed",
    )
    seen: list[Epoch] = []
    solution = optimizer.minimize(objective, start, seen.append)
    for row in seen[1:]:
        found.add(row.state.arrays["W"], row.state.arrays["b"], row.objective)
    found.state, found.epoch = solution.state, solution.passes
    found.learning_rate, found.chosen = solution.history[-1]["learning_rate"], solution.chosen["learning_rate"]
    found.status = "" if solution.status is Status.MAX_ITER else in_words(solution.status.value)
    return found


def _descend_by_batches(asked: StepsRequest, objective: Objective) -> Walk:
    """Single mini-batches of the epochs that `SGD` would run, in its order, at its rates."""
    sgd = SGD(
        batch_size=asked.batch_size,
        epochs=asked.epochs,
        learning_rate=asked.learning_rate or "auto",
        schedule=asked.schedule,
        update=asked.update,
        momentum=asked.momentum,
        seed=asked.seed,
    )
    found = Walk()
    for step in itertools.islice(sgd.steps(objective, asked.start), asked.steps):
        found.state = step.state
        if asked.state is None and sgd.learning_rate == "auto":
            found.chosen = step.chosen["learning_rate"]
        if step.status is not None:
            found.status = in_words(step.status.value)
            break
        found.learning_rate, found.batch = step.learning_rate, [int(row) for row in step.rows]
        found.add(step.state.arrays["W"], step.state.arrays["b"], step.objective)
    if found.state is not None:
        found.epoch = found.state.numbers["steps"] / -(-objective.n_images // sgd.batch_size)
    return found


def _solve(objective: Objective) -> Walk:
    """From W = 0, where the exact optimizers start; the path is that of their own iterates."""
    found = Walk()

    def keep(row: Epoch) -> None:
        if row.epoch > 0:
            found.add(row.state.arrays["W"], row.state.arrays["b"], row.objective)

    solution = Exact().minimize(objective, callback=keep)
    found.add(solution.W, solution.b, objective.value(solution.W, solution.b))
    found.status, found.certificate = in_words(solution.status.value), solution.certificate
    found.epoch = solution.passes
    return found
