"""Pixels as features: scaled to 0..1, centred on the mean image, or standardised, with no float copy."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import numpy.typing as npt

from linprobe.cores import by_threads
from linprobe.errors import ParameterError, ShapeError
from linprobe.features.base import Affine
from linprobe.shapes import Floats, check_sample_weight, slices, usual_weights

__all__ = ["PREPROCESS", "Pixels"]

PREPROCESS = {
    "auto": "center for pixels and vectors, standardize for features of pictures",
    "none": "as they are",
    "unit": "pixels / 255; vectors as they are",
    "center": "pixels / 255, minus the mean image; vectors minus their mean",
    "standardize": "mean 0 and standard deviation 1",
}
"""Each map of the input that a classifier takes by name, with what it does. That of "auto" is what the commands and the
lab do, which show it; `LinearClassifier` leaves vectors as they are."""

BLOCK_NUMBERS = 2**20
"""Numbers in a block of rows. A block has at most 2**16 rows, so that sums of 255² fit in 32 bits."""


@final
@dataclass
class Pixels:
    """Maps pixels x to scale * x + shift, pixel by pixel, fitted to the training images.

        unit:         x / 255, so that 0..255 becomes 0..1 (uint8 only; other dtypes are not scaled)
        center:       minus the mean image of the training images, in the same unit
        standardize:  divided by the standard deviation of each pixel over the training images

    Means and deviations are exact for uint8: integer sums over blocks of rows, and one division at the end. The divisor
    of a pixel is at least one intensity level, so that a new value of a nearly constant pixel stays within +-255. A
    constant float feature is not scaled.

    Args:
        unit, center, standardize: as above.
    Attributes:
        mean_image: (D,) float64, in the unit of the images (0..255 for uint8); None before `fit`.
        deviation: (D,) float64, likewise, without the floor; None before `fit` and without `standardize`.
    Example:
        >>> pixels = Pixels().fit(np.array([[0, 255], [255, 255]], dtype=np.uint8))
        >>> pixels.transform(np.array([[255, 255]], dtype=np.uint8))
        array([[0.5, 0. ]])
    """

    unit: bool = True
    center: bool = True
    standardize: bool = False
    mean_image: Floats | None = field(default=None, init=False, repr=False, compare=False)
    deviation: Floats | None = field(default=None, init=False, repr=False, compare=False)
    _affine: Affine | None = field(default=None, init=False, repr=False, compare=False)

    def fit(
        self,
        X: npt.NDArray[Any],
        rows: npt.NDArray[np.int64] | None = None,
        sample_weight: Floats | None = None,
        n_threads: int | None = None,
    ) -> Pixels:
        """Learn from the training images; returns itself.

        Args:
            X: (M, D) uint8 pixels, or float features; memory maps included.
            rows: (N,) positions in X of the training images, or None for all.
            sample_weight: (N,) weights >= 0 that count like repetitions, or None for all ones.
            n_threads: threads that read floats; None for one per core. The result does not depend on it.
        Raises:
            ShapeError: X is not (M, D), or holds no row.
        """
        if X.ndim != 2:
            raise ShapeError(f"X has shape {X.shape}; expected two axes, (n_images, n_features).")
        n_rows = len(X) if rows is None else len(rows)
        if n_rows == 0:
            raise ShapeError("X has no rows; at least one image is needed.")
        if sample_weight is not None:
            check_sample_weight(sample_weight, n_rows)
            sample_weight, _ = usual_weights(sample_weight)
        is_pixels = X.dtype == np.uint8
        mean: Floats = np.zeros(X.shape[1])
        deviation: Floats | None = None
        if self.center or self.standardize:
            mean, deviation = _moments(X, rows, sample_weight, self.standardize, n_threads)
        scale = np.full(X.shape[1], 1.0 / 255.0 if self.unit and is_pixels else 1.0)
        if deviation is not None:
            if is_pixels:
                scale = 1.0 / np.maximum(deviation, 1.0)
            else:
                # the deviation of a constant feature is the rounding error of its mean, a sum of N numbers
                varies = deviation > max(10.0, float(n_rows)) * np.finfo(np.float64).eps * np.abs(mean)
                scale = np.where(varies, 1.0 / np.where(varies, deviation, 1.0), 1.0)
        self.mean_image, self.deviation = mean, deviation
        self._affine = Affine(scale, -scale * mean if self.center else np.zeros_like(scale))
        return self

    @property
    def affine(self) -> Affine:
        """The map, for an engine to apply and for the model file to keep.

        Raises:
            ParameterError: `fit` was not called.
        """
        if self._affine is None:
            raise ParameterError("these Pixels are not fitted; call fit(X) on the training images first.")
        return self._affine

    def transform(self, X: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None = None) -> Floats:
        """The mapped rows (N, D) as a float64 copy, for a few rows; engines use `affine` instead."""
        return self.affine.apply(X if rows is None else X[rows])


def _moments(
    X: npt.NDArray[Any],
    rows: npt.NDArray[np.int64] | None,
    weight: Floats | None,
    need_deviation: bool,
    n_threads: int | None,
) -> tuple[Floats, Floats | None]:
    """Mean and, if needed, standard deviation (divided by N, not N - 1) of each column, (D,) float64."""
    n_rows, n_features = len(X) if rows is None else len(rows), X.shape[1]
    size = min(2**16, max(1, BLOCK_NUMBERS // max(1, n_features)))
    blocks = slices(n_rows, size)

    def read(block: slice) -> npt.NDArray[Any]:
        return X[block] if rows is None else X[rows[block]]

    if X.dtype == np.uint8 and weight is None:
        total, squares = np.zeros(n_features, np.int64), np.zeros(n_features, np.int64)
        for block in blocks:
            pixels = read(block)
            total += pixels.sum(axis=0, dtype=np.uint32)
            if need_deviation:
                squares += np.square(pixels, dtype=np.uint16).sum(axis=0, dtype=np.uint32)
        mean = total / n_rows
        if not need_deviation:
            return mean, None
        # n² var = n sum x² - (sum x)² in Python's integers: 64 bits overflow beyond 1e7 images
        spread = n_rows * squares.astype(object) - total.astype(object) ** 2
        return mean, np.sqrt(spread.astype(np.float64)) / n_rows

    shares = np.ones(n_rows) if weight is None else weight / weight.mean()
    mean = np.zeros(n_features)

    def sums(block: slice) -> Floats:
        total: Floats = np.einsum("n,nd->d", shares[block], read(block).astype(np.float64))
        return total

    def spreads(block: slice) -> Floats:
        x = read(block).astype(np.float64)
        x -= mean
        total: Floats = np.einsum("n,nd->d", shares[block], np.square(x, out=x))
        return total

    mean = sum(by_threads(sums, blocks, n_threads), mean) / n_rows
    if not need_deviation:
        return mean, None
    return mean, np.sqrt(sum(by_threads(spreads, blocks, n_threads), np.zeros(n_features)) / n_rows)
