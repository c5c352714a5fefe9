"""Dual coordinate ascent: the core against NumPy, and both against the conditions of the optimum of one image."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.engines.base import DualModel, Engine, Examples, open_engine

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
def engine(request) -> Engine:
    return open_engine(request.param, Examples(np.zeros((2, 1)), np.array([0, 1]), 2))


@pytest.mark.parametrize("everything", [True, False])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("form", "size"), [("gram", 0.0), ("rows", 0.0), ("rows", 0.05)])
@pytest.mark.parametrize("loss", [HINGE, SQUARED])
@pytest.mark.parametrize(("N", "K", "D"), [(1, 2, 1), (7, 3, 5), (30, 17, 33), (40, 9, 8)])
def test_the_core_makes_the_sweep_that_numpy_makes(N, K, D, loss, form, size, dtype, everything):
    found, gains = [], []
    for name in ("reference", "threads"):
        engine = open_engine(name, Examples(np.zeros((2, 1)), np.array([0, 1]), 2))
        problem = model(N, K, D, form=form, loss=loss, size=size, dtype=dtype)
        order = np.random.default_rng(1).permutation(N)
        gains.append(engine.ascend(problem, order, everything=everything, threshold=1e-9))
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


@pytest.mark.parametrize("loss", [HINGE, SQUARED])
@pytest.mark.parametrize("form", ["gram", "rows"])
def test_the_numbers_of_an_image_are_at_their_optimum_after_its_visit(engine, form, loss):
    problem = model(12, 6, 20, form=form, loss=loss)
    i = 5
    engine.ascend(problem, np.array([i]), everything=True, threshold=-1.0)
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
def test_the_sums_follow_the_dual_point(engine, form, size):
    problem = model(20, 5, 11, form=form, size=size, loss=SQUARED)
    before = deepcopy(problem)
    for everything in (True, False, True):
        engine.ascend(problem, np.arange(20), everything=everything, threshold=0.0)
    G, G_before = _signed(problem.A, problem.y), _signed(before.A, before.y)
    assert_allclose(problem.V, -G.T @ problem.rows, atol=1e-12)
    assert_allclose(problem.b, before.b - problem.bias * (G.sum(axis=0) - G_before.sum(axis=0)), atol=1e-12)
    if problem.W is not None:
        assert_allclose(problem.W, (problem.V - np.clip(problem.V, -size, size)) / problem.ridge, atol=1e-12)


def test_coordinates_that_are_0_stay_0_unless_all_are_visited(engine):
    problem = model(20, 5, 11, form="rows")
    zero = problem.A == 0.0
    engine.ascend(problem, np.arange(20), everything=False, threshold=0.0)
    assert (problem.A[zero] == 0.0).all()


def test_an_image_of_little_gain_is_left_as_it_is(engine):
    problem = model(20, 5, 11, form="rows")
    before = deepcopy(problem)
    gain, _ = engine.ascend(problem, np.arange(20), everything=True, threshold=np.inf)
    assert gain > 0.0
    assert_array_equal(problem.A, before.A)
    assert_array_equal(problem.b, before.b)


@pytest.mark.parametrize("name", ["rows", "squares", "y", "share", "V", "W", "b"])
def test_the_core_refuses_arrays_that_do_not_fit(name):
    engine = open_engine("threads", Examples(np.zeros((2, 1)), np.array([0, 1]), 2))
    problem = model(6, 3, 4, form="rows")
    with pytest.raises(ValueError, match=r"must (be|have)"):
        engine.ascend(
            replace(problem, **{name: np.ascontiguousarray(getattr(problem, name)[:-1])}),
            np.arange(6),
            everything=True,
            threshold=0.0,
        )
    for order in (np.array([6]), np.array([-1])):
        with pytest.raises(ValueError, match="outside"):
            engine.ascend(problem, order, everything=True, threshold=0.0)
