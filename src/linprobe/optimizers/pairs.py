"""Pairs of a step and the change of the gradient along it, as BFGS keeps them."""

from __future__ import annotations

import numpy as np

from linprobe.shapes import Floats

__all__ = ["curves", "keep"]

MEMORY = 10
"""Pairs that are kept."""


def curves(s: Floats, y: Floats) -> bool:
    """Whether the change y along the step s tells of curvature, and not of rounding."""
    return float((s * y).sum()) > 1e-12 * float(np.sqrt(np.square(s).sum() * np.square(y).sum()))


def keep(*more: tuple[list[Floats], Floats]) -> None:
    """Append to each list what comes with it, and leave the last ten."""
    for kept, new in more:
        kept.append(new)
        del kept[:-MEMORY]
