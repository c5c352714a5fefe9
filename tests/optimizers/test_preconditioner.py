"""The preconditioner from a sample of rows is the one from the matrix of their moment, for any threads."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.engines.base import Examples, open_engine
from linprobe.losses import SoftmaxCrossEntropy
from linprobe.objective import Objective
from linprobe.optimizers import preconditioner
from linprobe.optimizers.preconditioner import Preconditioner, SecondMoment, second_moment
from linprobe.penalties import L2

ENGINE = open_engine("threads", Examples(np.zeros((1, 1)), np.zeros(1, np.int64), 2), 1)


def made_moment(n: int, D: int, n_threads: int) -> SecondMoment:
    random = np.random.default_rng(0)
    objective = Objective(
        random.normal(size=(n, D)).astype(np.float16),
        random.integers(0, 3, n),
        loss=SoftmaxCrossEntropy(),
        penalty=L2(),
        reg=1e-2,
        sample_weight=random.uniform(0.5, 2.0, n),
        n_threads=n_threads,
    )
    return second_moment(objective)


@pytest.mark.parametrize(("n", "D"), [(5, 9), (300, 700), (513, 5000), (256, 4097)])
def test_sampled_rows_precondition_as_their_moment_does(n, D):
    moment = made_moment(n, D, 2)
    assert moment.rows is not None
    rows = moment.rows.astype(np.float64)
    assert_allclose(moment.products, rows @ rows.T, rtol=0, atol=1e-5 * np.abs(rows @ rows.T).max())
    assert moment.trace == pytest.approx(np.square(rows).sum(), rel=1e-6)
    random, ratio = np.random.default_rng(1), 0.3
    dW, db = random.normal(size=(3, D)), random.normal(size=3)
    assert moment.along(dW) == pytest.approx(np.square(rows @ dW.T).sum(), rel=1e-4)
    step_W, step_b = Preconditioner(moment, ENGINE, ratio).solve(dW, db)
    M = rows.T @ rows + ratio * np.eye(D)
    wanted = np.linalg.solve(M, (dW - np.outer(db, moment.mean)).T).T
    assert_allclose(step_W, wanted, rtol=0, atol=1e-4 * np.abs(wanted).max())
    assert_allclose(step_b, db - step_W @ moment.mean, rtol=1e-12)


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    monkeypatch.setattr(preconditioner, "BLOCK_ROWS", 64)
    monkeypatch.setattr(preconditioner, "BLOCK_COLUMNS", 256)
    random = np.random.default_rng(1)
    dW, db = random.normal(size=(3, 900)), random.normal(size=3)
    found = []
    for n_threads in (1, 2, 3):
        moment = made_moment(500, 900, n_threads)
        found.append([moment.rows, moment.products, moment.trace, *Preconditioner(moment, ENGINE, 0.1).solve(dW, db)])
    for other in found[1:]:
        for one, two in zip(found[0], other, strict=True):
            assert_array_equal(one, two)
