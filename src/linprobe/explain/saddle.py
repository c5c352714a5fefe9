"""Walks away from a saddle: by the full gradient and by mini-batches, from the same starts, with their escape times.

    w <- w - eta (1/M) sum over the batch of dL_i/dw        M = N: the full gradient

Near a saddle the full gradient is nearly 0, and a walk along it leaves at a rate that the most negative eigenvalue of
the Hessian sets: the distance from the saddle grows by 1 + eta |eigenvalue| a step. A mini-batch adds noise, which
moves the walk at once. How much time that saves depends on how near the start is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.picture import CLASS_COLORS, GRID, INK, MUTED, Picture, drawing, label_text
from linprobe.explain.two_layer import Array, Saddle
from linprobe.shapes import check_range

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "Descent",
    "Escapes",
    "Surface",
    "descend",
    "escapes",
    "escapes_picture",
    "losses_picture",
    "nearest",
    "settle",
    "starts_near",
    "surface",
    "surface_picture",
]

LEVELS = 14
"""Number of contour lines."""

SHOWN_WALKS = 12
"""Walks of a panel that are drawn, at most: more hide the surface."""

PANEL = (3.5, 2.9)
"""Width and height of a panel with its labels, in inches."""

LOW, HIGH = "#0072b2", "#d55e00"
"""Colours of the surface, darker where L is lower, and of the walks."""

LARGEST_LOSS = 1e100
"""Bound on a loss that still counts as a number; a walk that exceeds it has diverged."""

NEWTON_STEPS = 100
"""Bound on the steps of `settle`. From the ends of walks that had come close it took 3 to 8."""

SETTLED = 1e-10
"""Length of the gradient at which `settle` ends, in the unit of loss per weight; rounding leaves near 1e-16."""


@dataclass(frozen=True)
class Descent:
    """R walks of the same length, one from each start.

    Attributes:
        batch_size: M; N for the full gradient.
        n_images: N.
        learning_rate: eta.
        steps: (T,) the steps at which the walks were recorded; 0 first, the last one last.
        weights: (T, R, P).
        losses: (T, R), L over all images, whatever M; infinite once a walk has diverged.
    """

    batch_size: int
    n_images: int
    learning_rate: float
    steps: npt.NDArray[np.int64] = field(repr=False)
    weights: Array = field(repr=False)
    losses: Array = field(repr=False)


@dataclass(frozen=True)
class Escapes:
    """When R walks left a saddle, and how they ended.

    Attributes:
        batch_size: M; N for the full gradient.
        steps: (R,) the first recorded step with a loss below the level; infinite for a walk that stayed.
        images: (R,) gradients of single images computed until then: steps times M.
        ends: (R,) L at the last step.
        last: the last step of the walks.
    """

    batch_size: int
    steps: Array = field(repr=False)
    images: Array = field(repr=False)
    ends: Array = field(repr=False)
    last: int

    @property
    def stayed(self) -> int:
        """The number of walks that did not leave."""
        return int(np.isinf(self.steps).sum())

    @property
    def median_steps(self) -> float:
        """Of all walks, those that stayed counted as infinite."""
        return float(np.quantile(self.steps, 0.5, method="inverted_cdf"))


@dataclass(frozen=True)
class Surface:
    """L over two free weights, on a grid.

    Attributes:
        x, y: (width,) and (height,), values of the first and of the second weight.
        values: (height, width).
        names: of the two weights.
    """

    x: Array
    y: Array
    values: Array
    names: tuple[str, str]


def starts_near(saddle: Saddle, distance: float, n: int = 100, seed: int = 0) -> Array:
    """(n, P) points at `distance` from the saddle, in uniform random directions of the free weights.

    Args:
        saddle: with its weights and the free ones.
        distance: >= 0, in the unit of the weights; 0 gives the saddle n times.
        n: at least 1.
        seed: of the directions; the same for every distance.
    Raises:
        ParameterError: `distance` or `n` cannot be used.
    """
    check_range("distance", distance, low=0.0)
    if n < 1:
        raise ParameterError(f"n = {n}; expected at least 1.")
    directions = np.random.Generator(np.random.PCG64(seed)).standard_normal((n, len(saddle.free)))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    starts = np.tile(saddle.weights, (n, 1))
    starts[:, saddle.free] += distance * directions
    return starts


def descend(
    saddle: Saddle,
    starts: Array,
    batch_size: int | None = None,
    *,
    steps: int = 200,
    learning_rate: float = 1.0,
    seed: int = 0,
    record_every: int = 1,
) -> Descent:
    """Walks from every start, with a constant learning rate.

    Every epoch shuffles the images anew for every walk, from PCG64([seed, epoch]), and cuts them into batches; the last
    one of an epoch may be smaller.

    Args:
        saddle: network, images and the weights that may change.
        starts: (R, P).
        batch_size: M, 1..N; None for the full gradient.
        steps: at least 1.
        learning_rate: eta > 0.
        seed: of the batches.
        record_every: steps from one record to the next, at least 1.
    Raises:
        ShapeError: the starts are not (R, P).
        ParameterError: another argument cannot be used.
    """
    network, X, y, n = saddle.network, saddle.X, saddle.y, len(saddle.X)
    size = n if batch_size is None else batch_size
    if starts.ndim != 2 or starts.shape[1] != network.n_weights:
        raise ShapeError(f"starts has shape {starts.shape}; expected (n_walks, {network.n_weights}).")
    for name, value, top in (("batch_size", size, n), ("steps", steps, None), ("record_every", record_every, None)):
        check_range(name, value, low=1, high=float("inf") if top is None else top)
    check_range("learning_rate", learning_rate, low=0.0, open_low=True)
    weights, rate = starts.astype(np.float64), np.zeros(network.n_weights)
    rate[saddle.free] = learning_rate
    recorded, path, losses = [0], [weights], [network.value(weights, X, y)]
    order, start, epoch = np.empty((0, 0), dtype=np.int64), n, 0
    for step in range(1, steps + 1):
        if size == n:
            gradient = network.value_and_gradient(weights, X, y)[1]
        else:
            if start >= n:
                random = np.random.Generator(np.random.PCG64([seed, epoch]))
                order = random.permuted(np.tile(np.arange(n), (len(weights), 1)), axis=1)
                start, epoch = 0, epoch + 1
            rows = order[:, start : start + size]
            start += size
            gradient = network.value_and_gradient(weights, X[rows], y[rows])[1]
        weights = weights - rate * gradient
        if step % record_every == 0 or step == steps:
            recorded.append(step)
            path.append(weights)
            losses.append(network.value(weights, X, y))
    values = np.stack(losses)
    values[~(values < LARGEST_LOSS)] = np.inf
    return Descent(size, n, learning_rate, np.array(recorded), np.stack(path), values)


def escapes(descent: Descent, level: float) -> Escapes:
    """When each walk first has a loss below `level`.

    Args:
        descent: recorded often enough for the times that are wanted.
        level: below the loss of the saddle, by more than the noise of a batch moves it.
    """
    below = descent.losses < level
    first = descent.steps[below.argmax(axis=0)]
    steps = np.where(below.any(axis=0), first, np.inf)
    return Escapes(
        descent.batch_size, steps, steps * descent.batch_size, descent.losses[-1].copy(), int(descent.steps[-1])
    )


def settle(saddle: Saddle, weights: Array) -> Array:
    """(P,) the stationary point near `weights`, by Newton's method in the free weights.

    Raises:
        ParameterError: the gradient did not become 0; start nearer.
    """
    at = np.array(weights, dtype=np.float64)
    free = saddle.free
    for _ in range(NEWTON_STEPS):
        gradient = saddle.network.value_and_gradient(at, saddle.X, saddle.y)[1][free]
        if np.linalg.norm(gradient) <= SETTLED:
            return at
        hessian = saddle.network.hessian(at, saddle.X, saddle.y)[np.ix_(free, free)]
        at[free] -= np.linalg.lstsq(hessian, gradient, rcond=None)[0]
    raise ParameterError(f"the gradient is not 0 after {NEWTON_STEPS} steps of Newton's method; start nearer.")


def nearest(saddle: Saddle, weights: Array, points: Sequence[Array]) -> npt.NDArray[np.int64]:
    """(R,) for each of the weights (R, P), the position of the nearest of the `points`, by the free weights.

    Raises:
        ParameterError: no points.
    """
    if not len(points):
        raise ParameterError("points is empty; give the minima, as settle() returns them.")
    away = weights[:, None, saddle.free] - np.stack(points)[None, :, saddle.free]
    found: npt.NDArray[np.int64] = np.linalg.norm(away, axis=2).argmin(axis=1)
    return found


def surface(saddle: Saddle, low: tuple[float, float], high: tuple[float, float], size: int = 81) -> Surface:
    """L on a grid of two free weights.

    Args:
        saddle: with two free weights that have names, as `line_saddle` returns it.
        low, high: two corners.
        size: points along each side, >= 2.
    Raises:
        ParameterError: there are not two free weights, or a corner or the size cannot be used.
    """
    if len(saddle.names) != 2:
        raise ParameterError(f"{len(saddle.free)} weights are free; a surface needs two, as line_saddle() has.")
    if not (np.isfinite([*low, *high]).all() and low[0] < high[0] and low[1] < high[1]):
        raise ParameterError(f"low = {low}, high = {high}; expected finite corners, low below high in x and in y.")
    if size < 2:
        raise ParameterError(f"size = {size}; expected at least 2.")
    x, y = (np.linspace(low[i], high[i], size) for i in (0, 1))
    rows = []
    for up in y:
        weights = np.tile(saddle.weights, (size, 1))
        weights[:, saddle.free[0]], weights[:, saddle.free[1]] = x, up
        rows.append(saddle.network.value(weights, saddle.X, saddle.y))
    return Surface(x, y, np.stack(rows), (saddle.names[0], saddle.names[1]))


def surface_picture(
    saddle: Saddle, cut: Surface, walks: Mapping[str, Descent], minima: Sequence[Array] = ()
) -> Picture:
    """The surface as contour lines, with a panel for each descent and its first walks.

    A cross marks the saddle, a square each start, a star each minimum, with its loss. Of the drawn walks each panel has
    12 at most.

    Args:
        saddle: with two free weights.
        cut: as `surface` returns it.
        walks: by name.
        minima: their weights (P,), as `settle` returns them.
    Raises:
        ParameterError: no walks.
    """
    if not walks:
        raise ParameterError("walks is empty; give at least one descent, by name.")
    width, height = PANEL[0] * len(walks), PANEL[1] + 0.2
    with drawing(width, height) as figure:
        panels = figure.subplots(1, len(walks), sharex=True, sharey=True, squeeze=False)[0]
        for axes, (name, descent) in zip(panels, walks.items(), strict=True):
            _draw_surface(axes, saddle, cut)
            _draw_walks(axes, saddle, descent)
            _mark(axes, saddle, minima)
            axes.set_title(f"{label_text(name, 30)}, {descent.steps[-1]} steps")
            axes.set_xlabel(cut.names[0])
        panels[0].set_ylabel(cut.names[1])
    at = float(saddle.network.value(saddle.weights, saddle.X, saddle.y))
    alt = (
        f"Contour lines of the loss over {cut.names[0]} and {cut.names[1]}, with a saddle of loss {at:.3g}, "
        f"{len(minima)} minima, and walks. {'; '.join(_ends_in_words(saddle, *one, minima) for one in walks.items())}."
    )
    return Picture(figure, alt)


def _ends_in_words(saddle: Saddle, name: str, descent: Descent, minima: Sequence[Array]) -> str:
    """How many of the walks end nearest to each minimum."""
    if not minima:
        return f"{name}: the median ends at {np.median(descent.losses[-1]):.3g}"
    counts = np.bincount(nearest(saddle, descent.weights[-1], minima), minlength=len(minima))
    losses = saddle.network.value(np.stack(minima), saddle.X, saddle.y)
    parts = (f"{count} end near {loss:.3f}" for count, loss in zip(counts, losses, strict=True))
    return f"{name}: {' and '.join(parts)}"


def _draw_surface(axes: Axes, saddle: Saddle, cut: Surface) -> None:
    """Contours at even shares of the values, with one through the saddle: there the level curves cross."""
    at = float(saddle.network.value(saddle.weights, saddle.X, saddle.y))
    levels = np.unique(np.append(np.quantile(cut.values, np.linspace(0.02, 0.98, LEVELS - 1)), at))
    red, green, blue = (int(LOW[i : i + 2], 16) / 255.0 for i in (1, 3, 5))
    shades = [(red, green, blue, 0.05 + 0.45 * (1.0 - i / len(levels)) ** 1.5) for i in range(len(levels))]
    low = min(float(cut.values.min()), float(levels[0]) - 1e-9)
    axes.contourf(cut.x, cut.y, cut.values, levels=[low, *levels], colors=shades)
    axes.contour(cut.x, cut.y, cut.values, levels=levels, colors=MUTED, linewidths=0.5)
    axes.contour(cut.x, cut.y, cut.values, levels=[at], colors=INK, linewidths=1.0, linestyles="--")
    axes.set_xlim(cut.x[0], cut.x[-1])
    axes.set_ylim(cut.y[0], cut.y[-1])
    axes.grid(visible=True, color=GRID, alpha=0.4)


def _draw_walks(axes: Axes, saddle: Saddle, descent: Descent) -> None:
    paths = descent.weights[:, :SHOWN_WALKS, saddle.free]
    for path in np.swapaxes(paths, 0, 1):
        axes.plot(path[:, 0], path[:, 1], color=HIGH, linewidth=1.0, alpha=0.8)
    axes.plot(paths[0, :, 0], paths[0, :, 1], color=HIGH, marker="s", markersize=3.5, linestyle="none")


def _mark(axes: Axes, saddle: Saddle, minima: Sequence[Array]) -> None:
    axes.plot(*saddle.weights[saddle.free], color=INK, marker="x", markersize=7, markeredgewidth=1.8, linestyle="none")
    for point in minima:
        x, y = point[saddle.free]
        loss = float(saddle.network.value(point, saddle.X, saddle.y))
        axes.plot(x, y, color=INK, marker="*", markersize=9, linestyle="none")
        axes.annotate(f"{loss:.3f}", (x, y), xytext=(6, -11), textcoords="offset points", color=INK, fontsize=8)


def escapes_picture(found: Mapping[str, Escapes]) -> Picture:
    """The share of walks that are still at the saddle, against steps, and against images on a logarithmic scale.

    A curve that ends above 0 is of walks that stayed.

    Args:
        found: by name.
    Raises:
        ParameterError: none given.
    """
    from matplotlib.ticker import FuncFormatter, NullFormatter, PercentFormatter

    if not found:
        raise ParameterError("found is empty; give at least one Escapes, by name.")
    fewest = min(one.batch_size for one in found.values())
    with drawing(2 * PANEL[0] + 1.0, PANEL[1]) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for k, (name, one) in enumerate(found.items()):
            left = np.sort(one.steps[np.isfinite(one.steps)])
            share = 1.0 - np.arange(len(left) + 1) / len(one.steps)
            steps, heights = np.concatenate([[0.0], left, [one.last]]), np.append(share, share[-1])
            style = {"color": CLASS_COLORS[k % len(CLASS_COLORS)], "label": label_text(name, 30)}
            panels[0].plot(steps, heights, drawstyle="steps-post", **style)
            images = np.maximum(steps * one.batch_size, fewest)  # a logarithmic scale has no 0
            panels[1].plot(images, heights, drawstyle="steps-post", **style)
        panels[0].set_xlim(left=0.0)
        panels[1].set_xscale("log")
        panels[1].xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        panels[1].xaxis.set_minor_formatter(NullFormatter())
        panels[0].yaxis.set_major_formatter(PercentFormatter(1.0))
        panels[0].set_ylim(-0.03, 1.05)
        panels[0].set_ylabel("walks still at the saddle")
        for axes, label in zip(panels, ("steps", "gradients of single images"), strict=True):
            axes.set_xlabel(label)
        panels[1].legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    words = "; ".join(_escape_in_words(name, one) for name, one in found.items())
    return Picture(figure, f"Share of walks still at the saddle against steps and images seen. {words}.")


def _escape_in_words(name: str, found: Escapes) -> str:
    if np.isinf(found.median_steps):
        return f"{name}: {found.stayed} of {len(found.steps)} stayed for all {found.last} steps"
    return f"{name}: half had left after {found.median_steps:.0f} steps, {found.stayed} of {len(found.steps)} stayed"


def losses_picture(walks: Mapping[str, Descent]) -> Picture:
    """L over the steps: the median of the walks as a line, and the middle 80% of them as a band.

    Args:
        walks: by name.
    Raises:
        ParameterError: no walks, or all have diverged.
    """
    if not walks:
        raise ParameterError("walks is empty; give at least one descent, by name.")
    if not all(np.isfinite(descent.losses[-1]).any() for descent in walks.values()):
        raise ParameterError("all walks of a descent have diverged; take a lower learning rate.")
    with drawing(1.6 * PANEL[0], PANEL[1]) as figure:
        axes = figure.subplots()
        for k, (name, descent) in enumerate(walks.items()):
            color = CLASS_COLORS[k % len(CLASS_COLORS)]
            low, middle, high = np.quantile(descent.losses, (0.1, 0.5, 0.9), axis=1, method="inverted_cdf")
            axes.fill_between(descent.steps, low, high, color=color, alpha=0.18, linewidth=0.0)
            axes.plot(descent.steps, middle, color=color, label=label_text(name, 30))
        axes.set_xlabel("steps")
        axes.set_ylabel("loss over all images")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0.0)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ends = "; ".join(f"{name}: {np.median(descent.losses[-1]):.3g}" for name, descent in walks.items())
    return Picture(figure, f"Loss against steps, the median and the middle 80% of the walks. At the end: {ends}.")
