"""The loss landscape: L on a plane through its optimum, and the paths of optimizers.

L is a function of all entries of W and b. Its picture is a slice along a plane,

    L(center + x direction_1 + y direction_2)

On a plane the scores are linear in x and y, S = S_center + x S_1 + y S_2. Three passes over the images give the scores
of all points of a slice, so a slice costs little more than its losses.

The plane that contains most of a path is spanned by the leading principal directions of its iterates about the
optimum. An iterate is drawn at its projection, whose objective differs from its own. `share` is the share of the
path's variance in the plane.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.picture import GRID, INK, MUTED, Picture, drawing, label_text
from linprobe.objective import Objective
from linprobe.optimizers.base import Epoch, Optimizer, Solution, State
from linprobe.shapes import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LossSlice", "Plane", "Walk", "landscape_picture", "loss_slice", "plane_of", "slice_around", "walk"]

Weights: TypeAlias = tuple[Floats, Floats]
"""W (K, D) and b (K,)."""

MARGIN = 0.15
"""Margin around the paths, as a share of their extent."""

PANEL = 3.5
"""Width of a panel with its labels, in inches."""

LEVELS = 12
"""Number of contour lines."""

FALL, WAY = "#0072b2", "#d55e00"
"""Colours of the landscape, darker where L is lower, and of the path."""

SCORES_AT_ONCE = 2**22
"""Scores of a block, at most: 32 MB in float64."""


@dataclass(frozen=True)
class Walk:
    """The path of an optimizer.

    Attributes:
        W, b: (n, K, D) and (n, K), the start first.
        objectives: (n,) L at each of them.
        solution: what the optimizer returned.
    """

    W: npt.NDArray[np.float64]
    b: npt.NDArray[np.float64]
    objectives: npt.NDArray[np.float64]
    solution: Solution


@dataclass(frozen=True)
class Plane:
    """A plane in the space of W and b.

    Attributes:
        center: W (K, D) and b (K,) of its origin.
        directions: two of such pairs, orthonormal over W and b together.
        share: of the squared distances of the iterates from the center, the share within the plane, 0..1.
    """

    center: Weights
    directions: tuple[Weights, Weights]
    share: float = 1.0

    def at(self, x: float, y: float) -> Weights:
        """W and b of a point of the plane."""
        (W, b), ((W_1, b_1), (W_2, b_2)) = self.center, self.directions
        return W + x * W_1 + y * W_2, b + x * b_1 + y * b_2

    def project(self, W: Floats, b: Floats) -> npt.NDArray[np.float64]:
        """(n, 2) coordinates of the points of the plane that are nearest to W (n, K, D), b (n, K)."""
        away = _flat(W, b) - _flat(*self.center)
        axes = np.stack([_flat(*direction) for direction in self.directions])
        projected: npt.NDArray[np.float64] = away @ axes.T
        return projected


@dataclass(frozen=True)
class LossSlice:
    """L on a grid of points of a plane.

    Attributes:
        plane: the plane.
        x, y: (width,) and (height,) coordinates, ascending.
        values: (height, width); [i, j] is L at (x[j], y[i]).
    """

    plane: Plane
    x: npt.NDArray[np.float64]
    y: npt.NDArray[np.float64]
    values: npt.NDArray[np.float64]


def walk(optimizer: Optimizer, objective: Objective, start: State | None = None) -> Walk:
    """The path of `optimizer` to the minimum of `objective`: the weights after each epoch.

    For SGD with averaging, the averaged weights.

    Args:
        optimizer, objective, start: as `minimize` takes them.
    """
    steps: list[tuple[Floats, Floats, float]] = []

    def record(epoch: Epoch) -> None:
        arrays = epoch.state.arrays
        suffix = "_avg" if "W_avg" in arrays else ""
        steps.append((arrays[f"W{suffix}"], arrays[f"b{suffix}"], epoch.objective))

    solution = optimizer.minimize(objective, start, record)
    W, b = (np.stack([step[i] for step in steps]).astype(np.float64) for i in (0, 1))
    return Walk(W, b, np.array([step[2] for step in steps]), solution)


def plane_of(walks: Sequence[Walk], center: Weights | None = None) -> Plane:
    """The plane through `center` that is closest to the iterates of all paths, each path with equal weight.

    Its directions are the two leading right singular vectors of the iterates minus the center. If the iterates span
    only a line, the second is a random direction of W orthogonal to it, with a fixed seed.

    Args:
        walks: one or more, of the same shapes.
        center: W and b of the origin; None for the last weights of the walk that ended lowest.
    Raises:
        ParameterError: no walks.
        ShapeError: they have different shapes.
    """
    if not walks:
        raise ParameterError("no walks; give at least one, as walk(optimizer, objective) returns it.")
    shapes = {step.W.shape[1:] for step in walks}
    if len(shapes) > 1 or (center is not None and center[0].shape not in shapes):
        found = sorted({*shapes, *(() if center is None else {center[0].shape})})
        raise ShapeError(f"the weights have the shapes {found}; expected walks of one objective.")
    if center is None:
        lowest = min(walks, key=lambda taken: taken.objectives[-1])
        center = lowest.W[-1], lowest.b[-1]
    away = np.concatenate([(_flat(w.W, w.b) - _flat(*center)) / np.sqrt(len(w.W)) for w in walks])
    # few iterates of many numbers: their Gram matrix is small, and its eigenvectors give the right singular vectors
    squares, vectors = np.linalg.eigh(away @ away.T)
    total = float(np.square(away).sum())
    axes: list[npt.NDArray[np.float64]] = []
    for square, vector in zip(squares[::-1], vectors.T[::-1], strict=True):
        if len(axes) == 2 or square <= 1e-12 * total or total == 0.0:
            break
        axes.append(_orthonormal(vector @ away, axes))
    share = 1.0 if total == 0.0 else min(1.0, float(np.square(away @ np.stack(axes).T).sum()) / total)
    random = np.random.Generator(np.random.PCG64(0))
    K, D = center[0].shape
    while len(axes) < 2:
        drawn = np.concatenate(
            [random.standard_normal(K * D), np.zeros(K)]
        )  # reg curves L along W, and nothing along b
        axes.append(_orthonormal(drawn, axes))
    first, second = (_shaped(axis, K) for axis in axes)
    return Plane((center[0].astype(np.float64), center[1].astype(np.float64)), (first, second), share)


def loss_slice(
    objective: Objective,
    plane: Plane,
    low: tuple[float, float],
    high: tuple[float, float],
    size: int | tuple[int, int] = 41,
) -> LossSlice:
    """L on a grid of a plane, penalty included, in float64.

    Args:
        objective: what is cut.
        plane: of its W and b.
        low, high: two corners (x, y) of the cut, in the units of the weights.
        size: (height, width), or one number for both, >= 2.
    Raises:
        ParameterError: a corner or the size cannot be used.
        ShapeError: the plane is of weights of another shape.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if not (np.isfinite([*low, *high]).all() and low[0] < high[0] and low[1] < high[1]):
        raise ParameterError(f"low = {low}, high = {high}; expected finite corners, low below high in x and in y.")
    if min(height, width) < 2:
        raise ParameterError(f"size = {size}; expected at least 2 points along both sides.")
    expected = (objective.n_classes, objective.n_features)
    if plane.center[0].shape != expected:
        raise ShapeError(f"the plane is of W of shape {plane.center[0].shape}, but the objective has {expected}.")
    x, y = np.linspace(low[0], high[0], width), np.linspace(low[1], high[1], height)
    values = np.zeros((height, width))
    shares, labels = objective.shares(), objective.examples.y
    parts = (plane.center, *plane.directions)
    block = max(1, SCORES_AT_ONCE // (objective.n_classes * width))
    for start in range(0, objective.n_images, block):
        rows = np.arange(start, min(start + block, objective.n_images))
        center, first, second = (objective.engine.scores(W, b, rows, precise=True) for W, b in parts)
        again = np.tile(labels[rows], width)
        for i, up in enumerate(y):
            on_row = (center + up * second) + x[:, None, None] * first
            losses = objective.loss.value(on_row.reshape(-1, objective.n_classes), again)
            values[i] += losses.reshape(width, -1) @ shares[rows]
    for i, up in enumerate(y):
        for j, right in enumerate(x):
            values[i, j] += objective.penalty_value(plane.at(right, up)[0])
    return LossSlice(plane, x, y, values)


def slice_around(
    objective: Objective, walks: Sequence[Walk], size: int | tuple[int, int] = 41, plane: Plane | None = None
) -> LossSlice:
    """The slice that contains all paths, with a margin.

    Args:
        objective: the one that was minimised.
        walks: one or more.
        size: as `loss_slice` takes it.
        plane: None for `plane_of(walks)`.
    """
    plane = plane_of(walks) if plane is None else plane
    points = np.concatenate([plane.project(taken.W, taken.b) for taken in walks] + [np.zeros((1, 2))])
    low, high = points.min(axis=0), points.max(axis=0)
    longest = float((high - low).max()) or 1.0
    # a slice around a straight path would be a narrow strip
    missing = np.maximum(0.0, 0.6 * longest - (high - low)) / 2.0
    low, high = low - missing - MARGIN * longest, high + missing + MARGIN * longest
    return loss_slice(objective, plane, (low[0], low[1]), (high[0], high[1]), size)


def landscape_picture(cut: LossSlice, walks: Mapping[str, Walk]) -> Picture:
    """The slice as contour lines, with a panel for each path and its projected iterates.

    The distances of the contour levels from the lowest value decrease by equal factors, so that the bottom of the bowl
    is visible too. A square marks the start, a star the center of the plane.

    Args:
        cut: as `loss_slice` or `slice_around` returns it.
        walks: by the name of the optimizer.
    Raises:
        ParameterError: no walks, or the cut holds values that are not finite.
    """
    if not walks:
        raise ParameterError("walks is empty; give at least one, by name.")
    if not np.isfinite(cut.values).all():
        raise ParameterError("the cut holds NaN or infinity; cut closer to the optimum.")
    levels = _levels(cut.values)
    side = PANEL - 0.62
    panel = min(4.5, max(2.0, side * float(np.ptp(cut.y)) / float(np.ptp(cut.x))))
    width, height = PANEL * len(walks) + 0.1, panel + 0.85
    with drawing(width, height, arranged=False) as figure:
        panels = figure.subplots(1, len(walks), sharex=True, sharey=True, squeeze=False)[0]
        figure.subplots_adjust(
            left=0.6 / width, right=1.0 - 0.1 / width, bottom=0.5 / height, top=1.0 - 0.35 / height, wspace=0.62 / side
        )
        for axes, (name, taken) in zip(panels, walks.items(), strict=True):
            _draw_panel(axes, cut, levels, taken)
            axes.set_title(f"{label_text(name)}: {taken.objectives[-1]:.4f}, {taken.solution.passes:.0f} passes")
            axes.set_xlabel("first direction")
        panels[0].set_ylabel("second direction")
    reached = ", ".join(f"{name} {taken.objectives[-1]:.4g}" for name, taken in walks.items())
    alt = (
        f"Contour lines of the objective on a plane through its optimum, from {cut.values.min():.4g} in the middle to "
        f"{cut.values.max():.4g} at the border, with the paths of the optimizers. Reached: {reached}."
    )
    return Picture(figure, alt)


def _draw_panel(axes: Axes, cut: LossSlice, levels: npt.NDArray[np.float64], taken: Walk) -> None:
    shades = [(*_rgb(FALL), 0.06 + 0.4 * (1.0 - i / len(levels)) ** 1.5) for i in range(len(levels))]
    edges = [float(cut.values.min()), *levels]
    axes.contourf(cut.x, cut.y, cut.values, levels=_ascending(edges), colors=shades[: len(_ascending(edges)) - 1])
    lines = axes.contour(cut.x, cut.y, cut.values, levels=levels, colors=MUTED, linewidths=0.5)
    axes.clabel(lines, levels[1::3], fmt="%.3g", fontsize=6.5, colors=INK)
    points = cut.plane.project(taken.W, taken.b)
    few = len(points) <= 60
    axes.plot(points[:, 0], points[:, 1], color=WAY, linewidth=1.4, marker="o" if few else "", markersize=2.6)
    axes.plot(*points[0], marker="s", color=WAY, markersize=6, linestyle="none")
    axes.plot(0.0, 0.0, marker="*", color=INK, markersize=9, linestyle="none")
    axes.set_xlim(cut.x[0], cut.x[-1])
    axes.set_ylim(cut.y[0], cut.y[-1])
    axes.grid(visible=True, color=GRID, alpha=0.4)
    axes.set_aspect("equal")


def _levels(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Contour levels, ascending: above the lowest value by equal factors, up to the highest."""
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.array([low, low + max(abs(low), 1.0)])
    return low + (high - low) * np.geomspace(2e-3, 1.0, LEVELS)


def _ascending(edges: Sequence[float]) -> list[float]:
    """Edges without those that rounding made equal to the one before."""
    kept = [edges[0]]
    for edge in edges[1:]:
        if edge > kept[-1]:
            kept.append(edge)
    return kept


def _rgb(color: str) -> tuple[float, float, float]:
    red, green, blue = (int(color[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    return red, green, blue


def _flat(W: Floats, b: Floats) -> npt.NDArray[np.float64]:
    """W and b of one classifier (K D + K,), or of n of them (n, K D + K)."""
    before = W.shape[:-2]
    return np.concatenate([W.reshape(*before, -1), b], axis=-1).astype(np.float64, copy=False)


def _shaped(flat: npt.NDArray[np.float64], n_classes: int) -> Weights:
    return flat[:-n_classes].reshape(n_classes, -1), flat[-n_classes:]


def _orthonormal(vector: npt.NDArray[np.float64], axes: Sequence[npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """`vector` made orthogonal to the `axes` and normalised."""
    for axis in axes:
        vector = vector - (axis @ vector) * axis
    unit: npt.NDArray[np.float64] = vector / np.sqrt(vector @ vector)
    return unit
