"""The regions over which a map of responses is pooled: a regular grid, or random fractional regions."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from linprobe.errors import ParameterError

__all__ = ["POOLINGS", "edges", "fractional_edges", "regions_of"]

POOLINGS = ("average", "max", "fractional", "fractional-random")
"""Values of `pooling`; fractional: Graham's pseudorandom sequences, fractional-random: his random ones."""

Edges = list[tuple[int, int]]


def edges(n: int, grid: int) -> Edges:
    """`grid` ranges (begin, end) that cover 0..n-1 evenly and symmetrically.

    If n is not a multiple of the grid, some neighbours overlap by one place.
    """
    return [(k * n // grid, -(-(k + 1) * n // grid)) for k in range(grid)]


def fractional_edges(n: int, grid: int, random: np.random.Generator, *, pseudo: bool, overlapping: bool) -> Edges:
    """`grid` ranges with random starts that cover 0..n-1, of lengths that differ by at most one.

        pseudo-random:  a_k = ceil(alpha (k + u)), alpha = n / grid, with one u in 0..1
        random:         the same lengths in a random order

    Args:
        overlapping: whether neighbours share one place.
    Source:
        Graham, "Fractional max-pooling", 2014, section 2.
    """
    alpha = n / grid
    if pseudo:
        u = float(random.random())
        inner = [math.ceil(alpha * (k + u)) - math.ceil(alpha * u) for k in range(grid)]
        bounds = np.array([*inner, n])
    else:
        lengths = np.full(grid, n // grid)
        lengths[: n % grid] += 1
        bounds = np.concatenate([[0], np.cumsum(random.permutation(lengths))])
    return [(a, min(b + overlapping, n)) for a, b in pairwise(bounds.tolist())]


def regions_of(
    n_rows: int, n_columns: int, grid: int, pooling: str, *, seed: int = 0, overlapping: bool = True
) -> list[npt.NDArray[np.int64]]:
    """grid * grid arrays of places, 0..n_rows * n_columns - 1 row by row: the regions, row by row too.

    Args:
        pooling: one of `POOLINGS`; average and max use the regular grid.
        seed, overlapping: of fractional regions.
    Raises:
        ParameterError: the grid is finer than the map.
    """
    if not 1 <= grid <= min(n_rows, n_columns):
        raise ParameterError(
            f"grid = {grid}; the map of responses is {n_rows}x{n_columns}; expected 1..{min(n_rows, n_columns)}."
        )
    if pooling in ("average", "max"):
        sides = [edges(n, grid) for n in (n_rows, n_columns)]
    else:
        random = np.random.Generator(np.random.PCG64(seed))
        pseudo = pooling == "fractional"
        sides = [fractional_edges(n, grid, random, pseudo=pseudo, overlapping=overlapping) for n in (n_rows, n_columns)]
    places = np.arange(n_rows * n_columns, dtype=np.int64).reshape(n_rows, n_columns)
    return [places[a:b, c:d].ravel() for a, b in sides[0] for c, d in sides[1]]
