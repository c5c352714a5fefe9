"""What the pairs of a step and the change of the gradient along it tell."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.optimizers.pairs import BLOCK_NUMBERS, combined, dots, flattest


@pytest.mark.parametrize("n_pairs", [1, 2, 7])
def test_of_a_linear_gradient_no_combination_leaves_a_smaller_one(n_pairs):
    random = np.random.default_rng(n_pairs)
    curvature = np.linspace(0.1, 30.0, 12).reshape(3, 4)
    steps = list(random.normal(size=(n_pairs, 3, 4)))
    changes = [curvature * step for step in steps]
    gradient = random.normal(size=(3, 4))
    step, left = flattest(steps, changes, gradient)
    assert_allclose(left, gradient + curvature * step, atol=1e-9)
    assert_allclose([np.vdot(change, left) for change in changes], 0.0, atol=1e-8)
    assert np.linalg.norm(left) < np.linalg.norm(gradient)


def test_pairs_that_no_symmetric_matrix_has_are_left_out_from_the_last_back():
    random = np.random.default_rng(4)
    old, kept, last, gradient = random.normal(size=(4, 2, 3))
    step, left = flattest([old, kept, last], [old + 2.0 * last, 3.0 * kept, 3.0 * last], gradient)
    expected = flattest([kept, last], [3.0 * kept, 3.0 * last], gradient)
    assert_allclose(step, expected[0])
    assert_allclose(left, expected[1])


def test_the_same_pair_twice_does_no_harm():
    pair, gradient = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    once, twice = flattest([pair], [pair], gradient), flattest([pair, pair], [pair, pair], gradient)
    assert_allclose(twice[0], once[0])
    assert_allclose(twice[1], once[1])


@pytest.mark.parametrize("n", [1, BLOCK_NUMBERS - 1, BLOCK_NUMBERS, 2 * BLOCK_NUMBERS + 3])
def test_products_and_sums_by_blocks_are_those_of_whole_arrays(n):
    random = np.random.default_rng(n)
    a, b, c = random.normal(size=(3, 1, n))
    assert_allclose(dots([(a, b), (a, c)]), [np.vdot(a, b), np.vdot(a, c)], atol=1e-9)
    assert dots([(a, c)])[0] == dots([(a, b), (a, c)])[1]
    assert_allclose(combined(a, 2.0, [0.5, -3.0], [b, c]), 2.0 * a + 0.5 * b - 3.0 * c, atol=1e-12)
    assert dots([]) == []
