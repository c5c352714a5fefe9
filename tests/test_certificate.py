"""The certificate: a bound that no weights go below, on any data, and tight at the minimum."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linprobe.certificate import Certificate, certify
from linprobe.errors import ShapeError
from linprobe.features.base import Affine
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.objective import Objective
from linprobe.optimizers import Exact, Status
from linprobe.penalties import L1, L2, ElasticNet

LOSSES = [SoftmaxCrossEntropy(), MulticlassHinge(delta=0.7), SquaredHinge()]
PENALTIES = [L2(), L1(), ElasticNet(beta=0.3)]


def made(seed, n, D, K, loss, penalty, reg, weighted=False, scale=1.0):
    random = np.random.default_rng(seed)
    y = np.concatenate([np.arange(K), random.integers(0, K, max(0, n - K))])[: max(n, K)]
    X = scale * random.standard_normal((len(y), D))
    weight = random.uniform(0.1, 3.0, len(y)) if weighted else None
    return Objective(X, y, loss=loss, penalty=penalty, reg=reg, n_classes=K, sample_weight=weight, engine="reference")


@example(4451166, 2, 9, 2, SoftmaxCrossEntropy(), L2(), 1e-4, False, 1e3)  # columns near the least number there is
@settings(max_examples=150)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(2, 40),
    D=st.integers(1, 12),
    K=st.integers(2, 5),
    loss=st.sampled_from(LOSSES),
    penalty=st.sampled_from(PENALTIES),
    reg=st.sampled_from([1e-4, 1e-2, 1.0]),
    weighted=st.booleans(),
    scale=st.sampled_from([1e-3, 1.0, 1e3]),
)
def test_no_weights_go_below_the_bound_of_any_other(seed, n, D, K, loss, penalty, reg, weighted, scale):
    objective = made(seed, n, D, K, loss, penalty, reg, weighted, scale)
    random = np.random.default_rng(seed + 1)
    certificates = []
    for size in (0.0, 0.1, 1.0):
        W, b = size * random.standard_normal((K, D)), size * random.standard_normal(K)
        certificates.append(certify(objective, W, b))
    highest = max(c.lower_bound for c in certificates)
    assert all(highest <= c.objective for c in certificates)
    assert all(c.gap >= 0.0 for c in certificates)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_any_dual_point_gives_a_valid_bound(loss, penalty):
    objective = made(3, 25, 6, 3, loss, penalty, 0.05)
    random = np.random.default_rng(0)
    S = random.standard_normal((25, 3))
    G = loss.value_and_gradient(S, objective.examples.y)[1]
    W, b = np.zeros((3, 6)), np.zeros(3)
    certificate = certify(objective, W, b, G)
    for _ in range(50):
        other = objective.value(0.3 * random.standard_normal((3, 6)), random.standard_normal(3))
        assert certificate.lower_bound <= other


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_mixing_evens_out_the_columns_with_a_feasible_point(loss):
    random = np.random.default_rng(1)
    for K in (2, 3, 7):
        for _ in range(50):
            shares = random.dirichlet(np.ones(K))
            S = random.standard_normal((K, K))
            G = loss.value_and_gradient(S, np.arange(K))[1]  # row c: of every image of class c
            columns = shares @ G
            t, Q = loss.balanced(shares, columns)
            assert 0.0 <= t <= 1.0
            assert np.isfinite(loss.conjugate(Q, np.arange(K))).all()
            assert np.abs((1 - t) * columns + t * (shares @ Q)).max() < 1e-12


@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_a_class_that_no_image_has_leaves_a_valid_if_loose_bound(loss):
    random = np.random.default_rng(2)
    X, y = random.standard_normal((12, 3)), np.arange(12) % 2
    objective = Objective(X, y, loss=loss, penalty="l2", reg=0.1, n_classes=3, engine="reference")
    certificate = certify(objective, np.zeros((3, 3)), np.zeros(3))
    assert 0.0 <= certificate.lower_bound <= objective.value(np.zeros((3, 3)), np.array([0.0, 0.0, -50.0]))


def test_the_gap_of_a_smooth_loss_is_the_norm_of_its_gradient_squared():
    objective = made(4, 30, 5, 3, SoftmaxCrossEntropy(), L2(), 0.1)
    W, b = np.zeros((3, 5)), np.zeros(3)
    # at W = 0 and b = log shares the bias is balanced, so that nothing is mixed in
    b = np.log(np.bincount(objective.examples.y) / 30)
    evaluation, dW, _ = objective.with_penalty(objective.data_gradient(W, b), W)
    certificate = certify(objective, W, b)
    assert certificate.gap == pytest.approx(np.square(dW).sum() / (4 * 0.1), rel=1e-9)
    assert certificate.objective == pytest.approx(evaluation.objective)
    assert certificate.gradient_norm == pytest.approx(evaluation.gradient_norm)


def test_the_native_engine_proves_what_the_reference_proves():
    for loss in LOSSES:
        objective = made(5, 200, 20, 4, loss, L2(), 0.01, weighted=True)
        W, b = np.random.default_rng(0).standard_normal((4, 20)) * 0.1, np.zeros(4)
        one, other = certify(objective, W, b), certify(objective.with_engine("threads"), W, b)
        assert one.objective == pytest.approx(other.objective, rel=1e-12)
        assert one.lower_bound == pytest.approx(other.lower_bound, rel=1e-9)


@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
def test_what_whole_numbers_lose_is_taken_from_the_bound(penalty):
    objective = made(0, 40, 5, 3, LOSSES[0], penalty, 0.1)
    W, b = np.full((3, 5), 0.1), np.zeros(3)
    gradient = objective.data_gradient(W, b)
    exact = certify(objective, W, b, gradient=gradient)
    for lost in ({"score_error": 1e-6}, {"slope_error": 1e-6}):
        bound = certify(objective, W, b, gradient=replace(gradient, **lost)).lower_bound
        assert exact.lower_bound - 1e-3 < bound < exact.lower_bound - 1e-6


def test_a_dual_point_of_another_shape_is_refused():
    objective = made(0, 10, 3, 2, SoftmaxCrossEntropy(), L2(), 0.1)
    with pytest.raises(ShapeError, match="expected"):
        certify(objective, np.zeros((2, 3)), np.zeros(2), np.zeros((10, 3)))


@pytest.mark.parametrize("engine", ["reference", "threads"])
@pytest.mark.parametrize("penalty", PENALTIES, ids=repr)
@pytest.mark.parametrize("loss", LOSSES, ids=repr)
def test_weights_whose_products_cancel_prove_no_more_than_rounding_leaves(loss, penalty, engine):
    random = np.random.default_rng(8)
    X = np.repeat(random.standard_normal((20, 1)), 2, axis=1)  # two columns alike
    y = (X[:, 0] > 0).astype(np.int64)
    objective = Objective(X, y, loss=loss, penalty=penalty, reg=1e-9, engine=engine)
    low = min(objective.value(np.array([[-a, 0.0], [a, 0.0]]), np.zeros(2)) for a in (1.0, 10.0, 1e3))
    for size in 10.0 ** np.arange(0, 17):
        W = size * np.array([[-1.0, 1.0], [1.0, -1.0]]) + random.standard_normal((2, 2))
        assert certify(objective, W, np.zeros(2)).lower_bound <= low


def test_a_map_of_large_terms_is_not_trusted_beyond_their_rounding():
    X = 4e6 + np.random.default_rng(9).random((40, 3))
    y = np.arange(40) % 2
    affine = Affine(np.full(3, 1e9), np.full(3, -4e15 - 5e8))  # x' of 1e9 from terms of 4e15, each rounded by 0.5
    objective = Objective(X, y, loss="softmax", penalty="l1", reg=1e-3, affine=affine, engine="reference")
    assert (objective.statistics.feature_sizes > 7e15).all()
    assert certify(objective, np.zeros((2, 3)), np.zeros(2)).lower_bound <= np.log(2.0)


def test_weights_that_diverged_prove_nothing_and_warn_of_nothing():
    for loss in LOSSES:
        objective = made(6, 10, 3, 2, loss, L2(), 0.1)
        certificate = certify(objective, np.full((2, 3), 1e200) * [[1.0], [-1.0]], np.zeros(2))
        assert certificate.lower_bound == 0.0


@pytest.mark.parametrize("numbers", [(math.nan, 1.0), (1.0, math.nan), (math.inf, 0.0), (math.inf, math.inf)])
def test_numbers_that_are_not_finite_prove_nothing(numbers):
    assert Certificate(*numbers, 0.0).relative_gap == math.inf


@pytest.mark.parametrize("loss", ["hinge", "squared-hinge"])
def test_the_rounding_of_a_large_feature_is_multiplied_by_its_own_small_weight(loss):
    random = np.random.default_rng(0)
    y = np.arange(120) % 3
    X = (random.standard_normal((120, 5)) + random.standard_normal((3, 5))[y]) * 10.0 ** np.arange(-8, 9, 4)
    solution = Exact().minimize(Objective(X, y, loss=loss, penalty="l2", reg=1e-2, n_threads=1))
    assert solution.status is Status.CERTIFIED


def test_standardised_features_far_from_0_are_certified_with_a_small_reg():
    random = np.random.default_rng(0)
    y = np.arange(200) % 3
    X = 1e6 + random.standard_normal((200, 4)) + random.standard_normal((3, 4))[y]
    affine = Affine(1.0 / X.std(axis=0), -X.mean(axis=0) / X.std(axis=0))
    objective = Objective(X, y, loss="squared-hinge", penalty="l1", reg=1e-5, affine=affine, n_threads=1)
    assert Exact().minimize(objective).status is Status.CERTIFIED
