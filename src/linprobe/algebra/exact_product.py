"""Aᵀ B of float64 matrices without rounding of sums: by products of short integers, which float64 holds exactly."""

from __future__ import annotations

import numpy as np

from linprobe.shapes import Floats, slices

__all__ = ["LOST", "exact_product"]

ROWS = 2**13
"""Rows of a block. With more rows, fewer bits of a number fit into one integer matrix. Chosen by argument."""

BITS = 20
"""Bits of a number in one integer matrix: the sum of ROWS products of 2 BITS bits each has 53, all that float64 has.
Chosen by argument."""

PARTS = 4
"""Integer matrices of each factor: with BITS each they hold 80 bits below the largest number of a column. Chosen by
argument."""

LOST = 2.0**-78
"""Bound on the error of an entry, for each row and in units of the largest numbers of its two columns. Chosen by
argument: products of parts that are left out are below 2^-(PARTS BITS), and there are fewer than four of them."""


def exact_product(A: Floats, B: Floats) -> Floats:
    """Aᵀ B, (K, D) float64, whose entries are rounded a few times each, however many rows are summed.

    A column is written as 2^e sum_i I_i 2^(-20 i) with integer matrices I_i, so that the products of these, and the
    sums of the products over a block of rows, are exact in float64. The result has the same bits for any BLAS.

    Args:
        A: (N, K), finite.
        B: (N, D), finite.
    Source:
        Ozaki, Ogita, Oishi and Rump, "Error-free transformations of matrix multiplication by using fast routines of
        matrix multiplication and its applications", 2012.
    Example:
        >>> exact_product(np.array([[1e16], [1.0], [-1e16]]), np.ones((3, 1)))
        array([[1.]])
    """
    total, compensation = np.zeros((A.shape[1], B.shape[1])), np.zeros((A.shape[1], B.shape[1]))
    left, right = _exponents(A), _exponents(B)
    for block in slices(len(A), ROWS):
        own, other = _parts(A[block], left), _parts(B[block], right)
        for order in range(PARTS - 1, -1, -1):
            for i in range(order + 1):
                term = np.ldexp(own[i].T @ other[order - i], -BITS * (order + 2))
                added = total + term  # its rounding error is added to the compensation: Knuth's two-sum
                part = added - total
                compensation += (total - (added - part)) + (term - part)
                total = added
    found: Floats = np.ldexp(total + compensation, left[:, None] + right)
    return found


def _exponents(A: Floats) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """(K,) the exponents e with |A| < 2^e in each column."""
    found: np.ndarray[tuple[int], np.dtype[np.int32]] = np.frexp(np.abs(A).max(axis=0, initial=0.0))[1]
    return found


def _parts(A: Floats, exponents: np.ndarray[tuple[int], np.dtype[np.int32]]) -> list[Floats]:
    """PARTS integer matrices I_i (N, K) with A = 2^exponents sum_i I_i 2^(-BITS (i + 1)), up to a remainder."""
    rest, found = np.ldexp(A, -exponents), []
    for _ in range(PARTS):
        rest = np.ldexp(rest, BITS)
        found.append(np.rint(rest))
        rest = rest - found[-1]
    return found
