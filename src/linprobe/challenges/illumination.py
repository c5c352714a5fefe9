"""Illumination: brightness, contrast, gamma and a shadow."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from linprobe.challenges.base import Block, Challenge, Kind, to_pixels
from linprobe.challenges.resampling import centred_grid
from linprobe.shapes import Pixels

__all__ = ["Illumination"]


class Illumination(Challenge):
    """Each intensity v, 0..255, of a picture becomes v', rounded and cut off at 0 and 255.

    brightness     v' = v + a or v - a, half the pictures each
    contrast       v' = m + a (v - m), with m the mean over the pixels and channels of the picture
    gamma          v' = 255 (v / 255)^a or 255 (v / 255)^(1/a), half the pictures each
    shadow         v' = v (1 - a t), with t from 0 on one side to 1 on the other, along a direction of its own
    """

    name: ClassVar[str] = "illumination"
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind("brightness", (16.0, 32.0, 48.0, 64.0, 80.0), "grey levels, added or taken away"),
        Kind("contrast", (0.8, 0.65, 0.5, 0.35, 0.2), "share of the contrast that is left"),
        Kind("gamma", (1.25, 1.5, 2.0, 2.5, 3.0), "exponent, or its inverse"),
        Kind("shadow", (0.2, 0.35, 0.5, 0.65, 0.8), "share of the light that the darkest side loses"),
    )

    def _changed(self, block: Block, amount: float) -> Pixels:
        images = block.images
        if block.kind in ("brightness", "gamma"):
            levels = np.arange(256, dtype=np.float64)
            if block.kind == "brightness":
                pair = (levels + amount, levels - amount)
            else:
                pair = (255 * (levels / 255) ** amount, 255 * (levels / 255) ** (1 / amount))
            one, other = (np.clip(np.rint(new), 0, 255).astype(np.uint8) for new in pair)
            return _looked_up(block, one, other)
        values = images.astype(np.float32)
        if block.kind == "contrast":
            # summed as integers: exact, and so the same for any order of the sum
            pixels = int(np.prod(images.shape[1:]))
            mean = images.reshape(len(images), -1).sum(axis=1, dtype=np.int64) / pixels
            mean = mean.astype(np.float32)[:, None, None, None]
            values -= mean
            values *= np.float32(amount)
            values += mean
            return to_pixels(values)
        values *= _light(block, amount)[..., None]
        return to_pixels(values)


def _looked_up(block: Block, one: Pixels, other: Pixels) -> Pixels:
    """The pictures through the table `one` (256,) or `other`, half of them each."""
    images = block.images
    result = np.empty_like(images)
    first = block.uniforms(1)[:, 0] < 0.5
    result[first], result[~first] = one[images[first]], other[images[~first]]
    return result


def _light(block: Block, amount: float) -> npt.NDArray[np.float32]:
    """(n, height, width) float32: the light that is left, from 1 in one corner or side to 1 - amount opposite."""
    _, height, width, _ = block.images.shape
    y, x = centred_grid(height, width)
    direction = 2 * np.pi * block.uniforms(1)[:, :, None]
    sine, cosine = np.sin(direction), np.cos(direction)
    # the farthest corner is at `reach` along the direction; a picture of one pixel has none
    reach = np.abs(sine) * (height - 1) / 2 + np.abs(cosine) * (width - 1) / 2
    along = sine * y + cosine * x
    t = 0.5 + 0.5 * along / np.maximum(reach, 1e-6)
    light: npt.NDArray[np.float32] = (1 - amount * t).astype(np.float32)
    return light
