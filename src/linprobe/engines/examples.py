"""What an engine reads: rows in their own dtype, without a copy, and their labels and weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from linprobe.errors import LabelError, ShapeError
from linprobe.features.base import Affine
from linprobe.shapes import Floats, Labels, check_mapped, check_sample_weight

__all__ = ["Examples", "MappedRows"]


@dataclass(frozen=True)
class MappedRows:
    """Rows in memory, and how they are read: all that scores need. Rows are not copied.

    Args:
        X: (M, D) uint8, float16, float32 or float64; any strides, read-only and memory-mapped arrays included.
        rows: (N,) positions in `X` of the rows that are used, or None for all of them (then N = M).
        affine: the map applied to each row as it is read, or None.
    Raises:
        ShapeError: X is no table of such numbers, has no rows, or does not fit `rows` or `affine`.
    """

    X: npt.NDArray[Any]
    rows: npt.NDArray[np.int64] | None = None
    affine: Affine | None = None

    def __post_init__(self) -> None:
        if self.X.ndim != 2:
            raise ShapeError(f"X has shape {self.X.shape}; expected two axes, (n_images, n_features).")
        if self.X.dtype not in (np.uint8, np.float16, np.float32, np.float64):
            raise ShapeError(f"X has dtype {self.X.dtype}; expected uint8, float16, float32 or float64.")
        if not self.X.flags.aligned:
            raise ShapeError("the numbers of X do not lie at multiples of their size: give np.require(X, None, 'A').")
        if len(self) == 0:
            raise ShapeError("X has no rows; at least one image is needed.")
        if self.rows is not None and (self.rows.min() < 0 or self.rows.max() >= len(self.X)):
            raise ShapeError(f"rows must lie in 0..{len(self.X) - 1}; found {self.rows.min()}..{self.rows.max()}.")
        if self.affine is not None and len(self.affine.scale) != self.n_features:
            raise ShapeError(f"the affine map has {len(self.affine.scale)} features but X has {self.n_features}.")

    def __len__(self) -> int:
        """N, the number of used rows."""
        return len(self.X) if self.rows is None else len(self.rows)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.X.shape[1])

    def mapped(self, picked: slice | npt.NDArray[np.int64], features: npt.NDArray[np.int64] | None = None) -> Floats:
        """The used rows at positions `picked` (0..N-1), mapped, as a fresh (n, D) float64 array: for blocks of rows.

        Args:
            picked: positions of the rows.
            features: (d,) positions of the features wanted, (n, d) then; None for all.

        Raises:
            DataError: X lies in a file that has been cut since it was opened.
        """
        check_mapped(self.X)
        if self.rows is not None:
            picked = self.rows[picked]
        if features is None:
            rows = self.X[picked].astype(np.float64)
        elif isinstance(picked, slice):
            rows = self.X[picked][:, features].astype(np.float64)
        else:
            rows = self.X[picked[:, None], features].astype(np.float64)
        if self.affine is not None:
            rows *= self.affine.scale if features is None else self.affine.scale[features]
            rows += self.affine.shift if features is None else self.affine.shift[features]
        return rows


@dataclass(frozen=True)
class Examples:
    """What an engine runs over: rows in memory, which are not copied, their labels and weights.

    Args:
        X: (M, D) uint8, float16, float32 or float64; any strides, read-only and memory-mapped arrays included.
        y: (N,) integers in 0..n_classes-1; one for each *used* row.
        n_classes: K; may exceed the number of classes present.
        rows: (N,) positions in `X` of the rows that are used, or None for all of them (then N = M).
        sample_weight: (N,) finite, >= 0, or None for all ones.
        affine: the map applied to each row as it is read, or None.
    """

    X: npt.NDArray[Any]
    y: Labels
    n_classes: int
    rows: npt.NDArray[np.int64] | None = None
    sample_weight: Floats | None = None
    affine: Affine | None = None

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.y.shape != (n,):
            raise ShapeError(f"y has shape {self.y.shape} but {n} rows of X are used; y must be ({n},).")
        if not np.issubdtype(self.y.dtype, np.integer):
            raise LabelError(f"y has dtype {self.y.dtype}; expected integers in 0..{self.n_classes - 1}.")
        if self.y.min() < 0 or self.y.max() >= self.n_classes:
            raise LabelError(
                f"y holds labels {self.y.min()}..{self.y.max()}; with {self.n_classes} classes "
                f"they must lie in 0..{self.n_classes - 1}."
            )
        if self.sample_weight is not None:
            check_sample_weight(self.sample_weight, n)

    @cached_property
    def n_counted(self) -> int:
        """Images of weight above 0."""
        return self.count(slice(None))

    def count(self, picked: slice | npt.NDArray[np.int64]) -> int:
        """Images of weight above 0 among those at the positions `picked` (0..N-1)."""
        if self.sample_weight is None:
            return len(self.y) if isinstance(picked, slice) else len(picked)
        return int(np.count_nonzero(self.sample_weight[picked]))

    @cached_property
    def images(self) -> MappedRows:
        """The rows without labels and weights."""
        return MappedRows(self.X, self.rows, self.affine)

    @property
    def n_images(self) -> int:
        """N, the number of used rows."""
        return len(self.y)

    @property
    def n_features(self) -> int:
        """D."""
        return int(self.X.shape[1])

    @property
    def total_weight(self) -> float:
        """Sum of the sample weights; N without any."""
        return float(self.n_images) if self.sample_weight is None else float(self.sample_weight.sum())

    def shares(self) -> Floats:
        """a_i = w_i / sum w, (N,): the weight of each image in a mean."""
        return (np.ones(self.n_images) if self.sample_weight is None else self.sample_weight) / self.total_weight

    def mapped(self, picked: slice | npt.NDArray[np.int64], features: npt.NDArray[np.int64] | None = None) -> Floats:
        """`MappedRows.mapped` of the images."""
        return self.images.mapped(picked, features)
