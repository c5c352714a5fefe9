"""The products of the images with each other, about their mean: what dual methods and few images work with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.cores import by_threads, threads_for
from linprobe.objective import Objective
from linprobe.shapes import Floats, mirror_lower, slices

__all__ = ["centred_products", "centred_rows"]

BLOCK_NUMBERS = 2**24
"""Float64 numbers in a block of images while the matrix is made (128 MB)."""

BLOCK_ROWS = 256
"""Rows of a block that a thread maps or multiplies at a time; the bits depend on it."""


def centred_rows(objective: Objective, positions: npt.NDArray[np.int64], mean: Floats, out: Floats) -> None:
    """Write the mapped rows at `positions` (n,), less `mean` (D,), into `out` (n, D), by all threads."""

    def mapped(block: slice) -> None:
        out[block] = objective.examples.mapped(positions[block]) - mean

    list(by_threads(mapped, slices(len(positions), BLOCK_ROWS), _threads(objective)))


def centred_products(
    objective: Objective, positions: npt.NDArray[np.int64], mean: Floats, dtype: npt.DTypeLike = np.float64
) -> npt.NDArray[Any]:
    """(n, n) products of the mapped rows at `positions` less `mean`, summed in float64, kept as `dtype`."""
    n, D = len(positions), objective.n_features
    products = np.empty((n, n), dtype)
    blocks = slices(n, max(1, BLOCK_NUMBERS // max(1, D)))
    held = np.empty((2, min(n, blocks[0].stop), D))
    for i, left in enumerate(blocks):
        a = held[0, : left.stop - left.start]
        centred_rows(objective, positions[left], mean, a)
        for right in blocks[: i + 1]:
            b = a
            if right != left:
                b = held[1, : right.stop - right.start]
                centred_rows(objective, positions[right], mean, b)

            def multiplied(part: slice, a: Floats = a, b: Floats = b, left: slice = left, right: slice = right) -> None:
                end = len(b) if a is not b else part.stop
                rows = slice(left.start + part.start, left.start + part.stop)
                products[rows, right.start : right.start + end] = a[part] @ b[:end].T

            list(by_threads(multiplied, slices(len(a), BLOCK_ROWS)[::-1], _threads(objective)))  # the longest first
    mirror_lower(products)
    return products


def _threads(objective: Objective) -> int:
    return threads_for(objective.engine.n_threads)
