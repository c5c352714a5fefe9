"""Short codes of rows: distances between codes are lower bounds of distances between rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe import _core
from linprobe.blas import ONE_BLAS_THREAD
from linprobe.shapes import Floats, check_mapped

__all__ = ["LONGEST_QUERY", "Coder", "GroupCoder"]

SAMPLE = 1024
"""Rows of the sample to which the directions of the codes are fitted."""

LARGEST = 16000.0
"""Length of the longest code of a row."""

LONGEST_QUERY = 30000.0
"""Length of the longest code of a query: squared distances of codes then stay below 2^31."""

BLOCK = 2048
"""Rows whose coordinates are held as numbers at once."""

LONG_NUMBERS = 2**28
"""Numbers of X, at most, for which long codes are made: they take 4 bytes a number while a search runs (1 GB)."""

LONG_ABOVE = 0.05
"""Share of rows that short codes fail to rule out, above which vectors get long codes."""


@dataclass(frozen=True)
class Coder:
    """Rows -> codes whose distances are lower bounds of the distances between the rows.

    With A a map that makes no distance longer (orthonormal directions, divided by the largest singular value that
    their rounding left them), and M = (1 - AᵀA)^(1/2), any two rows have

        |a - b|² = |A (a - b)|² + |M (a - b)|² >= |A (a - b)|² + (|M a| - |M b|)²,    |M a|² = |a|² - |A a|²

    so that the numbers of A a and the one number |M a| are coordinates whose distance is a lower bound. A code holds
    them, of rows less their mean, times `scale` and rounded: each coordinate is off by 1/2 at most. It has two such
    lengths: that of the part outside its first 63 coordinates (place 63), and that outside all coordinates.

    Vectors whose variance is not concentrated in a few directions have long codes: all their coordinates.

    Attributes:
        centre: (D,) near the mean of the rows; whole numbers for uint8.
        basis: (m, D) the directions: float64, int16 for uint8 (their products with bytes are exact), or None for the
            axes themselves.
        largest: their largest singular value, or more.
        scale: units of the codes in a unit of distance.
    """

    centre: npt.NDArray[Any]
    basis: npt.NDArray[Any] | None
    largest: float
    scale: float
    cosine: bool
    threads: int
    long: bool = False

    @property
    def width(self) -> int:
        """Numbers of a code."""
        return -(-len(self.centre) // 32) * 32 if self.long else _core.CODE

    @property
    def margins(self) -> tuple[float, float]:
        """How much longer than `scale` times a distance the distance of two prefixes, and of two codes, may be.

        Two codes of c coordinates that are off by 1/2 each: sqrt(c). The rest covers the errors of float64 before that
        rounding. The largest is that of a length left out, the root of a small difference of large squares. With D eps
        the relative error of a sum of D products, eps = 2^-52, the squares of m coordinates are off by at most
        2 sqrt(m) D eps of |x|², and the difference by less than 25 D eps. So the two lengths (rows up to 16,000 and
        queries up to 30,000 long) are off by less than 46,000 * 5 sqrt(D eps).
        """
        rounding = 4e5 * math.sqrt(len(self.centre) * np.finfo(np.float64).eps)
        prefix = self.width if self.long else _core.PREFIX
        return 1.001 * math.sqrt(prefix) + rounding, 1.001 * math.sqrt(self.width) + rounding

    @classmethod
    def fitted(cls, X: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None, metric: str, threads: int) -> Coder:
        """Directions of most variance of a sample, and the scale that the longest row allows."""
        n, D = len(X) if rows is None else len(rows), X.shape[1]
        spread = np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64)
        cosine = metric == "cosine"
        picked = X[spread if rows is None else rows[spread]]
        sample = _numbers(picked, cosine) if X.dtype != np.uint8 else picked.astype(np.float32)
        centre = sample.mean(axis=0)
        if X.dtype == np.uint8:
            centre = np.rint(centre).astype(np.int16)
        longest = 0.0
        for start in range(0, n, BLOCK):
            part = np.arange(start, min(start + BLOCK, n)) if rows is None else rows[start : start + BLOCK]
            longest = max(longest, math.sqrt(float(_squares(X, part, centre, cosine, threads).max())))
        scale = LARGEST / longest if longest > LARGEST * 1e-290 else 1.0
        basis: npt.NDArray[Any] | None = None
        largest = 1.0
        m = _core.CODE - 8  # panels of 12 and 24 numbers divide 120
        if X.dtype == np.uint8 or m < D:
            sample -= centre
            sample /= float(np.abs(sample).max()) or 1.0  # products of products neither overflow nor vanish
            with ONE_BLAS_THREAD:  # more would wait for each other on busy cores
                directions = _directions(sample, min(m, D))
                if X.dtype == np.uint8:
                    # so short that a sum of products with up to 255 stays below 2^31, by Cauchy and Schwarz
                    directions = np.rint(directions * min(2.0**13, 2.0**30 / (256 * math.sqrt(D)))).astype(np.int16)
                basis = np.ascontiguousarray(directions)
                exact = basis.astype(np.float64)
                # rounding to float64 moves the largest eigenvalue by some 1e-14 of it; a billionth is beyond doubt
                largest = math.sqrt(float(np.linalg.eigvalsh(exact @ exact.T)[-1]) * (1 + 1e-9) + 1e-300)
                may_be_long = X.dtype != np.uint8 and _core.CODE < D and n * D <= LONG_NUMBERS
                if may_be_long and _share_compared(sample, basis) > LONG_ABOVE:
                    return cls(centre, None, 1.0, scale, cosine, threads, long=True)
        return cls(centre, basis, largest, scale, cosine, threads)

    def codes(
        self, X: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None
    ) -> tuple[npt.NDArray[np.int16], npt.NDArray[np.uint8]]:
        """Codes (n, width) int16, and which rows (n,) are too long to have one (their codes are zeros)."""
        n, split = len(X) if rows is None else len(rows), _core.PREFIX - 1
        codes, beyond = np.zeros((n, self.width), np.int16), np.zeros(n, np.uint8)
        for start in range(0, n, BLOCK):
            part = np.arange(start, min(start + BLOCK, n)) if rows is None else rows[start : start + BLOCK]
            if X.dtype == np.uint8:
                assert self.basis is not None
                whole, exact = _projected(X, part, self.centre, self.basis, self.threads)
                coordinates, squares = whole / self.largest, exact.astype(np.float64)
            else:
                gap = _numbers(X[part], self.cosine) - self.centre
                squares = np.einsum("ij,ij->i", gap, gap)
                coordinates = gap if self.basis is None else gap @ (self.basis.T / self.largest)
            far = ~(np.sqrt(squares) * self.scale <= LONGEST_QUERY)
            coordinates[far], squares[far] = 0.0, 0.0
            beyond[start : start + len(part)] = far
            place = codes[start : start + len(part)]
            if self.long:
                place[:, : coordinates.shape[1]] = np.rint(coordinates * self.scale)
                continue
            head, tail = coordinates[:, :split], coordinates[:, split:]
            left = squares - np.einsum("ij,ij->i", head, head)
            place[:, : head.shape[1]] = np.rint(head * self.scale)
            place[:, split] = np.rint(np.sqrt(np.maximum(left, 0.0)) * self.scale)
            left -= np.einsum("ij,ij->i", tail, tail)
            end = split + 1 + tail.shape[1]
            place[:, split + 1 : end] = np.rint(tail * self.scale)
            if end < _core.CODE and self.basis is not None:
                place[:, end] = np.rint(np.sqrt(np.maximum(left, 0.0)) * self.scale)
        return codes, beyond


@dataclass(frozen=True)
class GroupCoder:
    """Rows of bytes -> 256 bytes whose L1 distances are lower bounds of those between the rows.

    With the columns in groups g, and s_g the sum of a group, sum_j |a_j - b_j| >= sum_g |s_g(a) - s_g(b)|. A code holds
    s_g divided by the largest number of columns of a group, rounded. The bound is tight where the differences within a
    group have one sign: columns go together that rise and fall together in a sample.

    Attributes:
        groups: (G, D) int16, 1 where a column belongs to the group; G <= 256.
        scale: units of the codes in a unit of distance.
    """

    groups: npt.NDArray[np.int16]
    scale: float
    threads: int

    @property
    def margins(self) -> tuple[float, float]:
        """How much longer than `scale` times a distance the distance of two codes may be: 1/2 a number of each."""
        return len(self.groups) + 0.01, len(self.groups) + 0.01

    @classmethod
    def fitted(cls, X: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64] | None, threads: int) -> GroupCoder:
        """Groups of columns near each other in the coordinates of most variance, by halving again and again."""
        n, D = len(X) if rows is None else len(rows), X.shape[1]
        spread = np.linspace(0, n - 1, min(n, SAMPLE)).astype(np.int64)
        sample = X[spread if rows is None else rows[spread]].astype(np.float32)
        sample -= sample.mean(axis=0)
        with ONE_BLAS_THREAD:
            directions = _directions(sample, min(40, D))
            places = (directions * np.linalg.norm(directions @ sample.T, axis=1)[:, None]).T
            parts = [np.arange(D)]
            while 2 * len(parts) <= min(_core.SUMS, D // 4):
                parts = [half for part in parts for half in _halves(part, places[part])]
        groups = np.zeros((len(parts), D), np.int16)
        for g, part in enumerate(parts):
            groups[g, part] = 1
        return cls(groups, 1.0 / max(map(len, parts)), threads)

    def codes(
        self, X: npt.NDArray[np.uint8], rows: npt.NDArray[np.int64] | None
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
        """Codes (n, 256) uint8, and zeros (n,): there is none for which a row is too long."""
        n = len(X) if rows is None else len(rows)
        codes = np.zeros((n, _core.SUMS), np.uint8)
        centre = np.zeros(X.shape[1], np.int16)
        for start in range(0, n, BLOCK):
            part = np.arange(start, min(start + BLOCK, n)) if rows is None else rows[start : start + BLOCK]
            sums, _ = _projected(X, part, centre, self.groups, self.threads)
            codes[start : start + len(part), : len(self.groups)] = np.rint(sums * self.scale)
        return codes, np.zeros(n, np.uint8)


def _halves(part: npt.NDArray[np.int64], places: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int64], ...]:
    """A group of columns in two of one size, cut across the direction in which their places differ most."""
    gap = places - places.mean(axis=0)
    _, directions = np.linalg.eigh(gap.T @ gap)
    order = np.argsort(gap @ directions[:, -1], kind="stable")
    return part[order[: len(part) // 2]], part[order[len(part) // 2 :]]


def _squares(
    X: npt.NDArray[Any], part: npt.NDArray[np.int64], centre: npt.NDArray[Any], cosine: bool, threads: int
) -> Floats:
    """|x - centre|² (n,) of rows of X."""
    if X.dtype == np.uint8:
        none = np.empty((0, X.shape[1]), np.int16)
        return _projected(X, part, centre, none, threads)[1].astype(np.float64)
    gap = _numbers(X[part], cosine) - centre
    squares: Floats = np.einsum("ij,ij->i", gap, gap)
    return squares


def _projected(
    X: npt.NDArray[np.uint8],
    part: npt.NDArray[np.int64],
    centre: npt.NDArray[np.int16],
    basis: npt.NDArray[np.int16],
    threads: int,
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
    """(x - centre) basisᵀ (n, m) and |x - centre|² (n,) of rows of bytes, exact."""
    out, squares = np.empty((len(part), len(basis)), np.int32), np.empty(len(part), np.int64)
    part = np.ascontiguousarray(part)
    check_mapped(X)
    _core.projection(X, part, centre=centre, basis=basis, out=out, squares=squares, threads=threads)
    return out, squares


def _numbers(X: npt.NDArray[Any], cosine: bool) -> Floats:
    """Rows as float64; with `cosine` of length 1, zero vectors as they are."""
    rows = X.astype(np.float64)
    if cosine:
        lengths = np.sqrt(np.einsum("ij,ij->i", rows, rows))[:, None]
        np.divide(rows, lengths, out=rows, where=lengths > 0)
    return rows


def _directions(rows: npt.NDArray[Any], m: int) -> npt.NDArray[Any]:
    """(m, D) orthonormal directions that hold most of the variance of `rows`: a randomised subspace iteration.

    How well they hold it decides how many rows a bound rules out, never the result.

    Source:
        Halko, Martinsson, Tropp: Finding structure with randomness, SIAM Review 53 (2011), algorithm 4.4.
    """
    D = rows.shape[1]
    width = min(D, m + 40)
    basis = np.random.Generator(np.random.PCG64(0)).standard_normal((width, D)).astype(rows.dtype)
    for _ in range(2):
        basis = np.linalg.qr(((basis @ rows.T) @ rows).T)[0].T
    projected = basis @ rows.T
    _, mixing = np.linalg.eigh(projected @ projected.T)
    return np.asarray(mixing[:, ::-1][:, :m].T @ basis)


def _share_compared(rows: Floats, basis: Floats) -> float:
    """Share of the rows that the bound of the coordinates along `basis` cannot rule out, for the fifth nearest row."""
    queries = rows[:: max(1, len(rows) // 64)]
    squares, of_queries = (np.einsum("ij,ij->i", one, one) for one in (rows, queries))
    true = of_queries[:, None] + squares - 2 * (queries @ rows.T)
    places, of_places = rows @ basis.T, queries @ basis.T
    known, of_known = (np.einsum("ij,ij->i", one, one) for one in (places, of_places))
    left, of_left = (np.sqrt(np.maximum(a - b, 0.0)) for a, b in ((squares, known), (of_queries, of_known)))
    bounds = of_known[:, None] + known - 2 * (of_places @ places.T) + (of_left[:, None] - left) ** 2
    fifth = np.partition(true, min(5, len(rows) - 1), axis=1)[:, min(5, len(rows) - 1)]  # the row itself is the first
    return float(np.mean(bounds < fifth[:, None]))
