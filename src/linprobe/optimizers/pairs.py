"""Pairs of a step s and the change y of the gradient along it, as BFGS keeps them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np

from linprobe.shapes import Floats, slices

__all__ = ["MEMORY", "combined", "curves", "dots", "flattest", "is_numbered", "keep", "listed", "numbered"]

Kept = TypeVar("Kept")

MEMORY = 10
"""Pairs that are kept, two arrays of (K, D + 1) float64 each, and one more of what they are solved to. Liu and
Nocedal, 1989, take 3 to 7; with 100 classes 10 to 50 were measured to take as many passes. Passes in
benchmarks/constants.py: a third: +4%; three times: -9%."""

SYMMETRY = 0.1
"""Difference of s_i·y_j and s_j·y_i, relative to the geometric mean of s_i·y_i and s_j·y_j, up to which two pairs are
taken to be of one symmetric curvature. Chosen by argument: a quadratic has no difference; rounding has, and a
curvature that changed between the two. Passes in benchmarks/constants.py: no change."""

MIN_COSINE = 1e-12
"""Cosine of s and y below which their product is rounding. Chosen by argument: float64 sums of 10^6 terms err less."""

MIN_EIGENVALUE = 1e-10
"""Eigenvalues of the products of the changes, relative to the largest, below which a combination is rounding."""

BLOCK_NUMBERS = 16384
"""Float64 numbers of each array that are read at a time, 128 KB, so that those which several products share stay in the
cache: twenty products of 160,000 numbers take 1.3 ms in place of 2.1, and a sum of twenty such arrays 2.2 in place of
4.8. More threads were measured to gain nothing. The bits of a product depend on it."""


def dots(pairs: Sequence[tuple[Floats, Floats]]) -> list[float]:
    """The product of each two arrays of one shape; each has the same bits whatever else is computed.

    Pairs that share an array are fastest next to each other.
    """
    if not pairs:
        return []
    flat = [(a.reshape(-1), b.reshape(-1)) for a, b in pairs]
    totals = [0.0] * len(flat)
    for block in slices(len(flat[0][0]), BLOCK_NUMBERS):
        for i, (a, b) in enumerate(flat):
            totals[i] += float(np.dot(a[block], b[block]))
    return totals


def combined(first: Floats, factor: float, weights: Sequence[float], arrays: Sequence[Floats]) -> Floats:
    """factor * first + sum_i weights[i] * arrays[i], a new array; all of them have one shape."""
    out = np.empty(first.shape)
    flat_out, flat_first, flat = out.reshape(-1), first.reshape(-1), [array.reshape(-1) for array in arrays]
    held = np.empty(min(BLOCK_NUMBERS, out.size))
    for block in slices(out.size, BLOCK_NUMBERS):
        some = flat_out[block]
        np.multiply(flat_first[block], factor, out=some)
        for weight, array in zip(weights, flat, strict=True):
            some += np.multiply(array[block], weight, out=held[: len(some)])
    return out


def curves(s: Floats, y: Floats) -> bool:
    """Whether the product of the step s and the change y is a curvature, and not rounding."""
    product, s_squared, y_squared = dots([(s, y), (s, s), (y, y)])
    return product > MIN_COSINE * math.sqrt(s_squared) * math.sqrt(y_squared)


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
    s, y = steps[::-1], changes[::-1]
    m = len(s)
    found = dots([(a, b) for a in s for b in y] + [(a, b) for i, a in enumerate(y) for b in [*y[i:], gradient]])
    products = np.array(found[: m * m]).reshape(m, m)
    squares, along = np.empty((m, m)), np.empty(m)
    rest = iter(found[m * m :])
    for i in range(m):
        for j in range(i, m):
            squares[i, j] = squares[j, i] = next(rest)
        along[i] = next(rest)
    roots = np.sqrt(np.diag(products))
    agree = np.abs(products - products.T) <= SYMMETRY * np.outer(roots, roots)
    n = next((n for n in range(1, m) if not agree[n, :n].all()), m)
    shares = np.linalg.lstsq(squares[:n, :n], -along[:n], rcond=MIN_EIGENVALUE)[0].tolist()
    step = combined(s[0], shares[0], shares[1:], s[1:n])
    return step, combined(gradient, 1.0, shares, y[:n])
