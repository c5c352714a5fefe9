"""Histograms of oriented gradients: the directions of the edges in each cell of a picture, normalised for contrast."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError
from linprobe.features.base import FeatureMap
from linprobe.features.parameters import count, flag, number
from linprobe.shapes import Floats, Pixels, slices

__all__ = ["HogMap", "pooling", "split_evenly"]

EPSILON = 0.01
"""epsilon of a block with cells of 4x4 pixels: shorter blocks count as flat. Proportional to the area of a cell."""

TINY = np.float32(1e-6)
"""Added to the squared length in the second normalisation of a block, so that a flat block stays 0."""

BLOCK_PIXELS = 2**15
"""Pixels of a block, at most, so that its temporary arrays stay in the processor's cache."""


@final
@dataclass
class HogMap(FeatureMap):
    """Histograms of oriented gradients (Dalal and Triggs), at one or more sizes of cell.

    - gradient: x[+1] - x[-1] along rows and columns, where x is the square root of the intensity in 0..1. The border
      pixels are repeated outside. Of the colour channels, the longest gradient is used.
    - vote: the length of the gradient, interpolated linearly between the two nearest orientations, and between the
      four nearest cells by the distance to their centres.
    - block: v = the histograms of block_size x block_size cells, v / sqrt(|v|² + epsilon²), clipped at `clip` and
      divided by its length again (L2-Hys). Blocks overlap: each starts one cell after the last.
    - scale: the same with cells of twice the size, for `scales` sizes, as long as a block fits.

    Each scale gives blocks_y * blocks_x * block_size² * orientations numbers: 2352 + 432 for a 32x32 picture.
    Orientation 0 is brightness that increases to the right; angles grow towards the bottom. Unsigned orientations
    cover half a turn, so that light on dark equals dark on light; signed ones cover the full turn. Incomplete cells at
    the bottom and at the right only serve as neighbours.

    The defaults were chosen on CIFAR-10 (docs/features.md has the figures). Dalal and Triggs, who detected people in
    large pictures, used 9 unsigned orientations, cells of 8 pixels, one scale, no square root and clip 0.2.

    Args:
        cell_size: pixels along each side of a cell.
        block_size: cells along each side of a block.
        orientations: bins of a histogram.
        signed: whether opposite gradients are different orientations.
        scales: number of cell sizes: cell_size, twice that, ...; sizes whose block does not fit are left out.
        root: whether gradients are those of the square root of the intensity.
        clip: the largest entry of a block before it is normalised again, in 0..1.
    Source:
        N. Dalal and B. Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005.
    Example:
        >>> pictures = np.zeros((1, 32, 32, 3), dtype=np.uint8)
        >>> HogMap(orientations=9).fit(pictures).transform(pictures).shape
        (1, 2088)
    """

    cell_size: int = 4
    block_size: int = 2
    orientations: int = 12
    signed: bool = True
    scales: int = 2
    root: bool = True
    clip: float = 0.3

    name = "hog"
    title = "HOG"
    meaning = "histograms of the directions of edges"

    def __post_init__(self) -> None:
        self.cell_size = count("cell_size", self.cell_size)
        self.block_size = count("block_size", self.block_size)
        self.orientations = count("orientations", self.orientations)
        self.signed = flag("signed", self.signed)
        self.scales = count("scales", self.scales)
        self.root = flag("root", self.root)
        self.clip = number("clip", self.clip, high=1.0)

    @property
    def n_features(self) -> int:
        """D, once fitted."""
        return sum(self._n_numbers(size) for size in self._cell_sizes)

    @property
    def _cell_sizes(self) -> list[int]:
        """Those of which a block fits into the pictures."""
        sizes = [self.cell_size * 2**scale for scale in range(min(self.scales, 32))]  # 2^32 pixels fit nowhere
        return [size for size in sizes if min(self.fitted_shape[:2]) >= size * self.block_size]

    def _cells(self, cell_size: int) -> tuple[int, int]:
        """Whole cells along the height and along the width."""
        height, width, _ = self.fitted_shape
        return height // cell_size, width // cell_size

    def _n_numbers(self, cell_size: int) -> int:
        """Features of one scale."""
        n_y, n_x = (n_cells - self.block_size + 1 for n_cells in self._cells(cell_size))
        return int(n_y * n_x * self.block_size**2 * self.orientations)

    def _fit(self, images: Pixels, seed: int) -> None:
        if not self._cell_sizes:
            height, width, _ = self.fitted_shape
            side = self.cell_size * self.block_size
            raise ParameterError(
                f"hog: the pictures are {height}x{width}, smaller than a block of {self.block_size}x{self.block_size} "
                f"cells of {self.cell_size}x{self.cell_size} pixels; they need {side}x{side} or more. "
                "Enlarge them with --image-size, or leave hog out; in Python, a smaller cell_size will do, too."
            )

    def _transform(self, images: Pixels) -> npt.NDArray[np.float32]:
        rows = np.empty((len(images), self.n_features), dtype=np.float32)
        for part in split_evenly(images, BLOCK_PIXELS):
            histograms = self._histograms(*self._gradients(images[part]))
            start = 0
            for size, found in zip(self._cell_sizes, histograms, strict=True):
                end = start + self._n_numbers(size)
                rows[part, start:end] = self._blocks(found, size)
                start = end
        return rows

    def by_cell(self, values: Floats) -> list[npt.NDArray[np.float64]]:
        """(n, cells_y, cells_x, orientations) of each scale: for each cell the sum over the blocks that it is part of.

        Args:
            values: (n, D), a number for each feature.
        """
        found, start = [], 0
        for size in self._cell_sizes:
            n_y, n_x = self._cells(size)
            blocks_y, blocks_x = n_y - self.block_size + 1, n_x - self.block_size + 1
            end = start + self._n_numbers(size)
            blocks = values[:, start:end].reshape(
                -1, blocks_y, blocks_x, self.block_size, self.block_size, self.orientations
            )
            cells = np.zeros((len(values), n_y, n_x, self.orientations))
            for i in range(self.block_size):
                for j in range(self.block_size):
                    cells[:, i : i + blocks_y, j : j + blocks_x] += blocks[:, :, :, i, j]
            found.append(cells)
            start = end
        return found

    def spread(self, values: Floats) -> npt.NDArray[np.float64]:
        """Each over the pixels of its cell; pixels that fill no cell have 0."""
        height, width, _ = self.fitted_shape
        pixels = np.zeros((len(values), height, width))
        for size, cells in zip(self._cell_sizes, self.by_cell(values), strict=True):
            squares = np.kron(cells.sum(axis=3), np.full((1, size, size), 1.0 / size**2))
            pixels[:, : squares.shape[1], : squares.shape[2]] += squares
        return pixels

    def _gradients(self, images: Pixels) -> tuple[Floats, Floats]:
        """(along x, along y), each (N, height, width) float32, of the channel whose gradient is longest."""
        planes = np.moveaxis(images, 3, 0).astype(np.float32, order="C")
        planes /= 255.0
        if self.root:
            np.sqrt(planes, out=planes)
        padded = np.pad(planes, ((0, 0), (0, 0), (1, 1), (1, 1)), mode="edge")
        along_x = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
        along_y = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
        if len(planes) > 1:
            length = along_x**2 + along_y**2
            for channel in range(1, len(planes)):
                longer = length[channel] > length[0]  # the first of equal ones
                for kept in (length, along_x, along_y):
                    np.copyto(kept[0], kept[channel], where=longer)
        return along_x[0], along_y[0]

    def _histograms(self, along_x: Floats, along_y: Floats) -> list[Floats]:
        """(N, cells_y, cells_x, orientations) float32 of each scale: the votes of the pixels of each cell."""
        n_images, height, width = along_x.shape
        length = np.sqrt(along_x**2 + along_y**2)
        if self.signed:
            angle = np.arctan2(along_y, along_x) * np.float32(self.orientations / (2 * np.pi))
            last = (self.orientations + 1) // 2
            first = -last  # the angle lies in -orientations/2 .. orientations/2
        else:
            angle = np.arctan2(np.abs(along_y), along_x * np.copysign(np.float32(1), along_y))
            angle *= np.float32(self.orientations / np.pi)
            first, last = 0, self.orientations
        grids = [(size, *self._cells(size)) for size in self._cell_sizes]
        shares = [(pooling(height, size, n_y).T, pooling(width, size, n_x)) for size, n_y, n_x in grids]
        found = [np.zeros((n_images, n_y, n_x, self.orientations), dtype=np.float32) for _, n_y, n_x in grids]
        vote = np.empty_like(angle)
        for k in range(first, last + 1):  # both ends are one orientation, whose votes % adds up
            np.subtract(angle, np.float32(k), out=vote)
            np.abs(vote, out=vote)
            np.subtract(np.float32(1), vote, out=vote)
            np.maximum(vote, np.float32(0), out=vote)
            vote *= length
            for (to_rows, to_columns), histogram in zip(shares, found, strict=True):
                # one small product per picture: the rounding of one large product depends on the number of pictures
                histogram[..., k % self.orientations] += to_rows @ (vote @ to_columns)
        return found

    def _blocks(self, histograms: Floats, cell_size: int) -> Floats:
        """(N, D) float32: the blocks row by row, in each its cells row by row, in each the orientations."""
        size = (self.block_size, self.block_size)
        windows = np.lib.stride_tricks.sliding_window_view(histograms, size, axis=(1, 2))  # the window comes last
        blocks = np.moveaxis(windows, 3, -1).reshape(len(histograms), -1, self.block_size**2 * self.orientations)
        epsilon = np.float32(EPSILON * cell_size**2 / 16)
        # into new memory: blocks is a view of the histograms where there is one block only
        blocks = blocks / np.sqrt(np.einsum("nbd,nbd->nb", blocks, blocks) + epsilon**2)[:, :, None]
        np.minimum(blocks, np.float32(self.clip), out=blocks)
        blocks /= np.sqrt(np.einsum("nbd,nbd->nb", blocks, blocks) + TINY)[:, :, None]
        rows: Floats = blocks.reshape(len(histograms), -1)
        return rows


def pooling(n_pixels: int, cell_size: int, n_cells: int) -> npt.NDArray[np.float32]:
    """(n_pixels, n_cells): the share of each pixel's vote for each cell along a side, by the distance to its centre.

    The vote of a pixel between two centres is interpolated linearly. Votes for cells beyond the border are dropped, as
    are the pixels after the last complete cell.
    """
    middle = (np.arange(n_pixels)[:, None] + 0.5) / cell_size
    shares = np.maximum(0.0, 1.0 - np.abs(middle - (np.arange(n_cells) + 0.5)))
    shares[n_cells * cell_size :] = 0.0
    return np.asarray(shares, dtype=np.float32)


def split_evenly(images: Pixels, n_pixels: int) -> list[slice]:
    """Slices of the pictures, each of about `n_pixels` pixels and at least one picture."""
    size = max(1, n_pixels // (images.shape[1] * images.shape[2]))
    return slices(len(images), size)
