"""The path over reg: accuracy, norm and zeros of the weights, and templates, as functions of the penalty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.selection import SAME
from linprobe.errors import ParameterError
from linprobe.explain.picture import (
    CLASS_COLORS,
    DIVERGING,
    INK,
    MUTED,
    Picture,
    canvas,
    drawing,
    label_text,
    symmetric_limit,
)
from linprobe.explain.seen import checked_names
from linprobe.explain.templates import signed, templates
from linprobe.printed import gap_text, percent_text
from linprobe.shapes import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "PATH_QUANTITIES",
    "RegPath",
    "path_picture",
    "path_templates",
    "path_templates_picture",
    "reg_path",
    "spread_over",
]

PathQuantity: TypeAlias = Literal["accuracy", "gap", "norm", "zeros"]

PATH_QUANTITIES: tuple[PathQuantity, ...] = ("accuracy", "gap", "norm", "zeros")
"""Quantities of a path, in the order of the panels."""

TITLES = {
    "accuracy": "accuracy",
    "gap": "relative gap, proved",
    "norm": "size of the weights: norm of W",
    "zeros": "weights that are 0",
}
"""Title of the panel of each quantity."""

PANEL = (3.5, 2.9)
"""Width and height of a panel with its labels, in inches."""

LONGEST = 40
"""Characters of a name in the legend, at most."""

CLIPPED = 0.995
"""Share of the absolute weights within the colour scale, as for single templates."""

CELL, LABEL, HEAD = 0.92, 1.0, 0.3
"""Side of a template, width of the class names, height of the reg values, in inches."""


@dataclass(frozen=True)
class RegPath:
    """Accuracy and weights of each member of a grid of reg values; unknown quantities are arrays of NaN.

    Attributes:
        regs: (L,) ascending.
        train_accuracy, validation_accuracy: (L,) 0..1.
        norm: (L,) sqrt(sum W²), without the bias.
        zeros: (L,) share of the weights that are exactly 0, 0..1.
        gap: (L,) relative gap of each member's certificate; None if there are no certificates.
    """

    regs: npt.NDArray[np.float64]
    train_accuracy: npt.NDArray[np.float64]
    validation_accuracy: npt.NDArray[np.float64]
    norm: npt.NDArray[np.float64]
    zeros: npt.NDArray[np.float64]
    gap: npt.NDArray[np.float64] | None = None

    def knows(self, quantity: PathQuantity) -> bool:
        """Whether the quantity is known for any member."""
        if quantity == "accuracy":
            return bool(np.isfinite([self.train_accuracy, self.validation_accuracy]).any())
        values = getattr(self, quantity)
        return values is not None and bool(np.isfinite(values).any())


def reg_path(
    regs: Sequence[float],
    weights: Sequence[Floats],
    train_accuracy: Sequence[float] | None = None,
    validation_accuracy: Sequence[float] | None = None,
    gap: Sequence[float] | None = None,
) -> RegPath:
    """The path of the members of a grid, in ascending order of reg.

    Args:
        regs: L values >= 0.
        weights: W (K, D) of each.
        train_accuracy, validation_accuracy: of each, 0..1; None if unknown.
        gap: relative gap of each certificate; None without certificates.
    Raises:
        ParameterError: the lengths differ from the number of reg values, or there is no reg value.
    """
    unknown = [math.nan] * len(regs)
    parts = {
        "weights": weights,
        "train_accuracy": unknown if train_accuracy is None else train_accuracy,
        "validation_accuracy": unknown if validation_accuracy is None else validation_accuracy,
        "gap": unknown if gap is None else gap,
    }
    for name, values in parts.items():
        if len(values) != len(regs) or not len(regs):
            raise ParameterError(f"{len(values)} {name} for {len(regs)} reg values; expected one for each, at least 1.")
    order = np.argsort(regs)
    norm = np.array([np.sqrt(np.square(W, dtype=np.float64).sum()) for W in weights])
    zeros = np.array([np.mean(W == 0.0) for W in weights])
    trained, held_out = (np.array(parts[name], np.float64)[order] for name in ("train_accuracy", "validation_accuracy"))
    proved = None if gap is None else np.array(gap, np.float64)[order]
    return RegPath(np.array(regs, np.float64)[order], trained, held_out, norm[order], zeros[order], proved)


def path_picture(
    path: RegPath | Mapping[str, RegPath],
    chosen: float | Mapping[str, float] | None = None,
    quantities: Sequence[PathQuantity] = PATH_QUANTITIES,
) -> Picture:
    """Accuracy, proved gap, norm of W and share of zeros against reg, on a logarithmic axis.

    Several paths share the panels, each in its own colour. Solid lines are accuracies on training images, dashed ones
    on held-out images. reg = 0 is drawn at the left end. Unknown quantities have no panel.

    Args:
        path: as `reg_path` returns it; or several, by name.
        chosen: the reg value to mark, or None; for several paths, by name.
        quantities: some of accuracy, gap, norm, zeros.
    Raises:
        ParameterError: no path, an unknown quantity, or no known values of the quantities.
    """
    paths = {"": path} if isinstance(path, RegPath) else dict(path)
    marks = chosen if isinstance(chosen, Mapping) else {} if chosen is None else dict.fromkeys(paths, chosen)
    unknown = [name for name in quantities if name not in PATH_QUANTITIES]
    if unknown or not paths:
        raise ParameterError(f"{unknown or 'no path'} is given; expected some of {', '.join(PATH_QUANTITIES)}.")
    shown = [quantity for quantity in quantities if any(drawn.knows(quantity) for drawn in paths.values())]
    if not shown:
        raise ParameterError("the path holds neither accuracies nor weights; there is nothing to draw.")
    regs = np.unique(np.concatenate([drawn.regs for drawn in paths.values()]))
    places, ticks = _places(regs)
    width = PANEL[0] * len(shown)
    several = len(paths) > 1
    columns = max(1, int(width / (0.5 + 0.08 * max(len(label_text(name, LONGEST)) for name in paths))))
    legend = 0.1 + 0.17 * -(-len(paths) // columns) if several else 0.0
    height = PANEL[1] + legend
    with drawing(width, height, arranged=False) as figure:
        panels = figure.subplots(1, len(shown), squeeze=False)[0]
        figure.subplots_adjust(
            left=0.62 / width, right=1.0 - 0.12 / width, bottom=0.5 / height, top=1.0 - (0.5 + legend) / height,
            wspace=0.28,
        )  # fmt: skip
        for axes, quantity in zip(panels, shown, strict=True):
            _draw_panel(axes, paths, marks, quantity, regs, places)
            axes.set_xlabel("reg")
            axes.set_xticks(list(ticks), list(ticks.values()))
            room = 0.04 * max(1.0, float(np.ptp(places)))
            axes.set_xlim(places.min() - room, places.max() + room)  # equal in all panels: a norm of 0 is not drawn
        if several:
            handles, labels = panels[0].get_legend_handles_labels()
            figure.legend(handles, labels, loc="upper left", ncols=columns)
    return Picture(figure, " ".join(_in_words(name, drawn, marks.get(name)) for name, drawn in paths.items()))


def _draw_panel(
    axes: Axes,
    paths: Mapping[str, RegPath],
    marks: Mapping[str, float],
    quantity: PathQuantity,
    regs: npt.NDArray[np.float64],
    places: npt.NDArray[np.float64],
) -> None:
    """One quantity of all paths, with its scale and its title; `places` are the abscissae of `regs`."""
    several = len(paths) > 1
    for i, (name, drawn) in enumerate(paths.items()):
        color = CLASS_COLORS[i % len(CLASS_COLORS)] if several else INK
        x = places[np.searchsorted(regs, drawn.regs)]
        _draw(axes, drawn, x, quantity, color, label_text(name, LONGEST))
        if marks.get(name) is not None:
            nearest = int(np.abs(drawn.regs - marks[name]).argmin())
            axes.axvline(float(x[nearest]), color=color if several else MUTED, linewidth=1.0, linestyle=":")
    _scale(axes, [getattr(drawn, quantity, None) for drawn in paths.values()], quantity)
    if several:
        dashed = quantity == "accuracy" and any(np.isfinite(d.validation_accuracy).any() for d in paths.values())
        axes.set_title(TITLES[quantity] + " (dashed: held out)" * dashed)
    else:
        axes.set_title(TITLES[quantity], pad=18 if quantity == "accuracy" else None)


def path_templates(model: LinearModel, weights: Sequence[Floats]) -> npt.NDArray[np.float64]:
    """(L, K, height, width) signed templates of each member of a path, summed over the channels.

    Args:
        model: trained on the same pixels, with the same scaling.
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
    """Templates along the path: a row for each class, a column for each of some reg values in ascending order.

    As reg grows, L2 smooths them, since correlated pixels share their weight; L1 sets more and more weights to exactly
    0. Blue means that light raises the score. Each column has its own scale, so that shapes are compared, not sizes.
    A column of zeros is blank.

    Args:
        model, weights: as for `path_templates`.
        regs: L values.
        class_names: K names; None for the model's own.
        chosen: a reg value to draw and to mark; None for none.
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
        axes = canvas(figure, width, height)
        for j, i in enumerate(columns):
            limit = symmetric_limit(found[j], CLIPPED)
            left = LABEL + j * CELL
            is_best = best is not None and i == int(order[best])
            figure.text(
                (left + 0.47 * CELL) / width, 1.0 - 0.5 * HEAD / height, f"{regs[i]:.2g}" + " (chosen)" * is_best,
                ha="center", va="center", fontsize=7.5 if is_best else 8.5,
            )  # fmt: skip
            for row, k in enumerate(rows):
                bottom = height - (HEAD + (row + 1) * CELL * tall - 0.05)
                axes.imshow(
                    found[j, k],
                    cmap=DIVERGING,
                    vmin=-limit,
                    vmax=limit,
                    extent=(left, left + 0.94 * CELL, bottom, bottom + 0.94 * CELL * tall),
                    aspect="auto",
                )
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
    """At most `most` evenly spread positions of 0..n-1, with both ends; `among` replaces the nearest of them."""
    places = sorted({round(p) for p in np.linspace(0, n - 1, min(n, most))})
    if among is not None and among not in places:
        places[min(range(len(places)), key=lambda i: abs(places[i] - among))] = among
    return sorted(places)


def _places(regs: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], dict[float, str]]:
    """Abscissa of each reg (log10 reg; one step left of the smallest for 0), and the ticks with their texts."""
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


def _draw(axes: Axes, path: RegPath, x: npt.NDArray[np.float64], quantity: PathQuantity, color: str, name: str) -> None:
    """The curve of a path, or its two accuracies; a single path, without a name, gets a legend for these."""
    # arguments of matplotlib, of many types
    style: dict[str, Any] = {"marker": "o", "markersize": 3.0, "color": color, "label": name or "_"}
    if quantity == "accuracy":
        parts: list[dict[str, Any]] = (
            [{}, {"label": "_"}]
            if name
            else [
                {"color": CLASS_COLORS[0], "label": "training images"},
                {"color": CLASS_COLORS[5], "label": "held out"},
            ]
        )
        axes.plot(x, path.train_accuracy, **{**style, **parts[0]})
        axes.plot(x, path.validation_accuracy, **{**style, **parts[1]}, linestyle="--")
        if not name:
            axes.legend(loc="lower left", bbox_to_anchor=(-0.02, 0.98), ncols=2, borderaxespad=0.0)
    elif path.knows(quantity):
        values = getattr(path, quantity)
        # a logarithmic scale has no 0
        axes.plot(x, values if quantity == "zeros" else np.where(values > 0.0, values, np.nan), **style)


def _scale(axes: Axes, found: Sequence[npt.NDArray[np.float64] | None], quantity: PathQuantity) -> None:
    """The scale of a panel that holds these."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

    if quantity == "accuracy":
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    elif quantity == "zeros":
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    else:
        numbers = np.concatenate([values for values in found if values is not None])
        numbers = numbers[np.isfinite(numbers) & (numbers > 0.0)]
        if len(numbers) and numbers.max() > 20.0 * numbers.min():
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(numticks=7))
            axes.yaxis.set_minor_formatter(NullFormatter())
        # plain text: matplotlib's default is a formula, or a factor above the axis
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def _in_words(name: str, path: RegPath, chosen: float | None) -> str:
    """What the picture shows, for those who cannot see it."""
    text = f"{name}: " if name else ""
    text += f"{len(path.regs)} reg values from {path.regs[0]:.3g} to {path.regs[-1]:.3g}."
    if np.isfinite(path.validation_accuracy).any():
        highest = float(np.nanmax(path.validation_accuracy))
        best = max(
            path.regs[path.validation_accuracy >= highest - SAME]
        )  # of equal ones the largest, as a sweep chooses
        text += f" Accuracy on held-out images is highest, {percent_text(highest)}, at {best:.3g}."
    if np.isfinite(path.norm).any():
        text += f" The norm of W goes from {path.norm[0]:.3g} to {path.norm[-1]:.3g}"
        text += f", the share of zeros from {path.zeros[0]:.0%} to {path.zeros[-1]:.0%}."
    if path.gap is not None and np.isfinite(path.gap).any():
        text += f" The largest relative gap is {gap_text(float(np.nanmax(path.gap)))}."
    return text + ("" if chosen is None else f" Chosen: {chosen:.3g}.")
