"""The intensities as features, for joins with other features: x / 255, pixel by pixel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from linprobe.features.base import FeatureMap
from linprobe.shapes import Floats, Pixels

__all__ = ["IntensityMap"]


@final
@dataclass
class IntensityMap(FeatureMap):
    """x / 255, D = height * width * channels, row by row: `pixels` in a join with other features.

    Without a join no features are computed: an engine reads the uint8 pixels and applies the map of `Pixels`.

    Example:
        >>> pictures = np.array([[[[51], [255]]]], dtype=np.uint8)
        >>> IntensityMap().fit(pictures).transform(pictures)
        array([[0.2, 1. ]], dtype=float32)
    """

    name = "pixels"
    title = "pixels"
    meaning = "the intensities themselves"

    @property
    def n_features(self) -> int:
        """D, once fitted."""
        height, width, channels = self.fitted_shape
        return height * width * channels

    def _fit(self, images: Pixels, seed: int) -> None:
        """Learns nothing."""

    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        rows = images.reshape(len(images), self.n_features).astype(np.float32)
        rows /= 255.0
        return rows

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """Those of each pixel: the sum over its channels."""
        summed: npt.NDArray[np.float64] = values.reshape(-1, *self.fitted_shape).sum(axis=3, dtype=np.float64)
        return summed
