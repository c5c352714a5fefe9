"""Pairs of a step s and the change y of the gradient along it, as BFGS keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from linprobe.shapes import Floats

__all__ = ["MEMORY", "curves", "flattest", "is_numbered", "keep", "listed", "numbered"]

Kept = TypeVar("Kept")

MEMORY = 10
"""Pairs that are kept, two arrays of (K, D + 1) float64 each, and one more of what they are solved to. Liu and
Nocedal, 1989, take 3 to 7; with 100 classes 10 to 50 were measured to take as many passes. Passes in
benchmarks/constants.py: a third: +4%; three times: -9%."""

SYMMETRY = 0.1
"""Difference of s_i·y_j and s_j·y_i, relative to the geometric mean of s_i·y_i and s_j·y_j, up to which two pairs are
taken to be of one symmetric curvature. Chosen by argument: a quadratic has no difference; rounding has, and a
curvature that changed between the two. Passes in benchmarks/constants.py: no change."""

LEAST_COSINE = 1e-12
"""Cosine of s and y below which their product is rounding. Chosen by argument: float64 sums of 10^6 terms err less."""

LEAST_EIGENVALUE = 1e-10
"""Eigenvalues of the products of the changes, relative to the largest, below which a combination is rounding."""


def curves(s: Floats, y: Floats) -> bool:
    """Whether the product of the step s and the change y is a curvature, and not rounding."""
    return float((s * y).sum()) > LEAST_COSINE * float(np.sqrt(np.square(s).sum() * np.square(y).sum()))


def keep(*more: tuple[list[Kept], Kept]) -> None:
    """Append to each list what comes with it, and drop all but the last `MEMORY`."""
    for kept, new in more:
        kept.append(new)
        del kept[:-MEMORY]


def numbered(**lists: Sequence[Floats | None]) -> dict[str, Floats]:
    """The arrays that are not None, as a state names them: list and number, s0, s1, ...

    They become read-only, as several states share them.
    """
    arrays: dict[str, Floats] = {}
    for name, kept in lists.items():
        for i, array in enumerate(kept):
            if array is not None:
                array.setflags(write=False)
                arrays[f"{name}{i}"] = array
    return arrays


def is_numbered(name: str, prefix: str) -> bool:
    """Whether `name` is one of those that `numbered` gives to the list `prefix`."""
    return name.startswith(prefix) and name[len(prefix) :].isdigit()


def listed(arrays: Mapping[str, Floats], name: str) -> list[Floats]:
    """The list of that name in the arrays of a state."""
    return [arrays[key] for key in (f"{name}{i}" for i in range(MEMORY)) if key in arrays]


def flattest(steps: list[Floats], changes: list[Floats], gradient: Floats) -> tuple[Floats, Floats]:
    """(a combination of the steps, the gradient there): the smallest gradient, if it is linear.

    A linear gradient has s_i·y_j = s_j·y_i. From the last pair back, pairs are used up to the first that differs.

    Args:
        steps, changes: pairs for which `curves` holds, at least one, each of the shape of `gradient`.
        gradient: where the combination begins.
    """
    s, y = (np.stack(some[::-1]).reshape(len(some), -1) for some in (steps, changes))
    products = s @ y.T
    roots = np.sqrt(np.diag(products))
    agree = np.abs(products - products.T) <= SYMMETRY * np.outer(roots, roots)
    n = next((n for n in range(1, len(s)) if not agree[n, :n].all()), len(s))
    s, y = s[:n], y[:n]
    shares = np.linalg.lstsq(y @ y.T, -(y @ gradient.ravel()), rcond=LEAST_EIGENVALUE)[0]
    return (shares @ s).reshape(gradient.shape), gradient + (shares @ y).reshape(gradient.shape)
