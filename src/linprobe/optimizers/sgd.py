"""Mini-batch SGD: six updates, schedules, averaging, early stopping; L1 by its prox, so zeros are exact."""

from __future__ import annotations

import copy
import math
import sys
import time
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from linprobe.engines.base import EpochPlan
from linprobe.errors import ParameterError
from linprobe.objective import Objective
from linprobe.optimizers.base import (
    WATCH_SECONDS,
    Callback,
    Glimpse,
    Optimizer,
    Solution,
    State,
    Status,
    Watch,
    zeros_state,
)
from linprobe.optimizers.learning_rate import stochastic_rate
from linprobe.optimizers.schedules import rates, schedule_name
from linprobe.optimizers.states import checked_arrays, weights_of_state
from linprobe.optimizers.trace import Clock, Trace, diverged, usual_objective
from linprobe.optimizers.updates import UPDATES, Rates
from linprobe.shapes import Floats, check_range

__all__ = ["SGD", "plain_epoch"]

SUFFIXES = ("", "_m", "_v", "_avg", "_best")
"""Of the arrays of a state, after W and b: the iterate, the two moments of an update, the average, the best so far."""


@final
@dataclass(frozen=True)
class SGD(Optimizer):
    """Steps along the gradient of a few images at a time, each image once per epoch, in a new order.

        G = (1/M) sum over the batch of w_i dL_i/dW + reg dR/dW,   W <- prox(W - s d, s h)

    with the direction d, the step s and the number of gradients per step h of `update` (see updates.py), and
    the kinked part of the penalty, |W|, in the prox: weights become exactly 0. The sample weights w_i
    are normalised to mean 1.

    The order of epoch e comes from PCG64([seed, e]), so that a run continued from a `State` has the same bits
    as one that was never stopped. The engine's own loop is used where it knows loss and penalty, in float32
    unless the rows are float64; else `plain_epoch`, in float64.

    Args:
        batch_size: M, images per step, >= 1; the last batch of an epoch may be smaller.
        epochs: passes over the images, >= 0.
        learning_rate: > 0, or "auto": from the curvature of loss and features, see learning_rate.py.
        schedule: constant, step, exponential, cosine or inverse (1/t), see schedules.py.
        update: plain, momentum, nesterov, adagrad, rmsprop or adam, see updates.py.
        momentum: mu of momentum and nesterov, 0 <= mu < 1.
        rho, beta1, beta2: of rmsprop and adam, likewise.
        epsilon: of the adaptive updates, > 0.
        warmup: epochs over which the rate rises in a straight line, >= 0.
        final_rate: share of the learning rate at which schedules end, 0 < final_rate <= 1.
        average: whether the result is the mean of the iterates of the second half of the epochs.
        patience: end after this many epochs without a lower validation loss, >= 1; None runs all. With it the
            weights of the lowest validation loss are kept.
        seed: of the order of the images, >= 0.
    Raises:
        ParameterError: an argument outside its range.
    Example:
        >>> X, y = np.array([[0.0], [1.0], [2.0], [3.0]]), np.array([0, 0, 1, 1])
        >>> objective = Objective(X, y, loss="hinge", penalty="l2", reg=0.01, engine="reference")
        >>> solution = SGD(batch_size=2, epochs=50).minimize(objective)
        >>> solution.status.name, objective.evaluate(solution.W, solution.b).accuracy
        ('COMPLETED', 1.0)
    """

    batch_size: int = 32
    epochs: int = 20
    learning_rate: float | Literal["auto"] = "auto"
    schedule: str = "cosine"
    update: str = "momentum"
    momentum: float = 0.9
    rho: float = 0.99
    beta1: float = 0.9
    beta2: float = 0.999
    epsilon: float = 1e-8
    warmup: float = 0.0
    final_rate: float = 0.01
    average: bool = False
    patience: int | None = None
    seed: int = 0
    name: ClassVar[str] = "sgd"

    def __post_init__(self) -> None:
        check_range("batch_size", self.batch_size, low=1)
        check_range("epochs", self.epochs, low=0)
        if isinstance(self.learning_rate, str):
            if self.learning_rate != "auto":
                raise ParameterError(f"learning_rate = {self.learning_rate!r}; expected a number > 0, or 'auto'.")
        else:
            check_range("learning_rate", self.learning_rate, low=0.0, open_low=True)
        schedule_name(self.schedule)
        if self.update not in UPDATES:
            raise ParameterError(f"update = {self.update!r}; expected one of {', '.join(UPDATES)}.")
        for name in ("momentum", "rho", "beta1", "beta2"):
            value = getattr(self, name)
            check_range(name, value, low=0.0)
            if value >= 1.0:
                raise ParameterError(f"{name} = {value}; expected a number >= 0 and < 1.")
        check_range("epsilon", self.epsilon, low=0.0, open_low=True)
        check_range("warmup", self.warmup, low=0.0)
        check_range("final_rate", self.final_rate, low=0.0, high=1.0, open_low=True)
        if self.patience is not None:
            check_range("patience", self.patience, low=1)
        check_range("seed", self.seed, low=0)

    def minimize(
        self,
        objective: Objective,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
        watch: Watch | None = None,
    ) -> Solution:
        """The weights found; one row of the trace per epoch.

        `start` may also hold no more than W and b, with epoch 0: then it is where a new run begins.

        Raises:
            ParameterError: `patience` is given without `validation`.
            StateError: `start` is not of this problem.
        """
        if self.patience is not None and validation is None:
            raise ParameterError(
                f"patience = {self.patience} stops by the validation loss, but there are no validation "
                "images: hold some out, or use patience=None."
            )
        fused = _engine_runs(objective)
        state, eta, chosen = self._begin(objective, start, fused)
        clock = Clock(state.numbers["seconds"])
        trace, pace = Trace(objective, validation, callback), _Pace(watch)
        status: Status | None = None
        taken, good = eta, state
        n_batches = -(-objective.n_images // self.batch_size)

        while True:
            W, b = self._weights(state)
            measured = trace.measure(W, b)
            if diverged(measured[0].objective, state.numbers["usual_objective"]):
                status = Status.DIVERGED
            if status is Status.DIVERGED and trace.history:
                state = good
                break
            if self.patience is not None and measured[1] is not None:
                _keep_best(state, W, b, measured[1].data_loss)
            good = state
            state.numbers["seconds"] = clock()
            passes = float(state.epoch)
            stop = trace.add(measured, state, learning_rate=taken, passes=passes, seconds=state.numbers["seconds"])
            status = status or self._status(state, stop)
            if status is not None:
                break
            state = copy.deepcopy(state)
            steps = np.arange(state.epoch * n_batches, (state.epoch + 1) * n_batches)
            etas = rates(
                self.schedule,
                eta,
                steps,
                self.epochs * n_batches,
                warmup=self.warmup * n_batches,
                final_rate=self.final_rate,
            )
            taken = float(etas[-1])
            if not math.isfinite(self._run_epoch(objective, state, etas, fused, pace)):
                state, status = good, Status.DIVERGED
                break

        if self.patience is not None:
            W, b = state.arrays["W_best"], state.arrays["b_best"]
            chosen["weights"] = (
                f"those after epoch {state.numbers['best_epoch']:g}, with the lowest validation loss, "
                f"{state.numbers['best_loss']:.6g}"
            )
        else:
            W, b = self._weights(state)
        return Solution(
            W.astype(np.float64),
            b.astype(np.float64),
            status,
            trace.history,
            state,
            float(state.epoch),
            clock(),
            chosen,
        )

    def _begin(self, objective: Objective, start: State | None, fused: bool) -> tuple[State, float, dict[str, str]]:
        """The state to go on from, with all it needs; the learning rate; and words for what was chosen."""
        dtype = np.float32 if fused and objective.examples.X.dtype != np.float64 else np.float64
        given = zeros_state(objective, dtype) if start is None else start
        weights = weights_of_state(objective, dtype)
        known = {f"{name}{suffix}": weights[name] for name in weights for suffix in SUFFIXES}
        overflowing = [name for name in known if name.endswith(("_m", "_v"))]
        checked = checked_arrays(given, known, may_overflow=overflowing)
        arrays = {name: array.copy() for name, array in checked.items()}
        kept = UPDATES[self.update].arrays
        for name in ("W", "b"):
            for suffix in kept:
                arrays.setdefault(f"{name}_{suffix}", np.zeros_like(arrays[name]))
            if self.average:
                arrays.setdefault(f"{name}_avg", arrays[name].copy())
        numbers = {"steps": 0.0, "averaged": 0.0, "seconds": 0.0, **given.numbers}
        if "usual_objective" not in numbers:
            numbers["usual_objective"] = usual_objective(objective, start)
        if self.learning_rate == "auto":
            eta, bias_rate, words = stochastic_rate(objective, self.update, self.batch_size, self.momentum)
        else:
            eta, bias_rate, words = self.learning_rate, 1.0, f"{self.learning_rate:g}, as given"
        if "learning_rate" not in numbers:  # else it goes on, perhaps from a time when b had the rate of W
            numbers["bias_rate"] = bias_rate
        eta = numbers.setdefault("learning_rate", float(eta))
        loop = "the engine's own" if fused else "plain NumPy"
        chosen = {"learning_rate": words, "loop": f"{loop}, {np.dtype(dtype).name}"}
        return State(given.epoch, arrays, numbers), eta, chosen

    def _weights(self, state: State) -> tuple[Floats, Floats]:
        """The weights to measure and to return: the averaged ones if there are any."""
        suffix = "_avg" if self.average else ""
        return state.arrays[f"W{suffix}"], state.arrays[f"b{suffix}"]

    def _status(self, state: State, stop: bool) -> Status | None:
        """Why to end after this epoch, or None to go on."""
        if stop:
            return Status.STOPPED
        if self.patience is not None and state.epoch - state.numbers["best_epoch"] >= self.patience:
            return Status.EARLY_STOPPED
        return Status.COMPLETED if state.epoch >= self.epochs else None

    def _run_epoch(
        self, objective: Objective, state: State, etas: npt.NDArray[np.float64], fused: bool, pace: _Pace
    ) -> float:
        """Update `state` by one epoch, in parts for one who watches; the loss as last seen, NaN where it diverged."""
        random = np.random.Generator(np.random.PCG64([self.seed, state.epoch]))
        order = random.permutation(objective.n_images)
        averages = self.average and state.epoch >= self.epochs // 2
        arrays, numbers, M = state.arrays, state.numbers, int(self.batch_size)
        seen, first, n_batches = 0.0, 0, len(etas)
        while first < n_batches and math.isfinite(seen):
            begun, stop = time.perf_counter(), min(first + pace.batches, n_batches)
            plan = EpochPlan(
                order=order[first * M : stop * M],
                batch_size=M,
                rates=etas[first:stop],
                update=self.update,
                momentum=float(self.momentum),
                rho=float(self.rho),
                beta1=float(self.beta1),
                beta2=float(self.beta2),
                epsilon=float(self.epsilon),
                step=int(numbers["steps"]),
                averaged=int(numbers["averaged"]) if averages else -1,
                bias_rate=float(numbers.get("bias_rate", 1.0)),
            )
            seen = self._run_batches(objective, arrays, plan, fused)
            numbers["steps"] += stop - first
            if averages:
                numbers["averaged"] += stop - first
            if pace.watch is not None:
                pace.ran(stop - first, time.perf_counter() - begun)
                if stop < n_batches:
                    pace.watch(Glimpse(state.epoch + stop / n_batches, seen, *self._weights(state)))
            first = stop
        state.epoch += 1
        if self.average and not averages:
            for name in ("W", "b"):
                arrays[f"{name}_avg"][...] = arrays[name]
        return seen

    def _run_batches(
        self, objective: Objective, arrays: dict[str, npt.NDArray[Any]], plan: EpochPlan, fused: bool
    ) -> float:
        """Update `arrays` by some batches, with the engine's own loop or the plain one; the mean loss seen."""
        if not fused:
            return plain_epoch(objective, arrays, plan)
        a, c = (0.0, 0.0) if objective.penalty is None else objective.penalty.coefficients or (0.0, 0.0)
        suffixes = ["", *(f"_{suffix}" for suffix in UPDATES[self.update].arrays)]
        suffixes += ["_avg"] if plan.averaged >= 0 else []
        used = {name: arrays[name] for name in (f"{kind}{suffix}" for kind in ("W", "b") for suffix in suffixes)}
        share = UPDATES[self.update].gradients_per_step(self.momentum)
        penalised = replace(plan, l2=objective.reg * a, l1=objective.reg * c * share)
        return objective.engine.sgd_epoch(used, objective.loss, penalised)


class _Pace:
    """How many batches to run at once: all of an epoch, or `WATCH_SECONDS` of them for one who watches.

    The bits are the same wherever an epoch is cut between two batches.
    """

    def __init__(self, watch: Watch | None) -> None:
        self.watch = watch
        self.batches = sys.maxsize if watch is None else 1  # one, to learn how long it takes

    def ran(self, batches: int, seconds: float) -> None:
        """Learn from what so many batches took."""
        self.batches = max(1, round(batches * WATCH_SECONDS / max(seconds, 1e-6)))


def plain_epoch(objective: Objective, arrays: dict[str, npt.NDArray[Any]], plan: EpochPlan) -> float:
    """The updates of a plan, of `arrays`, in place: any loss, any penalty; the oracle of the engines' loops.

    Args:
        objective: whose mini-batch gradients are followed, and whose penalty counts.
        arrays: W and b; W_m, b_m, W_v, b_v as the update keeps them; W_avg and b_avg for averaging.
        plan: the steps.
    Returns:
        sum w_i L_i / sum w_i, each L_i as it was when its batch was visited; NaN where a batch had a
        loss that is not finite, at which it ends.
    """
    numbers, kind = Rates(plan.momentum, plan.rho, plan.beta1, plan.beta2, plan.epsilon), UPDATES[plan.update]
    share = kind.gradients_per_step(plan.momentum)
    mean_weight = objective.examples.total_weight / objective.n_images
    total = seen = 0.0
    for index, eta in enumerate(plan.rates):
        rows = plan.order[index * plan.batch_size : (index + 1) * plan.batch_size]
        sums = objective.engine.loss_and_gradient(arrays["W"], arrays["b"], objective.loss, rows)
        if not math.isfinite(sums.loss) or sums.dW is None or sums.db is None:
            return math.nan
        total, seen = total + sums.loss, seen + sums.weight
        gradient = {"W": sums.dW / (len(rows) * mean_weight), "b": sums.db / (len(rows) * mean_weight)}
        with np.errstate(over="ignore", invalid="ignore"):  # what diverges is seen in the next loss
            if objective.penalty is not None:
                gradient["W"] += objective.reg * objective.penalty.gradient(arrays["W"])
            for name, G in gradient.items():
                m, v = arrays.get(f"{name}_m"), arrays.get(f"{name}_v")
                rate = float(eta) * (plan.bias_rate if name == "b" else 1.0)
                d, s = kind.direction(G, m, v, rate, plan.step + index + 1, numbers)
                moved = arrays[name] - s * d
                arrays[name][...] = objective.prox(moved, s * share) if name == "W" else moved
        if plan.averaged >= 0:
            for name in ("W", "b"):
                average = arrays[f"{name}_avg"]
                average += (arrays[name] - average) / (plan.averaged + index + 1)
    return total / seen if seen else 0.0


def _engine_runs(objective: Objective) -> bool:
    """Whether the engine's own loop knows this loss and this penalty."""
    known = objective.penalty is None or objective.penalty.coefficients is not None
    return known and objective.engine.runs_sgd(objective.loss)


def _keep_best(state: State, W: Floats, b: Floats, loss: float) -> None:
    """Keep the weights in `state` if their validation loss is the lowest so far."""
    if not loss >= state.numbers.get("best_loss", math.inf) or "W_best" not in state.arrays:
        state.numbers |= {"best_loss": loss, "best_epoch": float(state.epoch)}
        state.arrays |= {"W_best": W.copy(), "b_best": b.copy()}
