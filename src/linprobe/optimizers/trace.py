"""The trace: one row per epoch, handed to the callback and kept as the history of the Solution."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import fields

import numpy as np

from linprobe.objective import Evaluation, Objective
from linprobe.optimizers.base import Callback, Epoch, State, zeros_state
from linprobe.shapes import Floats

__all__ = ["GROWTH", "Clock", "Trace", "diverged", "usual_objective"]

GROWTH = 1e3
"""Growth of the objective, in units of its size at the start or at zero weights, above which a search has diverged.
Chosen by argument."""


def diverged(value: float, start: float) -> bool:
    """Whether `value` is not finite, or above `start`, a usual objective, by GROWTH times its size (or 1)."""
    return not math.isfinite(value) or value > start + GROWTH * max(1.0, abs(start))


def usual_objective(objective: Objective, start: State | None) -> float:
    """The larger of the objective at zero weights and at `start`, which `diverged` compares with."""
    zero = zeros_state(objective, np.float64).arrays
    value = objective.value(zero["W"], zero["b"])
    return value if start is None else max(value, objective.value(start.arrays["W"], start.arrays["b"]))


class Trace:
    """Measures the weights after each epoch, and calls the callback.

    Attributes:
        history: the rows so far, by the names of `Epoch` but for `state`.
    """

    def __init__(self, objective: Objective, validation: Objective | None, callback: Callback | None) -> None:
        self.objective, self.validation, self.callback = objective, validation, callback
        self.history: list[dict[str, float]] = []

    def measure(self, W: Floats, b: Floats) -> tuple[Evaluation, Evaluation | None]:
        """The evaluation over the training images, and over the validation images if there are any."""
        held_out = None if self.validation is None else self.validation.evaluate(W, b)
        return self.objective.evaluate(W, b), held_out

    def add(
        self,
        measured: tuple[Evaluation, Evaluation | None],
        state: State,
        *,
        learning_rate: float,
        passes: float,
        seconds: float,
        given_away: bool = False,
    ) -> bool:
        """Keep a row; whether the callback requests a stop. It is given a copy of `state`, or `given_away` itself.

        An epoch that is measured again, more precisely, takes the place of its row.
        """
        training, held_out = measured
        epoch = Epoch(
            epoch=state.epoch,
            objective=training.objective,
            data_loss=training.data_loss,
            penalty=training.penalty,
            gradient_norm=training.gradient_norm,
            train_accuracy=training.accuracy,
            validation_loss=math.nan if held_out is None else held_out.data_loss,
            validation_accuracy=math.nan if held_out is None else held_out.accuracy,
            learning_rate=learning_rate,
            passes=passes,
            seconds=seconds,
            state=state if self.callback is None or given_away else copy.deepcopy(state),
        )
        names = [field.name for field in fields(Epoch) if field.name != "state"]
        if self.history and self.history[-1]["epoch"] == epoch.epoch:
            self.history.pop()
        self.history.append({name: getattr(epoch, name) for name in names})
        return self.callback is not None and self.callback(epoch) is True

    def settle(self, evaluation: Evaluation) -> None:
        """Put the evaluation of the returned weights into the last row."""
        self.history[-1] |= {
            "objective": evaluation.objective,
            "data_loss": evaluation.data_loss,
            "penalty": evaluation.penalty,
            "gradient_norm": evaluation.gradient_norm,
            "train_accuracy": evaluation.accuracy,
        }


class Clock:
    """Seconds since it was made, plus those of earlier calls."""

    def __init__(self, earlier: float) -> None:
        self._start = time.perf_counter() - earlier

    def __call__(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._start
