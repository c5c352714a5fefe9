"""The most confident errors of a classifier."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.picture import MUTED, Picture, canvas, drawing, label_text, shown
from linprobe.explain.seen import check_finite_numbers
from linprobe.shapes import Floats, Labels, Pixels, check_labels

__all__ = ["ConfidentErrors", "confident_errors", "confident_errors_picture"]


class ConfidentErrors(NamedTuple):
    """Images that are classified wrongly, the most confident first.

    Attributes:
        rows: (n,) their positions.
        true: (n,) their classes.
        predicted: (n,) the classes with the highest score.
        margins: (n,) that score minus the score of the true class, >= 0; 0 on a tie.
    """

    rows: npt.NDArray[np.int64]
    true: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    margins: npt.NDArray[np.float64]


def confident_errors(scores: Floats, y: Labels, n: int = 24) -> ConfidentErrors:
    """The errors with the largest margin of the predicted over the true class, at most `n`.

    With softmax this margin is log(p_predicted / p_true). On ties, the smaller position first.

    Args:
        scores: (N, K).
        y: (N,) integers in 0..K-1.
    Raises:
        ShapeError, LabelError: the two do not fit.
        ParameterError: a score is NaN or infinite, or n is negative.
    """
    scores, y = np.asarray(scores), np.asarray(y)
    check_labels(y, scores)
    check_finite_numbers("scores", scores)
    if n < 0:
        raise ParameterError(f"n = {n}; expected a number of images, 0 or more.")
    predicted = scores.argmax(axis=1) if len(scores) else np.zeros(0, np.int64)
    rows = np.flatnonzero(predicted != y)
    margins = (scores[rows, predicted[rows]] - scores[rows, y[rows]]).astype(np.float64)
    order = np.argsort(-margins, kind="stable")[:n]
    rows = rows[order]
    return ConfidentErrors(rows, y[rows].astype(np.int64), predicted[rows].astype(np.int64), margins[order])


def confident_errors_picture(
    images: Pixels, y: Labels, scores: Floats, class_names: Sequence[object], n: int = 24
) -> Picture:
    """Thumbnails of the `n` most confident errors: the true class above each, the predicted class and the margin below.

    Args:
        images: (N, height, width, channels), or (N, height, width) for grey; only those that are drawn are read.
        y: (N,) integers in 0..K-1.
        scores: (N, K).
        class_names: K names.
    Raises:
        ShapeError, LabelError, ParameterError: they do not fit together, or a score is not finite.
    """
    if len(images) != len(y):
        raise ShapeError(f"images has {len(images)} pictures but y {len(y)} labels; expected one label per picture.")
    errors = confident_errors(scores, y, n)
    if len(class_names) != scores.shape[1]:
        raise ParameterError(f"class_names has {len(class_names)} names; expected {scores.shape[1]}, one per class.")
    columns, found = 8, len(errors.rows)
    rows = max(1, -(-found // columns))
    tall = min(max(images.shape[1] / images.shape[2], 0.4), 2.0)
    width, cell, text = 7.2, 7.2 / columns, 0.42
    height = rows * (0.9 * cell * tall + text)
    with drawing(width, height, arranged=False) as figure:
        if not found:
            figure.text(0.5, 0.5, "no image is classified wrongly", ha="center", va="center", color=MUTED)
        axes = canvas(figure, width, height)
        for place, (row, true, predicted, margin) in enumerate(zip(*errors, strict=True)):
            down, across = divmod(place, columns)
            left, bottom = (across + 0.05) * cell, height - (down + 1) * (height / rows) + 0.62 * text
            top, middle = bottom + 0.9 * cell * tall, left + 0.45 * cell
            axes.imshow(shown(images[row]), extent=(left, left + 0.9 * cell, bottom, top), aspect="auto")
            style: dict[str, Any] = {"ha": "center", "clip_on": False}  # arguments of matplotlib, of many types
            axes.text(
                middle, top + 0.03, label_text(class_names[true], 13), va="bottom", fontsize=7, color=MUTED, **style
            )
            said = f"{label_text(class_names[predicted], 11)} +{margin:.1f}"
            axes.text(middle, bottom - 0.025, said, va="top", fontsize=6.5, **style)
    alt = f"The {found} most confident errors: each image with its true class above and its predicted class below."
    return Picture(figure, alt if found else "No image is classified wrongly.")
