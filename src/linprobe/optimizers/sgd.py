"""Mini-batch SGD: six updates, schedules, averaging, early stopping; L1 by its prox, so zeros are exact."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, final

import numpy as np
import numpy.typing as npt

from linprobe.engines.base import Dropout, EpochPlan, Sums
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
from linprobe.optimizers.states import SavedState, saved_array, saved_number, sizes_of
from linprobe.optimizers.trace import Clock, Trace, diverged, usual_objective
from linprobe.optimizers.updates import UPDATES, Rates
from linprobe.shapes import Floats, check_range

__all__ = ["SGD", "BatchStep", "SGDState", "plain_epoch"]


@final
@dataclass(frozen=True, kw_only=True)
class SGDState(SavedState):
    """What a run of SGD saves, in the dtype of its loop.

    Attributes:
        W_m, b_m: velocity, or first moment, of the update; None where it has none.
        W_v, b_v: sums of squares, or second moment, of the update; None where it has none.
        W_avg, b_avg: the averaged weights; None without averaging.
        W_best, b_best: the weights of the lowest validation loss; None without `patience`.
        passes: not saved: equal to the epochs.
        steps: updates done.
        averaged: iterates in the average.
        learning_rate: before the schedule; NaN until a new run has chosen it.
        bias_rate: learning rate of b, in units of that of W.
        usual_objective: what `diverged` compares with; NaN where it is to be computed.
        best_loss, best_epoch: the lowest validation loss, and its epoch; infinite and NaN before the first.
    """

    W_m: Floats | None = saved_array("K", "D", may_overflow=True)
    b_m: Floats | None = saved_array("K", may_overflow=True)
    W_v: Floats | None = saved_array("K", "D", may_overflow=True)
    b_v: Floats | None = saved_array("K", may_overflow=True)
    W_avg: Floats | None = saved_array("K", "D")
    b_avg: Floats | None = saved_array("K")
    W_best: Floats | None = saved_array("K", "D")
    b_best: Floats | None = saved_array("K")
    passes: float = saved_number()
    steps: int = saved_number(0, low=0)
    averaged: int = saved_number(0, low=0)
    learning_rate: float = saved_number(low=0.0)
    bias_rate: float = saved_number(1.0, low=0.0)
    usual_objective: float = saved_number()
    best_loss: float = saved_number(math.inf)
    best_epoch: float = saved_number(low=0.0)

    @classmethod
    def of(cls, state: State) -> SGDState | None:
        """The record of a state that SGD has saved, in the dtype of its W; None for the state of another optimizer.

        Raises:
            StateError: as for `from_state`.
        """
        if not cls.wrote(state):
            return None
        W = state.arrays["W"]
        return cls.from_state(state, {"K": W.shape[0], "D": W.shape[1]}, W.dtype)

    def updated_arrays(self) -> dict[str, Floats]:
        """Copies of what an epoch changes, by name."""
        names = [f"{kind}{suffix}" for kind in "Wb" for suffix in ("", "_m", "_v", "_avg")]
        return {name: getattr(self, name).copy() for name in names if getattr(self, name) is not None}

    def with_best(self, W: Floats, b: Floats, loss: float) -> SGDState:
        """The state that keeps these weights if their validation loss is the lowest so far."""
        if self.W_best is not None and loss >= self.best_loss:
            return self
        return replace(self, W_best=W.copy(), b_best=b.copy(), best_loss=loss, best_epoch=float(self.epoch))


@dataclass(frozen=True)
class BatchStep:
    """One mini-batch step of `SGD.steps`.

    Attributes:
        state: after the step; the run continues from it. Of a step that diverged, the state before it.
        rows: (M,) positions of the images of the batch; empty once all epochs are run.
        learning_rate: of the step; NaN once all epochs are run.
        objective: L after the step; NaN where it diverged, and once all epochs are run.
        chosen: what was chosen from the data, in words by name.
        status: why the run ends here; None where it can continue.
    """

    state: State
    rows: npt.NDArray[np.int64]
    learning_rate: float
    objective: float
    chosen: dict[str, str]
    status: Status | None = None


@final
@dataclass(frozen=True)
class SGD(Optimizer):
    """Steps along the gradient of a mini-batch of images; each image once per epoch, in a new order.

        G = (1/M) sum over the batch of w_i dL_i/dW + reg dR/dW,   W <- prox(W - s d, s h)

    with the direction d, the step s and the number of gradients per step h of `update` (see updates.py), and
    the kinked part of the penalty, |W|, in the prox: weights become exactly 0. The sample weights w_i
    are normalised to mean 1.

    With `dropout` the gradient is that of the loss at masked inputs: each is 0 with that probability, else divided by
    1 - dropout, drawn anew for every image of every batch (see engines/dropout.py). The trace and predictions use
    no masks.

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
        rho: decay of the mean of squares of rmsprop, 0 <= rho < 1.
        beta1, beta2: decays of the first and second moment of adam, each >= 0 and < 1.
        epsilon: of the adaptive updates, > 0.
        warmup: epochs over which the rate rises in a straight line, >= 0.
        final_rate: share of the learning rate at which schedules end, 0 < final_rate <= 1.
        average: whether the result is the mean of the iterates of the second half of the epochs.
        patience: end after this many epochs without a lower validation loss, >= 1; None runs all. With it the
            weights of the lowest validation loss are kept.
        seed: of the order of the images and of the masks, >= 0.
        dropout: probability that an input is masked, 0 <= dropout < 1.
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
    dropout: float = 0.0
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
        for name in ("momentum", "rho", "beta1", "beta2", "dropout"):
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
        saved, chosen = self._begin(objective, start, fused)
        clock, pace = Clock(saved.seconds), _Pace(watch)
        trace = Trace(objective, validation, callback)
        status: Status | None = None
        rate, last_good = saved.learning_rate, saved
        while True:
            W, b = self._weights(saved)
            training, held_out = trace.measure(W, b)
            if diverged(training.objective, saved.usual_objective):
                status = Status.DIVERGED
                if trace.history:
                    saved = last_good
                    break
            if self.patience is not None and held_out is not None:
                saved = saved.with_best(W, b, held_out.data_loss)
            saved = last_good = replace(saved, seconds=clock())
            stop = trace.add(
                (training, held_out),
                saved.to_state(),
                learning_rate=rate,
                passes=float(saved.epoch),
                seconds=saved.seconds,
            )
            status = status or self._status(saved, stop)
            if status is not None:
                break
            etas = self._rates(objective, saved)
            rate = float(etas[-1])
            saved, loss = self._run_epoch(objective, saved, etas, fused, pace)
            if not math.isfinite(loss):
                saved, status = last_good, Status.DIVERGED
                break

        W, b = self._weights(saved)
        if saved.W_best is not None and saved.b_best is not None and self.patience is not None:
            W, b = saved.W_best, saved.b_best
            chosen["weights"] = (
                f"those after epoch {saved.best_epoch:g}, with the lowest validation loss, {saved.best_loss:.6g}"
            )
        W, b, passes = W.astype(np.float64), b.astype(np.float64), float(saved.epoch)
        return Solution(W, b, status, trace.history, saved.to_state(), passes, clock(), chosen)

    def steps(self, objective: Objective, start: State | None = None) -> Iterator[BatchStep]:
        """Yields the mini-batch steps of the run that `minimize` makes with its plain loop, one at a time.

        Each holds the state from which the run continues. The last one says why the run ended.

        Args:
            start: as for `minimize`, or the state of a step, which may lie within an epoch.
        Raises:
            ParameterError: with `average` or `patience`, which count whole epochs.
            StateError: `start` is not of this problem.
        """
        if self.average or self.patience is not None:
            raise ParameterError("single steps of SGD have no average and no patience; leave both out.")
        saved, chosen = self._begin(objective, start, fused=False)
        M, n_batches = int(self.batch_size), -(-objective.n_images // self.batch_size)
        while saved.steps < self.epochs * n_batches:
            epoch, batch = divmod(saved.steps, n_batches)
            rows = self._order(objective, epoch)[batch * M : (batch + 1) * M]
            rate, arrays = self._rates(objective, saved)[batch : batch + 1], saved.updated_arrays()
            plan = replace(self._plan(rows, rate, saved.steps, epoch), bias_rate=saved.bias_rate)
            loss = plain_epoch(objective, arrays, plan)
            value = objective.value(arrays["W"], arrays["b"])
            if not math.isfinite(loss) or diverged(value, saved.usual_objective):
                yield BatchStep(saved.to_state(), rows, float(rate[0]), math.nan, chosen, Status.DIVERGED)
                return
            done = saved.steps + 1
            saved = replace(saved, epoch=done // n_batches, steps=done, **arrays)  # type: ignore[arg-type]
            yield BatchStep(saved.to_state(), rows, float(rate[0]), value, chosen)
        yield BatchStep(saved.to_state(), np.zeros(0, np.int64), math.nan, math.nan, chosen, Status.COMPLETED)

    def _order(self, objective: Objective, epoch: int) -> npt.NDArray[np.int64]:
        """(N,) the order of the images in an epoch, of the seed and the epoch alone."""
        order: npt.NDArray[np.int64] = np.random.Generator(np.random.PCG64([self.seed, epoch])).permutation(
            objective.n_images
        )
        return order

    def _plan(self, order: npt.NDArray[np.int64], etas: npt.NDArray[np.float64], step: int, epoch: int) -> EpochPlan:
        """The steps over these images of an epoch, the first of them after `step` others."""
        return EpochPlan(
            order=order,
            batch_size=int(self.batch_size),
            rates=etas,
            update=self.update,
            momentum=float(self.momentum),
            rho=float(self.rho),
            beta1=float(self.beta1),
            beta2=float(self.beta2),
            epsilon=float(self.epsilon),
            step=step,
            dropout=Dropout.of_epoch(self.dropout, self.seed, epoch) if self.dropout else None,
        )

    def _begin(self, objective: Objective, start: State | None, fused: bool) -> tuple[SGDState, dict[str, str]]:
        """(the state to continue from, with all that the update needs; words for what was chosen)."""
        dtype = np.float32 if fused and objective.examples.X.dtype != np.float64 else np.float64
        given = zeros_state(objective, dtype) if start is None else start
        saved = SGDState.from_state(given, sizes_of(objective), dtype)
        added: dict[str, Floats] = {}
        for name, weights in (("W", saved.W), ("b", saved.b)):
            for suffix in UPDATES[self.update].arrays:
                if getattr(saved, f"{name}_{suffix}") is None:
                    added[f"{name}_{suffix}"] = np.zeros_like(weights)
            if self.average and getattr(saved, f"{name}_avg") is None:
                added[f"{name}_avg"] = weights.copy()
        saved = replace(saved, **added)  # type: ignore[arg-type]
        if math.isnan(saved.usual_objective):
            saved = replace(saved, usual_objective=usual_objective(objective, start))
        if self.learning_rate == "auto":
            eta, bias_rate, words = stochastic_rate(
                objective, self.update, self.batch_size, self.momentum, self.dropout
            )
        else:
            eta, bias_rate, words = self.learning_rate, 1.0, f"{self.learning_rate:g}, as given"
        if math.isnan(saved.learning_rate):  # a resumed run keeps its rates
            saved = replace(saved, learning_rate=float(eta), bias_rate=bias_rate)
        loop = "the engine's own" if fused else "plain NumPy"
        chosen = {"learning_rate": words, "loop": f"{loop}, {np.dtype(dtype).name}"}
        if self.dropout:
            chosen["dropout"] = f"{self.dropout:g} of the inputs, in the steps alone; losses are measured without it"
        return saved, chosen

    def _weights(self, saved: SGDState) -> tuple[Floats, Floats]:
        """The weights to measure and to return: the averaged ones if there are any."""
        if self.average and saved.W_avg is not None and saved.b_avg is not None:
            return saved.W_avg, saved.b_avg
        return saved.W, saved.b

    def _status(self, saved: SGDState, stop: bool) -> Status | None:
        """Why the run ends after this epoch, or None to continue."""
        if stop:
            return Status.STOPPED
        if self.patience is not None and saved.epoch - saved.best_epoch >= self.patience:
            return Status.EARLY_STOPPED
        return Status.COMPLETED if saved.epoch >= self.epochs else None

    def _rates(self, objective: Objective, saved: SGDState) -> npt.NDArray[np.float64]:
        """(n_batches,) the learning rate of each step of the next epoch."""
        n_batches = -(-objective.n_images // self.batch_size)
        return rates(
            self.schedule,
            saved.learning_rate,
            np.arange(saved.epoch * n_batches, (saved.epoch + 1) * n_batches),
            self.epochs * n_batches,
            warmup=self.warmup * n_batches,
            final_rate=self.final_rate,
        )

    def _run_epoch(
        self, objective: Objective, saved: SGDState, etas: npt.NDArray[np.float64], fused: bool, pace: _Pace
    ) -> tuple[SGDState, float]:
        """(the state after one epoch; the mean loss last seen, NaN where the run diverged).

        With `watch` an epoch is run in parts.
        """
        order = self._order(objective, saved.epoch)
        averages = self.average and saved.epoch >= self.epochs // 2
        arrays, steps, averaged = saved.updated_arrays(), saved.steps, saved.averaged
        M, n_batches, loss, first = int(self.batch_size), len(etas), 0.0, 0
        while first < n_batches and math.isfinite(loss):
            begun, stop = time.perf_counter(), min(first + pace.batches, n_batches)
            plan = replace(
                self._plan(order[first * M : stop * M], etas[first:stop], steps, saved.epoch),
                averaged=averaged if averages else -1,
                bias_rate=saved.bias_rate,
            )
            loss = self._run_batches(objective, arrays, plan, fused)
            steps += stop - first
            averaged += stop - first if averages else 0
            if pace.watch is not None:
                pace.ran(stop - first, time.perf_counter() - begun)
                if stop < n_batches:
                    suffix = "_avg" if self.average else ""
                    pace.watch(
                        Glimpse(saved.epoch + stop / n_batches, loss, arrays[f"W{suffix}"], arrays[f"b{suffix}"])
                    )
            first = stop
        if self.average and not averages:
            for name in ("W", "b"):
                arrays[f"{name}_avg"][...] = arrays[name]
        return replace(saved, epoch=saved.epoch + 1, steps=steps, averaged=averaged, **arrays), loss  # type: ignore[arg-type]

    def _run_batches(
        self, objective: Objective, arrays: dict[str, npt.NDArray[Any]], plan: EpochPlan, fused: bool
    ) -> float:
        """The mean loss seen in some batches, which update `arrays`; with the engine's own loop or the plain one."""
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
    """How many batches to run at once: all of an epoch, or with `watch` those of `WATCH_SECONDS`.

    The bits are the same wherever an epoch is cut between two batches.
    """

    def __init__(self, watch: Watch | None) -> None:
        self.watch = watch
        self.batches = sys.maxsize if watch is None else 1  # one, to learn how long it takes

    def ran(self, batches: int, seconds: float) -> None:
        """Adapt to the seconds that the last batches took."""
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
        sums = _batch_sums(objective, arrays["W"], arrays["b"], rows, plan.dropout)
        if not math.isfinite(sums.loss) or sums.dW is None or sums.db is None:
            return math.nan
        total, seen = total + sums.loss, seen + sums.weight
        gradient = {"W": sums.dW / (len(rows) * mean_weight), "b": sums.db / (len(rows) * mean_weight)}
        with np.errstate(over="ignore", invalid="ignore"):  # a divergence shows in the next loss
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


def _batch_sums(
    objective: Objective, W: Floats, b: Floats, rows: npt.NDArray[np.int64], dropout: Dropout | None
) -> Sums:
    """The sums of the loss and its gradient over the images at these positions, masked if `dropout` is given."""
    if dropout is None:
        return objective.engine.loss_and_gradient(W, b, objective.loss, rows)
    examples, loss = objective.examples, objective.loss
    y, weight = examples.y[rows], examples.sample_weight
    shares = np.ones(len(rows)) if weight is None else weight[rows].astype(np.float64)
    X = examples.mapped(rows) * dropout.masks(rows, examples.n_features)
    with np.errstate(all="ignore"):  # a divergence shows in the loss
        S = X @ W.T.astype(np.float64) + b
        values, slopes = loss.value_and_gradient(S, y)
    slopes = shares[:, None] * slopes
    counted = shares > 0.0
    correct = float((counted & (S.argmax(axis=1) == y)).sum())
    return Sums(
        float(shares @ values), slopes.T @ X, slopes.sum(axis=0), correct, float(shares.sum()), float(counted.sum())
    )


def _engine_runs(objective: Objective) -> bool:
    """Whether the engine's own loop knows this loss and this penalty."""
    known = objective.penalty is None or objective.penalty.coefficients is not None
    return known and objective.engine.has_kernel(objective.loss)
