"""The nearest rows of each query, exactly: rows that a lower bound rules out are not compared."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe import _core
from linprobe.cores import threads_for
from linprobe.engines.base import ENGINES
from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.neighbors.codes import Coder, GroupCoder
from linprobe.shapes import Doubles, Floats, check_mapped

__all__ = ["METRICS", "NeighborSearch", "Progress", "check_k", "check_metric"]

METRICS = ("l2", "l1", "cosine")
"""Values of `metric`."""

DTYPES = (np.uint8, np.float16, np.float32, np.float64)
"""Dtypes of rows."""

LEAST_ROWS = 2048
"""Least rows for which codes are made: comparing fewer in full is faster."""

LEAST_COLUMNS = 512
"""Least columns for which codes are made for L1: with fewer, the bound costs as much as the distance."""

BLOCK = 2048
"""Rows whose numbers are checked at once, and queries between two reports of progress."""

LARGEST_NUMBER = 1e140
"""Sums of squares of numbers below it are finite."""

REFERENCE_NUMBERS = 2**24
"""Differences that the reference engine holds at once."""

Progress = Callable[[int, int], None]


class NeighborSearch:
    """Exact search over rows of X.

        l2: d(a, b) = |a - b|        l1: d(a, b) = sum_j |a_j - b_j|        cosine: d(a, b) = 1 - a·b / (|a| |b|)

    Distances of uint8 rows are sums of whole numbers, exact; those of float rows are float64 sums, whatever the dtype
    of the rows. The k nearest rows are the first k in the order of (distance, position), so that of equal distances
    the smaller position comes first. The distance to a zero vector is 1 by cosine. The result is the same for any
    number of threads, and whichever rows the bounds rule out.

    Args:
        X: (M, D) uint8, float16, float32 or float64, of any strides; read where it lies.
        rows: (N,) the rows of X to search, whose order is that of the positions; None for all.
        metric: "l2", "l1" (uint8 only) or "cosine" (floats only).
        engine: "threads" or "reference" (NumPy, every distance).
        n_threads: None for one per usable core.
    Raises:
        ParameterError: the metric, the engine or the number of threads is unknown, or a number is 1e140 or more.
        IncompatibleError: the metric does not fit the dtype of X.
        ShapeError: X is not a table of numbers, or `rows` is empty or lies outside.
    """

    def __init__(
        self,
        X: npt.NDArray[Any],
        rows: npt.NDArray[np.int64] | None = None,
        *,
        metric: str = "l2",
        engine: str = "threads",
        n_threads: int | None = None,
    ) -> None:
        _check_table("X", X)
        check_metric(metric, X.dtype)
        if engine not in ENGINES:
            raise ParameterError(f"engine = {engine!r}; expected one of {', '.join(map(repr, sorted(ENGINES)))}.")
        if n_threads is not None and n_threads < 1:
            raise ParameterError(f"n_threads = {n_threads}; expected a whole number >= 1, or None for one per core.")
        self.X, self.metric, self.engine, self.n_threads = X, metric, engine, n_threads
        self.rows = _checked_rows("rows", rows, len(X))
        self.n_rows = len(X) if rows is None else len(rows)
        if self.n_rows == 0:
            raise ShapeError("X has no rows; at least one is needed to be the nearest.")
        _check_size("X holds", X, self.rows)
        self._coder: Coder | GroupCoder | None = None
        self._codes: npt.NDArray[Any] | None = None

    def search(
        self,
        Q: npt.NDArray[Any],
        k: int,
        rows: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Distances (n, k), ascending, and positions (n, k) in 0..N-1, of the k nearest rows of each query.

        Args:
            Q: (n, D) queries of the dtype of X.
            k: 1..N.
            rows: the rows of Q to search for; None for all.
            progress: called with (queries done, queries).
        Raises:
            ParameterError: k lies outside 1..N.
            ShapeError: Q has another dtype or number of features than X.
        """
        check_k(k, self.n_rows)
        _check_table("the queries", Q)
        if Q.shape[1] != self.X.shape[1]:
            raise ShapeError(
                f"the queries have {Q.shape[1]} features, X has {self.X.shape[1]}; they must have the same number."
            )
        if Q.dtype != self.X.dtype:
            raise ShapeError(f"the queries are {Q.dtype}, X is {self.X.dtype}; they must have one dtype.")
        rows = _checked_rows("rows", rows, len(Q))
        _check_size("the queries hold", Q, rows)
        queried = np.arange(len(Q)) if rows is None else rows
        distances, positions = np.empty((len(queried), k)), np.empty((len(queried), k), np.int64)
        run = self._reference if self.engine == "reference" else self._native
        for start in range(0, len(queried), BLOCK):
            part = slice(start, start + BLOCK)
            run(Q, queried[part], distances[part], positions[part])
            if progress is not None:
                progress(min(start + BLOCK, len(queried)), len(queried))
        if self.metric == "l2":
            np.sqrt(distances, out=distances)
        return distances, positions

    @property
    def threads(self) -> int:
        """Threads that search."""
        return threads_for(self.n_threads)

    def describe(self) -> str:
        """One line: the engine, its instruction set, its threads, and whether codes rule rows out."""
        if self.engine == "reference":
            return "reference: NumPy, every distance"
        how = "bounds by codes" if self._wants_codes(1) else "every distance"
        return f"threads: {_core.instruction_set()}, {self.threads} threads, {how}"

    def prepare(self) -> None:
        """Fit the codes now, if this search uses codes, rather than in the first search."""
        if self._codes is None and self.engine == "threads" and self._wants_codes(1):
            if self.metric == "l1":
                self._coder = GroupCoder.fitted(self.X, self.rows, self.threads)
            else:
                self._coder = Coder.fitted(self.X, self.rows, self.metric, self.threads)
            self._codes = self._coder.codes(self.X, self.rows)[0]

    def _wants_codes(self, k: int) -> bool:
        """Whether codes can save time: not for few rows, many neighbours, or L1 over few columns."""
        return self.n_rows >= max(LEAST_ROWS, 64 * k) and (self.metric != "l1" or self.X.shape[1] >= LEAST_COLUMNS)

    def _native(
        self, Q: npt.NDArray[Any], queried: npt.NDArray[np.int64], keys: Doubles, positions: npt.NDArray[np.int64]
    ) -> None:
        # arguments of the core, of several types: None where they are not used
        bounds: dict[str, Any] = dict.fromkeys(("codes", "query_codes", "beyond", "sums", "query_sums"))
        scale, margins = 1.0, (0.0, 0.0)
        check_mapped(self.X)
        check_mapped(Q)
        if self._wants_codes(keys.shape[1]):
            self.prepare()
            assert self._coder is not None
            codes, beyond = self._coder.codes(Q, queried)
            if self.metric == "l1":
                bounds |= {"sums": self._codes, "query_sums": codes}
            else:
                bounds |= {"codes": self._codes, "query_codes": codes, "beyond": beyond}
            scale, margins = self._coder.scale, self._coder.margins
        _core.neighbors(
            self.X,
            self.rows,
            Q,
            np.ascontiguousarray(queried),
            metric=self.metric,
            **bounds,
            scale=scale,
            margin_prefix=margins[0],
            margin=margins[1],
            keys=keys,
            positions=positions,
            threads=self.threads,
        )

    def _reference(
        self, Q: npt.NDArray[Any], queried: npt.NDArray[np.int64], keys: Floats, positions: npt.NDArray[np.int64]
    ) -> None:
        """Every distance, in int64 of bytes and in float64 of the others."""
        k, D = keys.shape[1], self.X.shape[1]
        step = max(1, REFERENCE_NUMBERS // max(D, 1))
        wide = np.int64 if self.X.dtype == np.uint8 else np.float64
        for i, query in enumerate(Q[queried]):
            q = query.astype(wide)
            found = np.empty(self.n_rows)
            for start in range(0, self.n_rows, step):
                stop = min(start + step, self.n_rows)
                block = (self.X[start:stop] if self.rows is None else self.X[self.rows[start:stop]]).astype(wide)
                found[start:stop] = _keys(q, block, self.metric)
            order = np.argsort(found, kind="stable")[:k]
            keys[i], positions[i] = found[order], order


def _keys(q: npt.NDArray[Any], block: npt.NDArray[Any], metric: str) -> npt.NDArray[Any]:
    """What the rows of a block (n, D) are ordered by."""
    if metric == "cosine":
        lengths = np.sqrt((block * block).sum(axis=1)) * math.sqrt(q @ q)
        cosine = np.divide(block @ q, lengths, out=np.zeros(len(block)), where=lengths > 0)
        away: npt.NDArray[Any] = np.maximum(1.0 - cosine, 0.0)
        return away
    gap = block - q
    result: npt.NDArray[Any] = (gap * gap).sum(axis=1) if metric == "l2" else np.abs(gap).sum(axis=1)
    return result


def check_metric(metric: str, dtype: npt.DTypeLike) -> None:
    """Raise unless the metric is known, and is one of rows of this dtype."""
    if metric not in METRICS:
        raise ParameterError(f"metric = {metric!r}; expected one of {', '.join(METRICS)}.")
    pixels = np.dtype(dtype) == np.uint8
    if metric == "cosine" and pixels:
        raise IncompatibleError(
            "metric = 'cosine' needs float vectors; found uint8 pixels. Use 'l2' or 'l1', or convert them to floats."
        )
    if metric == "l1" and not pixels:
        raise IncompatibleError(
            f"metric = 'l1' needs uint8 pixels; found {np.dtype(dtype)} numbers. Use 'l2' or 'cosine'."
        )


def check_k(k: int, n_rows: int) -> None:
    """Raise unless there are k rows to be the nearest."""
    if k < 1:
        raise ParameterError(f"k = {k}; expected a number of neighbours >= 1.")
    if k > n_rows:
        raise ParameterError(
            f"k = {k} neighbours, but n_samples = {n_rows} training rows; use a k of at most {n_rows}."
        )


def _check_table(name: str, X: npt.NDArray[Any]) -> None:
    if X.ndim != 2:
        raise ShapeError(f"{name} must have two axes, (n_images, n_features); found the shape {X.shape}.")
    if X.dtype not in DTYPES:
        raise ShapeError(f"{name} must be uint8, float16, float32 or float64; found {X.dtype}.")


def _check_size(subject: str, X: npt.NDArray[Any], rows: npt.NDArray[np.int64] | None) -> None:
    """Raise where squares of float64 rows could overflow; those of shorter floats do not."""
    if X.dtype != np.float64:
        return
    for start in range(0, len(X) if rows is None else len(rows), BLOCK):
        part = X[start : start + BLOCK] if rows is None else X[rows[start : start + BLOCK]]
        if not (np.abs(part) < LARGEST_NUMBER).all():
            raise ParameterError(
                f"{subject} numbers of {LARGEST_NUMBER:g} or more, or NaN, of which no distance can be computed; "
                "scale them down."
            )


def _checked_rows(name: str, rows: npt.NDArray[np.int64] | None, n: int) -> npt.NDArray[np.int64] | None:
    if rows is None:
        return None
    if len(rows) and (rows.min() < 0 or rows.max() >= n):
        raise ShapeError(f"{name} must lie in 0..{n - 1}; found {rows.min()}..{rows.max()}.")
    return np.ascontiguousarray(rows, dtype=np.int64)
