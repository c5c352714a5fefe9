"""The Affine map that an engine applies to the rows it reads, so that pixels need no float copy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from linprobe.errors import ShapeError
from linprobe.shapes import Floats

__all__ = ["Affine"]


@dataclass(frozen=True)
class Affine:
    """x -> scale * x + shift, feature by feature.

    Args:
        scale: (D,) float64.
        shift: (D,) float64.
    """

    scale: Floats
    shift: Floats

    def __post_init__(self) -> None:
        if self.scale.ndim != 1 or self.scale.shape != self.shift.shape:
            raise ShapeError(
                f"scale has shape {self.scale.shape}, shift {self.shift.shape}; both must be (n_features,)."
            )

    def apply(self, X: Floats) -> Floats:
        """`X` (N, D), of any dtype, mapped in float64: for small arrays and for the reference."""
        return np.asarray(X, dtype=np.float64) * self.scale + self.shift
