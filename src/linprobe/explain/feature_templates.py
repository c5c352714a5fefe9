"""Drawings of weights of features: strokes, tables of colours, patches, bars."""

from __future__ import annotations

import colorsys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from linprobe.explain.picture import (
    DIVERGING,
    GRID,
    MUTED,
    class_grid,
    grid_columns,
    label_text,
    signed_bar,
    symmetric_limit,
)
from linprobe.features.base import FeatureMap
from linprobe.features.color import ColorMap
from linprobe.features.hog import HogMap
from linprobe.features.patches import PatchesMap

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

__all__ = ["Panel", "bars_panel", "edge_weights", "feature_panel", "hue_weights", "patch_weights"]

FOR, AGAINST = "#2b7bba", "#cc4637"
"""Colours of positive and of negative weights, visible on a light and on a dark background."""

GROUND = "#f7f7f7"
"""Background of strokes: the middle of the diverging map."""

N_BARS = 8
"""Weights of each class that are drawn as bars, at most."""

N_PATCHES = 6
"""Patches with the largest, and with the smallest weights of each class, at most."""

Weights = npt.NDArray[np.float64]


WIDTH = 6.4
"""Of a panel, in inches."""


class Panel(NamedTuple):
    """A part of a picture of templates.

    Attributes:
        height: in inches.
        draw: draws it on an empty figure.
        alt: what it shows, in words.
    """

    height: float
    draw: Callable[[SubFigure], None]
    alt: str


def feature_panel(features: FeatureMap, W: Weights, class_names: Sequence[object]) -> Panel:
    """The panel of a single map: strokes of hog, tables of color, patches; bars of any other.

    Args:
        features: fitted; neither joined nor mirrored.
        W: (K, D), the weights of its features.
        class_names: K names.
    """
    match features:
        case HogMap():
            return _strokes_panel(features, W, class_names)
        case ColorMap():
            return _table_panel(features, W, class_names)
        case PatchesMap():
            return _patches_panel(features, W, class_names)
        case _:
            return bars_panel(features.spec, W, class_names, [str(k) for k in range(W.shape[1])])


def edge_weights(features: HogMap, W: Weights) -> tuple[Weights, Weights]:
    """((K, cells_y, cells_x, M) weights of the smallest cells, (M,) directions of the edges, in radians).

    Summed over the blocks of a cell, and, for signed orientations, over opposite gradients. Angles grow from the right
    towards the bottom; an edge is orthogonal to its gradient.
    """
    cells = features.by_cell(W)[0]
    n = features.orientations
    if features.signed and n % 2 == 0:
        cells = cells[..., : n // 2] + cells[..., n // 2 :]
        n //= 2
    turn = 2.0 * np.pi if features.signed and features.orientations % 2 else np.pi
    return cells, np.arange(n) * turn / n + 0.5 * np.pi


def hue_weights(features: ColorMap, W: Weights) -> Weights:
    """(K, saturation_bins, hue_bins): the mean weight over the regions of the picture."""
    shape = (len(W), features.grid**2, features.hue_bins, features.saturation_bins)
    mean: Weights = W.reshape(shape).mean(axis=1).transpose(0, 2, 1)
    return mean


def patch_weights(features: PatchesMap, W: Weights) -> Weights:
    """(K, 2, P'): the weight of each patch, and of its negative, summed over the regions."""
    summed: Weights = W.reshape(len(W), features.grid**2, 2, -1).sum(axis=1)
    return summed


def bars_panel(title: str, W: Weights, class_names: Sequence[object], columns: Sequence[str]) -> Panel:
    """The largest weights of each class as bars, the largest first, each with the name of its feature."""
    n = min(N_BARS, W.shape[1])
    rows = -(-len(W) // grid_columns(len(W)))
    height = rows * (0.14 * n + 0.35)

    def draw(figure: SubFigure) -> None:
        limit = symmetric_limit(W)
        for axes, weights in zip(class_grid(figure, class_names, WIDTH, height), W, strict=True):
            top = np.argsort(-np.abs(weights), kind="stable")[:n]
            axes.barh(range(n), weights[top], color=[FOR if w > 0 else AGAINST for w in weights[top]], height=0.75)
            axes.axvline(0.0, color=GRID, linewidth=0.8)
            for place, k in enumerate(top):
                side = -1 if weights[k] > 0 else 1
                axes.text(
                    side * 0.04 * limit, place, label_text(columns[k], 9), ha="right" if side < 0 else "left",
                    va="center", fontsize=6, color=MUTED,
                )  # fmt: skip
            axes.set_xlim(-limit, limit)
            axes.set_ylim(n - 0.4, -0.6)

    return Panel(height, draw, f"the {n} largest weights of each class as bars ({title})")


def _strokes_panel(features: HogMap, W: Weights, class_names: Sequence[object]) -> Panel:
    cells, directions = edge_weights(features, W)
    n_y, n_x = cells.shape[1:3]
    columns = grid_columns(len(W))
    height = -(-len(W) // columns) * (WIDTH / max(columns, 3) * min(n_y / n_x, 3.0) + 0.25)

    def draw(figure: SubFigure) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.colors import to_rgb
        from matplotlib.patches import Rectangle

        limit = symmetric_limit(cells, 0.99)
        y, x = np.indices((n_y, n_x))
        step = 0.46 * np.stack([np.cos(directions), np.sin(directions)], axis=-1)
        middle = np.stack([x, y], axis=-1)[:, :, None, :]
        lines = np.stack([middle - step, middle + step], axis=-2).reshape(-1, 2, 2)
        for axes, weights in zip(class_grid(figure, class_names, WIDTH, height), cells, strict=True):
            strength = np.clip(weights.ravel() / limit, -1.0, 1.0)
            order = np.argsort(np.abs(strength), kind="stable")  # the strongest on top
            colors = [(*to_rgb(FOR if strength[k] > 0 else AGAINST), float(abs(strength[k]))) for k in order]
            # rasterised: as vectors, the strokes would take a megabyte of the SVG
            axes.add_collection(
                LineCollection(list(lines[order]), colors=colors, linewidths=7.0 / max(n_y, n_x), rasterized=True)
            )
            axes.add_patch(Rectangle((-0.6, -0.6), n_x + 0.2, n_y + 0.2, facecolor=GROUND, zorder=0))
            axes.set_xlim(-0.6, n_x - 0.4)
            axes.set_ylim(n_y - 0.4, -0.6)
            axes.set_aspect("equal")

    return Panel(height, draw, "strokes along edges, blue where they speak for the class, red where against it")


def _table_panel(features: ColorMap, W: Weights, class_names: Sequence[object]) -> Panel:
    weights = hue_weights(features, W)
    n_hues, n_saturations = features.hue_bins, features.saturation_bins
    height = -(-len(W) // grid_columns(len(W))) * 1.15
    shift = 0.0 if features.soft else 0.5  # centres of the bins
    strip = np.array([[colorsys.hsv_to_rgb((k + shift) / n_hues, 1.0, 0.95) for k in range(n_hues)]])

    def draw(figure: SubFigure) -> None:
        limit = symmetric_limit(weights, 0.99)
        grid = class_grid(figure, class_names, WIDTH, height, right=1.0)
        for axes, table in zip(grid, weights, strict=True):
            drawn = axes.imshow(
                table, cmap=DIVERGING, vmin=-limit, vmax=limit, origin="lower", aspect="auto",
                extent=(-0.5, n_hues - 0.5, -0.5, n_saturations - 0.5),
            )  # fmt: skip
            axes.imshow(strip, aspect="auto", extent=(-0.5, n_hues - 0.5, -1.1, -0.6))
            axes.set_xlim(-0.5, n_hues - 0.5)
            axes.set_ylim(-1.1, n_saturations - 0.5)
        signed_bar(figure, drawn, limit, ("against", "for"), WIDTH)
        figure.text(1.0 - 0.95 / WIDTH, 0.98, "across: hue\nup: saturation", va="top", fontsize=7, color=MUTED)

    alt = "a table per class, hue to the right and saturation upwards, blue where the colour speaks for the class"
    return Panel(height, draw, alt)


def _patches_panel(features: PatchesMap, W: Weights, class_names: Sequence[object]) -> Panel:
    weights = patch_weights(features, W).reshape(len(W), -1)
    pictures = features.patch_pictures()
    both = np.concatenate([pictures, -pictures])
    n = min(N_PATCHES, len(both) // 2)

    height = 0.4 * (len(W) + 0.7)

    def draw(figure: SubFigure) -> None:
        # one square of the axes for each patch
        names, gap = 3.3, 0.6
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        for row, (class_weights, name) in enumerate(zip(weights, class_names, strict=True)):
            order = np.argsort(-class_weights, kind="stable")
            axes.text(names - 0.2, row + 0.5, label_text(name), ha="right", va="center", fontsize=8)
            for column, k in enumerate([*order[:n], *order[::-1][:n]]):
                left = names + column + gap * (column >= n)
                axes.imshow(_patch_bytes(both[k]), extent=(left, left + 0.94, row + 0.94, row))
        axes.text(names, -0.2, "speak most for the class", fontsize=8, color=MUTED)
        axes.text(names + n + gap, -0.2, "and most against it", fontsize=8, color=MUTED)
        side = height / (len(W) + 0.7)
        axes.set_xlim(0.0, WIDTH / side)
        axes.set_ylim(len(W), -0.7)

    return Panel(height, draw, f"the {n} patches that speak most for and against each class")


def _patch_bytes(patch: Weights) -> npt.NDArray[np.uint8]:
    """A patch in deviations from its mean as RGB bytes: mid-grey is 0, the largest deviation black or white."""
    if patch.shape[2] != 3:
        patch = np.repeat(patch.mean(axis=2, keepdims=True), 3, axis=2)
    return np.rint(127.5 + 127.5 * patch / symmetric_limit(patch)).astype(np.uint8)
