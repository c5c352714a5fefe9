"""Array types, and checks whose messages name the array, the shape found and the shape expected.

Letters, here and everywhere: N images, D features, K classes.

    X (N, D)   rows: uint8 pixels 0..255, or float16 / float32 / float64 vectors
    y (N,)     integer labels in 0..K-1
    W (K, D)   one template per class;  b (K,) one bias per class
    S (N, K)   scores, S = X Wᵀ + b
"""

from __future__ import annotations

import math
import mmap
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from linprobe.errors import DataError, LabelError, ParameterError, ShapeError

__all__ = [
    "Doubles",
    "Floats",
    "Labels",
    "Pixels",
    "check_labels",
    "check_mapped",
    "check_parameters",
    "check_range",
    "check_rows",
    "check_sample_weight",
    "half_sizes",
    "mirror_lower",
    "slices",
    "usual_weights",
]

SQUARE = 256
"""Rows and columns of a block in which `mirror_lower` works: 512 KB in float64, which an L2 cache holds. Not tuned."""

Floats: TypeAlias = npt.NDArray[np.floating[Any]]
Doubles: TypeAlias = npt.NDArray[np.float64]
Labels: TypeAlias = npt.NDArray[np.integer[Any]]
Pixels: TypeAlias = npt.NDArray[np.uint8]


def check_labels(y: Labels, scores: Floats) -> None:
    """Raise ShapeError or LabelError unless `y` (N,) holds one label in 0..K-1 per row of `scores` (N, K)."""
    if scores.ndim != 2:
        raise ShapeError(f"scores has shape {scores.shape}; expected two axes, (n_images, n_classes).")
    if not np.issubdtype(scores.dtype, np.floating):
        raise ShapeError(f"scores has dtype {scores.dtype}; expected floats.")
    n_images, n_classes = scores.shape
    if y.shape != (n_images,):
        raise ShapeError(f"y has shape {y.shape} but scores has {n_images} rows; y must be ({n_images},).")
    if not np.issubdtype(y.dtype, np.integer):
        raise LabelError(f"y has dtype {y.dtype}; expected integers in 0..{n_classes - 1}.")
    if n_images and (y.min() < 0 or y.max() >= n_classes):
        row = int(np.flatnonzero((y < 0) | (y >= n_classes))[0])
        raise LabelError(
            f"y[{row}] = {int(y[row])} but scores has {n_classes} classes; labels must lie in 0..{n_classes - 1}."
        )


def check_parameters(W: Floats, b: Floats, n_classes: int, n_features: int) -> None:
    """Raise ShapeError unless `W` is (n_classes, n_features) and `b` is (n_classes,)."""
    if W.shape != (n_classes, n_features):
        raise ShapeError(
            f"W has shape {W.shape} but X has {n_features} features and y {n_classes} classes; "
            f"W must be (n_classes, n_features) = ({n_classes}, {n_features}). "
            "The bias is the separate vector b, not a last column of W."
        )
    if b.shape != (n_classes,):
        raise ShapeError(f"b has shape {b.shape}; expected one bias per class, ({n_classes},).")


def check_rows(X: object) -> None:
    """Raise ShapeError if `X` is an array of pictures, (N, height, width[, channels]), where rows (N, D) are needed."""
    shape = getattr(X, "shape", ())
    if len(shape) in (3, 4):
        raise ShapeError(
            f"X has shape {shape}, the shape of pictures; expected (n_images, n_features), one row per picture. "
            "Use X.reshape(len(X), -1)."
        )


def check_sample_weight(sample_weight: Floats, n_images: int) -> None:
    """Raise unless `sample_weight` (N,) is finite, not negative, and not all zero."""
    if sample_weight.shape != (n_images,):
        raise ShapeError(f"sample_weight has shape {sample_weight.shape}; expected ({n_images},), one per image.")
    if not np.isfinite(sample_weight).all():
        row = int(np.flatnonzero(~np.isfinite(sample_weight))[0])
        raise ParameterError(f"sample_weight[{row}] = {sample_weight[row]}; weights must be finite.")
    if (sample_weight < 0).any():
        row = int(np.flatnonzero(sample_weight < 0)[0])
        raise ParameterError(f"sample_weight[{row}] = {sample_weight[row]}; weights must not be negative.")
    if n_images and not sample_weight.any():
        raise ParameterError("sample_weight is zero for every image; at least one must be positive.")


USUAL_WEIGHT = 2.0**40
"""Sample weights are used unscaled while the largest is between 1 / USUAL_WEIGHT and USUAL_WEIGHT. Float32 holds the
sum of squares of 2^24 such weights."""

LEAST_WEIGHT = 1e-100
"""Share of the largest sample weight below which a weight counts as 0. It changes no digit of a sum, and squares of
much smaller shares would leave the range of float64."""


def usual_weights(weight: Floats) -> tuple[Floats, int]:
    """Weights (N,) divided by a power of two, and its exponent: 0 if the largest is in the range of `USUAL_WEIGHT`.

    Unscaled, their sum or a float32 sum of squares could overflow or vanish. Weights below `LEAST_WEIGHT` of the
    largest become 0. Weights that are not finite or not positive are left for `check_sample_weight` to refuse.
    """
    largest = float(weight.max(initial=0.0))
    if not 0.0 < largest < np.inf:
        return weight, 0
    exponent = 0 if 1.0 / USUAL_WEIGHT <= largest <= USUAL_WEIGHT else math.frexp(largest)[1]
    if exponent:
        weight = np.ldexp(weight, -exponent)
    tiny = (weight > 0.0) & (weight < LEAST_WEIGHT * math.ldexp(largest, -exponent))
    return (np.where(tiny, 0.0, weight) if tiny.any() else weight), exponent


def check_mapped(X: npt.NDArray[Any]) -> None:
    """Raise DataError if `X` lies in a memory map whose file has become too short: reading it would end the process.

    A file that is cut while it is being read still ends the process (SIGBUS). An array in memory costs nothing.
    """
    whole, base = X, cast(object, X.base)
    while isinstance(base, np.ndarray):
        whole, base = base, cast(object, base.base)
    if not isinstance(base, mmap.mmap):
        return
    needed = whole.offset + whole.nbytes if isinstance(whole, np.memmap) else len(base)
    found = base.size()
    if found < needed:
        name = getattr(whole, "filename", None) or "the file of X"
        raise DataError(
            f"{name} has {found} bytes; its memory map needs {needed}. The file was cut after it was opened: "
            "write it anew, and open it again."
        )


def check_range(name: str, value: float, *, low: float, high: float = float("inf"), open_low: bool = False) -> None:
    """Raise ParameterError unless `value` is finite and in [low, high] (]low, high] with `open_low`)."""
    inside = (low < value if open_low else low <= value) and value <= high and value < float("inf")
    if not inside:  # NaN is never inside
        sign = ">" if open_low else ">="
        upper = f" and <= {high:g}" if high != float("inf") else ""
        raise ParameterError(f"{name} = {value}; expected a finite number {sign} {low:g}{upper}.")


def slices(n: int, size: int) -> list[slice]:
    """0..n-1 in order, `size` at a time; the last slice may be shorter."""
    return [slice(start, min(n, start + size)) for start in range(0, n, size)]


def mirror_lower(A: Floats) -> None:
    """Make A (n, n) symmetric from its lower triangle, in place: a copy could be the largest array of a training."""
    for block in slices(len(A), SQUARE):
        square = np.tril(A[block, block])
        A[block, block] = square + np.tril(square, -1).T
        A[block, block.stop :] = A[block.stop :, block].T


def half_sizes(halves: npt.NDArray[np.float16]) -> npt.NDArray[np.uint16]:
    """The bits of |x|, which sort as |x| does; from 0x7C00 on, x is NaN or infinite.

    NumPy compares them ten times as fast as float16.
    """
    return halves.view(np.uint16) & np.uint16(0x7FFF)
