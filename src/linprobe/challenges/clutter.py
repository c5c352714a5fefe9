"""Background clutter: other content around the object."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from linprobe.challenges.base import Block, Challenge, Kind, to_pixels
from linprobe.challenges.resampling import centred_grid
from linprobe.shapes import Pixels

__all__ = ["Clutter"]

INNER, OUTER = 0.5, 1.0
"""Radius at which the blend begins, and at which it is full; 1 is the distance from the centre to an edge."""


class Clutter(Challenge):
    """The rim of the picture blended with another picture of the source, drawn for each.

        v' = v + a m (u - v),  m = t² (3 - 2 t),  t = (r - 0.5) / (1 - 0.5) cut off at 0 and 1

    u is the other picture, and r² = (p_x / (width / 2))² + (p_y / (height / 2))² for a pixel at p from the centre.
    Nothing changes inside the ellipse of half the size of the picture, and the blend is full outside the ellipse that
    touches its edges. A source with a single picture is not changed.
    """

    name: ClassVar[str] = "clutter"
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind("rim", (0.2, 0.4, 0.6, 0.8, 1.0), "share of the other picture at the rim"),
    )

    def _changed(self, block: Block, amount: float) -> Pixels:
        count = len(block.source)
        if count == 1:
            return block.images
        other = np.floor(block.uniforms(1)[:, 0] * (count - 1)).astype(np.int64)
        other += other >= block.numbers  # any but the picture itself
        blend = block.source[other].astype(np.float32)
        values = block.images.astype(np.float32)
        blend -= values
        blend *= (amount * _rim(*block.images.shape[1:3])).astype(np.float32)[:, :, None]
        values += blend
        return to_pixels(values)


def _rim(height: int, width: int) -> npt.NDArray[np.float64]:
    """m of each pixel, (height, width) float64, 0 in the middle to 1 at the rim."""
    y, x = centred_grid(height, width)
    r = np.hypot(y.astype(np.float64) / (height / 2), x.astype(np.float64) / (width / 2))
    t = np.clip((r - INNER) / (OUTER - INNER), 0.0, 1.0)
    smooth: npt.NDArray[np.float64] = t * t * (3 - 2 * t)
    return smooth
