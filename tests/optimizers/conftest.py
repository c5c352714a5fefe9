"""The catalogue: small problems, each with its minimum found by SciPy in a form without kinks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import pytest
from scipy.optimize import linprog, minimize

from linprobe.objective import Objective

LOSSES = ("softmax", "squared-hinge", "hinge")
PENALTIES = ("none", "l2", "l1", "elastic-net")
REG = 0.05


@dataclass(frozen=True)
class Problem:
    """An objective and the lowest value it takes."""

    objective: Objective
    minimum: float


def points(n: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Three overlapping clouds in the plane, so that every minimum is finite, and a feature of noise."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = random.standard_normal((n, 3)) + np.array([[1.0, 0.0, 0.0], [-1.0, 1.0, 0.0], [0.0, -1.0, 0.0]])[y]
    return X, y


def make(loss: str, penalty: str, **options) -> Objective:
    X, y = points()
    return Objective(X, y, loss=loss, penalty=penalty, reg=REG, engine="reference", **options)


def smooth_minimum(objective: Objective) -> float:
    """W = P - Q, with P, Q >= 0, turns sum |W| into sum (P + Q), which L-BFGS-B minimises."""
    K, D = objective.n_classes, objective.n_features
    a, c = (0.0, 0.0) if objective.penalty is None else objective.penalty.coefficients

    def value_and_gradient(z):
        P, Q, b = z[: K * D].reshape(K, D), z[K * D : 2 * K * D].reshape(K, D), z[2 * K * D :]
        bare = Objective(
            objective.examples.X,
            objective.examples.y,
            loss=objective.loss,
            penalty=None,
            reg=0.0,
            engine="reference",
        )
        value, dW, db = bare.value_and_gradient(P - Q, b)
        value += REG * (a * np.square(P - Q).sum() + c * (P + Q).sum())
        dW = dW + REG * 2.0 * a * (P - Q)
        gradient = np.concatenate([(dW + REG * c).ravel(), (-dW + REG * c).ravel(), db])
        return value, gradient

    n = 2 * K * D
    bounds = [(0.0, None)] * n + [(None, None)] * K
    options = {"maxiter": 10_000, "maxfun": 20_000, "ftol": 1e-15, "gtol": 1e-9}
    return minimize(
        value_and_gradient, np.zeros(n + K), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    ).fun


def hinge_minimum(objective: Objective) -> float:
    """The hinge as slacks xi_ij >= 1 + s_j - s_y, xi >= 0: a linear or a quadratic program."""
    X, y = objective.examples.X, objective.examples.y
    N, (K, D) = len(X), (objective.n_classes, objective.n_features)
    a, c = (0.0, 0.0) if objective.penalty is None else objective.penalty.coefficients
    pairs = [(i, j) for i in range(N) for j in range(K) if j != y[i]]
    n = 2 * K * D + K
    A = np.zeros((len(pairs), n + len(pairs)))  # A z <= -1
    for row, (i, j) in enumerate(pairs):
        for sign, k in ((1.0, j), (-1.0, y[i])):
            A[row, k * D : (k + 1) * D] += sign * X[i]
            A[row, (K + k) * D : (K + k + 1) * D] -= sign * X[i]
            A[row, 2 * K * D + k] += sign
        A[row, n + row] = -1.0
    cost = np.concatenate([np.full(2 * K * D, REG * c), np.zeros(K), np.full(len(pairs), 1.0 / N)])
    free = [(0.0, None)] * (2 * K * D) + [(None, None)] * K + [(0.0, None)] * len(pairs)
    if a == 0.0:
        return linprog(cost, A_ub=A, b_ub=-np.ones(len(pairs)), bounds=free, method="highs").fun

    difference = np.zeros((K * D, len(cost)))
    difference[:, : K * D], difference[:, K * D : 2 * K * D] = np.eye(K * D), -np.eye(K * D)
    H = 2.0 * REG * a * difference.T @ difference
    start = linprog(cost, A_ub=A, b_ub=-np.ones(len(pairs)), bounds=free, method="highs").x
    return minimize(
        lambda z: (0.5 * z @ H @ z + cost @ z, H @ z + cost),
        start,
        jac=True,
        method="SLSQP",
        bounds=free,
        constraints={"type": "ineq", "fun": lambda z: -1.0 - A @ z, "jac": lambda z: -A},
        options={"maxiter": 500, "ftol": 1e-12},
    ).fun


@cache
def problem(loss: str, penalty: str) -> Problem:
    objective = make(loss, penalty)
    return Problem(objective, hinge_minimum(objective) if loss == "hinge" else smooth_minimum(objective))


@pytest.fixture
def catalogue():
    """(loss, penalty) -> Problem."""
    return problem


@pytest.fixture
def make_objective():
    """(loss, penalty, **options) -> Objective over the points of the catalogue."""
    return make


@pytest.fixture
def held_out():
    """(loss) -> Objective over other points from the same clouds."""

    def build(loss: str) -> Objective:
        X, y = points(seed=1)
        return Objective(X, y, loss=loss, penalty=None, reg=0.0, engine="reference")

    return build
