"""Coordinate descent on a quadratic model: the core against NumPy, and both against the condition of a minimum."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.algebra.base import Algebra
from linprobe.algebra.native import NativeAlgebra
from linprobe.algebra.quadratic import QuadraticModel
from linprobe.algebra.reference import ReferenceAlgebra

TOL = 1e-5
"""Of slopes of about 1, which are sums of float32 numbers."""


def model(n: int, K: int, m: int, *, ridge: float = 0.0, size: float = 0.1, seed: int = 0) -> QuadraticModel:
    """A convex model: gram x coupling, less a part of it along a few directions."""
    random = np.random.default_rng(seed)
    X, C = random.standard_normal((3 * n + 1, n)), random.standard_normal((2 * K, K))
    gram, coupling = (X.T @ X / len(X)).astype(np.float32), C.T @ C / len(C) + 0.1 * np.eye(K)
    n_columns = n + 1
    whole = np.zeros((n_columns, n_columns))
    whole[:n, :n], whole[n, n] = gram, 1.0
    bent = np.kron(whole, coupling)  # rows and columns by (feature, class)
    S = random.standard_normal((len(bent), m))
    left = bent @ S
    right = 0.5 * left @ np.linalg.pinv(S.T @ bent @ S) if m else left
    return QuadraticModel(
        gram,
        coupling,
        ridge,
        size,
        random.standard_normal((n_columns, K)),
        left.reshape(n_columns, K, m).astype(np.float32),
        right.reshape(n_columns, K, m).astype(np.float32),
        np.zeros((n_columns, K)),
        np.zeros((K, n_columns), np.float32),
        np.zeros(m, np.float32),
    )


def slopes(of: QuadraticModel) -> np.ndarray:
    """(n + 1, K) of all but size |W|, at W, from nothing that the descent kept; it began at W = 0."""
    n = len(of.gram)
    moved = np.concatenate([of.gram.astype(np.float64) @ of.W[:n], of.W[n:]])
    sums = np.einsum("nkm,nk->m", of.right.astype(np.float64), of.W)
    ridge = np.concatenate([of.ridge * of.W[:n], np.zeros_like(of.W[n:])])
    return of.slope + moved @ of.coupling + ridge - of.left.astype(np.float64) @ sums


def algebras() -> list[Algebra]:
    return [NativeAlgebra(1), ReferenceAlgebra()]


@pytest.mark.parametrize(
    ("n", "K", "m"), [(1, 2, 0), (5, 3, 2), (16, 2, 8), (17, 10, 4), (33, 4, 20), (64, 3, 7), (3, 100, 1)]
)
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_both_algebras_come_to_the_minimum_with_exact_zeros(n, K, m, ridge):
    found = []
    for algebra in algebras():
        problem = model(n, K, m, ridge=ridge)
        sweeps, largest = algebra.descend(problem, 5000, TOL)
        assert 0 < sweeps < 5000
        assert largest <= TOL
        slope, W = slopes(problem), problem.W
        # vectors are float32: that much of each slope is rounding
        rounding = TOL * (float(np.abs(problem.slope).max()) * np.sqrt(n * K) + n * K)
        assert np.abs(slope[n]).max() <= rounding
        zero = W[:n] == 0.0
        assert (np.abs(slope[:n])[zero] <= problem.size + rounding).all()
        assert_allclose(slope[:n][~zero], -problem.size * np.sign(W[:n][~zero]), atol=rounding)
        found.append(W)
    assert_allclose(found[0], found[1], atol=1e-3 * float(np.abs(found[1]).max()))


def test_a_sweep_of_the_core_is_that_of_numpy():
    for most in (1, 2, 3, 6):
        problems = [model(19, 3, 4) for _ in range(2)]
        for algebra, problem in zip(algebras(), problems, strict=True):
            assert algebra.descend(problem, most, 0.0)[0] == most
        for name in ("W", "moved", "sums"):
            assert_allclose(getattr(problems[0], name), getattr(problems[1], name), rtol=1e-4, atol=1e-5)


def test_what_was_kept_lets_a_descent_go_on():
    algebra = algebras()[0]
    whole, parts = model(20, 4, 3), model(20, 4, 3)
    algebra.descend(whole, 4000, 1e-6)
    for _ in range(400):
        algebra.descend(parts, 10, 1e-6)
    assert_allclose(parts.W, whole.W, atol=1e-4)


def test_a_large_size_leaves_all_weights_zero_and_the_bias_at_its_own_minimum():
    for algebra in algebras():
        problem = model(7, 3, 0, size=1e3)
        algebra.descend(problem, 500, TOL)
        assert_array_equal(problem.W[:7], 0.0)
        assert_allclose(problem.coupling @ problem.W[7], -problem.slope[7], atol=1e-4)


def test_a_feature_that_is_constant_stays_out():
    for algebra in algebras():
        problem = model(6, 2, 0)
        problem.gram[2, :] = problem.gram[:, 2] = 0.0
        problem.slope[2] = 0.0
        algebra.descend(problem, 200, 1e-8)
        assert_array_equal(problem.W[2], 0.0)
        assert np.isfinite(problem.W).all()


def test_arrays_that_do_not_fit_are_refused():
    algebra, problem = algebras()[0], model(4, 2, 1)
    for name, wrong in [
        ("gram", np.zeros((4, 3), np.float32)),
        ("coupling", np.zeros((3, 3))),
        ("slope", np.zeros((4, 2))),
        ("left", np.zeros((5, 2, 2), np.float32)),
        ("moved", np.zeros((2, 4), np.float32)),
    ]:
        with pytest.raises(ValueError, match="must be"):
            algebra.descend(QuadraticModel(**{**vars(problem), name: wrong}), 1, 0.0)
