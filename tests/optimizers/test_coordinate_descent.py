"""A smooth loss with |W|: LBFGS by coordinate descent finds the proved optimum in a few passes, with the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.datasets import load_digits

from linprobe.certificate import certify
from linprobe.errors import IncompatibleError
from linprobe.features import Affine, Pixels
from linprobe.objective import Objective
from linprobe.optimizers import ADMM, LBFGS, Status
from linprobe.optimizers.coordinate_descent import is_sparse
from linprobe.optimizers.preconditioner import second_moment

SMOOTH, KINKED = ("softmax", "squared-hinge"), ("l1", "elastic-net")


def digits(loss="softmax", penalty="l1", reg=1e-3, **options):
    X, y = load_digits(return_X_y=True)
    X = (X * 15).astype(np.uint8)
    return Objective(X, y, loss=loss, penalty=penalty, reg=reg, affine=Pixels().fit(X).affine, **options)


def noise(loss, penalty, *, n=1200, D=60, **options):
    random = np.random.default_rng(0)
    X, y = random.integers(0, 256, (n, D)).astype(np.uint8), random.integers(0, 4, n)
    affine = Affine(np.full(D, 1 / 255), np.full(D, -0.5))
    weight = random.random(n)
    return Objective(X, y, loss=loss, penalty=penalty, reg=3e-3, sample_weight=weight, affine=affine, **options)


@pytest.mark.parametrize("penalty", KINKED)
@pytest.mark.parametrize("loss", SMOOTH)
def test_it_finds_the_minimum_that_scipy_finds_and_proves_it(catalogue, loss, penalty):
    problem = catalogue(loss, penalty)
    solution = LBFGS(tol=1e-7).minimize(problem.objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.relative_gap <= 1e-7
    assert solution.certificate.lower_bound <= problem.minimum + 1e-8
    assert problem.minimum <= solution.certificate.objective + 1e-8


@pytest.mark.parametrize("penalty", KINKED)
@pytest.mark.parametrize("loss", SMOOTH)
def test_a_few_passes_prove_what_another_method_proves(loss, penalty):
    objective = digits(loss, penalty)
    solution = LBFGS(tol=1e-4).minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert solution.passes <= 200  # squared hinge with L1 takes 146 to 167, as its columns are ordered
    other = ADMM(tol=1e-3).minimize(objective)
    assert other.status is Status.CERTIFIED
    assert solution.certificate.lower_bound <= other.certificate.objective
    assert other.certificate.lower_bound <= solution.certificate.objective
    assert 0.1 < (solution.W == 0.0).mean() < 1.0


def test_a_finer_tol_is_met_in_float64():
    solution = LBFGS(tol=3e-8).minimize(digits(reg=1e-2))
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.relative_gap <= 3e-8


@pytest.mark.parametrize("penalty", KINKED)
@pytest.mark.parametrize("loss", SMOOTH)
def test_any_number_of_threads_and_a_resumed_search_give_the_same_bits(loss, penalty):
    states, optimizer = [], LBFGS(tol=1e-6, max_iter=12)
    solutions = [
        optimizer.minimize(noise(loss, penalty, n_threads=1), callback=lambda epoch: states.append(epoch.state))
    ]
    solutions += [optimizer.minimize(noise(loss, penalty, n_threads=threads)) for threads in (2, 3)]
    solutions += [optimizer.minimize(noise(loss, penalty), start=state) for state in states]
    for solution in solutions[1:]:
        assert_array_equal(solution.W, solutions[0].W)
        assert_array_equal(solution.b, solutions[0].b)
        assert (solution.passes, solution.status) == (solutions[0].passes, solutions[0].status)
        assert solution.certificate.lower_bound == solutions[0].certificate.lower_bound


@pytest.mark.parametrize("loss", SMOOTH)
def test_fewer_images_than_features_have_their_proof_too(loss):
    objective = noise(loss, "l1", n=40, D=300)
    assert LBFGS().minimize(objective).status is Status.CERTIFIED


def test_the_last_row_of_the_history_is_of_the_weights_that_are_returned():
    objective = digits(reg=10.0)  # no weight leaves 0, and the bias alone decides
    solution = LBFGS(tol=1e-3).minimize(objective)
    assert not solution.W.any()
    at = objective.evaluate(solution.W, solution.b)
    assert solution.history[-1]["train_accuracy"] == at.accuracy
    assert solution.history[-1]["objective"] == pytest.approx(at.objective, rel=1e-6)


def test_ctrl_c_gives_the_weights_so_far_with_their_certificate(monkeypatch):
    objective, calls = digits(), []
    algebra = type(objective.engine.algebra)
    plain = algebra.descend

    def interrupted(self, model, most, tol):
        calls.append(most)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(self, model, most, tol)

    monkeypatch.setattr(algebra, "descend", interrupted)
    solution = LBFGS().minimize(objective)
    assert solution.status is Status.INTERRUPTED
    assert 0.0 < solution.certificate.lower_bound <= solution.certificate.objective


def test_many_weights_that_are_not_zero_are_found_not_to_be_sparse(monkeypatch):
    objective = digits(penalty="elastic-net", reg=1e-6)
    assert is_sparse(objective, second_moment(objective))  # so few that it does not matter
    monkeypatch.setattr("linprobe.optimizers.coordinate_descent.SMALL_SWEEP_PRODUCTS", 0)
    assert not is_sparse(objective, second_moment(objective))
    assert is_sparse(digits(penalty="elastic-net", reg=0.3), second_moment(objective))


def test_too_many_features_for_the_matrix_are_refused_in_words():
    X, y = np.zeros((4, 6145), np.uint8), np.arange(4) % 2
    with pytest.raises(IncompatibleError, match="D = 6145"):
        LBFGS().minimize(Objective(X, y, loss="softmax", penalty="l1", reg=0.1))


def test_pairs_that_depend_on_one_another_are_dropped(monkeypatch):
    objective, calls = digits(), []
    plain = np.linalg.inv

    def singular(matrix):
        calls.append(len(matrix))
        if len(calls) == 3:
            raise np.linalg.LinAlgError("Singular matrix")
        return plain(matrix)

    monkeypatch.setattr(np.linalg, "inv", singular)
    assert LBFGS().minimize(objective).status is Status.CERTIFIED
    assert calls[2] == 6
    assert 2 in calls[3:]  # from three pairs to none, and on with one


def test_a_dual_point_that_is_scaled_down_loses_a_share_of_the_penalty_alone():
    objective = digits(reg=3e-3)
    solution = LBFGS(tol=1e-6).minimize(objective)
    exact = solution.certificate
    # a larger reg for the same weights: |A| is within it, and a smaller one: A exceeds it by a hundredth
    smaller = objective.with_reg(objective.reg / 1.01)
    found = certify(smaller, solution.W, solution.b)
    penalty = smaller.penalty_value(solution.W)
    assert found.lower_bound <= found.objective
    assert found.gap <= 0.02 * penalty + exact.gap
    assert found.gap < 0.005 * found.objective


def test_a_duplicated_and_a_constant_feature_do_no_harm():
    random = np.random.default_rng(1)
    X, y = random.standard_normal((200, 4)), np.arange(200) % 3
    X = np.concatenate([X + y[:, None], X[:, :2] + y[:, None], np.ones((200, 1))], axis=1)
    for loss in SMOOTH:
        solution = LBFGS(tol=1e-5).minimize(Objective(X, y, loss=loss, penalty="l1", reg=1e-2))
        assert solution.status is Status.CERTIFIED
        assert not solution.W[:, -1].any()
