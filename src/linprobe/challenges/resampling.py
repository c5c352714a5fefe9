"""Pictures read at places between their pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from linprobe.shapes import Floats, Pixels

__all__ = ["centred_grid", "resample"]


def centred_grid(height: int, width: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Places of the pixels from the centre of the picture: y (height, 1) and x (1, width), in pixels, float32."""
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32((height - 1) / 2)
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32((width - 1) / 2)
    return y, x


def resample(images: Pixels, y: Floats, x: Floats) -> Pixels:
    """Each picture read at its places (y, x), bilinear between the four nearest pixels, as uint8.

    Outside, the picture goes on as its mirror image about the outermost pixels, so that no border of another
    colour gives the change away.

    Args:
        images: (n, height, width, channels) uint8.
        y, x: (n, height, width) float32, rows and columns in pixels, 0 the centre of the first.
    """
    n, height, width, channels = images.shape
    top, fy, down = _neighbours(y, height)
    left, fx, right = _neighbours(x, width)
    first = np.arange(n, dtype=np.intp)[:, None, None] * (height * width)
    corner = (first + top * width + left).ravel()
    fy, fx = fy.ravel(), fx.ravel()
    places = (corner, corner + right, corner + down * width, corner + down * width + right)
    result = np.empty((n * height * width, channels), np.uint8)
    for channel in range(channels):  # one plane at a time: no short inner loops over the channels
        plane = images[..., channel].ravel()
        a, b, c, d = (plane.take(place, mode="clip").astype(np.float32) for place in places)  # clip: unchecked, fast
        b -= a
        b *= fx
        a += b  # between the two pixels above
        d -= c
        d *= fx
        c += d  # between the two below
        c -= a
        c *= fy
        a += c
        a += np.float32(0.5)  # a mean of pixels lies in 0..255: rounding needs no clipping
        result[:, channel] = a.astype(np.uint8)
    return result.reshape(images.shape)


def _neighbours(places: Floats, size: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.float32], int]:
    """The pixel at or before each place along an axis of `size`, how far beyond it the place is, the step to the next.

    In float32: a place is known to some 1e-5 of a pixel, its colour to a hundredth of a grey level.
    """
    if size == 1:
        return np.zeros(places.shape, np.intp), np.zeros(places.shape, np.float32), 0
    last = np.float32(size - 1)
    inside = np.abs(np.asarray(places, dtype=np.float32))
    if inside.max() > 2 * last:
        inside %= 2 * last  # the mirror images repeat
    inside = last - np.abs(last - inside)
    before = np.minimum(inside.astype(np.intp), size - 2)
    return before, (inside - before).astype(np.float32), 1
