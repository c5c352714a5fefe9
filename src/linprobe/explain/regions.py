"""Decision regions: the predicted class at each point of a grid in the plane."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from linprobe.errors import IncompatibleError, ParameterError

__all__ = ["Predictor", "decision_regions", "grid_points"]


class Predictor(Protocol):
    """Anything that classifies rows."""

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) labels of the rows of X (n, D)."""


def grid_points(low: Sequence[float], high: Sequence[float], size: int | tuple[int, int]) -> npt.NDArray[np.float64]:
    """(height, width, 2) points of a grid; [i, j] has the j-th abscissa and the i-th ordinate, both ascending.

    The first and last points lie on the borders.

    Args:
        low, high: two corners (x, y), low < high in both.
        size: (height, width), or one number for both, >= 2.
    Raises:
        ParameterError: a corner or the size cannot be used.
    """
    if len(low) != 2 or len(high) != 2:
        raise ParameterError(f"low = {low}, high = {high}; expected two points (x, y): regions are of the plane.")
    if not (np.isfinite([*low, *high]).all() and low[0] < high[0] and low[1] < high[1]):
        raise ParameterError(f"low = {low}, high = {high}; expected finite points, low below high in x and in y.")
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 2:
        raise ParameterError(f"size = {size}; expected at least 2 points along both sides.")
    x, y = np.linspace(low[0], high[0], width), np.linspace(low[1], high[1], height)
    return np.stack(np.meshgrid(x, y), axis=-1)


def decision_regions(
    classifier: Predictor, low: Sequence[float], high: Sequence[float], size: int | tuple[int, int] = 200
) -> npt.NDArray[Any]:
    """(height, width) predicted labels at the points of `grid_points`.

    Row 0 is the lowest: an image of it has its origin below (`imshow(..., origin="lower")`).

    Args:
        classifier: of points in the plane, with `predict`.
        low, high, size: as for `grid_points`.
    Raises:
        ParameterError: a corner or the size cannot be used.
        IncompatibleError: the classifier was trained on rows that are not points in the plane.
    """
    features = getattr(classifier, "n_features_in_", 2)
    if features != 2:
        raise IncompatibleError(
            f"the classifier reads rows of {features} numbers; decision regions are of the plane, 2."
        )
    points = grid_points(low, high, size)
    labels = np.asarray(classifier.predict(points.reshape(-1, 2)))
    return labels.reshape(points.shape[:2])
