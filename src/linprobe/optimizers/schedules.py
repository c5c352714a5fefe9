"""Schedules: the learning rate of each update step of a run, with warm-up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError

__all__ = ["SCHEDULES", "Schedule", "rates", "schedule_name"]

Numbers: TypeAlias = npt.NDArray[np.float64]

Share: TypeAlias = Callable[[Numbers, float], Numbers]
"""(progress in [0, 1[, final share) -> share of the learning rate: 1 at progress 0."""


@dataclass(frozen=True)
class Schedule:
    """How the learning rate falls over a run.

    Attributes:
        title: what readers call it.
        formula: on one line; eta is the highest rate, p the share of the run that is done, f the final share.
        share: what the learning rate is multiplied by.
    """

    title: str
    formula: str
    share: Share


def _constant(progress: Numbers, final: float) -> Numbers:
    return np.ones_like(progress)


def _step(progress: Numbers, final: float) -> Numbers:
    return np.asarray(final ** (np.floor(4.0 * progress) / 3.0))


def _exponential(progress: Numbers, final: float) -> Numbers:
    return np.asarray(final**progress)


def _cosine(progress: Numbers, final: float) -> Numbers:
    return np.asarray(final + (1.0 - final) * (1.0 + np.cos(np.pi * progress)) / 2.0)


def _inverse(progress: Numbers, final: float) -> Numbers:
    return np.asarray(1.0 / (1.0 + (1.0 / final - 1.0) * progress))


SCHEDULES: dict[str, Schedule] = {
    "constant": Schedule("constant", "η", _constant),
    "step": Schedule("step", "η f^{⌊4p⌋/3}", _step),
    "exponential": Schedule("exponential", "η f^p", _exponential),
    "cosine": Schedule("cosine", "η (f + (1 − f)(1 + cos πp)/2)", _cosine),
    "inverse": Schedule("inverse, 1/t", "η / (1 + (1/f − 1) p)", _inverse),
}
"""Each schedule by its name; `schedule_name` also knows "1/t", which is "inverse"."""


def schedule_name(name: str) -> str:
    """The name in SCHEDULES that `name` stands for: itself, or "inverse" for "1/t".

    Raises:
        ParameterError: there is no such schedule.
    """
    known = "inverse" if name == "1/t" else name
    if known not in SCHEDULES:
        raise ParameterError(f"schedule = {name!r}; expected one of {', '.join(SCHEDULES)} (or 1/t).")
    return known


def rates(
    schedule: str,
    learning_rate: float,
    steps: npt.NDArray[Any],
    total: int,
    *,
    warmup: float = 0.0,
    final_rate: float = 0.01,
) -> Numbers:
    """The learning rate of each of the update steps `steps`, float64, in their shape.

    With p = step / total, the progress of the run, and f = final_rate:

        constant      1
        step          f^(floor(4 p) / 3): four equal stretches, down by the same factor between them
        exponential   f^p
        cosine        f + (1 - f) (1 + cos(pi p)) / 2
        inverse       1 / (1 + (1/f - 1) p), the 1/t of the theory of SGD

    times learning_rate, and times (step + 1) / warmup while that is below 1. All but constant fall
    from 1 to f.

    Args:
        schedule: a name in SCHEDULES, or "1/t".
        learning_rate: the highest one.
        steps: which update steps, counted from 0.
        total: how many steps the whole run has.
        warmup: steps over which the rate rises in a straight line; 0 for none.
        final_rate: f, 0 < f <= 1.
    Raises:
        ParameterError: there is no such schedule.
    Source:
        CS231n notes, neural-networks-3, "Annealing the learning rate"; the cosine is that of Loshchilov and
        Hutter, "SGDR", 2017, without restarts.
    Example:
        >>> rates("exponential", 0.5, np.array([0, 2]), 4, final_rate=0.25)
        array([0.5 , 0.25])
    """
    steps = np.asarray(steps, dtype=np.float64)
    share = SCHEDULES[schedule_name(schedule)].share(steps / max(1, total), final_rate)
    if warmup > 0.0:
        share = share * np.minimum(1.0, (steps + 1.0) / warmup)
    return learning_rate * share
