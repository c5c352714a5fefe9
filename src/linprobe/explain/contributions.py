"""The contribution of each pixel of an image to the score of each class, W_k * x, as a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.explain.picture import (
    DIVERGING,
    Picture,
    class_grid,
    coarser,
    drawing,
    shown,
    signed_bar,
    symmetric_limit,
)
from linprobe.explain.seen import checked_weights, class_position, seen

__all__ = ["contributions", "contributions_picture"]

SIDE = 128
"""Rows and columns of a map that are drawn, at most, which bounds the size of the SVG."""


def contributions(model: LinearModel, image: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """(K, height, width) contributions of the pixels: the sum of a map plus the bias is the score of the class.

        score_k = sum over pixels of contributions[k] + bias_k,   contributions[k] = sum over channels of W_k * x'

    x' is the input of the model, scaled and, by default, minus the mean image: a pixel equal to that of the mean image
    contributes 0. The sum is exact up to the rounding of float64. For features, the term W_kd x'_d is divided evenly
    among the pixels that the feature is computed from (`FeatureMap.spread`).

    Args:
        model: trained on pictures, or on rows that are pictures.
        image: (height, width, channels), or (height, width) for grey, intensities 0..255.
    Raises:
        IncompatibleError: the image is a vector or of another shape, or the features have no place in it.
        ParameterError: the image or the weights are not finite.
    """
    W, _ = checked_weights(model)
    pixels = np.asarray(image)
    if pixels.ndim not in (2, 3):
        raise IncompatibleError(
            f"image has shape {pixels.shape}; expected a picture, (height, width, channels). Use algebra for vectors."
        )
    parts = W * seen(model, pixels)
    if model.features_ is not None:
        return model.features_.spread(parts)
    summed: npt.NDArray[np.float64] = parts.reshape(len(W), *pixels.shape[:2], -1).sum(axis=3)
    return summed


def contributions_picture(
    model: LinearModel,
    image: npt.NDArray[Any],
    first: int | str | None = None,
    second: int | str | None = None,
) -> Picture:
    """The image, and the contributions of its pixels to the scores of two classes and to their difference.

    Blue pixels raise the score, red ones lower it; all three maps share one scale.

    Args:
        model, image: as for `contributions`.
        first, second: position of a class, or its name; None for the highest score, and the highest of the others.
    Raises:
        ParameterError: there is no such class, or both are the same.
        IncompatibleError: as for `contributions`.
    """
    maps = contributions(model, image)
    bias = model.bias_
    scores = maps.sum(axis=(1, 2)) + bias
    a, b = (None if wanted is None else class_position(model, wanted) for wanted in (first, second))
    ranked = [int(k) for k in np.argsort(-scores, kind="stable")]
    if a is None:
        a = next(k for k in ranked if k != b)
    if b is None:
        b = next(k for k in ranked if k != a)
    names = model.class_names_
    if a == b:
        raise ParameterError(f"class {names[a]!r} is named twice; expected two different classes.")
    panels = [maps[a], maps[b], maps[a] - maps[b]]
    limit = symmetric_limit(np.stack(panels), 0.995)
    titles = ["the image", names[a], names[b], "the difference"]
    notes = [
        "pixels + bias = score",
        _sum(maps[a].sum(), bias[a]),
        _sum(maps[b].sum(), bias[b]),
        _sum(panels[2].sum(), bias[a] - bias[b]),
    ]
    tall = min(max(maps.shape[1] / maps.shape[2], 0.2), 3.0)
    width, height = 7.6, 1.57 * tall + 0.5
    with drawing(width, height, arranged=False) as figure:
        grid = class_grid(figure, titles, width, height - 0.2, right=1.0)
        share = (height - 0.2) / height
        for axes, note in zip(grid, notes, strict=True):
            box = axes.get_position()
            axes.set_position((box.x0, box.y0 * share + 0.2 / height, box.width, box.height * share))
            axes.text(0.5, -0.04, note, transform=axes.transAxes, ha="center", va="top", fontsize=7.5)
        grid[0].imshow(shown(image))
        for axes, values in zip(grid[1:], panels, strict=True):
            drawn = axes.imshow(coarser(values, SIDE), cmap=DIVERGING, vmin=-limit, vmax=limit)
        signed_bar(figure, drawn, limit, (f"\N{MINUS SIGN}{limit:.2g}", f"{limit:.2g}"), width)
    alt = (
        f"Contributions of the pixels to the scores of {names[a]} ({scores[a]:.4g}) and {names[b]} ({scores[b]:.4g}), "
        "and to their difference, as heat maps next to the image; blue raises, red lowers."
    )
    return Picture(figure, alt)


def _sum(pixels: float, bias: float) -> str:
    """The sum that gives the score, as text."""
    return f"{pixels:.2f} {'+' if bias >= 0 else '-'} {abs(bias):.2f} = {pixels + bias:.2f}".replace(
        "-", "\N{MINUS SIGN}"
    )
