"""The score function f(x, W) = W x + b, and folding a map of the pixels into W and b."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.errors import ShapeError
from linprobe.shapes import Floats, check_parameters

__all__ = ["fold", "scores"]


def scores(X: npt.NDArray[Any], W: Floats, b: Floats) -> Floats:
    """S = X Wᵀ + b, shape (N, K): in row i the scores of image i, one per class.

    Args:
        X: (N, D) rows of any dtype that an engine reads; uint8 pixels are multiplied as the numbers 0..255.
        W: (K, D), one template per class.
        b: (K,).
    Raises:
        ShapeError: the three do not fit together.
    Example:
        >>> pixels = np.array([[1, 2]], dtype=np.uint8)
        >>> scores(pixels, np.array([[1.0, 0.0], [0.5, 0.5]]), np.array([0.0, 1.0]))
        array([[1. , 2.5]])
    """
    if X.ndim != 2 or W.ndim != 2:
        raise ShapeError(
            f"X has shape {X.shape}, W {W.shape}; expected (n_images, n_features), (n_classes, n_features)."
        )
    check_parameters(W, b, len(W), X.shape[1])
    S: Floats = X @ W.T + b
    return S


def fold(W: Floats, b: Floats, scale: Floats, shift: Floats) -> tuple[Floats, Floats]:
    """(W, b) for raw rows, float64, given those for the rows mapped to scale * x + shift.

        W (scale * x + shift) + b = (W * scale) x + (b + W shift)

    Args:
        W, b: (K, D) and (K,).
        scale, shift: (D,) each, as in `Affine`.
    Raises:
        ShapeError: the four do not fit together.
    """
    if W.ndim != 2 or scale.shape != (W.shape[1],) or shift.shape != scale.shape:
        raise ShapeError(
            f"W has shape {W.shape}, scale {scale.shape} and shift {shift.shape}; "
            "expected (n_classes, n_features), (n_features,), (n_features,)."
        )
    check_parameters(W, b, len(W), W.shape[1])
    W = W.astype(np.float64, copy=False)
    # not W @ shift: the bits of a BLAS sum may depend on the number of threads
    return W * scale, b + (W * shift).sum(axis=1)
