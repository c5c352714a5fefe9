"""Histograms of the hue and saturation of a picture's pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError
from linprobe.features.base import FeatureMap
from linprobe.features.hog import split_evenly
from linprobe.features.parameters import count, flag
from linprobe.shapes import Floats, Pixels

__all__ = ["ColorMap", "hue_and_saturation"]

BLOCK_PIXELS = 2**16
"""Pixels of a block, at most, so that its temporary arrays stay in the processor's cache."""


@final
@dataclass
class ColorMap(FeatureMap):
    """Histograms of hue and saturation, D = grid² * hue_bins * saturation_bins.

    Each feature is the share of a region's pixels in a bin, or its square root. With c the largest and a the smallest
    of the three colours of a pixel, its saturation is (c - a) / c. Its hue is the angle 0..1 on the colour circle
    (red 0, green 1/3, blue 2/3). Grey and black pixels have hue 0 and saturation 0, so those of a grey picture are all
    in the first bin.

    Args:
        hue_bins, saturation_bins: of the histogram.
        grid: regions along each side of the picture, of nearly equal size; 1 is the whole picture.
        soft: whether a pixel votes for the two nearest bins of each axis, by linear interpolation. The centres of the
            bins are then at hue k / hue_bins and saturation k / (saturation_bins - 1).
        root: whether the features are the square roots of the shares, which weigh rare colours more.
    Source:
        A. R. Smith, "Color Gamut Transform Pairs", SIGGRAPH 1978, for hue and saturation.
    Example:
        >>> red = np.zeros((1, 32, 32, 3), dtype=np.uint8)
        >>> red[..., 0] = 200
        >>> ColorMap(hue_bins=3, saturation_bins=2, grid=1).fit(red).transform(red)
        array([[0., 1., 0., 0., 0., 0.]], dtype=float32)
    """

    hue_bins: int = 10
    saturation_bins: int = 5
    grid: int = 4
    soft: bool = True
    root: bool = True

    name = "color"
    title = "color"
    meaning = "histograms of hues"

    def __post_init__(self) -> None:
        self.hue_bins = count("hue_bins", self.hue_bins)
        self.saturation_bins = count("saturation_bins", self.saturation_bins)
        self.grid = count("grid", self.grid)
        self.soft = flag("soft", self.soft)
        self.root = flag("root", self.root)

    @property
    def n_features(self) -> int:
        """D, which is known before `fit`."""
        return int(self.grid**2 * self.hue_bins * self.saturation_bins)

    def _fit(self, images: Pixels, seed: int) -> None:
        height, width, channels = self.fitted_shape
        if channels not in (1, 3):
            raise ParameterError(f"color: the pictures have {channels} channels; expected 3 (red, green, blue) or 1.")
        if min(height, width) < self.grid:
            raise ParameterError(
                f"color: the pictures are {height}x{width}, smaller than a grid of {self.grid}x{self.grid} regions; "
                f"take grid = {min(height, width)} or less."
            )

    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        rows = np.empty((len(images), self.n_features), dtype=np.float32)
        for part in split_evenly(images, BLOCK_PIXELS):
            rows[part] = self._shares(images[part])
        return np.sqrt(rows, out=rows) if self.root else rows

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """Each over the pixels of its region."""
        region = self._region_of_pixels()
        sums = values.reshape(len(values), self.grid**2, -1).sum(axis=2, dtype=np.float64)
        shared: npt.NDArray[np.float64] = (sums / np.bincount(region.ravel(), minlength=self.grid**2))[:, region]
        return shared

    def _region_of_pixels(self) -> npt.NDArray[np.int64]:
        """(height, width): the region, 0..grid² - 1, that each pixel lies in."""
        height, width, _ = self.fitted_shape
        at_y, at_x = np.arange(height) * self.grid // height, np.arange(width) * self.grid // width
        region: npt.NDArray[np.int64] = at_y[:, None] * self.grid + at_x
        return region

    def _shares(self, images: Pixels) -> Floats:
        """(N, D) float64: the share of the pixels of each region in each bin, region by region."""
        n_images = len(images)
        hue, saturation = hue_and_saturation(images)
        region = self._region_of_pixels()
        first_bin = (np.arange(n_images)[:, None, None] * self.grid**2 + region) * self.hue_bins * self.saturation_bins
        total = np.zeros(n_images * self.n_features)
        for hue_bin, hue_share in self._votes(hue, self.hue_bins, circular=True):
            for saturation_bin, share in self._votes(saturation, self.saturation_bins, circular=False):
                bins = first_bin + hue_bin * self.saturation_bins + saturation_bin
                weights = None if hue_share is None or share is None else (hue_share * share).ravel()
                total += np.bincount(bins.ravel(), weights, minlength=len(total))
        sizes = np.bincount(region.ravel(), minlength=self.grid**2)
        shares: Floats = total.reshape(n_images, self.grid**2, -1) / sizes[:, None]
        return shares.reshape(n_images, -1)

    def _votes(
        self, value: Floats, n_bins: int, circular: bool
    ) -> list[tuple[npt.NDArray[np.int32], npt.NDArray[Any] | None]]:
        """(bin, share of the pixel) of each vote of the pixels; share None means 1."""
        if not self.soft:
            return [(np.minimum((value * n_bins).astype(np.int32), n_bins - 1), None)]
        place = value * np.float32(n_bins if circular else n_bins - 1)
        low = place.astype(np.int32)
        share = place - low
        if n_bins == 1:
            return [(np.zeros_like(low), np.ones_like(share))]
        if circular:
            return [(low % n_bins, 1 - share), ((low + 1) % n_bins, share)]
        return [(low, 1 - share), (np.minimum(low + 1, n_bins - 1), share)]


def hue_and_saturation(images: Pixels) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Hue in 0..1 (without 1) and saturation in 0..1, each (N, height, width) float32; of one channel both are 0."""
    if images.shape[3] == 1:
        nothing = np.zeros(images.shape[:3], dtype=np.float32)
        return nothing, nothing
    red, green, blue = np.moveaxis(images, 3, 0).astype(np.float32, order="C")
    largest = np.maximum(np.maximum(red, green), blue)
    spread = largest - np.minimum(np.minimum(red, green), blue)
    saturation = spread / np.maximum(largest, np.float32(1))  # black: 0 / 1
    divisor = np.maximum(spread, np.float32(1))  # grey: all differences are 0
    sixths = 4 + (red - green) / divisor
    np.copyto(sixths, 2 + (blue - red) / divisor, where=largest == green)
    np.copyto(sixths, (green - blue) / divisor, where=largest == red)
    np.add(sixths, np.float32(6), out=sixths, where=sixths < 0)
    return sixths / np.float32(6), saturation
