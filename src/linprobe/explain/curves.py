"""Learning curves: objective, gap and accuracy of a training, against passes over the images and against seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError
from linprobe.explain.picture import CLASS_COLORS, Picture, drawing, label_text
from linprobe.printed import gap_text, percent_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LearningCurves", "curves_picture", "learning_curves"]

Quantity: TypeAlias = Literal["objective", "gap", "accuracy"]
Against: TypeAlias = Literal["passes", "seconds"]

QUANTITIES: tuple[Quantity, ...] = ("objective", "gap", "accuracy")
"""Quantities of a training, in the order of the panels."""

AXES: tuple[Against, ...] = ("passes", "seconds")
"""Quantities on the horizontal axis."""

TITLES = {
    "objective": "objective L(W, b)",
    "gap": "gap: objective less the proven bound",
    "accuracy": "accuracy",
}
"""Title of the panel of each quantity."""

LABELS = {"passes": "passes over the training images", "seconds": "seconds of optimisation"}
"""Label of each horizontal axis."""

FEW = 60
"""Rows of a trace up to which each has a marker."""

LARGEST = 1e100
"""Upper bound on the objectives that are drawn; those of a training that diverged are larger."""

PANEL = (3.7, 2.7)
"""Width and height of a panel with its labels, in inches. An automatic layout takes longer than the drawing."""

LONGEST = 40
"""Characters of a name in the legend, at most."""

MANY = 2000
"""Points of a curve, at most; longer traces are sampled evenly."""


@dataclass(frozen=True)
class LearningCurves:
    """A training by its epochs, the start first.

    Attributes:
        passes, seconds: (n,) passes over the training images and seconds of optimisation so far.
        objective: (n,) L(W, b).
        gap: (n,) objective minus the proven lower bound of the optimum; None without a bound.
        train_accuracy: (n,) 0..1.
        validation_accuracy: (n,) 0..1; None without validation images.
    """

    passes: npt.NDArray[np.float64]
    seconds: npt.NDArray[np.float64]
    objective: npt.NDArray[np.float64]
    gap: npt.NDArray[np.float64] | None
    train_accuracy: npt.NDArray[np.float64]
    validation_accuracy: npt.NDArray[np.float64] | None


def learning_curves(history: Sequence[Mapping[str, float]], lower_bound: float | None = None) -> LearningCurves:
    """The curves of a trace.

    Args:
        history: a row per epoch with the names of `Epoch`, from a Solution or a run folder.
        lower_bound: proven for this objective, by any training; None or -inf for none.
    Raises:
        ParameterError: no rows.
    """
    if not history:
        raise ParameterError("the history is empty; expected a row per epoch, the start included.")

    def column(name: str) -> npt.NDArray[np.float64]:
        return np.array([row[name] for row in history], dtype=np.float64)

    objective, held_out = column("objective"), column("validation_accuracy")
    gap = None
    if lower_bound is not None and math.isfinite(lower_bound):
        gap = np.maximum(0.0, objective - lower_bound)
    return LearningCurves(
        column("passes"),
        column("seconds"),
        objective,
        gap,
        column("train_accuracy"),
        None if np.isnan(held_out).all() else held_out,
    )


def curves_picture(
    curves: Mapping[str, LearningCurves],
    quantities: Sequence[Quantity] = QUANTITIES,
    against: Sequence[Against] = AXES,
) -> Picture:
    """A panel for each quantity and each axis, with the curves of all trainings.

    Objective and gap have a logarithmic scale if they decrease by more than a factor of 20. Solid lines are training
    accuracies, dashed lines validation accuracies. A quantity that no training has is left out.

    Args:
        curves: by the name of the training.
        quantities: some of objective, gap, accuracy.
        against: some of passes, seconds.
    Raises:
        ParameterError: no curves, an unknown quantity or axis, or no values of the quantities.
    """
    if not curves:
        raise ParameterError("curves is empty; give at least one, by name.")
    for wanted, there in ((quantities, QUANTITIES), (against, AXES)):
        unknown = [name for name in wanted if name not in there]
        if unknown or not wanted:
            raise ParameterError(f"found {unknown or 'nothing'}; expected some of {', '.join(there)}.")
    known = [q for q in quantities if q != "gap" or any(drawn.gap is not None for drawn in curves.values())]
    if not known:
        raise ParameterError("the gap needs a lower bound, and no training has one; draw the objective instead.")
    width = PANEL[0] * len(known)
    columns = max(1, int(width / (0.5 + 0.08 * max(len(label_text(name, LONGEST)) for name in curves))))
    legend = 0.1 + 0.17 * -(-len(curves) // columns) if len(curves) > 1 else 0.0
    height = PANEL[1] * len(against) + legend
    with drawing(width, height, arranged=False) as figure:
        panels = figure.subplots(len(against), len(known), squeeze=False)
        for row, axis in zip(panels, against, strict=True):
            for axes, quantity in zip(row, known, strict=True):
                _draw(axes, curves, quantity, axis)
        figure.subplots_adjust(
            left=0.62 / width, right=1.0 - 0.12 / width, bottom=0.5 / height, top=1.0 - (0.32 + legend) / height,
            wspace=0.74 / (PANEL[0] - 0.74), hspace=0.82 / (PANEL[1] - 0.82),
        )  # fmt: skip
        if len(curves) > 1:
            handles, labels = panels[0][0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="upper left", ncols=columns)
    ends = "; ".join(_in_words(name, drawn) for name, drawn in curves.items())
    return Picture(figure, f"{', '.join(known).capitalize()} against {' and '.join(against)}. At the end: {ends}.")


def _in_words(name: str, curves: LearningCurves) -> str:
    """How a training ended."""
    parts = [
        f"objective {curves.objective[-1]:.4g}",
        f"training accuracy {percent_text(curves.train_accuracy[-1])}",
    ]
    if curves.gap is not None:
        parts.insert(1, f"gap {gap_text(float(curves.gap[-1]))}")
    if curves.validation_accuracy is not None:
        parts.append(f"validation accuracy {percent_text(curves.validation_accuracy[-1])}")
    return f"{name + ': ' if name else ''}{', '.join(parts)}, after {curves.passes[-1]:.0f} passes"


def _draw(axes: Axes, curves: Mapping[str, LearningCurves], quantity: Quantity, against: Against) -> None:
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

    lowest, highest, dashed = math.inf, 0.0, False
    for i, (name, all_of) in enumerate(curves.items()):
        kept = _kept(len(all_of.passes))
        x = getattr(all_of, against)[kept]
        style: dict[str, Any] = {  # arguments of matplotlib, of many types
            "color": CLASS_COLORS[i % len(CLASS_COLORS)],
            "marker": "o" if len(x) <= FEW else "",
            "markersize": 2.6,
            "label": label_text(name, LONGEST),
        }
        if quantity == "accuracy":
            axes.plot(x, all_of.train_accuracy[kept], **style)
            if all_of.validation_accuracy is not None:
                axes.plot(x, all_of.validation_accuracy[kept], **{**style, "label": "_", "linestyle": "--"})
                dashed = True
            continue
        y = all_of.objective if quantity == "objective" else all_of.gap
        if y is None:
            continue
        # a logarithmic scale shows no gap of 0; objectives of a diverged training are left out
        y = np.where((y[kept] > 0.0) & (y[kept] < LARGEST), y[kept], np.nan)
        if np.isfinite(y).any():
            lowest, highest = min(lowest, float(np.nanmin(y))), max(highest, float(np.nanmax(y)))
        axes.plot(x, y, **style)
    axes.set_title(TITLES[quantity])
    axes.set_xlabel(LABELS[against])
    axes.set_xlim(left=0.0)
    if quantity == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
        if dashed:
            axes.set_title("accuracy (dashed: validation)")
    elif lowest > 0.0 and highest > 20.0 * lowest:
        axes.set_yscale("log")
        # plain text: matplotlib's default is a formula, which an SVG stores letter by letter
        axes.yaxis.set_major_locator(LogLocator(numticks=7))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.yaxis.set_minor_formatter(NullFormatter())


def _kept(n: int) -> npt.NDArray[np.int64]:
    """Rows of a trace of n that are drawn: all, or MANY of them, with the first and the last."""
    return np.unique(np.linspace(0, n - 1, min(n, MANY)).round().astype(np.int64))
