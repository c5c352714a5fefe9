"""The path over reg: what a stronger penalty does to accuracy, size and zeros of the weights, and to the templates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.errors import ParameterError
from linprobe.explain.picture import (
    CLASS_COLORS,
    DIVERGING,
    INK,
    MUTED,
    Picture,
    drawing,
    label_text,
    symmetric_limit,
)
from linprobe.explain.seen import checked_names
from linprobe.explain.templates import signed, templates
from linprobe.shapes import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["RegPath", "path_picture", "path_templates", "path_templates_picture", "reg_path", "spread_over"]

CLIPPED = 0.995
"""Share of the weights within the ends of the colours, as for single templates."""

CELL, LABEL, HEAD = 0.92, 1.0, 0.3
"""Side of a template, width of the class names, height of the reg values, in inches."""


@dataclass(frozen=True)
class RegPath:
    """What each member of a grid of reg values is; arrays of NaN where something is not known.

    Attributes:
        regs: (L,) ascending.
        train_accuracy, validation_accuracy: (L,) 0..1.
        norm: (L,) sqrt(sum W²), without the bias.
        zeros: (L,) share of the weights that are exactly 0, 0..1.
    """

    regs: npt.NDArray[np.float64]
    train_accuracy: npt.NDArray[np.float64]
    validation_accuracy: npt.NDArray[np.float64]
    norm: npt.NDArray[np.float64]
    zeros: npt.NDArray[np.float64]


def reg_path(
    regs: Sequence[float],
    weights: Sequence[Floats],
    train_accuracy: Sequence[float] | None = None,
    validation_accuracy: Sequence[float] | None = None,
) -> RegPath:
    """The path of the members of a grid, in ascending order of reg.

    Args:
        regs: L values >= 0.
        weights: W (K, D) of each.
        train_accuracy, validation_accuracy: of each, 0..1; None where they are not known.
    Raises:
        ParameterError: there are not as many of each as reg values, or there is none.
    """
    unknown = [math.nan] * len(regs)
    parts = {
        "weights": weights,
        "train_accuracy": unknown if train_accuracy is None else train_accuracy,
        "validation_accuracy": unknown if validation_accuracy is None else validation_accuracy,
    }
    for name, values in parts.items():
        if len(values) != len(regs) or not len(regs):
            raise ParameterError(f"{len(values)} {name} for {len(regs)} reg values; expected one for each, at least 1.")
    order = np.argsort(regs)
    norm = np.array([np.sqrt(np.square(W, dtype=np.float64).sum()) for W in weights])
    zeros = np.array([np.mean(W == 0.0) for W in weights])
    trained, held_out = (np.array(parts[name], np.float64)[order] for name in ("train_accuracy", "validation_accuracy"))
    return RegPath(np.array(regs, np.float64)[order], trained, held_out, norm[order], zeros[order])


def path_picture(path: RegPath, chosen: float | None = None) -> Picture:
    """Accuracy, norm of W and share of zeros against reg, which grows to the right by equal factors.

    A grid that holds reg = 0 has it at the left end. A panel of what is not known is left out.

    Args:
        path: as `reg_path` returns it.
        chosen: the reg value to mark, or None.
    Raises:
        ParameterError: nothing of the path is known.
    """
    panels = {
        "accuracy": np.isfinite([path.train_accuracy, path.validation_accuracy]).any(),
        "size of the weights": np.isfinite(path.norm).any(),
        "weights that are 0": np.isfinite(path.zeros).any(),
    }
    shown = [title for title, known in panels.items() if known]
    if not shown:
        raise ParameterError("the path holds neither accuracies nor weights; there is nothing to draw.")
    x, ticks = _places(path.regs)
    width, height = 3.5 * len(shown), 2.9
    with drawing(width, height, arranged=False) as figure:
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        figure.subplots_adjust(
            left=0.62 / width, right=1.0 - 0.12 / width, bottom=0.5 / height, top=1.0 - 0.5 / height, wspace=0.28
        )
        for axes, title in zip(panels, shown, strict=True):
            _draw(axes, path, x, title)
            axes.set_title(title, pad=18 if title == "accuracy" else None)
            axes.set_xlabel("reg")
            axes.set_xticks(list(ticks), list(ticks.values()))
            room = 0.04 * max(1.0, float(np.ptp(x)))
            axes.set_xlim(x.min() - room, x.max() + room)  # the same for all, a norm of 0 not being drawn
            if chosen is not None:
                nearest = int(np.abs(path.regs - chosen).argmin())
                axes.axvline(float(x[nearest]), color=MUTED, linewidth=1.0, linestyle=":")
    return Picture(figure, _in_words(path, chosen))


def path_templates(model: LinearModel, weights: Sequence[Floats]) -> npt.NDArray[np.float64]:
    """(L, K, height, width) signed templates of each member of a path, summed over the channels.

    Args:
        model: one that was trained on the same pixels, with the same scaling.
        weights: W (K, D) of each member.
    Raises:
        IncompatibleError: the model was not trained on pixels.
    """
    member, found = copy(model), []
    for W in weights:
        member.weights_ = W.astype(np.float64)
        found.append(signed(templates(member)))
    return np.stack(found)


def path_templates_picture(
    model: LinearModel,
    regs: Sequence[float],
    weights: Sequence[Floats],
    class_names: Sequence[object] | None = None,
    chosen: float | None = None,
    n_regs: int = 7,
    n_classes: int = 5,
) -> Picture:
    """Templates along the path: a row for each class, a column for each of some reg values, the smallest at the left.

    L2 blurs them as reg grows, since neighbouring pixels that say the same share their weight; L1 carves them, weight
    by weight becoming exactly 0. Each column has its own scale, blue for light that speaks for the class: what is
    compared is the form. Where a whole column is 0 it is blank.

    Args:
        model, weights: as for `path_templates`.
        regs: L values.
        class_names: K names; None for the model's own.
        chosen: the reg value that is always drawn, and marked; None for none.
        n_regs, n_classes: columns and rows at most.
    Raises:
        IncompatibleError: the model was not trained on pixels.
        ParameterError: there are not as many weights as reg values.
    """
    if len(regs) != len(weights) or not len(regs):
        raise ParameterError(f"{len(weights)} weights for {len(regs)} reg values; expected one for each, at least 1.")
    names = checked_names(model, class_names)
    order = np.argsort(regs)
    best = None if chosen is None else int(np.abs(np.asarray(regs)[order] - chosen).argmin())
    columns = [int(order[i]) for i in spread_over(len(regs), n_regs, best)]
    rows = spread_over(len(names), n_classes)
    found = path_templates(model, [weights[i] for i in columns])
    tall = min(max(found.shape[2] / found.shape[3], 0.4), 2.0)
    width, height = LABEL + CELL * len(columns) + 0.05, HEAD + CELL * tall * len(rows) + 0.05
    with drawing(width, height, arranged=False) as figure:
        for j, i in enumerate(columns):
            limit = symmetric_limit(found[j], CLIPPED)
            left = (LABEL + j * CELL) / width
            is_best = best is not None and i == int(order[best])
            figure.text(
                left + 0.47 * CELL / width, 1.0 - 0.5 * HEAD / height, f"{regs[i]:.2g}" + " (chosen)" * is_best,
                ha="center", va="center", fontsize=7.5 if is_best else 8.5,
            )  # fmt: skip
            for row, k in enumerate(rows):
                bottom = 1.0 - (HEAD + (row + 1) * CELL * tall - 0.05) / height
                axes = figure.add_axes((left, bottom, 0.94 * CELL / width, 0.94 * CELL * tall / height))
                axes.set_axis_off()
                axes.imshow(found[j, k], cmap=DIVERGING, vmin=-limit, vmax=limit)
        figure.text((LABEL - 0.08) / width, 1.0 - 0.5 * HEAD / height, "reg", ha="right", va="center", fontsize=8.5)
        for row, k in enumerate(rows):
            middle = 1.0 - (HEAD + (row + 0.5) * CELL * tall) / height
            figure.text((LABEL - 0.08) / width, middle, label_text(names[k], 13), ha="right", va="center", fontsize=8.5)
    drawn = ", ".join(str(names[k]) for k in rows)
    alt = (
        f"Templates of {len(rows)} classes, {drawn}, for {len(columns)} reg values from "
        f"{regs[columns[0]]:.2g} to {regs[columns[-1]]:.2g}: the larger reg, the smoother with L2, the sparser with L1."
    )
    return Picture(figure, alt)


def spread_over(n: int, most: int, among: int | None = None) -> list[int]:
    """At most `most` positions of 0..n-1, the first and the last, evenly spread; `among` takes the nearest's place."""
    places = sorted({round(p) for p in np.linspace(0, n - 1, min(n, most))})
    if among is not None and among not in places:
        places[min(range(len(places)), key=lambda i: abs(places[i] - among))] = among
    return sorted(places)


def _places(regs: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], dict[float, str]]:
    """Abscissa of each reg, and the ticks with their texts: the decimal logarithm, and one step to the left for 0."""
    positive = regs[regs > 0.0]
    logs = np.log10(positive) if len(positive) else np.zeros(1)
    first, last = math.floor(logs.min() + 1e-9), math.ceil(logs.max() - 1e-9)
    step = max(1, -(-(last - first) // 6))
    ticks = {float(power): f"{10.0**power:g}" for power in range(first, last + 1, step)}
    apart = max(0.5, (logs.max() - logs.min()) / max(1, len(logs) - 1))
    x = np.full(len(regs), logs.min() - apart)
    x[regs > 0.0] = logs if len(positive) else []
    if (regs == 0.0).any():
        ticks = {float(x.min()): "0", **{place: text for place, text in ticks.items() if place > x.min() + 0.4}}
    return x, ticks


def _draw(axes: Axes, path: RegPath, x: npt.NDArray[np.float64], title: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

    style: dict[str, Any] = {"marker": "o", "markersize": 3.0}
    if title == "accuracy":
        axes.plot(x, path.train_accuracy, color=CLASS_COLORS[0], label="training images", **style)
        axes.plot(x, path.validation_accuracy, color=CLASS_COLORS[5], label="held out", linestyle="--", **style)
        axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=2, borderaxespad=0.0)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    elif title == "size of the weights":
        axes.plot(x, np.where(path.norm > 0.0, path.norm, np.nan), color=INK, **style)
        axes.set_ylabel("norm of W")
        known = path.norm[np.isfinite(path.norm) & (path.norm > 0.0)]
        if len(known) and known.max() > 20.0 * known.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.plot(x, path.zeros, color=INK, **style)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _in_words(path: RegPath, chosen: float | None) -> str:
    """What the picture shows, for those who cannot see it."""
    text = f"{len(path.regs)} reg values from {path.regs[0]:.3g} to {path.regs[-1]:.3g}."
    if np.isfinite(path.validation_accuracy).any():
        best = int(np.nanargmax(path.validation_accuracy))
        text += (
            f" Accuracy on held-out images is highest, {path.validation_accuracy[best]:.1%}, at {path.regs[best]:.3g}."
        )
    if np.isfinite(path.norm).any():
        text += f" The norm of W goes from {path.norm[0]:.3g} to {path.norm[-1]:.3g}"
        text += f", the share of zeros from {path.zeros[0]:.0%} to {path.zeros[-1]:.0%}."
    return text + ("" if chosen is None else f" Chosen: {chosen:.3g}.")
