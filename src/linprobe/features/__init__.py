"""Features: pixels to the rows of X, or an affine map of the pixels that an engine applies as it reads them."""

from __future__ import annotations

from linprobe.features.base import Affine
from linprobe.features.pixels import Pixels

__all__ = ["Affine", "Pixels"]
