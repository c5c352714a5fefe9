"""Cholesky factors: the core against NumPy, with the same bits for any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.algebra.native import NativeAlgebra
from linprobe.algebra.reference import ReferenceAlgebra


def positive(n, seed=0):
    """(n, n) symmetric float32, its eigenvalues spread like those of a second moment."""
    rows = np.random.default_rng(seed).normal(size=(2 * n, n))
    return (rows.T @ rows / n).astype(np.float32)


def any_algebra(name, n_threads=1):
    return NativeAlgebra(n_threads) if name == "threads" else ReferenceAlgebra()


# a row of blocks has 128 rows; a vector holds 4 to 16 right sides
@pytest.mark.parametrize("n", [1, 4, 7, 9, 63, 127, 128, 129, 300])
@pytest.mark.parametrize("m", [1, 10, 17, 32, 33])
@pytest.mark.parametrize("name", ["threads", "reference"])
def test_right_sides_are_solved_with_the_factor_of_a_matrix_and_its_ridge(name, n, m):
    M, algebra = positive(n), any_algebra(name)
    G = np.random.default_rng(m).normal(size=(m, n)).astype(np.float32)
    wanted = np.linalg.solve(M.astype(float) + 0.1 * np.eye(n), G.T.astype(float)).T
    before = M.copy()
    factor = algebra.factored(M, 0.1)
    assert_array_equal(M, before)
    for right in (G.copy(), np.asfortranarray(G)):
        found = algebra.solve_factored(factor, right)
        assert found.dtype == np.float32
        assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.parametrize("n", [5, 200, 520])
def test_a_factor_and_what_is_solved_with_it_have_the_same_bits_for_any_number_of_threads(n):
    M, G = positive(n), np.random.default_rng(1).normal(size=(40, n)).astype(np.float32)
    one, two, five = (any_algebra("threads", threads) for threads in (1, 2, 5))
    factor = one.factored(M, 1e-3)
    wanted = one.solve_factored(factor, G.copy())
    for algebra in (two, five):
        assert_array_equal(algebra.factored(M, 1e-3), factor)
        assert_array_equal(algebra.solve_factored(factor, G.copy()), wanted)


@pytest.mark.parametrize("name", ["threads", "reference"])
@pytest.mark.parametrize("n", [1, 130, 300])
@pytest.mark.parametrize("i", [0, -1])
def test_what_is_not_positive_definite_has_no_factor(name, n, i):
    M = positive(n)
    M[i, i] = -1.0
    with pytest.raises(np.linalg.LinAlgError):
        any_algebra(name, 2).factored(M, 0.0)


def test_several_threads_of_python_may_factor_at_once():
    """The pool works for one of them; the others run alone, to the same bits."""
    M, algebra = positive(400), any_algebra("threads", 2)
    wanted = algebra.factored(M, 0.1)
    with ThreadPoolExecutor(3) as pool:
        for found in pool.map(lambda _: algebra.factored(M, 0.1), range(12)):
            assert_array_equal(found, wanted)


@pytest.mark.parametrize("n", [1, 5, 127, 128, 129, 300])
def test_a_rough_factor_solves_to_three_digits(n):
    random = np.random.default_rng(n)
    A = random.standard_normal((n, 2 * n + 3))
    M = (A @ A.T / (2 * n + 3) + np.eye(n)).astype(np.float32)
    g = random.standard_normal(n).astype(np.float32)
    for algebra in (ReferenceAlgebra(), NativeAlgebra(2)):
        x = algebra.solve_roughly(algebra.roughly_factored(M), g)
        assert_allclose(M @ x, g, atol=0.03 * np.abs(g).max())
