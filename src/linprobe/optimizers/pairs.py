"""Pairs of a step and the change of the gradient along it, as BFGS keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from linprobe.shapes import Floats

__all__ = ["curves", "flattest", "keep", "listed", "numbered"]

Kept = TypeVar("Kept")

MEMORY = 10
"""Pairs that are kept."""

AGREE = 0.1
"""Relative difference of s_i·y_j and s_j·y_i up to which two pairs tell of the same curvature."""


def curves(s: Floats, y: Floats) -> bool:
    """Whether the change y along the step s tells of curvature, and not of rounding."""
    return float((s * y).sum()) > 1e-12 * float(np.sqrt(np.square(s).sum() * np.square(y).sum()))


def keep(*more: tuple[list[Kept], Kept]) -> None:
    """Append to each list what comes with it, and leave the last ten."""
    for kept, new in more:
        kept.append(new)
        del kept[:-MEMORY]


def numbered(**lists: Sequence[Floats | None]) -> dict[str, Floats]:
    """Those that are there, as a state has them: by the name of their list and their number in it, s0, s1, ...

    Searches never write into them, and no one else may: states share them.
    """
    arrays: dict[str, Floats] = {}
    for name, kept in lists.items():
        for i, array in enumerate(kept):
            if array is not None:
                array.setflags(write=False)
                arrays[f"{name}{i}"] = array
    return arrays


def listed(arrays: Mapping[str, Floats], name: str) -> list[Floats]:
    """The list of that name in the arrays of a state."""
    return [arrays[key] for key in (f"{name}{i}" for i in range(MEMORY)) if key in arrays]


def flattest(steps: list[Floats], changes: list[Floats], gradient: Floats) -> tuple[Floats, Floats]:
    """(a combination of the steps, the gradient there), the smallest that there is if it is linear.

    Of a linear gradient s_i·y_j = s_j·y_i. From the last pair back, those are taken that agree so far.

    Args:
        steps, changes: pairs that curve, at least one, each as `gradient`.
        gradient: where the combination begins.
    """
    s, y = (np.stack(some[::-1]).reshape(len(some), -1) for some in (steps, changes))
    bends = s @ y.T
    sizes = np.sqrt(np.diag(bends))
    agree = np.abs(bends - bends.T) <= AGREE * np.outer(sizes, sizes)
    n = next((n for n in range(1, len(s)) if not agree[n, :n].all()), len(s))
    s, y = s[:n], y[:n]
    shares = np.linalg.lstsq(y @ y.T, -(y @ gradient.ravel()), rcond=1e-10)[0]
    return (shares @ s).reshape(gradient.shape), gradient + (shares @ y).reshape(gradient.shape)
