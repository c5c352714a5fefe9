"""Descent on the second-order model of a loss: the core against NumPy, and both against the condition of a minimum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.algebra.base import Algebra
from linprobe.algebra.curved import CurvedModel
from linprobe.algebra.native import NativeAlgebra
from linprobe.algebra.reference import ReferenceAlgebra


def algebras() -> list[Algebra]:
    return [NativeAlgebra(1), ReferenceAlgebra()]


def model(n: int, N: int, K: int, *, listed: float = 1.0, ridge: float = 0.0, dtype=np.float64, seed=0) -> CurvedModel:
    """That of softmax at random scores; a share `listed` of the entries counts."""
    random = np.random.default_rng(seed)
    X = random.standard_normal((n, N)).astype(dtype)
    p = random.dirichlet(np.ones(K), N)
    # diag(p) - p pᵀ over the entries that count is still at least 0
    classes, image = np.nonzero((random.random((N, K)) < listed).T)
    share = random.uniform(0.5, 1.5, N)
    share /= share.sum()
    d = p[image, classes] * share[image]
    damp = np.append(np.full(n, 1e-3), 1e-3)
    whole = np.zeros((N, K))
    whole[image, classes] = share[image] * (p * (1.0 - p))[image, classes]
    between = np.zeros((K, K))
    listing = np.zeros((N, K))
    listing[image, classes] = p[image, classes]
    between = np.diag((share[:, None] * listing).sum(axis=0)) - (share[:, None] * listing).T @ listing
    start = random.standard_normal((n + 1, K)) * (random.random((n + 1, K)) < 0.3)
    start[-1] = 0.0
    return CurvedModel(
        X=X,
        ends=np.searchsorted(classes, np.arange(K + 1)),
        image=image,
        d=d,
        v=d.copy(),
        w=0.5 * p[image, classes],
        slope=0.3 * random.standard_normal((n + 1, K)),
        curvatures=np.square(X.astype(np.float64)) @ whole + ridge + damp[:-1, None],
        inverse=np.linalg.inv(between + 1e-3 * np.eye(K)),
        ridge=ridge,
        size=0.1,
        damp=damp,
        start=start,
        W=start.copy(),
        z=np.zeros(len(image)),
        c=np.zeros(N),
        e=np.zeros(N),
    )


def copied(of: CurvedModel) -> CurvedModel:
    return replace(of, W=of.W.copy(), z=of.z.copy(), c=of.c.copy(), e=of.e.copy())


def excess(of: CurvedModel) -> float:
    """The largest least subgradient at W, from nothing that the descent kept."""
    n, K = len(of.X), of.W.shape[1]
    D = of.W - of.start
    ds = of.X.T.astype(np.float64) @ D[:n] + D[n]
    classes = np.repeat(np.arange(K), np.diff(of.ends))
    slopes = np.zeros_like(ds)
    c, e = np.zeros(len(ds)), np.zeros(len(ds))
    np.add.at(c, of.image, of.v * ds[of.image, classes])
    np.add.at(e, of.image, of.w * ds[of.image, classes])
    slopes[of.image, classes] = of.d * ds[of.image, classes] - of.v * e[of.image] - of.w * c[of.image]
    g = of.slope + of.damp[:, None] * D
    g[:n] += of.X.astype(np.float64) @ slopes + of.ridge * of.W[:n]
    g[n] += slopes.sum(axis=0)
    W = of.W[:n]
    beyond = np.where(W == 0.0, np.maximum(np.abs(g[:n]) - of.size, 0.0), np.abs(g[:n] + of.size * np.sign(W)))
    return max(float(beyond.max(initial=0.0)), float(np.abs(g[n]).max()))


SHAPES = [
    (1, 1, 2, 1.0),
    (3, 7, 3, 1.0),
    (9, 8, 2, 0.5),
    (17, 33, 4, 0.7),
    (40, 16, 5, 0.9),
    (5, 3, 20, 0.3),
    (0, 5, 3, 1.0),
]


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("n", "N", "K", "listed"), SHAPES)
def test_both_algebras_make_the_same_sweeps_and_the_same_steps_of_conjugate_gradients(n, N, K, listed, dtype):
    made = model(n, N, K, listed=listed, ridge=0.2, dtype=dtype)
    found = []
    for algebra in algebras():
        of = copied(made)
        outcome = [
            algebra.sweep(of, True),
            algebra.sweep(of, False),
            algebra.krylov(of, 5, 1e-3),
            algebra.sweep(of, True),
        ]
        found.append((of, outcome))
    (ours, first), (plain, second) = found
    if second[1] < 1e-12:  # at the minimum already: how many steps rounding makes of it differs by compiler
        first[2] = second[2]
    assert_allclose(first, second, rtol=1e-6, atol=1e-10)
    for name in ("W", "z", "c", "e"):
        assert_allclose(getattr(ours, name), getattr(plain, name), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.3])
@pytest.mark.parametrize(("n", "N", "K", "listed"), SHAPES)
def test_sweeps_and_conjugate_gradients_come_to_the_minimum_with_exact_zeros(n, N, K, listed, ridge):
    of = model(n, N, K, listed=listed, ridge=ridge)
    algebra = algebras()[0]
    for _ in range(200):
        algebra.sweep(of, True)
        algebra.krylov(of, 50, 1e-6)
        if algebra.sweep(of, True) < 1e-11:
            break
    assert excess(of) < 1e-9
    if n > N:
        assert (of.W[:n] == 0.0).any()


def test_no_step_of_conjugate_gradients_raises_the_model():
    for seed in range(20):
        of = model(30, 10, 3, seed=seed)
        algebra = algebras()[0]
        algebra.sweep(of, True)
        before = of.value(of.z, of.c, of.e)
        algebra.krylov(of, 200, 1e-8)
        assert of.value(of.z, of.c, of.e) <= before + 1e-12
