"""The data that benchmarks make themselves."""

from __future__ import annotations

import numpy as np
from benchmarks.made import by_lot, drawn_by_teacher, regs_of, shifted_digits, spectrum_vectors


def test_the_covariance_has_the_spectrum_and_the_same_seed_the_same_rows():
    X = spectrum_vectors(20_000, 16, np.random.default_rng(0))
    eigenvalues = np.linalg.eigvalsh(np.cov(X.T))[::-1]
    np.testing.assert_allclose(eigenvalues, np.arange(1, 17) ** -0.6, rtol=0.06)
    np.testing.assert_array_equal(X, spectrum_vectors(20_000, 16, np.random.default_rng(0)))


def test_the_teacher_is_right_as_often_as_wanted():
    for wanted in (0.7, 0.9):
        X, y, accuracy = drawn_by_teacher(5000, 32, 6, wanted)
        assert X.dtype == np.float32
        assert set(y) == set(range(6))
        assert abs(accuracy - wanted) < 0.02  # four deviations of a binomial share


def test_one_label_in_ten_is_drawn_by_lot():
    X, y = by_lot(3000, 24, 4)
    assert X.dtype == np.float16
    Z = np.linalg.lstsq(np.c_[X, np.ones(len(X))].astype(float), np.eye(4)[y], rcond=None)[0]
    assert 0.8 < ((np.c_[X, np.ones(len(X))] @ Z).argmax(axis=1) == y).mean() < 0.93


def test_digits_are_shifted_within_their_frame():
    X, y = shifted_digits(500)
    assert X.shape == (500, 784)
    assert X.dtype == np.uint8
    assert set(y) == set(range(10))
    columns = X.reshape(-1, 28, 28).any(axis=1)
    assert columns[:, :3].any()
    assert columns[:, -3:].any()


def test_reg_is_that_of_the_same_objective():
    from sklearn.linear_model import LogisticRegression

    from linprobe import Objective
    from linprobe.optimizers import Exact

    X, y, _ = drawn_by_teacher(300, 6, 3)
    (reg,) = regs_of(np.array([0.3]), 300)
    solution = Exact(1e-7).minimize(Objective(X, y, loss="softmax", penalty="l2", reg=reg))
    model = LogisticRegression(C=0.3, tol=1e-10, max_iter=1000).fit(X.astype(np.float64), y)
    np.testing.assert_allclose(solution.W, model.coef_, atol=1e-3)
