"""Facts about the images: means of classes, sizes and moments of features, seeded samples of rows."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from linprobe.engines.base import Engine, Examples
from linprobe.shapes import Floats, half_sizes, slices

__all__ = ["ClassMeans", "FeatureMoments", "Statistics"]

SAMPLE_ROWS = 4096
"""Rows, at most, from which the curvature of the features is estimated."""

SAMPLE_NUMBERS = 2**21
"""Numbers, at most, in that sample (but see SAMPLE_FEWEST): 16 MB of float64."""

SAMPLE_FEWEST = 64
"""Rows, at least, in that sample, however many features there are."""

BLOCK_NUMBERS = 2**20
"""Float64 numbers in a block of rows: 8 MB."""


class ClassMeans(NamedTuple):
    """The images of each class, summed, float64.

    Attributes:
        shares: (K,) sum of a_i over the images of the class, a_i = w_i / sum w.
        sums: (K, D) sum of a_i x'_i over them.
    """

    shares: Floats
    sums: Floats


@dataclass(frozen=True)
class FeatureMoments:
    """Second moments of the rows, with a feature for the bias, estimated from a seeded sample.

    Attributes:
        curvature: largest eigenvalue of the weighted second moment of [x', 1]. Times the loss's curvature, it bounds
            the curvature of the data loss in (W, b). By power iteration, until it grows by less than 1e-4 of itself.
        square_norm: mean of ||[x', 1]||²: the trace of that second moment.
        absolute_norm: mean of ||[x', 1]||_1.
        balanced_curvature: largest eigenvalue of the second moment of [x', s].
        bias_square: s² = max(1, mean variance of x').
    """

    curvature: float
    square_norm: float
    absolute_norm: float
    balanced_curvature: float
    bias_square: float


class Statistics:
    """Facts about the images of an engine, each computed on first use and kept.

    They do not depend on the penalty: all `Objective.with_reg` share them.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._moments: dict[int, FeatureMoments] = {}

    @cached_property
    def class_means(self) -> ClassMeans:
        """Share and weighted sum of the images of each class."""
        examples = self.engine.examples
        K, a, y = examples.n_classes, examples.shares(), examples.y
        shares, sums = np.zeros(K), np.zeros((K, examples.n_features))
        order = np.argsort(y, kind="stable")
        ends = np.searchsorted(y[order], np.arange(K + 1))
        for k, (start, end) in enumerate(pairwise(ends)):
            if end > start:
                rows = order[start:end]
                found, total = self.engine.gradient_of_scores(a[rows, None], rows, precise=True)
                shares[k], sums[k] = total[0], found[0]
        return ClassMeans(shares, sums)

    @cached_property
    def feature_sizes(self) -> Floats:
        """(D,) bounds on |scale x| + |shift| over the used rows, float64: the numbers that rounding acts on.

        Read once, from all rows; pixels of 8 bits are at most 255 without looking.
        """
        examples, D = self.engine.examples, self.engine.examples.n_features
        sizes = np.full(D, 255.0 if examples.X.dtype == np.uint8 else 0.0)
        for block in [] if examples.X.dtype == np.uint8 else _blocks(examples.n_images, D):
            rows = examples.X[block if examples.rows is None else examples.rows[block]]
            sizes = np.maximum(sizes, _largest_sizes(rows))
        if examples.affine is not None:
            sizes = np.abs(examples.affine.scale) * sizes + np.abs(examples.affine.shift)
        return sizes

    def sample(self, n_rows: int, seed: int = 0) -> npt.NDArray[np.int64]:
        """Positions (n,) in ascending order, n <= n_rows, of a seeded sample of the images of weight above 0."""
        weight = self.engine.examples.sample_weight
        usable = np.arange(self.engine.examples.n_images) if weight is None else np.flatnonzero(weight > 0)
        if len(usable) <= n_rows:
            return usable
        random = np.random.Generator(np.random.PCG64(seed))
        return np.sort(random.choice(usable, n_rows, replace=False))

    def moments(self, seed: int = 0) -> FeatureMoments:
        """Second moments of the rows, from the sample of this seed."""
        if seed not in self._moments:
            self._moments[seed] = _feature_moments(self.engine.examples, seed)
        return self._moments[seed]


def _largest_sizes(rows: npt.NDArray[Any]) -> Floats:
    """(D,) the largest |x| of each column, without NaN, float64."""
    if rows.dtype == np.float16:
        largest = half_sizes(rows).max(axis=0).view(np.float16)
    else:
        largest = np.maximum(rows.max(axis=0), -rows.min(axis=0))
    sizes: Floats = largest.astype(np.float64)
    return sizes


def _blocks(n_rows: int, n_numbers: int) -> list[slice]:
    return slices(n_rows, max(1, BLOCK_NUMBERS // max(1, n_numbers)))


def _feature_moments(examples: Examples, seed: int) -> FeatureMoments:
    n_wanted = min(SAMPLE_ROWS, max(SAMPLE_FEWEST, SAMPLE_NUMBERS // (examples.n_features + 1)))
    usable = np.arange(examples.n_images)
    if examples.sample_weight is not None:
        usable = usable[examples.sample_weight > 0]
    random = np.random.Generator(np.random.PCG64(seed))
    if len(usable) > n_wanted:
        usable = np.sort(random.choice(usable, n_wanted, replace=False))
    share = np.ones(len(usable)) if examples.sample_weight is None else examples.sample_weight[usable]
    share = share / share.sum()
    Z = np.ones((len(usable), examples.n_features + 1))
    for block in _blocks(len(usable), examples.n_features):
        Z[block, :-1] = examples.mapped(usable[block])
    mean_absolute = mean_square = 0.0
    for block in _blocks(len(usable), examples.n_features):  # no temporary as large as Z
        mean_absolute += float(share[block] @ np.abs(Z[block]).sum(axis=1))
        mean_square += float(share[block] @ np.square(Z[block]).sum(axis=1))
    v = random.standard_normal(Z.shape[1])
    largest = _largest_eigenvalue(Z, share, v)
    variance = (mean_square - float(np.square(share @ Z).sum())) / max(1, examples.n_features)
    square = max(1.0, variance)
    Z[:, -1] = np.sqrt(square)
    balanced = largest if square == 1.0 else _largest_eigenvalue(Z, share, v)
    return FeatureMoments(largest, mean_square, mean_absolute, balanced, square)


def _largest_eigenvalue(Z: Floats, share: Floats, v: Floats) -> float:
    """Of Zᵀ diag(share) Z, by power iteration from `v`."""
    v = v / np.sqrt(np.square(v).sum())
    largest = 0.0
    with threadpool_limits(1):  # BLAS sums must not depend on its threads: the learning rate comes from them
        for _ in range(200):
            u = Z.T @ (share * (Z @ v))
            before, largest = largest, float(np.sqrt(np.square(u).sum()))
            v = u / largest
            if largest - before <= 1e-4 * largest:
                break
    return largest
