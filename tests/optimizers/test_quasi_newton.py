"""The direction of L-BFGS in a metric is that of BFGS with dense matrices, however it keeps what it has solved."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.engines.base import Precision
from linprobe.objective import Objective
from linprobe.optimizers.preconditioner import Preconditioners, second_moment, typical_curvature
from linprobe.optimizers.quasi_newton import QuasiNewtonSteps
from linprobe.optimizers.requests import Point, run_search, visit


def problem() -> Objective:
    random = np.random.default_rng(0)
    y = np.arange(300) % 3
    X = (random.normal(size=(300, 4)) + np.eye(3, 4)[y]) * [0.3, 1.0, 2.0, 5.0] + [1.0, 0.0, -2.0, 3.0]
    return Objective(X, y, loss="softmax", penalty="l2", reg=0.05)


def points(objective: Objective, n: int) -> list[Point]:
    """Points on a way towards the minimum."""
    random, found = np.random.default_rng(1), []
    for i in range(n):
        W, b = random.normal(size=(3, 4)) / (1.0 + i), random.normal(size=3) / (1.0 + i)
        found.append(run_search(objective, visit(objective, W, b, Precision.DOUBLE)))
    return found


def dense_direction(objective: Objective, steps: QuasiNewtonSteps, visited: list[Point]) -> np.ndarray:
    """-H ∇L by the update of BFGS, on matrices over W and b of all classes."""
    X, curvature = objective.examples.X, steps.numbers["curvature"]
    mean = X.mean(axis=0)
    shift = np.eye(5)
    shift[4, :4] = mean  # (W, b) -> (W, b + W·mean), where features and bias do not see each other
    inner = np.zeros((5, 5))
    inner[:4, :4] = (X - mean).T @ (X - mean) / len(X) + 2.0 * objective.l2_weight / curvature * np.eye(4)
    inner[4, 4] = 1.0
    H = np.kron(np.eye(3), np.linalg.inv(shift.T @ inner @ shift))
    pairs = [(a.step_to(b).ravel(), (b.gradient - a.gradient).ravel()) for a, b in pairwise(visited)]
    scales = [float(s @ y) / float(y @ H @ y) for s, y in pairs[-3:]]
    H *= np.exp(np.mean(np.log(scales))) if scales else 1.0 / curvature
    for s, y in pairs:
        V = np.eye(15) - np.outer(s, y) / (s @ y)
        H = V @ H @ V.T + np.outer(s, s) / (s @ y)
    return -(H @ visited[-1].gradient.ravel()).reshape(3, 5)


def new_steps(objective: Objective, arrays: dict[str, np.ndarray] | None = None) -> QuasiNewtonSteps:
    metrics = Preconditioners(second_moment(objective), objective.engine)
    return QuasiNewtonSteps(objective, metrics, typical_curvature(objective), arrays or {})


@pytest.mark.parametrize("n_pairs", [0, 1, 2, 5])
def test_the_direction_is_that_of_dense_bfgs(n_pairs):
    objective = problem()
    steps, visited = new_steps(objective), points(objective, n_pairs + 1)
    for point, following in pairwise(visited):
        steps.direction(point)  # each gradient is solved for, and what a change is solved to follows from two of them
        steps.add(point, following)
    found = steps.direction(visited[-1])
    expected = dense_direction(objective, steps, visited)
    assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())  # the metric is solved in float32


def test_steps_restored_from_their_arrays_give_the_same_bits():
    objective = problem()
    steps, visited = new_steps(objective), points(objective, 5)
    for point, following in pairwise(visited):
        steps.direction(point)
        steps.add(point, following)
    again = new_steps(objective, steps.arrays())
    assert steps.direction(visited[-1]).tobytes() == again.direction(visited[-1]).tobytes()


def test_a_point_with_a_smaller_gradient_is_found_among_those_that_the_pairs_span():
    objective = problem()
    steps, visited = new_steps(objective), points(objective, 5)
    assert steps.flattest(visited[0]) is visited[0]
    for point, following in pairwise(visited):
        steps.add(point, following)
    flat = steps.flattest(visited[-1])
    assert np.linalg.norm(flat.gradient) < np.linalg.norm(visited[-1].gradient)


def test_a_curvature_far_from_that_along_the_steps_is_corrected():
    objective = problem()
    metrics = Preconditioners(second_moment(objective), objective.engine)
    visited = points(objective, 5)
    for wrong in (1e-4, 50.0):
        steps = QuasiNewtonSteps(objective, metrics, wrong, {})
        for point, following in pairwise(visited):
            steps.add(point, following)
        steps.review(10, visited[-1])
        assert 0.02 < steps.numbers["curvature"] < 1.0
        assert steps.rms_curvature == pytest.approx(steps.numbers["curvature"] * metrics.moment.spread)
