"""The preconditioner from a sample of rows is the one from the matrix of their moment, for any threads."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.errors import IncompatibleError
from linprobe.features.base import Affine
from linprobe.losses import SoftmaxCrossEntropy
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS
from linprobe.optimizers.preconditioner import Preconditioner, SecondMoment, second_moment
from linprobe.penalties import L2


def made_objective(X: np.ndarray, n_threads: int = 2, *, reg: float = 1e-2, weighted: bool = False) -> Objective:
    random = np.random.default_rng(1)
    return Objective(
        X,
        random.integers(0, 3, len(X)),
        loss=SoftmaxCrossEntropy(),
        penalty=L2(),
        reg=reg,
        sample_weight=random.uniform(0.5, 2.0, len(X)) if weighted else None,
        affine=Affine(np.full(X.shape[1], 1 / 255), np.full(X.shape[1], -0.4)) if X.dtype == np.uint8 else None,
        n_threads=n_threads,
    )


def made_rows(n: int, D: int, dtype: type) -> np.ndarray:
    random = np.random.default_rng(0)
    return (
        random.integers(0, 256, (n, D)).astype(dtype) if dtype is np.uint8 else random.normal(size=(n, D)).astype(dtype)
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
@pytest.mark.parametrize(("n", "D"), [(5, 9), (300, 700), (513, 5000), (256, 4097)])
def test_sampled_rows_precondition_as_their_moment_does(n, D, dtype):
    objective = made_objective(made_rows(n, D, dtype), weighted=True)
    moment = second_moment(objective)
    sample = moment.rows
    assert sample is not None
    rows = (objective.examples.mapped(sample.positions) - moment.mean) * np.sqrt(sample.shares)[:, None]
    assert_allclose(sample.products, rows @ rows.T, rtol=0, atol=1e-5 * np.abs(rows @ rows.T).max())
    assert moment.trace == pytest.approx(np.square(rows).sum(), rel=1e-6)
    assert_allclose(moment.dense, rows.T @ rows, rtol=0, atol=1e-5 * np.abs(rows.T @ rows).max())
    random, ratio = np.random.default_rng(1), 0.3
    dW, db = random.normal(size=(3, D)), random.normal(size=3)
    assert moment.along(dW) == pytest.approx(np.square(rows @ dW.T).sum(), rel=1e-4)
    step_W, step_b = Preconditioner(moment, objective.engine, ratio).solve(dW, db)
    M = rows.T @ rows + ratio * np.eye(D)
    wanted = np.linalg.solve(M, (dW - np.outer(db, moment.mean)).T).T
    assert_allclose(step_W, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    assert_allclose(step_b, db - step_W @ moment.mean, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_any_number_of_threads_gives_the_same_bits(dtype):
    random = np.random.default_rng(1)
    X = made_rows(500, 900, dtype)
    dW, db = random.normal(size=(3, 900)), random.normal(size=3)
    found = []
    for n_threads in (1, 2, 3):
        objective = made_objective(X, n_threads, weighted=True)
        moment = second_moment(objective)
        step = Preconditioner(moment, objective.engine, 0.1).solve(dW, db)
        found.append([moment.factored, moment.trace, moment.along(dW), *step])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert_array_equal(one, two)


def test_a_strong_penalty_needs_a_sketch_of_few_rows_and_a_weak_one_the_matrix():
    X = made_rows(4500, 2000, np.uint8)  # a variance of 2,000 / 12, nearly
    shapes = []
    for reg in (1e-4, 0.5, 5.0):
        moment = second_moment(made_objective(X, reg=reg))
        assert (moment.matrix is None) == (moment.rows is not None)
        shapes.append(moment.factored.shape)
    assert shapes == [(2000, 2000), (1024, 1024), (1024, 1024)]
    # 1.75 * trace * 0.1 / (2 * reg), or 1,200, of 2,000
    more = second_moment(made_objective(X, reg=0.0122))
    assert more.rows is not None
    assert 1150 < len(more.rows.positions) < 1250
    few = LBFGS(tol=1e-6).minimize(made_objective(X, reg=0.5))
    many = LBFGS(tol=1e-6).minimize(made_objective(X, reg=0.5), moment=SecondMoment(more.mean, more.dense))
    assert few.certificate.objective == pytest.approx(many.certificate.objective, rel=2e-6)


def test_features_too_large_to_square_are_told_of_without_warnings():
    X = np.full((9, 4), 1e200)
    X[0] = -1e200
    for reg in (1e-2, 1e3):
        with pytest.raises(IncompatibleError, match="too large for float32"):
            LBFGS().minimize(made_objective(X, reg=reg))


def test_the_spread_of_eigenvalues_is_that_of_the_features_whatever_their_size():
    X = np.random.default_rng(0).standard_normal((60, 4))
    expected = second_moment(made_objective(X)).spread
    for size in (2.0**-50, 2.0**20, 2.0**60):  # the powers of 2 keep all digits
        assert second_moment(made_objective(X * size)).spread == expected * size**2
