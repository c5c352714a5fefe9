"""The confusion matrix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linprobe.errors import LabelError, ParameterError, ShapeError
from linprobe.explain.picture import ON_DARK, ON_LIGHT, Picture, drawing, label_text
from linprobe.shapes import Labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["confusion", "confusion_picture", "most_confused"]

READABLE = 30
"""Classes up to which the axes show class names; for more, the pairs confused most often are listed."""

NUMBERED = 20
"""Classes up to which each cell shows its count."""

LISTED = 20
"""Pairs that are listed, at most."""


def confusion(y: Labels, predicted: Labels, n_classes: int) -> npt.NDArray[np.int64]:
    """(K, K) counts: entry [i, j] is the number of images of class i that are classified as j.

    Args:
        y, predicted: (N,) integers in 0..K-1.
        n_classes: K.
    Raises:
        ShapeError: the two have different lengths.
        LabelError: one of them is not an integer in 0..K-1.
    Example:
        >>> confusion(np.array([0, 0, 1]), np.array([0, 1, 1]), 2)
        array([[1, 1],
               [0, 1]])
    """
    y, predicted = np.asarray(y), np.asarray(predicted)
    if y.ndim != 1 or y.shape != predicted.shape:
        raise ShapeError(f"y has shape {y.shape}, predicted {predicted.shape}; expected one of each per image.")
    for name, labels in (("y", y), ("predicted", predicted)):
        if not np.issubdtype(labels.dtype, np.integer):
            raise LabelError(f"{name} has dtype {labels.dtype}; expected integers in 0..{n_classes - 1}.")
        if len(labels) and (labels.min() < 0 or labels.max() >= n_classes):
            row = int(np.flatnonzero((labels < 0) | (labels >= n_classes))[0])
            raise LabelError(f"{name}[{row}] = {labels[row]}; expected a label in 0..{n_classes - 1}.")
    counts = np.bincount(y.astype(np.int64) * n_classes + predicted, minlength=n_classes**2)
    return counts.astype(np.int64).reshape(n_classes, n_classes)


def most_confused(matrix: npt.NDArray[np.int64], n: int = LISTED) -> list[tuple[int, int, int]]:
    """(true class, predicted class, images) of the `n` most frequent confusions, the most frequent first.

    On ties, the smaller true class first. Pairs that do not occur are left out.
    """
    wrong = matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:n]
    pairs = [divmod(int(place), len(matrix)) for place in order]
    return [(i, j, int(wrong[i, j])) for i, j in pairs if wrong[i, j]]


def confusion_picture(matrix: npt.NDArray[np.int64], class_names: Sequence[object]) -> Picture:
    """The matrix with its counts, coloured by the share of the row; for more than 30 classes, also the worst pairs.

    Rows are true classes, columns predicted classes: the diagonal counts the images classified correctly.

    Args:
        matrix: (K, K), as `confusion` returns it.
        class_names: K names.
    Raises:
        ShapeError: the matrix is not square.
        ParameterError: a count is negative or not finite, or the number of names is not K.
    """
    matrix = np.asarray(matrix)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not len(matrix):
        raise ShapeError(f"matrix has shape {matrix.shape}; expected (n_classes, n_classes).")
    if not np.isfinite(matrix).all() or (matrix < 0).any():
        raise ParameterError("matrix holds a NaN, infinite or negative number; expected counts of images.")
    if len(class_names) != len(matrix):
        raise ParameterError(f"class_names has {len(class_names)} names; expected {len(matrix)}, one per class.")
    K = len(matrix)
    from matplotlib.ticker import MaxNLocator

    names = [label_text(name) for name in class_names]
    worst = most_confused(matrix)
    if K <= READABLE:
        side = 2.2 + 0.42 * K if K <= NUMBERED else 2.2 + 0.27 * K
        # fixed margins: an automatic layout takes longer than the drawing
        name, bar = 0.12 + 0.075 * max(map(len, names)), 0.95
        cells = max(side - 1.9, 2.0)
        width, height = 0.3 + name + cells + bar, 0.08 + cells + 0.71 * name + 0.35
        with drawing(width, height, arranged=False) as figure:
            axes = figure.add_axes(((0.3 + name) / width, 1.0 - (0.08 + cells) / height, cells / width, cells / height))
            bar_place = (0.3 + name + cells + 0.12) / width, 1.0 - (0.08 + 0.85 * cells) / height
            _draw_matrix(axes, matrix, figure.add_axes((*bar_place, 0.1 / width, 0.7 * cells / height)))
            axes.set_xticks(range(K), names, rotation=45, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(K), names)
    else:
        with drawing(9.6, 1.2 + 0.2 * max(len(worst), 12)) as figure:
            axes, bars = figure.subplots(1, 2, width_ratios=(1.0, 1.0))
            _draw_matrix(axes, matrix)
            for axis in (axes.xaxis, axes.yaxis):
                axis.set_major_locator(MaxNLocator(6, integer=True))
            _draw_pairs(bars, matrix, worst, names)
    total, hits = int(matrix.sum()), int(np.trace(matrix))
    alt = f"Confusion matrix of {K} classes: {hits} of {total} images lie on the diagonal, classified correctly."
    if worst:
        i, j, n = worst[0]
        alt += f" Most often confused: {class_names[i]} taken for {class_names[j]}, {n} time{'s' * (n > 1)}."
    return Picture(figure, alt)


def _draw_matrix(axes: Axes, matrix: npt.NDArray[np.int64], beside: Axes | None = None) -> None:
    """The matrix, with its colour bar in `beside`, or next to it for None."""
    from matplotlib.colors import PowerNorm

    K = len(matrix)
    sums = matrix.sum(axis=1, keepdims=True)
    shares = np.divide(matrix, sums, out=np.zeros(matrix.shape), where=sums > 0)  # a class without images: all 0
    # the exponent makes rare errors visible
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.6, 0.0, 1.0))
    axes.grid(visible=False)
    axes.tick_params(length=0)
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    # arguments of matplotlib, of many types
    at: dict[str, Any] = {"ax": axes, "shrink": 0.7, "aspect": 25, "pad": 0.02} if beside is None else {"cax": beside}
    bar = axes.figure.colorbar(drawn, ticks=[0.0, 0.1, 0.25, 0.5, 1.0], **at)
    bar.set_ticklabels(["0", "10%", "25%", "50%", "100%"])
    bar.set_label("share of the true class", fontsize=8)
    bar.outline.set_visible(False)
    if K > NUMBERED:
        return
    size = 8 if matrix.max() < 1000 else 7 if matrix.max() < 10_000 else 5.5
    for i in range(K):
        for j in range(K):
            if matrix[i, j]:
                color = ON_DARK if shares[i, j] > 0.35 else ON_LIGHT
                axes.text(j, i, str(int(matrix[i, j])), ha="center", va="center", color=color, fontsize=size)


def _draw_pairs(axes: Axes, matrix: npt.NDArray[np.int64], worst: list[tuple[int, int, int]], names: list[str]) -> None:
    axes.set_title("confused most often")
    axes.grid(visible=False, axis="y")
    if not worst:
        axes.set_axis_off()
        axes.text(0.0, 0.5, "nothing is confused", transform=axes.transAxes)
        return
    places = range(len(worst))
    axes.barh(places, [n for _, _, n in worst], color="#0072b2", height=0.7)
    axes.set_yticks(places, [f"{names[i]} as {names[j]}" for i, j, _ in worst])
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlabel("images")
    for place, (i, _, n) in zip(places, worst, strict=True):
        axes.text(n, place, f" {n} of {int(matrix[i].sum())}", va="center", fontsize=7.5)
    axes.set_xlim(0, worst[0][2] * 1.3)
