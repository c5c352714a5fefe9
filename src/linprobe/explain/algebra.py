"""The algebraic view: the numbers of W, x, b, the scores of one image and its loss."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.explain.picture import (
    DIVERGING,
    INK,
    MUTED,
    ON_LIGHT,
    Picture,
    drawing,
    label_text,
    shown,
    symmetric_limit,
)
from linprobe.explain.seen import checked_weights, class_position, raw_row, seen

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Algebra", "algebra", "algebra_picture"]

SHOWN_FEATURES = 5
"""Columns of W that are drawn, at most."""

SHOWN_CLASSES = 12
"""Rows of W that are drawn, at most."""

ROW, CELL = 0.24, 0.54
"""Height and width of a number, in inches."""


@dataclass(frozen=True)
class Algebra:
    """The parts of the scores of one image, scores = W x + b, and of its loss.

    Attributes:
        raw: (D,) the numbers of the image: intensities 0..255, or features.
        x: (D,) the input of the model, scaled and centred: x' = scale * raw + shift.
        W: (K, D), for x.
        b: (K,).
        products: (K,) W x, without the bias.
        scores: (K,).
        class_names: K names.
        loss: name of the loss.
        label: position of the class of the image, or None if it is unknown.
        terms: (K,) the term of each class in the loss: max(0, s_j - s_y + delta)^p for a loss that declares
            `margin_power` p, 0 for the class itself. For one that declares `is_cross_entropy`, the probability p_j of
            each class. None without a label, and for any other loss.
        value: the loss: the sum of the terms, or -log p_y of probabilities; None without a label.
        probabilities: whether the terms are probabilities.
    """

    raw: npt.NDArray[np.float64]
    x: npt.NDArray[np.float64]
    W: npt.NDArray[np.float64]
    b: npt.NDArray[np.float64]
    products: npt.NDArray[np.float64]
    scores: npt.NDArray[np.float64]
    class_names: tuple[str, ...]
    loss: str
    label: int | None
    terms: npt.NDArray[np.float64] | None
    value: float | None
    probabilities: bool = False


def algebra(model: LinearModel, image: npt.NDArray[Any], label: int | str | None = None) -> Algebra:
    """W, x, b, the scores of `image`, and, if its class is known, the terms of its loss.

    Args:
        model: a trained model.
        image: (height, width, channels), or (height, width) for grey; for a model of vectors (D,).
        label: the class of the image, by position or by name; None if it is unknown.
    Raises:
        IncompatibleError: the image has another shape than those of the training.
        ParameterError: the image or the weights are not finite, or there is no such class.
    """
    W, b = checked_weights(model)
    raw = raw_row(model, image).astype(np.float64)
    x = seen(model, image)
    products = W @ x
    scores = products + b
    position = None if label is None else class_position(model, label)
    terms, value = (None, None) if position is None else _terms(model, scores, position)
    name, names = model.loss_.name, model.class_names_
    return Algebra(raw, x, W, b, products, scores, names, name, position, terms, value, model.loss_.is_cross_entropy)


def algebra_picture(model: LinearModel, image: npt.NDArray[Any], label: int | str | None = None) -> Picture:
    """W x + b = scores, row by row, with the terms of the loss if the class is known.

    At most five columns of W are drawn, with their entries of x: those with the largest products for this image, in
    their order. W x sums over all columns. Of more than 12 classes, those with the highest scores are drawn, and the
    class of the image.

    Args, Raises: as for `algebra`.
    """
    found = algebra(model, image, label)
    pixels = np.asarray(image)
    columns, rows = _largest_columns(found), _shown_rows(found)
    wide = len(columns) < len(found.x)
    n_lines = max(len(rows), len(columns) + wide)
    height = ROW * (n_lines + 2.6)
    is_picture = pixels.ndim in (2, 3)
    left = 1.4 if is_picture else 0.1
    width = left + 2.67 + 0.2 * wide + CELL * (len(columns) + 4) + (0.25 + CELL) * (found.terms is not None)
    with drawing(width, height, arranged=False) as figure:
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
        axes.set_axis_off()
        axes.set_xlim(0.0, width)
        axes.set_ylim(height / ROW - 1.5, -1.5)  # in rows of the table; the headers are above row 0
        if is_picture:
            _draw_image(figure, pixels, width, height)
        _draw_sum(_Table(axes), left + 1.05, found, rows, columns, _column_names(model, pixels, columns))
        note = _note(found, len(columns), len(rows))
        axes.text(left, n_lines + 0.75, note, fontsize=7.5, color=MUTED, va="center")
    return Picture(figure, _in_words(found, len(rows)))


def _draw_image(figure: Figure, pixels: npt.NDArray[Any], width: float, height: float) -> None:
    """The image in the upper left corner of a figure of `width` x `height` inches."""
    side = min(1.2, height - 0.2)
    tall = pixels.shape[0] / pixels.shape[1]
    size = (side / max(tall, 1.0), side * min(tall, 1.0))
    axes = figure.add_axes((0.1 / width, 1.0 - (0.1 + size[1]) / height, size[0] / width, size[1] / height))
    axes.set_axis_off()
    axes.imshow(shown(pixels))


def _draw_sum(
    table: _Table,
    here: float,
    found: Algebra,
    rows: list[int],
    columns: npt.NDArray[np.int64],
    headers: list[str],
) -> None:
    """W x + b = scores, and the terms of the loss, from left to right; `here` is the left end of W, in inches."""
    wide = len(columns) < len(found.x)
    for line, k in enumerate(rows):
        table.text(here - 0.1, line, label_text(found.class_names[k], 13), align="right", bold=k == found.label)
    here = table.block(here, "W", found.W[rows][:, columns], headers)
    here = table.dots(here, range(len(rows))) if wide else here
    here = table.sign(here, "\N{MULTIPLICATION SIGN}")
    here = table.names(here, headers) + 0.05
    if wide:
        table.text(here + 0.27, len(columns), "\N{VERTICAL ELLIPSIS}", color=MUTED)
    here = table.block(here, "x", found.x[columns][:, None])
    for sign, title, values in (("=", "W x", found.products), ("+", "b", found.b), ("=", "scores", found.scores)):
        here = table.sign(here, sign)
        here = table.block(here, title, values[rows][:, None])
    if found.terms is not None:
        title = "p" if found.probabilities else "loss"
        table.block(here + 0.25, title, found.terms[rows][:, None], signed=False)


def _in_words(found: Algebra, n_rows: int) -> str:
    """The result as sentences."""
    best = int(found.scores.argmax())
    alt = f"W x + b for one image: the highest of {len(found.scores)} scores is {found.scores[best]:.4g}, "
    alt += f"{found.class_names[best]}."
    if found.value is not None and found.label is not None:
        alt += f" The image is of class {found.class_names[found.label]}; its {found.loss} loss is {found.value:.4g}."
    return alt + (" Only the highest scores are drawn." if n_rows < len(found.scores) else "")


class _Table:
    """Numbers in cells; abscissae are inches, ordinates are rows."""

    def __init__(self, axes: Axes) -> None:
        self.axes = axes

    def text(
        self, x: float, line: float, text: str, *, align: str = "center", color: str = INK, bold: bool = False,
        size: float = 7.5,
    ) -> None:  # fmt: skip
        weight = "bold" if bold else "normal"
        self.axes.text(x, line, text, ha=align, va="center", fontsize=size, color=color, fontweight=weight)

    def block(
        self, left: float, title: str, values: npt.NDArray[np.float64], headers: list[str] | None = None,
        *, signed: bool = True,
    ) -> float:  # fmt: skip
        """Draw cells coloured by their numbers, with a title above; returns their right end."""
        from matplotlib import colormaps
        from matplotlib.patches import Rectangle

        limit = symmetric_limit(values)
        tints = colormaps[DIVERGING]
        for (line, column), value in np.ndenumerate(values):
            tint = tints(0.5 + (0.28 * value / limit if signed else 0.0))
            at = (left + column * CELL, line - 0.46)
            self.axes.add_patch(Rectangle(at, CELL - 0.03, 0.92, facecolor=tint, edgecolor="none"))
            x = left + (column + 0.5) * CELL - 0.015
            self.text(x, line, _number(value), color=ON_LIGHT, size=7)
        right = left + float(values.shape[1]) * CELL
        self.text((left + right) / 2 - 0.015, -1.05, title, bold=True, size=8.5)
        for column, header in enumerate(headers or []):
            self.text(left + (column + 0.5) * CELL - 0.015, -0.65, header, color=MUTED, size=5.5)
        return right

    def dots(self, left: float, lines: range) -> float:
        for line in lines:
            self.text(left + 0.1, line, "\N{HORIZONTAL ELLIPSIS}", color=MUTED)
        return left + 0.2

    def sign(self, left: float, sign: str) -> float:
        self.text(left + 0.13, 0, sign, size=9)
        return left + 0.28

    def names(self, left: float, headers: list[str]) -> float:
        for line, header in enumerate(headers):
            self.text(left + 0.38, line, header, align="right", color=MUTED, size=5.5)
        return left + 0.38


def _terms(model: LinearModel, scores: npt.NDArray[np.float64], label: int) -> tuple[Any, float]:
    """(terms (K,) or None, value) of the loss of one image."""
    loss = model.loss_
    value = float(loss.value(scores[None], np.array([label]))[0])
    if loss.is_cross_entropy:
        return loss.probabilities(scores[None])[0], value
    if loss.margin_power is None:
        return None, value
    margins = np.maximum(0.0, scores - scores[label] + loss.unit)
    margins[label] = 0.0
    return margins**loss.margin_power, value


def _largest_columns(found: Algebra) -> npt.NDArray[np.int64]:
    """Positions of the features with the largest products |W x|, summed over the classes, in ascending order."""
    sizes = np.abs(found.W * found.x).sum(axis=0)
    return np.sort(np.argsort(-sizes, kind="stable")[:SHOWN_FEATURES])


def _shown_rows(found: Algebra) -> list[int]:
    """Positions of the classes that are drawn, in ascending order."""
    top = [int(k) for k in np.argsort(-found.scores, kind="stable")[:SHOWN_CLASSES]]
    if found.label is not None and found.label not in top:
        top[-1] = found.label
    return sorted(top)


def _column_names(model: LinearModel, pixels: npt.NDArray[Any], columns: npt.NDArray[np.int64]) -> list[str]:
    """Row, column and channel of each pixel; name or number of any other feature."""
    if model.features_ is None and pixels.ndim in (2, 3):
        shape = (*pixels.shape, 1) if pixels.ndim == 2 else pixels.shape
        letters = "RGB" if shape[2] == 3 else [""] if shape[2] == 1 else [f" ch {c}" for c in range(shape[2])]
        places = [np.unravel_index(int(k), shape) for k in columns]
        return [f"{y},{x}{letters[c]}" for y, x, c in places]
    named = getattr(model, "feature_names_in_", None)
    return [label_text(k if named is None else named[k], 7) for k in columns]


def _note(found: Algebra, n_columns: int, n_rows: int) -> str:
    """The numbers of omitted columns and classes, and the loss."""
    parts = []
    if n_columns < len(found.x):
        parts.append(f"{n_columns} of {len(found.x)} columns of W are drawn; W x sums over all.")
    if n_rows < len(found.scores):
        parts.append(f"{n_rows} of {len(found.scores)} classes.")
    if found.value is not None and found.label is not None:
        if found.terms is None:
            sum_text = "loss"
        elif found.probabilities:
            sum_text = f"\N{MINUS SIGN}log {found.terms[found.label]:.4g}"
        else:
            sum_text = "sum of the terms"
        parts.append(f"{found.loss}: {sum_text} = {_number(found.value)}")
    return "   ".join(parts)


def _number(value: float) -> str:
    """`value` in at most six characters and a sign."""
    size = abs(value)
    if size == 0.0:
        text = "0"
    elif 0.1 <= size < 1000.0:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3f}" if 0.001 <= size < 0.1 else f"{value:.0e}"
    return text.replace("-", "\N{MINUS SIGN}")
