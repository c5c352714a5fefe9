"""The exact product: as of fractions, whatever cancels."""

from fractions import Fraction

import numpy as np
import pytest

from linprobe.algebra.exact_product import LOST, ROWS, exact_product


@pytest.mark.parametrize("n", [1, 40])
def test_the_product_of_numbers_of_many_sizes_is_that_of_fractions(n):
    random = np.random.default_rng(n)
    A = random.standard_normal((n, 3)) * 10.0 ** random.uniform(-9, 9, (n, 3))
    B = random.standard_normal((n, 4)) * np.array([1e-300, 1e-8, 1.0, 1e100])
    exact = [[sum(Fraction(x) * Fraction(z) for x, z in zip(u, v, strict=True)) for v in B.T] for u in A.T]
    wanted = np.array([[float(entry) for entry in row] for row in exact])
    most = np.abs(A).max(axis=0)[:, None] * np.abs(B).max(axis=0)
    assert (np.abs(exact_product(A, B) - wanted) <= 4.0 * np.finfo(float).eps * np.abs(wanted) + n * LOST * most).all()


def test_what_cancels_over_blocks_leaves_the_rest():
    n = 2 * ROWS + 10
    A = np.full((n, 1), 1e16)
    A[n // 2 :] = -1e16
    A[7] += 2.0
    assert exact_product(A, np.ones((n, 1)))[0, 0] == 2.0


def test_no_rows_give_zeros():
    assert not exact_product(np.zeros((0, 2)), np.zeros((0, 3))).any()
