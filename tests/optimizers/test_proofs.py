"""When a certificate is attempted, what a failed one teaches, and how close a prediction comes to a proof."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.certificate import certify
from linprobe.engines.base import Precision
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS
from linprobe.optimizers.predicted_gap import predicted_gap
from linprobe.optimizers.proofs import ProofPolicy, prove_near
from linprobe.optimizers.requests import Point, run_search, visit
from linprobe.optimizers.trace import Clock


def problem(loss: str = "softmax", penalty: str = "l2", **options) -> Objective:
    random = np.random.default_rng(0)
    y = np.arange(200) % 4
    X = random.normal(size=(200, 6)) + np.eye(4, 6)[y]
    return Objective(X, y, loss=loss, penalty=penalty, reg=0.01, **options)


def near_the_optimum(objective: Objective, distance: float) -> Point:
    """A point so far from the optimum, in float64."""
    solution = LBFGS(tol=1e-10).minimize(objective)
    random = np.random.default_rng(1)
    W = solution.W + distance * np.where(solution.W == 0.0, 0.0, random.normal(size=solution.W.shape))
    b = solution.b + distance * random.normal(size=solution.b.shape)
    return run_search(objective, visit(objective, W, b, Precision.DOUBLE))


def test_a_proof_is_attempted_at_the_threshold_and_near_it_from_a_hundred_times_as_much():
    policy = ProofPolicy(1e-4, 1e-4)
    assert policy.attempts(2e-4, 2.0)
    assert not policy.attempts(2.01e-4, 2.0)
    assert not policy.is_near(2e-4, 2.0)
    assert policy.is_near(2.01e-4, 2.0)
    assert policy.is_near(2e-2, 2.0)
    assert not policy.is_near(2.01e-2, 2.0)


def test_what_a_proof_lost_against_its_prediction_the_next_one_is_expected_to_lose():
    policy = ProofPolicy(1e-4, 1e-4)
    policy.learn(predicted=0.9e-4, proved=1.3e-4)
    assert policy.threshold == pytest.approx(0.6e-4)  # it would then be proved as 1e-4
    assert policy.attempts(0.6e-4, 1.0)


@pytest.mark.parametrize(("predicted", "proved"), [(0.9e-4, 50e-4), (0.99e-4, 1.01e-4), (1e-4, 1e-4)])
def test_a_loss_from_which_nothing_follows_halves_the_threshold(predicted, proved):
    policy = ProofPolicy(1e-4, 1e-4)
    policy.learn(predicted, proved)
    assert policy.threshold == pytest.approx(0.5e-4)


@pytest.mark.parametrize("loss", ["softmax", "squared-hinge"])
@pytest.mark.parametrize(("penalty", "within"), [("l2", 1.5), ("l1", 5.0)])
def test_the_predicted_gap_is_near_the_proved_one(loss, penalty, within):
    objective = problem(loss, penalty)
    for distance in (1e-2, 1e-3, 1e-4):
        point = near_the_optimum(objective, distance)
        predicted = predicted_gap(objective, point)
        proof = run_search(objective, prove_near(objective, point.W, point.b, point.db, 1e-9, 0.0, Clock(0.0)))
        assert proof.certificate.gap / within <= predicted <= within * proof.certificate.gap


def test_without_a_penalty_the_norm_of_the_gradient_is_predicted():
    objective = problem(penalty="none")
    point = run_search(objective, visit(objective, np.ones((4, 6)), np.zeros(4), Precision.DOUBLE))
    assert predicted_gap(objective, point) == point.evaluation.gradient_norm


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("tol", [1e-3, 1e-8])
def test_a_proof_balances_the_bias_and_proves_more_than_the_point_it_began_at(penalty, tol):
    objective = problem(penalty=penalty)
    point = near_the_optimum(objective, 0.0)
    b = point.b + np.array([0.05, -0.02, 0.0, 0.01])
    start = run_search(objective, visit(objective, point.W, b, Precision.DOUBLE))
    proof = run_search(objective, prove_near(objective, start.W, start.b, start.db, tol, 5.0, Clock(0.0)))
    before = certify(objective, start.W, start.b)
    assert proof.certificate.gap < 0.1 * before.gap
    assert proof.certificate.relative_gap <= tol
    assert np.array_equal(proof.point.W, start.W)
    assert 6.0 <= proof.certificate.passes <= 5.0 + 5.0
    assert np.abs(proof.point.db).sum() < 1e-2 * np.abs(start.db).sum()
