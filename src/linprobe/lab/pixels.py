"""Pictures on their way to the page: small enough, as bytes in base64."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.explain.picture import symmetric_limit
from linprobe.lab.wire import Packed, packed

__all__ = ["color_bytes", "signed_bytes", "smaller"]

CLIPPED = 0.995
"""Share of signed numbers within the ends of the colours, as in `explain.templates`."""


def smaller(stack: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    """Pictures (n, height, width, channels) of at most `side` pixels a side.

    Larger ones become means of equal squares, in float64; rows and columns that fill none are left out.
    """
    n, height, width, channels = stack.shape
    step = -(-max(height, width) // side)
    if step == 1:
        return stack
    tall, broad = min(step, height), min(step, width)
    rows, columns = height // tall, width // broad
    cut = stack[:, : rows * tall, : columns * broad].astype(np.float64)
    averaged: npt.NDArray[np.float64] = cut.reshape(n, rows, tall, columns, broad, channels).mean(axis=(2, 4))
    return averaged


def color_bytes(picture: npt.NDArray[Any], side: int) -> Packed:
    """A picture (height, width, channels), 0..255, as RGB."""
    small = smaller(picture[None], side)[0]
    if small.shape[2] != 3:
        small = np.repeat(small.mean(axis=2, keepdims=True), 3, axis=2)
    return packed(np.rint(np.clip(small, 0, 255)))


def signed_bytes(stack: npt.NDArray[np.float64]) -> tuple[str, float]:
    """(bytes, limit) of signed numbers: 128 stands for 0, 255 for `limit` and beyond, 1 for its negative."""
    limit = symmetric_limit(stack, CLIPPED)
    scaled = np.rint(128.0 + 127.0 * np.clip(stack / limit, -1.0, 1.0)).astype(np.uint8)
    return base64.b64encode(scaled.tobytes()).decode("ascii"), limit
