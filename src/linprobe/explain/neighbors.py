"""Images and their nearest training images, by a distance of pixels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.picture import MUTED, Picture, canvas, drawing, label_text, shown
from linprobe.shapes import Labels, Pixels

__all__ = ["neighbors_picture"]

CELL, TEXT, AWAY = 0.98, 0.32, 0.22
"""Side of a thumbnail, height of the text below it, gap between an image and its neighbours, in inches."""


def neighbors_picture(
    images: Pixels,
    y: Labels,
    nearest: Pixels,
    nearest_y: Labels,
    class_names: Sequence[object],
) -> Picture:
    """A row for each image: the image, then its nearest training images in order, all with their classes.

    A neighbour of the image's own class has a tick, one of another class a cross.

    Args:
        images: (n, height, width, channels).
        y: (n,) integers in 0..K-1.
        nearest: (n, k, height, width, channels).
        nearest_y: (n, k) integers in 0..K-1.
        class_names: K names.
    Raises:
        ShapeError: they do not fit together.
        ParameterError: there is no image, or a label has no name.
    """
    n, k = nearest_y.shape if nearest_y.ndim == 2 else (-1, 0)
    if not len(images) == len(y) == len(nearest) == n or nearest.shape[1] != k:
        raise ShapeError(
            f"images {images.shape}, y {y.shape}, nearest {nearest.shape} and nearest_y {nearest_y.shape} do not fit; "
            "expected n images and (n, k) neighbours."
        )
    if n < 1 or k < 1 or max(y.max(), nearest_y.max()) >= len(class_names):
        raise ParameterError(f"{n} images with {k} neighbours, {len(class_names)} names; expected one of each or more.")
    tall = min(max(images.shape[1] / images.shape[2], 0.4), 2.0)
    width, row = CELL * (k + 1) + AWAY, CELL * tall + TEXT
    height = row * n + 0.25
    with drawing(width, height, arranged=False) as figure:
        figure.text(0.47 * CELL / width, 1.0 - 0.11 / height, "test image", ha="center", va="center", fontsize=8.5)
        figure.text(
            (CELL + AWAY) / width, 1.0 - 0.11 / height, "nearest training images", ha="left", va="center", fontsize=8.5
        )
        axes = canvas(figure, width, height)
        for i in range(n):
            for j in range(k + 1):
                left = j * CELL + AWAY * (j > 0)
                bottom = height - 0.25 - (i + 1) * row + TEXT
                axes.imshow(
                    shown(images[i] if j == 0 else nearest[i, j - 1]),
                    extent=(left, left + 0.94 * CELL, bottom, bottom + 0.94 * CELL * tall),
                    aspect="auto",
                )
                label = int(y[i] if j == 0 else nearest_y[i, j - 1])
                same = label == int(y[i])
                sign = "" if j == 0 else "✓ " if same else "✗ "
                figure.text(
                    (left + 0.47 * CELL) / width, (bottom - 0.06) / height, sign + label_text(class_names[label], 13),
                    ha="center", va="top", fontsize=7.5, color=None if same else MUTED,
                )  # fmt: skip
    alike = int((nearest_y == np.asarray(y)[:, None]).sum())
    alt = f"{n} images, each with its {k} nearest training images: {alike} of these {n * k} have its class."
    return Picture(figure, alt)
