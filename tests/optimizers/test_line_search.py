"""Steps along a direction: Wolfe's conditions, what rounding hides, and weights at which passes are faster."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linprobe.engines.base import Precision
from linprobe.objective import Objective
from linprobe.optimizers.line_search import ARMIJO, WOLFE, rounded_weights, wolfe_search
from linprobe.optimizers.requests import Point, run_search, visit


def problem(penalty: str = "l2", dtype: str = "f8") -> Objective:
    random = np.random.default_rng(0)
    y = np.arange(90) % 3
    X = random.normal(size=(90, 5)) + np.eye(3, 5)[y]
    X = np.clip(np.rint(127 + 40 * X), 0, 255) if dtype == "u1" else X
    return Objective(X.astype(dtype), y, loss="softmax", penalty=penalty, reg=0.02)


def at(objective: Objective, W: np.ndarray, b: np.ndarray, precision: Precision = Precision.DOUBLE) -> Point:
    return run_search(objective, visit(objective, W, b, precision))


def search(objective: Objective, point: Point, direction: np.ndarray, precision: Precision = Precision.DOUBLE):
    return run_search(objective, wolfe_search(objective, point, direction, precision, math.inf, 1.0))


@pytest.mark.parametrize("length", [1e-4, 0.03, 1.0, 30.0, 1e4])
def test_the_step_meets_both_conditions_however_long_the_direction_is(length):
    objective = problem()
    point = at(objective, np.zeros((3, 5)), np.zeros(3))
    direction = -length * point.gradient
    following, step, trials = search(objective, point, direction)
    slope = float(np.vdot(direction, point.gradient))
    assert following.evaluation.objective <= point.evaluation.objective + ARMIJO * step * slope
    assert float(np.vdot(direction, following.gradient)) >= WOLFE * slope
    assert_array_equal(following.W, point.W + step * direction[:, :-1])
    assert 1 <= trials <= 20


def test_a_direction_that_rises_gives_no_point_and_costs_no_pass():
    objective = problem()
    point = at(objective, np.zeros((3, 5)), np.zeros(3))
    assert search(objective, point, point.gradient) == (None, 0.0, 0)
    assert search(objective, point, np.full((3, 6), np.nan)) == (None, 0.0, 0)


def test_at_the_minimum_a_slope_that_shrinks_is_a_decrease_that_rounding_hides():
    objective = problem()
    point = at(objective, np.zeros((3, 5)), np.zeros(3))
    for _ in range(400):
        following, _, _ = search(objective, point, -2.0 * point.gradient)
        if following is None:
            break
        point = following
    assert point.evaluation.gradient_norm < 1e-9  # differences of the objective would end it at 1e-8


def test_with_l1_a_step_to_the_minimum_of_its_model_is_judged_by_the_whole_penalty():
    objective = problem("l1")
    point = at(objective, np.full((3, 5), 0.3), np.zeros(3))
    direction = np.concatenate([objective.prox(point.W - point.dW, 1.0) - point.W, -point.db[:, None]], axis=1)
    following, step, _ = search(objective, point, direction)
    assert 0.0 < step <= 1.0
    assert following.evaluation.objective < point.evaluation.objective


@pytest.mark.parametrize("gap", [1e3, 1e-9])
def test_weights_are_rounded_only_while_the_error_is_far_below_the_gap(gap):
    objective = problem(dtype="u1")
    W = np.random.default_rng(1).normal(size=(3, 5))
    near = rounded_weights(objective, W, Precision.COARSE, 100.0, gap)
    rounds = bool(list(objective.engine.coarse(W)))  # on processors that multiply bytes
    assert np.array_equal(near, W) == (gap < 1.0 or not rounds)
    np.testing.assert_allclose(near, W, atol=0.02 * np.abs(W).max())


@pytest.mark.parametrize(("precision", "curvature"), [(Precision.SINGLE, 1.0), (Precision.COARSE, math.inf)])
def test_weights_stay_as_they_are_in_other_passes_and_where_zeros_must_stay_exact(precision, curvature):
    objective = problem(dtype="u1")
    W = np.random.default_rng(1).normal(size=(3, 5))
    assert rounded_weights(objective, W, precision, curvature, 1e9) is W
