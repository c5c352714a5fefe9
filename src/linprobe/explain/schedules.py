"""The learning rate over the epochs of a run, for each schedule."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from linprobe.explain.picture import Picture, class_style, drawing
from linprobe.optimizers.schedules import SCHEDULES, rates, schedule_name
from linprobe.shapes import check_range

__all__ = ["schedule_curve", "schedules_picture"]

STEPS = 50
"""Points of a curve in each epoch. Chosen by argument: the jumps of the step schedule look upright."""


def schedule_curve(
    schedule: str, learning_rate: float = 1.0, epochs: int = 20
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """(epochs done (n,), learning rate (n,)) over a run of SGD without warm-up.

    Args:
        schedule: a name in SCHEDULES, or "1/t".
        learning_rate: the highest one, > 0.
        epochs: of the run, >= 1.
    Raises:
        ParameterError: an argument cannot be used.
    """
    check_range("learning_rate", learning_rate, low=0.0, open_low=True)
    check_range("epochs", epochs, low=1)
    steps = np.arange(epochs * STEPS)
    return steps / STEPS, rates(schedule, learning_rate, steps, len(steps))


def schedules_picture(
    schedules: Sequence[str] = tuple(SCHEDULES), learning_rate: float = 1.0, epochs: int = 20
) -> Picture:
    """The learning rate of each schedule against the epochs, on a logarithmic axis.

    Args:
        schedules: names in SCHEDULES.
        learning_rate, epochs: as in `schedule_curve`.
    Raises:
        ParameterError: an argument cannot be used.
    """
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(schedule_name(name) for name in schedules))
    curves = [schedule_curve(name, learning_rate, epochs) for name in names]
    with drawing(5.4, 3.2) as figure:
        axes = figure.subplots()
        for number, (name, (x, y)) in enumerate(zip(names, curves, strict=True)):
            color, marker = class_style(number)
            axes.plot(
                x,
                y,
                color=color,
                marker=marker,
                markevery=(number * STEPS // 2, len(x) // 6),
                label=SCHEDULES[name].title,
            )
        axes.set_yscale("log")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("epoch")
        axes.set_ylabel("learning rate")
        axes.legend()
    ends = ", ".join(f"{name} at {y[-1]:.2g}" for name, (_, y) in zip(names, curves, strict=True))
    return Picture(figure, f"The learning rate over {epochs} epochs from {learning_rate:g}: {ends} in the last step.")
