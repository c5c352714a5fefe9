"""Dual ascent: the optimum of the hinges, proved where pictures are few; odd weights, classes and types; same bits."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tests.oracles.optimum import Data, optimum

from linprobe.errors import IncompatibleError, ParameterError
from linprobe.features import Affine
from linprobe.objective import Objective
from linprobe.optimizers import DualAscent, Status, dual_images, dual_sweeps
from linprobe.optimizers import dual_ascent as module
from linprobe.optimizers.dual_ascent import suits_dual_ascent
from linprobe.penalties import ElasticNet

LOSSES, PENALTIES = ("hinge", "squared-hinge"), ("l2", "elastic-net")


def few_shots(loss="hinge", *, shots=2, K=100, D=300, penalty="l2", reg=1e-4, dtype=np.float16, **options) -> Objective:
    """Vectors of a power-law spectrum about the mean of their class: fewer than they have features."""
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(K), shots)
    sizes = np.arange(1, D + 1) ** -0.5
    X = (random.standard_normal((K, D))[y] + 2.0 * random.standard_normal((len(y), D))) * sizes
    return Objective((X - X.mean(axis=0)).astype(dtype), y, loss=loss, penalty=penalty, reg=reg, **options)


def clouds(loss="hinge", penalty="l2", *, n=60, D=5, K=4, reg=0.01, **options) -> Objective:
    random = np.random.default_rng(1)
    y = np.arange(n) % K
    X = random.standard_normal((n, D)) + 1.5 * random.standard_normal((K, D))[y]
    return Objective(X, y, loss=loss, penalty=penalty, reg=reg, **options)


def overlapping(loss="hinge", penalty="l2", reg=3e-5, **options) -> Objective:
    """Many images of classes that overlap, with features of many scales."""
    random = np.random.default_rng(6)
    y = np.arange(2000) % 5
    X = random.standard_normal((2000, 20)) + 0.5 * random.standard_normal((5, 20))[y]
    return Objective(X * np.arange(1, 21) ** -0.5, y, loss=loss, penalty=penalty, reg=reg, **options)


def oracle(objective: Objective) -> float:
    """The optimum by an interior point method."""
    examples = objective.examples
    X = examples.mapped(np.arange(objective.n_images)).astype(np.longdouble)
    weight = objective.shares()
    data = Data(
        X,
        examples.y,
        weight,
        objective.n_classes,
        objective.loss.name,
        objective.loss.parameters["delta"],
        objective.l2_weight,
        objective.l1_weight,
        np.abs(X).max(axis=0).astype(float),
    )
    return float(optimum(data).upper)


def check(objective: Objective, tol: float = 1e-4, **settings) -> None:
    """Certified, by bounds that the oracle's optimum lies between."""
    solution = DualAscent(tol=tol, **settings).minimize(objective)
    assert solution.status is Status.CERTIFIED
    certificate, best = solution.certificate, oracle(objective)
    assert certificate.relative_gap <= tol
    assert certificate.lower_bound <= best * (1 + 1e-9)
    assert best <= certificate.objective * (1 + 1e-9)
    assert certificate.objective == pytest.approx(objective.value(solution.W, solution.b), rel=1e-6)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_it_finds_the_minimum_of_the_catalogue_and_proves_it(catalogue, loss, penalty):
    problem = catalogue(loss, penalty)
    solution = DualAscent(tol=1e-5).minimize(problem.objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.lower_bound <= problem.minimum + 1e-8
    assert problem.minimum <= solution.certificate.objective + 1e-8


@pytest.mark.parametrize("reg", [1e-2, 1e-4, 1e-6])
@pytest.mark.parametrize("loss", LOSSES)
def test_few_pictures_of_many_classes_are_certified_in_a_few_passes(loss, reg):
    solution = DualAscent().minimize(few_shots(loss, reg=reg))
    assert solution.status is Status.CERTIFIED
    assert solution.passes <= 20


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_the_images_and_their_products_lead_to_the_optimum(loss, penalty, monkeypatch):
    check(few_shots(loss, shots=3, K=6, D=25, penalty=penalty, reg=1e-3))
    monkeypatch.setattr(dual_images, "MAX_FLOAT32_GRAM_IMAGES", 0)
    check(few_shots(loss, shots=3, K=6, D=25, penalty=penalty, reg=1e-3))


def test_products_of_many_images_are_kept_in_float32(monkeypatch):
    monkeypatch.setattr(dual_images, "MAX_GRAM_IMAGES", 10)
    monkeypatch.setattr("linprobe.optimizers.gram.BLOCK_NUMBERS", 25 * 7)  # blocks of seven images
    check(few_shots(shots=3, K=6, D=25, reg=1e-3))


def test_many_images_are_kept_in_float32(monkeypatch):
    monkeypatch.setattr(dual_images, "FLOAT32_NUMBERS", 10)
    check(clouds())
    check(clouds(penalty="elastic-net"))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float64])
def test_rounds_over_lists_of_pairs_lead_to_the_optimum(loss, penalty, dtype, monkeypatch):
    monkeypatch.setattr(dual_images, "FLOAT32_NUMBERS", 10)
    random = np.random.default_rng(3)
    n, D, K = 130, 6, 4
    y = np.arange(n) % K
    X = 40.0 * random.standard_normal((n, D)) + 30.0 * random.standard_normal((K, D))[y] + 128.0
    picked, affine = np.arange(n)[::-1][:101].copy(), Affine(np.full(D, 0.02), np.full(D, -1.0))
    weight = random.uniform(0.0, 2.0, 101)
    weight[::7] = 0.0
    objective = Objective(
        np.clip(X, 0, 255).astype(dtype),
        y[picked],
        loss=loss,
        penalty=penalty,
        reg=0.003,
        n_classes=K + 1,
        rows=picked,
        affine=affine,
        sample_weight=weight,
    )
    solution = DualAscent(tol=1e-4).minimize(objective)
    assert solution.status is Status.CERTIFIED
    best = oracle(objective)
    assert solution.certificate.lower_bound <= best * (1 + 1e-9)
    assert best * (1 - 1e-9) <= solution.certificate.objective <= best * (1 + 1e-4)
    assert solution.certificate.objective == pytest.approx(objective.value(solution.W, solution.b), rel=1e-6)


def test_lists_of_an_image_are_bounded(monkeypatch):
    monkeypatch.setattr(dual_images, "FLOAT32_NUMBERS", 10)
    monkeypatch.setattr(dual_sweeps, "MAX_LISTED_PAIRS", 0)
    monkeypatch.setattr(dual_sweeps, "MIN_LISTED_CLASSES", 2)
    objective = clouds(n=90, K=9)
    solution = DualAscent(tol=1e-4).minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.objective == pytest.approx(oracle(objective), rel=1e-4)


@pytest.mark.parametrize(("loss", "penalty"), [("hinge", "l2"), ("squared-hinge", "elastic-net")])
def test_rounds_over_lists_give_the_same_bits_for_any_number_of_threads_and_resumed(loss, penalty, monkeypatch):
    monkeypatch.setattr(dual_images, "FLOAT32_NUMBERS", 10)
    monkeypatch.setattr(dual_sweeps, "BLOCK_SCORES", 500)  # many blocks
    states = []
    optimizer = DualAscent(tol=1e-4)
    whole = optimizer.minimize(
        overlapping(loss, penalty, n_threads=1), callback=lambda epoch: states.append(epoch.state)
    )
    assert whole.status is Status.CERTIFIED
    assert whole.state.numbers["extra"] > 0.0
    again = [optimizer.minimize(overlapping(loss, penalty, n_threads=threads)) for threads in (2, 3)]
    again += [
        optimizer.minimize(overlapping(loss, penalty), start=state)
        for state in [states[0], states[1], states[len(states) // 2], *states[-3:]]
    ]
    for solution in again:
        assert_array_equal(solution.W, whole.W)
        assert_array_equal(solution.b, whole.b)
        assert solution.certificate.lower_bound == whole.certificate.lower_bound
        assert (solution.status, solution.passes, solution.state.epoch) == (
            whole.status,
            whole.passes,
            whole.state.epoch,
        )


def test_rounds_that_gain_little_sweep_more_often(monkeypatch):
    monkeypatch.setattr(dual_images, "FLOAT32_NUMBERS", 10)
    monkeypatch.setattr(module, "SLOW_GAP", 0.0)  # whatever a round gains is too little
    monkeypatch.setattr(module, "SWEEPS_REVIEW_EVERY", 2)
    states = []
    optimizer = DualAscent(tol=1e-4)
    whole = optimizer.minimize(overlapping(), callback=lambda epoch: states.append(epoch.state))
    assert whole.status is Status.CERTIFIED
    assert whole.state.numbers["sweeps"] == module.MAX_NONZERO_SWEEPS
    resumed = optimizer.minimize(overlapping(), start=states[3])
    assert_array_equal(resumed.W, whole.W)
    monkeypatch.setattr(module, "SLOW_GAP", 1.0)
    assert optimizer.minimize(overlapping()).state.numbers["sweeps"] == module.NONZERO_SWEEPS


def test_the_mean_of_the_dual_points_proves_more_than_the_last(monkeypatch):
    monkeypatch.setattr(dual_images, "FLOAT32_NUMBERS", 10)
    objective = overlapping(reg=1e-6)
    with_mean = DualAscent(tol=1e-4, max_iter=6).minimize(objective)
    monkeypatch.setattr(module._Search, "_mean_dual", lambda self, V: -math.inf)
    without = DualAscent(tol=1e-4, max_iter=6).minimize(objective)
    assert with_mean.certificate.lower_bound > without.certificate.lower_bound


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_many_images_with_a_small_reg_are_accelerated(loss, penalty, monkeypatch):
    objective = overlapping(loss, penalty)
    fast = DualAscent().minimize(objective)
    assert fast.status is Status.CERTIFIED
    assert fast.state.numbers["extra"] > 0.0
    monkeypatch.setattr(module, "ACCELERATE_ABOVE", np.inf)
    slow = DualAscent(max_iter=2 * fast.state.epoch).minimize(objective)
    assert slow.certificate.relative_gap > fast.certificate.relative_gap
    assert slow.certificate.lower_bound <= fast.certificate.objective
    assert fast.certificate.lower_bound <= slow.certificate.objective


@pytest.mark.parametrize("loss", LOSSES)
def test_separable_images_are_accelerated_little(loss, monkeypatch):
    monkeypatch.setattr(dual_images, "MAX_FLOAT32_GRAM_IMAGES", 0)
    objective = few_shots(loss, K=10, D=100, reg=1e-5)
    solution = DualAscent().minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.objective == pytest.approx(oracle(objective), rel=1e-4)
    most = 0.0 if loss == "hinge" else module.SEPARABLE_RIDGE * 2.0 * objective.l2_weight
    assert solution.state.numbers["extra"] == pytest.approx(most)


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_rows_of_any_type_with_a_map_some_of_them_picked(dtype, penalty):
    random = np.random.default_rng(2)
    y = np.arange(30) % 3
    X = random.integers(0, 200, (50, 8))
    rows = random.permutation(50)[:30]
    X[rows] += (20 * np.eye(8)[y]).astype(int)
    affine = Affine(np.linspace(0.01, 0.03, 8), np.linspace(-1.0, 5.0, 8))
    check(Objective(X.astype(dtype), y, loss="hinge", penalty=penalty, reg=0.01, rows=rows, affine=affine, n_classes=3))


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_of_0_and_tiny_weights_and_delta(loss):
    random = np.random.default_rng(3)
    weight = random.choice([0.0, 1e-300, 1e-9, 1.0, 7.0], 60)
    weight[:4] = 1.0
    check(clouds(loss, sample_weight=weight))
    check(clouds(penalty=ElasticNet(beta=3.0), sample_weight=weight))


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("loss", LOSSES)
def test_a_class_without_images_costs_nothing(loss, penalty):
    random = np.random.default_rng(4)
    y = np.array([1, 3, 4])[np.arange(45) % 3]
    X = random.standard_normal((45, 4)) + np.eye(4)[y % 4]
    whole = Objective(X, y, loss=loss, penalty=penalty, reg=0.02, n_classes=6)
    present = Objective(X, np.searchsorted([1, 3, 4], y), loss=loss, penalty=penalty, reg=0.02)
    solution, other = (DualAscent(tol=1e-6).minimize(objective) for objective in (whole, present))
    assert solution.status is other.status is Status.CERTIFIED
    assert solution.certificate.objective == pytest.approx(other.certificate.objective, rel=1e-6)
    assert (solution.W[[0, 2, 5]] == 0.0).all()


def test_images_of_one_class_cost_nothing():
    objective = Objective(np.eye(3), np.array([1, 1, 1]), loss="hinge", penalty="l2", reg=0.1, n_classes=3)
    solution = DualAscent().minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.objective == 0.0


@pytest.mark.parametrize("X", [np.zeros((6, 2)), np.ones((6, 2)), np.full((6, 1), 1e-30)])
def test_images_that_are_all_alike(X):
    objective = Objective(X, np.array([0, 0, 0, 1, 1, 2]), loss="hinge", penalty="l2", reg=0.1)
    solution = DualAscent(tol=1e-3).minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.objective == pytest.approx(oracle(objective), rel=1e-3)


@pytest.mark.parametrize(("loss", "penalty"), [("hinge", "l2"), ("squared-hinge", "elastic-net")])
@pytest.mark.parametrize("make", [partial(few_shots, K=20, D=60), clouds, overlapping])
def test_any_number_of_threads_and_a_resumed_search_give_the_same_bits(make, loss, penalty):
    states = []
    optimizer = DualAscent(tol=1e-5 if make is overlapping else 1e-6)
    whole = optimizer.minimize(
        make(loss, penalty=penalty, n_threads=1), callback=lambda epoch: states.append(epoch.state)
    )
    assert whole.status is Status.CERTIFIED
    assert len(states) == len(whole.history) == whole.state.epoch + 1
    again = [optimizer.minimize(make(loss, penalty=penalty, n_threads=threads)) for threads in (2, 3)]
    again += [
        optimizer.minimize(make(loss, penalty=penalty), start=state)
        for state in [states[0], states[1], states[len(states) // 2], *states[-3:]]
    ]
    for solution in again:
        assert_array_equal(solution.W, whole.W)
        assert_array_equal(solution.b, whole.b)
        assert solution.certificate.lower_bound == whole.certificate.lower_bound
        assert (solution.status, solution.passes, solution.state.epoch) == (
            whole.status,
            whole.passes,
            whole.state.epoch,
        )


def test_the_seed_decides_the_order_and_not_the_optimum():
    first, second = (DualAscent(seed=seed).minimize(clouds()) for seed in (0, 1))
    assert not np.array_equal(first.W, second.W)
    assert first.certificate.lower_bound <= second.certificate.objective
    assert second.certificate.lower_bound <= first.certificate.objective


def test_the_engines_lead_to_the_same_optimum():
    values = [
        DualAscent(tol=1e-5).minimize(clouds(n=20, engine=engine)).certificate.objective
        for engine in ("reference", "threads")
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_the_budget_ends_a_search_with_the_best_weights_and_a_true_bound():
    objective = few_shots(shots=3, K=6, D=25, reg=1e-3)
    best = oracle(objective)
    for max_iter in (0, 1, 3):
        solution = DualAscent(tol=1e-9, max_iter=max_iter).minimize(objective)
        assert solution.status is Status.MAX_ITER
        assert solution.state.epoch == max_iter
        assert 0.0 <= solution.certificate.lower_bound <= best * (1 + 1e-9)
        assert solution.certificate.objective >= best * (1 - 1e-9)


def test_a_search_that_cannot_reach_tol_gives_up_early():
    random = np.random.default_rng(5)
    X, y = 1e3 * random.standard_normal((40, 3)), random.integers(0, 4, 40)
    objective = Objective(X, y, loss="hinge", penalty="l2", reg=1e-3)
    solution = DualAscent().minimize(objective)
    assert solution.status is Status.MAX_ITER
    assert solution.state.epoch <= 500
    assert math.isfinite(solution.certificate.objective)


def test_ctrl_c_and_a_callback_end_it_with_a_certificate():
    objective = clouds()
    stopped = DualAscent().minimize(objective, callback=lambda epoch: epoch.epoch == 2)
    assert stopped.status is Status.STOPPED

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    interrupted = DualAscent().minimize(objective, callback=interrupt)
    assert interrupted.status is Status.INTERRUPTED
    for solution in (stopped, interrupted):
        assert solution.certificate.objective == pytest.approx(objective.value(solution.W, solution.b), rel=1e-6)
        assert solution.certificate.lower_bound > 0.0


def test_the_validation_loss_is_in_the_trace(held_out, make_objective):
    solution = DualAscent().minimize(make_objective("hinge", "l2"), validation=held_out("hinge"))
    assert all(math.isfinite(row["validation_loss"]) for row in solution.history)
    assert solution.history[-1]["objective"] == pytest.approx(solution.certificate.objective, rel=1e-3)


@pytest.mark.parametrize(("loss", "penalty"), [("softmax", "l2"), ("hinge", "l1"), ("hinge", None)])
def test_other_losses_and_penalties_are_refused(loss, penalty):
    objective = clouds(loss, penalty)
    assert not suits_dual_ascent(objective)
    with pytest.raises(IncompatibleError, match="sum over margins"):
        DualAscent().minimize(objective)


def test_it_suits_what_fits_memory(monkeypatch):
    assert suits_dual_ascent(clouds())
    monkeypatch.setattr(module, "MAX_BYTES", 100)
    assert not suits_dual_ascent(clouds())


def test_settings_out_of_range_are_refused():
    for wrong in ({"tol": -1.0}, {"max_iter": -1}, {"seed": -1}):
        with pytest.raises(ParameterError):
            replace(DualAscent(), **wrong)
