"""Occlusion: a part of the picture is hidden."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from linprobe.challenges.base import Block, Challenge, Kind
from linprobe.shapes import Pixels

__all__ = ["Occlusion"]

GREY = 128
"""Intensity of the patch: midway between black and white."""


class Occlusion(Challenge):
    """A grey patch with the proportions of the picture, wholly inside it, at a place of its own.

    Its sides are the amount times those of the picture, rounded to whole pixels, at least one.

    Source:
        DeVries and Taylor, "Improved regularization of convolutional neural networks with Cutout", arXiv:1708.04552.
    """

    name: ClassVar[str] = "occlusion"
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind("patch", (0.2, 0.3, 0.4, 0.5, 0.6), "side of the patch, a share of the picture's; its square is hidden"),
    )

    def _changed(self, block: Block, amount: float) -> Pixels:
        _, height, width, _ = block.images.shape
        place = block.uniforms(2)
        rows, columns = (_covered(size, amount, place[:, k]) for k, size in enumerate((height, width)))
        hidden = rows[:, :, None] & columns[:, None, :]
        return np.where(hidden[..., None], np.uint8(GREY), block.images)


def _covered(size: int, share: float, place: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    """(n, size) bool: the pixels along a side that are hidden; `place` (n,) in [0, 1) says where."""
    length = max(1, round(share * size))
    start = np.floor(place * (size - length + 1))[:, None]
    along = np.arange(size)
    return (along >= start) & (along < start + length)
