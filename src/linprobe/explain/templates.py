"""The visual view: the weights of each class as a picture, its template."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import LinearModel
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.explain.feature_templates import WIDTH, Panel, bars_panel, feature_panel
from linprobe.explain.picture import (
    DIVERGING,
    Picture,
    class_grid,
    coarser,
    drawing,
    grid_columns,
    signed_bar,
    symmetric_limit,
)
from linprobe.explain.seen import checked_names, checked_weights
from linprobe.features.base import FeatureMap
from linprobe.features.intensity import IntensityMap
from linprobe.features.joined import JoinedMap
from linprobe.features.mirrored import MirroredMap
from linprobe.features.wrapped import WrappedMap
from linprobe.scores import fold

if TYPE_CHECKING:
    from matplotlib.figure import SubFigure

__all__ = ["as_colors", "of_pixels", "signed", "templates", "templates_picture"]

CLIPPED = 0.995
"""Share of the absolute weights within the colour scale, so that one large weight does not make all others pale."""

AT_MOST = 60
"""Templates in a picture, at most."""

SIDE = 96
"""Rows and columns of a template that are drawn, at most, which bounds the size of the SVG; half for more than 12."""

Weights = npt.NDArray[np.float64]


def templates(model: LinearModel, image_shape: tuple[int, ...] | None = None) -> Weights:
    """(K, height, width, channels) signed weights: the change of a score per intensity level (0..255) of a pixel.

    Scaling and mean image are folded into them (`linprobe.scores.fold`): for a picture x of intensities 0..255 the
    scores are sum(templates * x) + the folded bias, for any preprocessing. Two classes have two templates.

    Args:
        model: trained on pixels.
        image_shape: (height, width, channels), or (height, width), of the rows of a model that was trained on an
            array, and does not know it.
    Raises:
        IncompatibleError: the model was trained on vectors, or on other features than pixels.
        ParameterError: it is not trained, or its weights are not finite.
    """
    W, b = checked_weights(model)
    W = _for_raw_rows(model, W, b)
    if model.features_ is not None:
        if not of_pixels(model.features_):
            raise IncompatibleError(
                f"this model was trained on {model.features_.spec} features, whose weights are not pixels. "
                "Use templates_picture, which draws them in another form."
            )
        maps = model.features_
        W = W.reshape(-1, *maps.fitted_shape) / 255.0
        return 0.5 * (W + W[:, :, ::-1]) if isinstance(maps, MirroredMap) else W
    shape = model.image_shape_ or image_shape
    if shape is None:
        raise IncompatibleError(
            f"this model was trained on rows of {W.shape[1]} numbers, not on pictures; "
            "if they are pixels, give image_shape=(height, width, channels)."
        )
    shape = (*shape, 1) if len(shape) == 2 else tuple(shape)
    if len(shape) != 3 or np.prod(shape) != W.shape[1]:
        raise IncompatibleError(f"image_shape = {shape} does not hold the {W.shape[1]} numbers that the model reads.")
    return W.reshape(len(W), *shape).copy()


def _for_raw_rows(model: LinearModel, W: Weights, b: Weights) -> Weights:
    """The weights with the model's scaling folded into them."""
    if model.affine_ is None:
        return W
    return fold(W, b, model.affine_.scale, model.affine_.shift)[0].astype(np.float64, copy=False)


def of_pixels(features: FeatureMap | None) -> bool:
    """Whether the features are the intensities themselves, perhaps averaged with those of the mirrored picture."""
    inner = features.inner if isinstance(features, MirroredMap) else features
    return inner is None or isinstance(inner, IntensityMap)


def signed(weights: Weights) -> Weights:
    """(K, height, width): the sum over the channels, the change of the score per level of grey."""
    summed: Weights = weights.sum(axis=3)
    return summed


def as_colors(weights: Weights) -> npt.NDArray[np.uint8]:
    """(K, height, width, 3) bytes, the lecture's rendering: mid-grey is 0, and colours are those with positive weights.

    All classes and channels share one scale, symmetric about 0, that holds 99.5% of the weights. Templates of other
    than three channels are drawn in grey, by the sum of their channels.
    """
    if weights.shape[3] != 3:
        weights = np.repeat(weights.sum(axis=3, keepdims=True), 3, axis=3)
    scaled = 0.5 + 0.5 * np.clip(weights / symmetric_limit(weights, CLIPPED), -1.0, 1.0)
    return np.rint(255.0 * scaled).astype(np.uint8)


def templates_picture(
    model: LinearModel,
    kind: Literal["signed", "color"] = "signed",
    class_names: Sequence[object] | None = None,
    *,
    image_shape: tuple[int, ...] | None = None,
) -> Picture:
    """The template of each class, or a drawing of the weights of its features.

    "signed" sums the channels: blue where light raises the score of the class, red where it lowers it. "color" is the
    lecture's rendering (`as_colors`). All classes share one scale that covers 99.5% of the weights. At most 60 classes
    are drawn, and large templates are reduced.

    Features have their own drawings: hog as strokes along the edges of each cell, color as a table of hue and
    saturation, patches as those with the largest and the smallest weights. Vectors and the features of an ONNX network
    are drawn as bars of their largest weights. Joined features have a part each.

    Args:
        model: a trained model.
        kind: of the pixels.
        class_names: K names; None for the model's own.
        image_shape: as for `templates`.
    Raises:
        IncompatibleError: `image_shape` does not hold the numbers that the model reads.
        ParameterError: the model is not trained, its weights are not finite, or there are not as many names as classes.
    """
    if kind not in ("signed", "color"):
        raise ParameterError(f"kind = {kind!r}; expected signed or color.")
    W, b = checked_weights(model)
    names = checked_names(model, class_names)
    few = f"{len(names)} classes" if len(names) <= AT_MOST else f"the first {AT_MOST} of {len(names)} classes"
    shown = names[:AT_MOST]
    panels: list[Panel]
    if model.features_ is None and (model.image_shape_ or image_shape) is None:
        columns = [str(name) for name in getattr(model, "feature_names_in_", range(W.shape[1]))]
        panels = [bars_panel("vectors", W[:AT_MOST], shown, columns)]
    elif of_pixels(model.features_):
        panels = [_pixels_panel(templates(model, image_shape)[:AT_MOST], shown, kind)]
    else:
        W = _for_raw_rows(model, W, b)
        panels = [
            _pixels_panel(part.reshape(-1, *features.fitted_shape) / 255.0, shown, kind)
            if isinstance(features, IntensityMap)
            else feature_panel(features, part, shown)
            for features, part in _parts(model.features_, W[:AT_MOST])
        ]
    with drawing(WIDTH, sum(panel.height for panel in panels), arranged=False) as figure:
        parts = figure.subfigures(len(panels), 1, squeeze=False, height_ratios=[panel.height for panel in panels])
        for part, panel in zip(parts.ravel(), panels, strict=True):
            panel.draw(part)
    return Picture(figure, f"The weights of {few}: {'; '.join(panel.alt for panel in panels)}.")


def _parts(features: FeatureMap | None, W: Weights) -> list[tuple[FeatureMap, Weights]]:
    """The maps of a join with their columns of W; of mirrored and halved ones, the map itself."""
    match features:
        case None:
            return []
        case JoinedMap(maps=maps):
            ends = np.cumsum([part.n_features for part in maps])[:-1]
            pairs = zip(maps, np.split(W, ends, axis=1), strict=True)
            return [found for part, columns in pairs for found in _parts(part, columns)]
        case WrappedMap(inner=inner):
            return _parts(inner, W)
        case _:
            return [(features, W)]


def _pixels_panel(weights: Weights, class_names: Sequence[object], kind: str) -> Panel:
    """Templates (K, height, width, channels) as pictures."""
    side = SIDE if len(weights) <= 12 else SIDE // 2
    weights = np.stack([coarser(template, side) for template in weights]).astype(np.float64)
    columns = grid_columns(len(weights))
    rows = -(-len(weights) // columns)
    right = 1.0 if kind == "signed" else 0.0
    tall = min(max(weights.shape[1] / weights.shape[2], 0.2), 3.0)
    height = rows * ((WIDTH - right) / max(columns, 3) * tall + 0.25)

    def draw(figure: SubFigure) -> None:
        grid = class_grid(figure, class_names, WIDTH, height, right=right)
        if kind == "color":
            for axes, picture in zip(grid, as_colors(weights), strict=True):
                axes.imshow(picture)
            return
        limit = symmetric_limit(signed(weights), CLIPPED)
        for axes, template in zip(grid, signed(weights), strict=True):
            drawn = axes.imshow(template, cmap=DIVERGING, vmin=-limit, vmax=limit)
        signed_bar(figure, drawn, limit, (f"\N{MINUS SIGN}{limit:.2g}", f"{limit:.2g}"), WIDTH)

    signs = "blue where light speaks for the class, red where against it"
    alt = f"a template per class, {signs if kind == 'signed' else 'in colour, grey is 0'}"
    return Panel(height, draw, alt)
