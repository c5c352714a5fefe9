"""Optimizers a few steps at a time: every request holds the state, and gets the next one."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from linprobe.certificate import Certificate
from linprobe.engines.base import EpochPlan
from linprobe.errors import ParameterError
from linprobe.lab.protocol import Params
from linprobe.objective import Objective
from linprobe.optimizers import SCHEDULES, SGD, UPDATES, Exact, GradientDescent
from linprobe.optimizers.base import Epoch, State, Status
from linprobe.optimizers.learning_rate import stochastic_rate
from linprobe.optimizers.schedules import rates
from linprobe.optimizers.sgd import plain_epoch
from linprobe.optimizers.trace import diverged
from linprobe.shapes import Floats

__all__ = ["METHODS", "Walk", "walk"]

METHODS = ("gd", "sgd", "exact")
MOST_STEPS = 500
MOST_EPOCHS = 1000
GRADIENT_NORM = 1e-6
"""At which gradient descent ends."""


@dataclass
class Walk:
    """The way that an optimizer went.

    Attributes:
        W, b: after each step, (K, 2) and (K,).
        objective: L there.
        status: why it ended, as a sentence; "" while it can go on.
        state: to go on from; None at the end of the exact optimizer.
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
    """`steps` steps of the optimizer `method` from (W, b), or on from `state`.

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


def _read_state(params: Params, objective: Objective, W: Floats, b: Floats, kept: tuple[str, ...]) -> State:
    """The `state` of a request, with the arrays `kept` besides W and b; a new one where there is none."""
    start = State(0, {"W": W, "b": b})
    for suffix in kept:
        start.arrays |= {f"W_{suffix}": np.zeros_like(W), f"b_{suffix}": np.zeros_like(b)}
    if "state" not in params:
        return start
    given = params.group("state")
    arrays, numbers = given.group("arrays"), given.group("numbers")
    for name, array in start.arrays.items():
        start.arrays[name] = arrays.floats(name, array.shape, most=objective.n_classes, size=1e100)
    names = ("learning_rate", "passes", "idle", "usual_objective", "seconds", "steps", "bias_rate")
    start.numbers = {name: numbers.number(name, low=-1e100, high=1e100) for name in names if name in numbers}
    start.epoch = given.whole("epoch", low=0, high=2**31)
    return start


def _rate(params: Params) -> Any:
    """`learning_rate`: a number, or "auto" where it is missing."""
    return params.number("learning_rate", low=0, open_low=True) if "learning_rate" in params else "auto"


def _descend(params: Params, objective: Objective, W: Floats, b: Floats) -> Walk:
    start = _read_state(params, objective, W, b, ())
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
        schedule=params.choice("schedule", SCHEDULES),
        update=params.choice("update", UPDATES),
        momentum=params.number("momentum", low=0),
        seed=params.whole("seed", low=0, high=2**31 - 1),
    )
    state = _read_state(params, objective, W, b, UPDATES[sgd.update].arrays)
    numbers, found = state.numbers, Walk()
    if "learning_rate" not in numbers:
        numbers |= {"steps": 0.0, "bias_rate": 1.0, "usual_objective": max(objective.value(W, b), _at_zero(objective))}
        if sgd.learning_rate == "auto":
            eta, bias_rate, found.chosen = stochastic_rate(objective, sgd.update, sgd.batch_size, sgd.momentum)
            numbers |= {"learning_rate": eta, "bias_rate": bias_rate}
        else:
            numbers["learning_rate"] = float(sgd.learning_rate)
    for name in ("steps", "bias_rate", "usual_objective"):
        if name not in numbers:
            raise ParameterError(f"state.numbers holds no {name}; start again without a state.")
    n_batches = -(-objective.n_images // sgd.batch_size)
    for _ in range(params.whole("steps", low=1, high=MOST_STEPS)):
        done = int(numbers["steps"])
        if done >= sgd.epochs * n_batches:
            found.status = Status.COMPLETED.value
            break
        epoch, batch = divmod(done, n_batches)
        order = np.random.Generator(np.random.PCG64([sgd.seed, epoch])).permutation(objective.n_images)
        rows = order[batch * sgd.batch_size : (batch + 1) * sgd.batch_size]
        taken = rates(
            sgd.schedule,
            numbers["learning_rate"],
            np.array([done]),
            sgd.epochs * n_batches,
            final_rate=sgd.final_rate,
        )
        good = copy.deepcopy(state.arrays)
        plan = EpochPlan(
            order=rows,
            batch_size=sgd.batch_size,
            rates=taken,
            update=sgd.update,
            momentum=sgd.momentum,
            rho=sgd.rho,
            beta1=sgd.beta1,
            beta2=sgd.beta2,
            epsilon=sgd.epsilon,
            step=done,
            bias_rate=numbers["bias_rate"],
        )
        seen = plain_epoch(objective, state.arrays, plan)
        value = objective.value(state.arrays["W"], state.arrays["b"])
        if not math.isfinite(seen) or diverged(value, numbers["usual_objective"]):
            state.arrays, found.status = good, Status.DIVERGED.value
            break
        numbers["steps"] = float(done + 1)
        found.learning_rate, found.batch = float(taken[0]), [int(row) for row in rows]
        found.add(state.arrays["W"], state.arrays["b"], value)
    state.epoch = int(numbers["steps"]) // n_batches
    found.epoch = numbers["steps"] / n_batches
    found.state = state
    return found


def _at_zero(objective: Objective) -> float:
    K, D = objective.n_classes, objective.n_features
    return objective.value(np.zeros((K, D)), np.zeros(K))


def _solve(objective: Objective, W: Floats, b: Floats) -> Walk:
    """From W = 0, as the exact optimizers start; the way there is that of their own iterates."""
    found = Walk()

    def keep(row: Epoch) -> None:
        if row.epoch > 0:
            found.add(row.state.arrays["W"], row.state.arrays["b"], row.objective)

    solution = Exact().minimize(objective, callback=keep)
    found.add(solution.W, solution.b, objective.value(solution.W, solution.b))
    found.status, found.certificate, found.epoch = solution.status.value, solution.certificate, solution.passes
    return found
