"""The Optimizer interface: objective -> Solution, with a Status whose value is the sentence a user reads."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, ClassVar, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.certificate import Certificate, absolute_tol
from linprobe.objective import Objective
from linprobe.shapes import Floats

__all__ = [
    "SOLVED",
    "Callback",
    "Epoch",
    "Glimpse",
    "Optimizer",
    "Solution",
    "State",
    "Status",
    "Watch",
    "proved_status",
]


class Status(Enum):
    """Why an optimizer ended. The value is the sentence a user reads."""

    CERTIFIED = "the relative duality gap is at most tol"
    CERTIFIED_ABSOLUTE = (
        "the objective tends to 0: it is above the least possible by at most 1e-6 tol times the loss of equal scores"
    )
    CONVERGED = "the gradient norm is below tol"
    COMPLETED = "all epochs were run"
    EARLY_STOPPED = "the validation loss stopped falling; the weights with the lowest one were kept"
    MAX_ITER = "the iterations ended before tol was reached: raise max_iter, loosen tol, or increase reg"
    STALLED = (
        "no step decreased the objective: at the kinks of the hinge use SGD or optimizer='exact'; else "
        "check the gradient, centre the features, or loosen tol, which rounding may limit"
    )
    DIVERGED = (
        "the objective became NaN or grew without end: lower learning_rate or use learning_rate='auto'; "
        "the last good weights were kept"
    )
    SEPARABLE = (
        "the classes are separable: without a penalty the loss falls towards 0 as the weights grow, and no finite "
        "weights are best; use a penalty with reg > 0"
    )
    STOPPED = "stopped on request; the weights of that moment were kept"
    INTERRUPTED = "stopped by Ctrl-C; the best weights so far were kept, with their certificate"

    @property
    def short(self) -> str:
        """A word or two, for a column of a table."""
        return SHORT[self]


SHORT = {
    Status.CERTIFIED: "certified",
    Status.CERTIFIED_ABSOLUTE: "certified",
    Status.CONVERGED: "converged",
    Status.COMPLETED: "completed",
    Status.EARLY_STOPPED: "stopped early",
    Status.MAX_ITER: "unfinished",
    Status.STALLED: "stalled",
    Status.DIVERGED: "diverged",
    Status.SEPARABLE: "no optimum",
    Status.STOPPED: "stopped",
    Status.INTERRUPTED: "interrupted",
}
"""A word or two for each status; --json and the records have the names."""


SOLVED = frozenset(status.name.lower() for status in (Status.CERTIFIED, Status.CERTIFIED_ABSOLUTE, Status.CONVERGED))
"""How an exact search ends at the optimum, as far as can be proved: names as in the records of a run."""


@dataclass
class State:
    """All that an optimizer needs to resume bit-identically, as it is stored in a checkpoint.

    Each optimizer reads it through a typed record of its own, see `states.SavedState`.

    Attributes:
        epoch: epochs (SGD) or iterations (gradient descent) done.
        arrays: W, b, and the optimizer's own arrays by name; float32 or float64.
        numbers: the optimizer's own numbers by name (chosen learning rate, step count, best loss, ...);
            `predicted_gap`, where it is there, is the duality gap predicted for a certificate; it proves nothing.
    """

    epoch: int
    arrays: dict[str, npt.NDArray[Any]]
    numbers: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Epoch:
    """One row of the trace, handed to the callback; `state` is a copy that may be kept.

    Attributes:
        epoch: how many are done; 0 is the start.
        objective, data_loss, penalty, gradient_norm: at the weights of `state`, over the training images;
            objective = data_loss + penalty, where penalty = reg R(W).
        train_accuracy: share of the training images of weight above 0 classified correctly, 0..1; each counts once.
        validation_loss, validation_accuracy: over the validation images, each once; NaN where there are none.
        learning_rate: the last one used.
        passes: passes over the training images so far, those that filled this row included.
        seconds: of optimisation so far, tracing included, from the start of this call, plus earlier ones on
            resume.
    """

    epoch: int
    objective: float
    data_loss: float
    penalty: float
    gradient_norm: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    learning_rate: float
    passes: float
    seconds: float
    state: State


Callback: TypeAlias = Callable[[Epoch], bool | None]
"""Called after the start and after each epoch; returning True ends the run with Status.STOPPED."""


@dataclass(frozen=True)
class Glimpse:
    """Where a search is between two rows of the trace, for display: nothing depends on it.

    Attributes:
        epoch: how many are done, the share of the one that runs included.
        data_loss: mean of L_i over the images seen since the last glimpse, each at the weights it met.
        W, b: (K, D) and (K,), the weights now: the search's own arrays, which it will change.
    """

    epoch: float
    data_loss: float
    W: Floats
    b: Floats


Watch: TypeAlias = Callable[[Glimpse], None]
"""Called about `WATCH_SECONDS` apart where the rows of the trace are further apart than that."""

WATCH_SECONDS = 0.15
"""Seconds between two calls of a `Watch`. Chosen by argument: a display that changes seven times a second looks
live."""


@dataclass(frozen=True)
class Solution:
    """What an optimizer returns.

    Attributes:
        W, b: (K, D) and (K,) float64, the weights to use.
        status: why it ended.
        history: a row per epoch, the start included, by the names of `Epoch` but for `state`.
        state: the last state, to resume from.
        passes: passes over the training images.
        seconds: of optimisation.
        chosen: what was chosen from the data, in words by name (e.g. learning_rate).
        certificate: what is proved of (W, b); None from optimizers that prove nothing.
    """

    W: Floats
    b: Floats
    status: Status
    history: list[dict[str, float]]
    state: State
    passes: float
    seconds: float
    chosen: dict[str, str] = field(default_factory=dict)
    certificate: Certificate | None = None


def proved_status(objective: Objective, certificate: Certificate, tol: float, *, ended: bool = False) -> Status | None:
    """CERTIFIED or CERTIFIED_ABSOLUTE, where the certificate shows it; else None.

    Args:
        tol: relative duality gap to reach.
        ended: whether no method gets further: then an absolute gap is enough. Before, a relative gap is required,
            unless the objective itself is within `absolute_tol`.
    """
    if certificate.relative_gap <= tol:
        return Status.CERTIFIED
    measured = certificate.gap if ended else certificate.objective
    return Status.CERTIFIED_ABSOLUTE if measured <= absolute_tol(objective, tol) else None


class Optimizer(ABC):
    """Minimises an objective."""

    name: ClassVar[str]

    @abstractmethod
    def minimize(
        self,
        objective: Objective,
        start: State | None = None,
        callback: Callback | None = None,
        validation: Objective | None = None,
        watch: Watch | None = None,
    ) -> Solution:
        """The weights found, with the reason why the search ended.

        Args:
            objective: what to minimise.
            start: a state of the same optimizer on the same problem, to resume bit-identically; None starts
                at 0.
            callback: called with an `Epoch` after the start and after each epoch.
            validation: the same loss over held-out images (its reg is ignored), for early stopping and the
                trace.
            watch: called with a `Glimpse` between two rows of the trace, by searches whose rows are more than a
                pass over the images apart; the result has the same bits with it and without.
        """

    @staticmethod
    def serves_other_regs(name: str) -> bool:
        """Whether that array of a state serves as a start for another reg value; the weights do."""
        return name in ("W", "b")


def zeros_state(objective: Objective, dtype: npt.DTypeLike) -> State:
    """The start: W = 0, b = 0. The objective is convex: any start will do."""
    K, D = objective.n_classes, objective.n_features
    return State(0, {"W": np.zeros((K, D), dtype), "b": np.zeros(K, dtype)})
