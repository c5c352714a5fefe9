"""Dual coordinate ascent: the core against NumPy, and both against the conditions of the optimum of one image."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.algebra.base import Algebra
from linprobe.algebra.dual import DualModel, DualPairs
from linprobe.algebra.native import NativeAlgebra
from linprobe.algebra.reference import ReferenceAlgebra

ALGEBRAS = {"reference": ReferenceAlgebra, "threads": NativeAlgebra}

HINGE, SQUARED = (1.0, np.inf), (np.inf, 2.0)
"""(most, curvature) of h."""


def model(
    N: int, K: int, D: int, *, form: str, loss=HINGE, size: float = 0.0, dtype=np.float64, seed: int = 0
) -> DualModel:
    """A dual point of noise, half of it 0, with the sums that belong to it."""
    random = np.random.default_rng(seed)
    X, y = random.standard_normal((N, D)), random.integers(0, K, N)
    share = random.uniform(0.5, 2.0, N)
    share /= share.sum()
    A = random.uniform(0.0, 1.0, (N, K)) * share[:, None] * (random.random((N, K)) < 0.5)
    A[np.arange(N), y] = 0.0
    ridge = 0.1
    X = X.astype(dtype)
    rows = (X.astype(float) @ X.T.astype(float)).astype(dtype) if form == "gram" else X
    V = -_signed(A, y).T @ rows
    W = None if form == "gram" else (V - np.clip(V, -size, size)) / ridge
    squares = np.square(X, dtype=np.float64).sum(axis=1)
    most, curvature = loss
    b = random.standard_normal(K)
    return DualModel(rows, squares, y, share, ridge, size, 3.0, 1.0, most, curvature, A, V, W, b)


def _signed(A, y):
    G = A.copy()
    G[np.arange(len(y)), y] = -A.sum(axis=1)
    return G


@pytest.fixture(params=["reference", "threads"])
def algebra(request) -> Algebra:
    return ALGEBRAS[request.param]()


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("form", "size"), [("gram", 0.0), ("rows", 0.0), ("rows", 0.05)])
@pytest.mark.parametrize("loss", [HINGE, SQUARED])
@pytest.mark.parametrize(("N", "K", "D"), [(1, 2, 1), (7, 3, 5), (30, 17, 33), (40, 9, 8)])
def test_the_core_makes_the_sweep_that_numpy_makes(N, K, D, loss, form, size, dtype, everything):
    found, gains = [], []
    for name in ("reference", "threads"):
        algebra = ALGEBRAS[name]()
        problem = model(N, K, D, form=form, loss=loss, size=size, dtype=dtype)
        order = np.random.default_rng(1).permutation(N)
        gains.append(algebra.ascend(problem, order, everything=everything, threshold=1e-9))
        found.append(problem)
    plain, core = found
    scale = float(plain.share.max())
    assert_allclose(core.A, plain.A, atol=1e-11 * scale)
    assert_allclose(core.V, plain.V, atol=1e-10 * np.abs(plain.V).max() + 1e-15)
    assert_allclose(core.b, plain.b, atol=1e-11)
    if plain.W is not None:
        assert_allclose(core.W, plain.W, atol=1e-9 * np.abs(plain.W).max() + 1e-13)
    assert gains[1][0] == pytest.approx(gains[0][0], rel=1e-9)
    assert gains[1][1] == gains[0][1]


def listed(problem: DualModel, seed: int = 0) -> DualPairs:
    """Pairs of a dual point: those that are not 0, and some that are."""
    N, K = problem.A.shape
    chosen = (problem.A != 0.0) | (np.random.default_rng(seed).random((N, K)) < 0.3)
    chosen[np.arange(N), problem.y] = False
    image, classes = np.nonzero(chosen)
    ends = np.concatenate([[0], np.cumsum(chosen.sum(axis=1))])
    W = None if problem.size == 0.0 else problem.W.astype(np.float32)
    return DualPairs(ends, classes.astype(np.int32), problem.A[image, classes], problem.V.astype(np.float32), W)


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("size", [0.0, 0.05])
@pytest.mark.parametrize("loss", [HINGE, SQUARED])
@pytest.mark.parametrize(("N", "K", "D"), [(1, 2, 1), (7, 3, 5), (30, 17, 33), (40, 9, 130)])
def test_the_core_visits_listed_pairs_as_numpy_does(N, K, D, loss, size, everything):
    found = []
    for name in ("reference", "threads"):
        algebra = ALGEBRAS[name]()
        problem = model(N, K, D, form="rows", loss=loss, size=size, dtype=np.float32)
        pairs, order = listed(problem), np.random.default_rng(1).permutation(N)
        gain = algebra.ascend_pairs(problem, pairs, order, everything=everything, threshold=1e-9)[0]
        found.append((pairs, problem.b, gain, algebra.dual_sums(problem, pairs)))
    (plain, plain_b, plain_gain, plain_V), (core, core_b, core_gain, core_V) = found
    # products of D numbers, up to 40 visits after each other, in float32
    assert_allclose(core.A, plain.A, atol=1e-4 * float(problem.share.max()))
    assert_allclose(core.V, plain.V, atol=1e-4 * np.abs(plain.V).max() + 1e-12)
    assert_allclose(core_b, plain_b, atol=1e-4)
    assert core_gain == pytest.approx(plain_gain, rel=1e-3)
    assert_allclose(core_V, plain_V, atol=1e-4 * np.abs(plain_V).max() + 1e-12)
    assert_allclose(core_V, core.V, atol=1e-5 * np.abs(core_V).max() + 1e-12)
    if size > 0.0:
        assert_allclose(core.W, plain.W, atol=1e-3 * np.abs(plain.W).max() + 1e-9)


def test_a_sweep_over_all_pairs_in_lists_is_that_without_lists(algebra):
    whole = model(30, 7, 19, form="rows", dtype=np.float32)
    part = deepcopy(whole)
    others = np.arange(7) != part.y[:, None]
    image, classes = np.nonzero(others)
    pairs = DualPairs(
        np.arange(31) * 6, classes.astype(np.int32), part.A[image, classes], part.V.astype(np.float32), None
    )
    algebra.ascend(whole, np.arange(30), everything=True, threshold=0.0)
    algebra.ascend_pairs(part, pairs, np.arange(30), everything=True, threshold=0.0)
    assert_allclose(pairs.A, whole.A[image, classes], atol=1e-4 * float(whole.share.max()))


def test_the_sums_of_listed_pairs_are_the_same_for_any_number_of_threads():
    problem = model(50, 6, 700, form="rows", dtype=np.float32)
    sums = [NativeAlgebra(threads).dual_sums(problem, listed(problem)) for threads in (1, 2, 3)]
    assert_array_equal(sums[0], sums[1])
    assert_array_equal(sums[0], sums[2])
    off = problem.A.copy()
    assert_allclose(sums[0], -_signed(off, problem.y).T @ problem.rows.astype(float), atol=1e-12)


def test_the_core_refuses_lists_that_do_not_fit():
    algebra = NativeAlgebra()
    problem = model(6, 3, 4, form="rows", dtype=np.float32)
    good = listed(problem)
    own, beyond = good.classes.copy(), good.classes.copy()
    own[0], beyond[0] = problem.y[good.images()[0]], 3
    falling = good.ends.copy()
    falling[1] = falling[-1] + 1
    wrong = [
        replace(good, classes=own),
        replace(good, classes=beyond),
        replace(good, ends=falling),
        replace(good, ends=good.ends[:-1].copy()),
        replace(good, A=good.A[:-1].copy()),
        replace(good, V=np.ascontiguousarray(good.V[:, :-1])),
    ]
    for pairs in wrong:
        with pytest.raises(ValueError, match="must"):
            algebra.ascend_pairs(problem, pairs, np.arange(6), everything=True, threshold=0.0)
    for pairs in wrong[:5]:
        with pytest.raises(ValueError, match="must"):
            algebra.dual_sums(problem, pairs)
    with pytest.raises(ValueError, match="without it size must be 0"):
        algebra.ascend_pairs(replace(problem, size=0.1), good, np.arange(6), everything=True, threshold=0.0)


@pytest.mark.parametrize("loss", [HINGE, SQUARED])
@pytest.mark.parametrize("form", ["gram", "rows"])
def test_the_numbers_of_an_image_are_at_their_optimum_after_its_visit(algebra, form, loss):
    problem = model(12, 6, 20, form=form, loss=loss)
    i = 5
    algebra.ascend(problem, np.array([i]), everything=True, threshold=-1.0)
    y, a = problem.y[i], problem.share[i]
    scores = (problem.V[:, i] / problem.ridge if form == "gram" else problem.W @ problem.rows[i]) + problem.b
    most, curvature = problem.most, problem.curvature
    slopes = np.delete(scores - scores[y] + problem.delta - problem.A[i] / (curvature * a), y)
    A = np.delete(problem.A[i], y)
    assert (A >= 0.0).all()
    assert A.max() <= a * most
    at_most = a * most * (1 - 1e-9) <= A
    assert_allclose(slopes[(A > 0.0) & ~at_most], 0.0, atol=1e-9)
    assert (slopes[A == 0.0] <= 1e-9).all()
    assert (slopes[at_most] >= -1e-9).all()


@pytest.mark.parametrize(("form", "size"), [("gram", 0.0), ("rows", 0.0), ("rows", 0.05)])
def test_the_sums_follow_the_dual_point(algebra, form, size):
    problem = model(20, 5, 11, form=form, size=size, loss=SQUARED)
    before = deepcopy(problem)
    for everything in (True, False, True):
        algebra.ascend(problem, np.arange(20), everything=everything, threshold=0.0)
    G, G_before = _signed(problem.A, problem.y), _signed(before.A, before.y)
    assert_allclose(problem.V, -G.T @ problem.rows, atol=1e-12)
    assert_allclose(problem.b, before.b - problem.bias * (G.sum(axis=0) - G_before.sum(axis=0)), atol=1e-12)
    if problem.W is not None:
        assert_allclose(problem.W, (problem.V - np.clip(problem.V, -size, size)) / problem.ridge, atol=1e-12)


def test_coordinates_that_are_0_stay_0_unless_all_are_visited(algebra):
    problem = model(20, 5, 11, form="rows")
    zero = problem.A == 0.0
    algebra.ascend(problem, np.arange(20), everything=False, threshold=0.0)
    assert (problem.A[zero] == 0.0).all()


def test_an_image_of_little_gain_is_left_as_it_is(algebra):
    problem = model(20, 5, 11, form="rows")
    before = deepcopy(problem)
    gain, _ = algebra.ascend(problem, np.arange(20), everything=True, threshold=np.inf)
    assert gain > 0.0
    assert_array_equal(problem.A, before.A)
    assert_array_equal(problem.b, before.b)


@pytest.mark.parametrize("name", ["rows", "squares", "y", "share", "V", "W", "b"])
def test_the_core_refuses_arrays_that_do_not_fit(name):
    algebra = NativeAlgebra()
    problem = model(6, 3, 4, form="rows")
    with pytest.raises(ValueError, match=r"must (be|have)"):
        algebra.ascend(
            replace(problem, **{name: np.ascontiguousarray(getattr(problem, name)[:-1])}),
            np.arange(6),
            everything=True,
            threshold=0.0,
        )
    for order in (np.array([6]), np.array([-1])):
        with pytest.raises(ValueError, match="outside"):
            algebra.ascend(problem, order, everything=True, threshold=0.0)
