"""The system of an interior point step: its matrix, its products and its solutions agree."""

import numpy as np
import pytest

from linprobe.optimizers import interior_system
from linprobe.optimizers.interior_system import NewtonSystem, SystemOptions

N, D, K = 23, 4, 5


def system(margins, free=(D,), spread=0.0, **options):
    random = np.random.default_rng(0)
    y = random.integers(0, K, N)
    Z = np.concatenate([random.standard_normal((N, D)), np.ones((N, 1))], axis=1)
    weights = np.exp(spread * random.standard_normal((N, K)))
    factors = None
    if margins:
        weights[np.arange(N), y] = 0.0
    else:
        factors = weights / np.sqrt(weights.sum(axis=1, keepdims=True))
    added = np.exp(spread * random.standard_normal((K, D + 1)))
    added[:, -1] = 0.0
    by_class = [np.flatnonzero(y == k) for k in range(K)]
    return NewtonSystem(Z, y, by_class, weights, factors, added, np.array(free, np.int64), **options)


def dense(of):
    """Column by column."""
    n = of.added.size
    return np.array([of.apply(e.reshape(of.added.shape)).ravel() for e in np.eye(n)]).T


def by_definition(of):
    H = np.diag(of.added.ravel())
    for i, row in enumerate(of.Z):
        if of.factors is None:
            C = np.zeros((K, K))
            for j in range(K):
                e = np.eye(K)[j] - np.eye(K)[of.y[i]]
                C += of.weights[i, j] * np.outer(e, e)
        else:
            C = np.diag(of.weights[i]) - np.outer(of.factors[i], of.factors[i])
        H += np.kron(C, np.outer(row, row))
    return H


@pytest.mark.parametrize("margins", [True, False])
def test_products_are_those_of_the_matrix_by_its_definition(margins):
    of = system(margins, free=())
    np.testing.assert_allclose(dense(of), by_definition(of), atol=1e-11)


@pytest.mark.parametrize("margins", [True, False])
@pytest.mark.parametrize("free", [(D,), (), tuple(range(D + 1))])
@pytest.mark.parametrize("numbers", [1, 2**22])
def test_the_part_that_is_formed_is_that_of_the_whole(monkeypatch, margins, free, numbers):
    monkeypatch.setattr(interior_system, "BLOCK_NUMBERS", numbers)
    of = system(margins, free)
    expected = dense(of)
    for live in (np.arange(of.added.size), np.array([0, 3, 4, 9, 20, 24]), np.array([7])):
        lower = np.tril(of.matrix(live))
        np.testing.assert_allclose(lower, np.tril(expected[np.ix_(live, live)]), atol=1e-11)


@pytest.mark.parametrize("margins", [True, False])
@pytest.mark.parametrize("exact", [True, False])
@pytest.mark.parametrize("by_class", [True, False])
@pytest.mark.parametrize("most", [10, 1000])
def test_it_is_solved_whatever_part_is_factored(monkeypatch, margins, exact, by_class, most):
    monkeypatch.setattr(interior_system, "MAX_PART", most)
    monkeypatch.setattr(interior_system, "MAX_EXACT", most)
    of = system(margins, spread=3.0, options=SystemOptions(exact, 1e-11, by_class))
    x = np.random.default_rng(1).standard_normal((K, D + 1))
    x[:, -1] -= x[:, -1].mean()
    right = of.apply(x)
    solve = of.solver()
    for found in (solve(right), solve(right, x + 1e-3)):
        np.testing.assert_allclose(of.apply(found), right, atol=1e-6 * np.abs(right).max())
