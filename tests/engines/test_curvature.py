"""Products with the curvature of a loss: the core against NumPy, and both against differences of the gradient."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.engines.base import CurvaturePairs, Engine, Examples, open_engine
from linprobe.features import Affine

SINGLE = 2e-5
"""Of sums of some hundred float32 products, relative to the largest."""


def pairs_of(dense: np.ndarray, rows: np.ndarray, block: int, y: np.ndarray | None) -> CurvaturePairs:
    """The pairs of weights (n, K), of a star where there are labels y (n,)."""
    counts, where, q = [], [], []
    for first in range(0, len(rows), block):
        some = dense[first : first + block]
        keep = some > 0.0
        if y is not None:
            keep[np.arange(len(some)), y[first : first + block]] = keep.any(axis=1)
        k, r = np.nonzero(keep.T)
        counts.append(len(k))
        where.append(k * block + r)
        q.append(some[r, k])
    ends = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    joined = (np.concatenate(where).astype(np.int32), np.concatenate(q).astype(np.float32))
    return CurvaturePairs(rows, block, ends, *joined, y is not None)


def problem(dtype, n, D, K, *, star=False, affine=False, picked=False, block=64, seed=0):
    """(examples, pairs, V, c): every image has curvature in about a third of the classes, some in none."""
    random = np.random.default_rng(seed)
    X = random.integers(0, 256, (2 * n + 1, D)) if dtype == np.uint8 else random.standard_normal((2 * n + 1, D)) + 0.5
    X = X.astype(dtype)
    used = np.sort(random.permutation(len(X))[:n]) if picked else None
    X = X if picked else X[:n]
    y = random.integers(0, K, n)
    scale = 0.01 if dtype == np.uint8 else 1.0
    mapped = Affine(scale * (0.5 + random.random(D)), random.standard_normal(D)) if affine else None
    dense = np.where(random.random((n, K)) < 0.3, random.random((n, K)), 0.0)
    dense[random.random(n) < 0.2] = 0.0
    rows = random.permutation(n)
    if star:
        dense[np.arange(n), y] = 0.0
    dense = dense[rows]
    examples = Examples(X, y, K, rows=used, affine=mapped)
    return (
        examples,
        pairs_of(dense, rows, block, y[rows] if star else None),
        random.standard_normal((K, D)),
        random.standard_normal(K),
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize(
    ("n", "D", "K", "block"), [(1, 1, 2, 64), (63, 17, 3, 64), (65, 64, 10, 64), (200, 100, 7, 16), (300, 131, 40, 256)]
)
@pytest.mark.parametrize("star", [False, True])
def test_the_core_gives_what_numpy_gives(dtype, n, D, K, block, star):
    for affine, picked in [(False, False), (True, False), (True, True)]:
        examples, pairs, V, c = problem(dtype, n, D, K, star=star, affine=affine, picked=picked, block=block)
        expected = Engine.curvature_product(open_engine("reference", examples), pairs, V, c)
        found = [open_engine("threads", examples, threads).curvature_product(pairs, V, c) for threads in (1, 2, 3)]
        for got, want in zip(found[0], expected, strict=True):
            assert_allclose(got, want, rtol=0.0, atol=SINGLE * max(1e-3, float(np.abs(want).max())))
        for other in found[1:]:
            assert_array_equal(other[0], found[0][0])
            assert_array_equal(other[1], found[0][1])


def test_the_weighted_moment_is_that_of_numpy():
    random = np.random.default_rng(0)
    for dtype in (np.uint8, np.float16, np.float64):
        examples, *_ = problem(dtype, 90, 33, 4, affine=True, picked=True)
        rows, weight = random.permutation(90)[:50], random.random(50)
        want = open_engine("reference", examples).weighted_moment(rows, weight)
        got = open_engine("threads", examples, 2).weighted_moment(rows, weight)
        assert_allclose(got, want, rtol=0.0, atol=SINGLE * float(np.abs(want).max()))
