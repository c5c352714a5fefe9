"""Validation accuracy over learning rate and reg, as heat maps: one for each schedule and update."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.rate_selection import Cell
from linprobe.errors import ParameterError
from linprobe.explain.picture import MUTED, ON_DARK, ON_LIGHT, Picture, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

__all__ = ["RateMap", "rate_maps", "rates_picture"]

COLORED = 0.2
"""Accuracies lower than the best by more than this share one colour. Chosen by argument: of a whole grid the worst runs
guess, and the differences among the good ones, a few hundredths, would not be seen."""

MOST_WRITTEN = 12
"""Learning rates up to which the accuracies are written into their squares. Chosen by argument: more have no room."""

MOST_PANELS = 3
"""Heat maps side by side. Chosen by argument: a page is as wide as three of them."""

CHOSEN = "#d55e00"
"""Frame of the chosen run: it differs from each colour of the map, for colour-blind readers too."""


@dataclass(frozen=True)
class RateMap:
    """The runs of a grid that have one schedule and one update.

    Attributes:
        learning_rates, regs: (R,) and (L,), ascending.
        accuracy: (L, R), 0..1; NaN where a run diverged.
        dropped: (L, R) whether halving ended the run early.
        chosen: (row, column) of the chosen run; None where it is not among these.
    """

    schedule: str
    update: str
    learning_rates: npt.NDArray[np.float64]
    regs: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]
    dropped: npt.NDArray[np.bool_]
    chosen: tuple[int, int] | None = None


def rate_maps(
    cells: Sequence[Cell],
    accuracies: Sequence[float],
    *,
    dropped: Sequence[bool] | None = None,
    chosen: int | None = None,
) -> list[RateMap]:
    """A map for each schedule and update, in the order in which they occur.

    Args:
        cells: all cells of a grid.
        accuracies: of each on the validation images, 0..1; NaN where it diverged.
        dropped: whether halving ended each of them early; None for none.
        chosen: position of the chosen cell.
    Raises:
        ParameterError: there is no cell, or the numbers of cells and accuracies differ.
    """
    ended = [False] * len(cells) if dropped is None else list(dropped)
    if not cells or not len(cells) == len(accuracies) == len(ended):
        raise ParameterError(
            f"{len(accuracies)} accuracies and {len(ended)} ends for {len(cells)} cells; expected one of each per cell."
        )
    maps = []
    for schedule, update in dict.fromkeys((cell.schedule, cell.update) for cell in cells):
        own = [i for i, cell in enumerate(cells) if (cell.schedule, cell.update) == (schedule, update)]
        rates = np.unique([cells[i].learning_rate for i in own])
        regs = np.unique([cells[i].reg for i in own])
        accuracy = np.full((len(regs), len(rates)), np.nan)
        early, best = np.zeros(accuracy.shape, dtype=bool), None
        for i in own:
            place = (int(np.searchsorted(regs, cells[i].reg)), int(np.searchsorted(rates, cells[i].learning_rate)))
            accuracy[place], early[place] = accuracies[i], ended[i]
            best = place if i == chosen else best
        maps.append(RateMap(schedule, update, rates, regs, accuracy, early, best))
    return maps


def rates_picture(maps: Sequence[RateMap]) -> Picture:
    """The maps as squares, reg upwards and the learning rate to the right.

    A run that diverged is a cross, and the accuracy of one that was dropped is in brackets. The chosen run has a frame.

    Raises:
        ParameterError: there is no map.
    """
    from matplotlib.colors import Normalize

    if not maps:
        raise ParameterError("no map of learning rates to draw; expected at least one.")
    known = np.concatenate([one.accuracy[np.isfinite(one.accuracy)] for one in maps])
    best = float(known.max(initial=0.0))
    norm = Normalize(max(float(known.min(initial=best)), best - COLORED), max(best, 1e-9))
    n_rates, n_regs = max(len(one.learning_rates) for one in maps), max(len(one.regs) for one in maps)
    columns = 2 if len(maps) == 4 else min(len(maps), MOST_PANELS)
    rows = -(-len(maps) // columns)
    width = max(2.2, 0.9 + 0.42 * min(n_rates, 2 * MOST_WRITTEN))
    with drawing(columns * width + 0.8, rows * (1.0 + 0.32 * n_regs)) as figure:
        from matplotlib import colormaps

        colors = colormaps["viridis"].with_extremes(bad=(0.0, 0.0, 0.0, 0.0))
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.ravel()[len(maps) :]:
            axes.set_axis_off()
        for number, (axes, one) in enumerate(zip(grid.ravel(), maps, strict=False)):
            _draw(axes, one, colors, norm)
            axes.set_ylabel("reg" if number % columns == 0 else "")
            axes.set_xlabel("learning rate" if number >= len(maps) - columns else "")
        drawn = grid[0, 0].images[0]
        bar = figure.colorbar(
            drawn, ax=grid, fraction=0.04, extend="min" if known.size and known.min() < norm.vmin else "neither"
        )
        bar.set_label("validation accuracy")
        bar.outline.set_visible(False)
    return Picture(figure, _in_words(maps))


def _draw(axes: Axes, one: RateMap, colors: Colormap, norm: Normalize) -> None:
    """One map."""
    from matplotlib.patches import Rectangle

    axes.imshow(one.accuracy, cmap=colors, norm=norm, origin="lower", aspect="auto")
    axes.grid(visible=False)
    axes.set_title(f"{one.schedule}, {one.update}")
    every = -(-len(one.learning_rates) // MOST_WRITTEN)
    places = range(0, len(one.learning_rates), every)
    axes.set_xticks(
        places, [f"{one.learning_rates[i]:.3g}" for i in places], rotation=60, ha="right", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(one.regs)), [f"{reg:.3g}" for reg in one.regs])
    for row, column in np.ndindex(one.accuracy.shape):
        accuracy = float(one.accuracy[row, column])
        if np.isnan(accuracy):
            axes.text(column, row, "×", ha="center", va="center", color=MUTED)
        elif every == 1:
            text = f"{accuracy:.2f}".removeprefix("0")
            text = f"({text})" if one.dropped[row, column] else text
            color = ON_DARK if norm(accuracy) < 0.6 else ON_LIGHT
            axes.text(column, row, text, ha="center", va="center", fontsize=7, color=color)
    if one.chosen is not None:
        row, column = one.chosen
        axes.add_patch(
            Rectangle(
                (column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor=CHOSEN, linewidth=2.4, clip_on=False, zorder=4
            )
        )


def _in_words(maps: Sequence[RateMap]) -> str:
    """What the picture shows."""
    n = sum(one.accuracy.size for one in maps)
    diverged = sum(int(np.isnan(one.accuracy).sum()) for one in maps)
    text = f"Validation accuracy of {n} runs of SGD over learning rate and reg; {diverged} diverged"
    dropped = sum(int(one.dropped.sum()) for one in maps)
    text += f", {dropped} ended early." if dropped else "."
    for one in maps:
        if one.chosen is not None:
            row, column = one.chosen
            text += (
                f" The chosen one has learning rate {one.learning_rates[column]:.3g}, reg {one.regs[row]:.3g}, "
                f"schedule {one.schedule}, update {one.update} and accuracy {one.accuracy[row, column]:.3f}."
            )
    return text
