"""Deformation: a smooth random displacement of the pixels."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from linprobe.challenges.base import Block, Challenge, Kind
from linprobe.challenges.resampling import resample
from linprobe.shapes import Pixels

__all__ = ["Deformation"]

CELLS = 4
"""Cells of the grid of control points along each side; a displacement varies over a quarter of the picture."""


class Deformation(Challenge):
    """A smooth random displacement of the pixels.

    Control points in a grid of 4 x 4 cells are displaced at random; between them the displacement follows uniform
    cubic B-splines. Each picture's displacements are scaled so that their root mean square over the picture is the
    amount times its shorter side.

    Source:
        Simard, Steinkraus and Platt, "Best practices for convolutional neural networks", ICDAR 2003; the coarse grid
        is that of Ronneberger, Fischer and Brox, "U-Net", MICCAI 2015.
    """

    name: ClassVar[str] = "deformation"
    kinds: ClassVar[tuple[Kind, ...]] = (
        Kind("elastic", (0.02, 0.035, 0.05, 0.065, 0.08), "root mean square displacement, a share of the shorter side"),
    )

    def _changed(self, block: Block, amount: float) -> Pixels:
        n, height, width, _ = block.images.shape
        points = CELLS + 3
        control = block.uniforms(2 * points * points).reshape(n, 2, points, points).astype(np.float32) * 2 - 1
        field = _splines(height) @ control @ _splines(width).T  # (n, 2, height, width)
        size = np.sqrt((field**2).mean(axis=(2, 3), dtype=np.float64).sum(axis=1))
        field *= (amount * min(height, width) / np.maximum(size, 1e-12)).astype(np.float32)[:, None, None, None]
        y, x = np.arange(height, dtype=np.float32)[:, None], np.arange(width, dtype=np.float32)
        return resample(block.images, y + field[:, 0], x + field[:, 1])


def _splines(size: int) -> npt.NDArray[np.float32]:
    """(size, CELLS + 3) float32: the weight of each control point at the centre of each pixel along a side."""
    place = (np.arange(size) + 0.5) / size * CELLS
    cell = place.astype(np.int64)
    t = place - cell
    pieces = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    weights = np.zeros((size, CELLS + 3), np.float32)
    for k, piece in enumerate(pieces):
        weights[np.arange(size), cell + k] = piece / 6
    return weights
