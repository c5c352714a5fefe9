"""ADMM and Exact: the optimum of every loss with every penalty, proved; the same bits; Ctrl-C and odd problems."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linprobe.engines.base import open_engine
from linprobe.errors import IncompatibleError
from linprobe.losses import MulticlassHinge
from linprobe.objective import Objective
from linprobe.optimizers import ADMM, LBFGS, Exact, Status
from linprobe.optimizers import normal_equations as equations
from linprobe.penalties import L2

LOSSES = ("softmax", "squared-hinge", "hinge")


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_it_finds_the_minimum_of_the_catalogue_and_proves_it(catalogue, loss, penalty):
    problem = catalogue(loss, penalty)
    for optimizer in (ADMM(tol=1e-4), Exact(tol=1e-4)):
        # hinge and L1 are a linear program, in which the iterates go round in spirals: 1,200 steps
        solution = replace(optimizer, max_iter=3000).minimize(problem.objective)
        assert solution.status is Status.CERTIFIED
        certificate = solution.certificate
        assert certificate.relative_gap <= 1e-4
        # SciPy's own minimum is good to about 1e-9
        assert certificate.lower_bound <= problem.minimum + 1e-8
        assert problem.minimum <= certificate.objective + 1e-8
        assert certificate.objective == pytest.approx(problem.objective.value(solution.W, solution.b), rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_without_a_penalty_the_minimum_is_found_too(catalogue, loss):
    problem = catalogue(loss, "none")
    solution = Exact(tol=1e-4).minimize(problem.objective)
    assert solution.status is Status.CONVERGED
    assert solution.certificate.objective == pytest.approx(problem.minimum, rel=1e-4)
    assert solution.certificate.lower_bound == 0.0


@pytest.mark.parametrize("penalty", ["l1", "elastic-net"])
def test_weights_that_do_not_help_are_exactly_zero(make_objective, penalty):
    solution = Exact().minimize(make_objective("softmax", penalty))
    assert solution.status is Status.CERTIFIED
    assert 0 < (solution.W == 0.0).sum() < solution.W.size


@pytest.mark.parametrize(("loss", "penalty"), [("hinge", "l2"), ("softmax", "l1"), ("squared-hinge", "elastic-net")])
def test_any_number_of_threads_and_a_resumed_search_give_the_same_bits(loss, penalty):
    random = np.random.default_rng(0)
    X, y = random.integers(0, 256, (1200, 60)).astype(np.uint8), random.integers(0, 4, 1200)
    weight = random.random(1200)
    rows = [
        Objective(X, y, loss=loss, penalty=penalty, reg=1e-3, sample_weight=weight, n_threads=threads)
        for threads in (1, 2, 3)
    ]
    states = []
    optimizer = ADMM(tol=1e-7, max_iter=60)
    solutions = [optimizer.minimize(rows[0], callback=lambda epoch: states.append(epoch.state))]
    solutions += [optimizer.minimize(objective) for objective in rows[1:]]
    solutions.append(optimizer.minimize(rows[1], start=states[2]))
    for solution in solutions[1:]:
        assert_array_equal(solution.W, solutions[0].W)
        assert_array_equal(solution.b, solutions[0].b)
        assert solution.passes == solutions[0].passes
        assert solution.certificate.lower_bound == solutions[0].certificate.lower_bound
    assert len(states) == len(solutions[0].history) == 7


@pytest.mark.parametrize(("loss", "penalty"), [("hinge", "l2"), ("softmax", "l1"), ("hinge", "none")])
def test_a_search_goes_on_from_any_state_to_the_same_bits_proofs_included(make_objective, loss, penalty):
    objective, states = make_objective(loss, penalty), []
    optimizer = ADMM(tol=1e-5, max_iter=3000)
    whole = optimizer.minimize(objective, callback=lambda epoch: states.append(epoch.state))
    assert whole.status in (Status.CERTIFIED, Status.CONVERGED)
    assert whole.passes == whole.certificate.passes
    for state in [states[0], *states[-12:]]:  # proofs are tried near the end, and may fail
        again = optimizer.minimize(objective, start=state)
        assert_array_equal(again.W, whole.W)
        assert_array_equal(again.b, whole.b)
        assert (again.status, again.state.epoch, again.passes) == (whole.status, whole.state.epoch, whole.passes)
        assert again.certificate.lower_bound == whole.certificate.lower_bound


@pytest.mark.parametrize("loss", ["hinge", "softmax"])
def test_fewer_images_than_features_are_solved_in_their_own_space(loss, monkeypatch):
    random = np.random.default_rng(1)
    X, y = random.normal(size=(12, 50)), np.arange(12) % 3
    objective = Objective(X, y, loss=loss, penalty="elastic-net", reg=0.02, sample_weight=random.random(12))
    moment = equations.exact_moment(objective)
    assert not moment.of_features
    assert moment.matrix.shape == (12, 12)
    # the same system in the space of the features
    shares = objective.shares()
    mean = shares @ X
    M = 0.7 * ((X - mean).T * shares) @ (X - mean) + 0.3 * np.eye(50)
    R = random.normal(size=(3, 50))
    found = equations.NormalEquations(objective, moment, 0.7, 0.3).solve(R)
    np.testing.assert_allclose(found, np.linalg.solve(M, R.T).T, atol=1e-12 * np.abs(found).max())
    assert ADMM(tol=1e-4).minimize(objective).status is Status.CERTIFIED


@pytest.mark.parametrize(("ridge", "error"), [(0.3, 1e-5), (1e-7, 1e-9)])  # an inverse in float32, a factor in float64
@pytest.mark.parametrize("D", [1, 7, 1000])
def test_the_normal_equations_are_solved_as_numpy_solves_them(D, ridge, error):
    random = np.random.default_rng(1)
    X, y = random.normal(size=(1100, D)), np.arange(1100) % 3
    objective = Objective(X, y, loss="hinge", penalty="l2", reg=0.02)
    moment = equations.exact_moment(objective)
    matrix = 0.7 * moment.matrix + ridge * np.eye(D)
    R = random.normal(size=(3, D))
    solve = equations.NormalEquations(objective, moment, 0.7, ridge).solve
    wanted = np.linalg.solve(matrix, R.T).T
    np.testing.assert_allclose(solve(R), wanted, atol=error * np.abs(wanted).max())
    found = np.zeros_like(R)
    for _ in range(4):  # corrected by what it left over, it comes as close as float64 can
        found += solve(R - found @ matrix)
    np.testing.assert_allclose(found, wanted, atol=1e-12 * np.abs(wanted).max())


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_features_of_very_different_scales_are_solved_within_the_budget(loss):
    random = np.random.default_rng(2)
    y = np.arange(150) % 3
    X = (random.normal(size=(150, 6)) + 1.5 * np.eye(6)[y]) * np.logspace(-1, 2, 6)
    objective = Objective(X - X.mean(axis=0), y, loss=loss, penalty="elastic-net", reg=1e-3)
    assert ADMM(tol=1e-4, max_iter=1000).minimize(objective).status is Status.CERTIFIED


def test_a_matrix_too_large_to_factor_is_refused_with_what_to_do(monkeypatch, make_objective):
    monkeypatch.setattr(equations, "MAX_ROWS", 2)
    with pytest.raises(IncompatibleError, match=r"min\(N, D\) = 3 rows, and 2 at most; use fewer features"):
        ADMM().minimize(make_objective("hinge", "l2"))


def test_a_budget_that_is_too_small_gives_the_honest_gap(make_objective):
    solution = ADMM(tol=1e-9, max_iter=10).minimize(make_objective("hinge", "l2"))
    assert solution.status is Status.MAX_ITER
    assert solution.certificate.relative_gap > 1e-9
    nothing = ADMM(max_iter=0).minimize(make_objective("hinge", "l2"))
    assert nothing.status is Status.MAX_ITER
    assert not nothing.W.any()
    assert nothing.certificate.lower_bound == 0.0


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_a_gap_within_tol_is_certified_whatever_the_budget(make_objective, loss, penalty):
    objective = make_objective(loss, penalty)
    for max_iter in (0, 1, 2, 4, 7, *range(10, 160, 10)):
        solution = Exact(tol=1e-3, max_iter=max_iter).minimize(objective)
        proved = solution.certificate.relative_gap <= 1e-3
        assert solution.status is (Status.CERTIFIED if proved else Status.MAX_ITER)


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_ctrl_c_gives_the_best_weights_so_far_with_their_certificate(make_objective, loss):
    objective = make_objective(loss, "l2")

    def press(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    solution = Exact(tol=1e-12).minimize(objective, callback=press)
    assert solution.status is Status.INTERRUPTED
    assert solution.W.any()
    assert solution.certificate.objective == pytest.approx(objective.value(solution.W, solution.b))
    assert 0.0 < solution.certificate.lower_bound <= solution.certificate.objective


def test_a_constant_feature_and_a_class_without_images_do_no_harm():
    random = np.random.default_rng(2)
    X = np.concatenate([random.normal(size=(60, 4)), np.ones((60, 2)), np.zeros((60, 1))], axis=1)
    y = np.where(random.random(60) < 0.5, 0, 2)
    for penalty in ("l2", "l1"):
        objective = Objective(X, y, loss="hinge", penalty=penalty, reg=0.05, n_classes=4)
        solution = Exact().minimize(objective)
        assert solution.status is Status.CERTIFIED
        assert np.abs(solution.W[:, 4:]).max() <= 1e-6


@pytest.mark.parametrize("n_features", [1, 3, 30])
@pytest.mark.parametrize("offset", [0.0, 1.0, 1e4])
def test_features_that_are_all_constant_leave_zero_weights(n_features, offset):
    row = offset * np.random.default_rng(5).normal(size=n_features)
    X, y = np.tile(row, (20, 1)), np.arange(20) % 2
    for loss, minimum in (("softmax", np.log(2.0)), ("hinge", 1.0)):
        for penalty in ("l2", "l1", "elastic-net"):
            solution = Exact().minimize(Objective(X, y, loss=loss, penalty=penalty, reg=1e-3))
            assert solution.status is Status.CERTIFIED
            assert solution.certificate.objective == pytest.approx(minimum, rel=1e-4)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_slope_of_the_prox_is_that_of_differences(loss, make_objective):
    random = np.random.default_rng(3)
    loss = make_objective(loss, "l2").loss
    V, y, weight = random.normal(size=(50, 4)), random.integers(0, 4, 50), random.random(50)
    wanted = super(type(loss), loss).prox_slope(V, y, 0.7, weight)
    np.testing.assert_allclose(loss.prox_slope(V, y, 0.7, weight), wanted, atol=2e-3 * np.abs(wanted).max())


def test_a_loss_from_elsewhere_runs_on_the_reference_engine():
    class Mine(MulticlassHinge.__mro__[1]):
        name, smooth = "mine", False

        def value_and_gradient(self, scores, y):
            return MulticlassHinge().value_and_gradient(scores, y)

        def conjugate(self, gradient, y):
            return MulticlassHinge().conjugate(gradient, y)

        def prox_gradient(self, V, y, rho):
            return MulticlassHinge().prox_gradient(V, y, rho)

        def balanced(self, shares, columns):
            return MulticlassHinge().balanced(shares, columns)

    random = np.random.default_rng(4)
    X, y = random.normal(size=(30, 2)), np.arange(30) % 3
    solution = Exact().minimize(Objective(X, y, loss=Mine(), penalty=L2(), reg=0.1, engine="reference"))
    assert solution.status is Status.CERTIFIED
    with pytest.raises(IncompatibleError, match="no prox of Mine"):
        Exact().minimize(Objective(X, y, loss=Mine(), penalty=L2(), reg=0.1))
    assert "threads" in open_engine("threads", Objective(X, y, loss=Mine(), penalty=None, reg=0.0).examples).describe()


@pytest.mark.parametrize("engine", ["reference", "threads"])
@pytest.mark.parametrize(("loss", "penalty"), [("hinge", "l2"), ("softmax", "l2"), ("softmax", "elastic-net")])
def test_features_far_from_zero_have_the_optimum_of_those_about_it(loss, penalty, engine):
    X, y = np.random.default_rng(1).standard_normal((60, 5)).astype(np.float32), np.arange(60) % 3
    X = np.round(64 * X) / 64  # exact with the offset as well
    near, far = (
        Exact().minimize(Objective(X + np.float32(offset), y, loss=loss, penalty=penalty, reg=0.01, engine=engine))
        for offset in (0.0, 1000.0)
    )
    assert near.status is far.status is Status.CERTIFIED
    assert far.certificate.objective == pytest.approx(near.certificate.objective, rel=2e-4)


@pytest.mark.parametrize("engine", ["reference", "threads"])
@pytest.mark.parametrize("penalty", ["none", "l2", "l1", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_features_that_are_all_constant_leave_the_bias_alone(loss, penalty, engine):
    y = np.arange(21) % 3
    for D in (2, 40):
        X = np.full((21, D), 178.3)
        solution = Exact().minimize(Objective(X, y, loss=loss, penalty=penalty, reg=0.1, engine=engine))
        fair = {"softmax": np.log(3.0), "hinge": 2.0, "squared-hinge": 2.0}[loss]
        assert solution.certificate.objective == pytest.approx(fair, rel=1e-3)


def test_features_too_large_to_square_are_refused():
    X, y = 1e25 * np.random.default_rng(0).standard_normal((20, 3)), np.arange(20) % 2
    for optimizer, loss in ((ADMM(), "hinge"), (LBFGS(), "softmax")):
        with pytest.raises(IncompatibleError, match="divide the features"):
            optimizer.minimize(Objective(X, y, loss=loss, penalty="l2", reg=0.1, engine="threads"))


@pytest.mark.parametrize("loss", ["softmax", "squared-hinge"])
def test_the_curvature_in_the_bias_is_that_of_differences(loss, make_objective):
    random = np.random.default_rng(3)
    loss = make_objective(loss, "l2").loss
    S, y, weight = random.normal(size=(50, 4)), random.integers(0, 4, 50), random.random(50)
    wanted = super(type(loss), loss).shift_curvature(S, y, weight)
    np.testing.assert_allclose(loss.shift_curvature(S, y, weight), wanted, atol=1e-3 * np.abs(wanted).max())
