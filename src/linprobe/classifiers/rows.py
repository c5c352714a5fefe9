"""Rows: labelled rows of one array, the input of every training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from linprobe.shapes import Floats, Labels

__all__ = ["Rows"]


@dataclass(frozen=True)
class Rows:
    """Labelled rows of one array, which is never copied.

    Attributes:
        X: (M, D), not copied.
        y: (N,) integers, one for each used row.
        rows: (N,) positions in X, or None for all.
        weight: (N,), or None for all ones.
    """

    X: npt.NDArray[np.generic]
    y: Labels
    rows: npt.NDArray[np.int64] | None = None
    weight: Floats | None = None

    def at(self, positions: npt.NDArray[np.int64]) -> Rows:
        """Some of them, by position 0..N-1."""
        rows = positions if self.rows is None else self.rows[positions]
        return Rows(self.X, self.y[positions], rows, None if self.weight is None else self.weight[positions])

    def each_once(self) -> Rows:
        """Those of weight above 0, without weights: what accuracies and validation figures are of."""
        if self.weight is None:
            return self
        counted = np.flatnonzero(self.weight)
        some = self if len(counted) in (0, len(self.y)) else self.at(counted)
        return Rows(some.X, some.y, some.rows)
