"""Viewpoint: rotation, scale, perspective and mirror images."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from linprobe.challenges.base import Block, Challenge, Kind
from linprobe.challenges.resampling import centred_grid, resample
from linprobe.shapes import Pixels

__all__ = ["Viewpoint"]


class Viewpoint(Challenge):
    """Rotation, scale and perspective about the centre of the picture, and its mirror image.

    A pixel at p from the centre, in pixels, takes the colour that was at q:

        rotation       q = R(±a) p, with a the amount; half the pictures turn to the left
        scale          q = p / z or q = z p, with z the amount; half the pictures grow, half shrink
        perspective    q = p / (1 + a t), with t = (p_x cos d) / (width / 2) + (p_y sin d) / (height / 2)
                       the picture is tilted back towards a direction d of its own, 0..2 pi
        mirror         q = (-p_x, p_y), for a share of the pictures; those of one severity stay so in the next
    """

    name: ClassVar[str] = "viewpoint"
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind("rotation", (6.0, 12.0, 18.0, 24.0, 30.0), "degrees, to the left or to the right"),
        Kind("scale", (1.1, 1.2, 1.3, 1.4, 1.5), "factor of the size, larger or smaller"),
        Kind("perspective", (0.1, 0.2, 0.3, 0.4, 0.5), "change of the distance from the centre to an edge, a share"),
        Kind("mirror", (0.2, 0.4, 0.6, 0.8, 1.0), "share of the pictures that are mirrored"),
    )

    def _changed(self, block: Block, amount: float) -> Pixels:
        if block.kind == "mirror":
            mirrored = block.uniforms(1)[:, 0] < amount
            return np.where(mirrored[:, None, None, None], block.images[:, :, ::-1], block.images)
        n, height, width, _ = block.images.shape
        y, x = centred_grid(height, width)
        if block.kind == "rotation":
            turn = np.deg2rad(np.where(block.uniforms(1) < 0.5, -amount, amount)).astype(np.float32)[:, :, None]
            q_y = np.cos(turn) * y - np.sin(turn) * x
            q_x = np.sin(turn) * y + np.cos(turn) * x
        elif block.kind == "scale":
            factor = np.where(block.uniforms(1) < 0.5, amount, 1 / amount).astype(np.float32)[:, :, None]
            q_y = np.broadcast_to(y * factor, (n, height, width))
            q_x = np.broadcast_to(x * factor, (n, height, width))
        else:
            direction = 2 * np.pi * block.uniforms(1)[:, :, None]
            steep_y = (amount * np.sin(direction) * 2 / height).astype(np.float32)
            steep_x = (amount * np.cos(direction) * 2 / width).astype(np.float32)
            distance = 1 + steep_y * y + steep_x * x  # at least 1 - 0.5 sqrt(2) > 0
            q_y, q_x = y / distance, x / distance
        return resample(block.images, q_y + np.float32((height - 1) / 2), q_x + np.float32((width - 1) / 2))
