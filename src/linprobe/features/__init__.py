"""Features: pixels to the rows of X, or an affine map that an engine applies to the pixels it reads."""

from __future__ import annotations

from linprobe.features.base import Affine
from linprobe.features.pixels import Pixels

__all__ = ["Affine", "Pixels"]
