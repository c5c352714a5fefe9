"""Working sets: many features, few of them used; the proved optimum, exact zeros, and the same bits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from tests.oracles.optimum import optimum
from tests.test_certificate_proof import build

from linprobe.certificate import certify
from linprobe.errors import IncompatibleError
from linprobe.features import Affine
from linprobe.losses import Loss
from linprobe.objective import Objective
from linprobe.optimizers import Exact, Status, proximal_newton
from linprobe.optimizers import working_set as module
from linprobe.optimizers.hinge_program import HingeProgram
from linprobe.optimizers.interior_point import PointWithin, Within, minimize_within
from linprobe.optimizers.working_set import WorkingSet

LOSSES, KINKED = ("softmax", "squared-hinge", "hinge"), ("l1", "elastic-net")


def wide(loss, penalty, *, reg=0.02, n=20, D=2000, K=3, dtype="uint8", seed=0, **options):
    """Noise with a few features that tell the classes."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % K
    X = random.standard_normal((n, D))
    X[np.arange(n), y] += 2.0
    X[:, 50:53] += np.eye(3)[y % 3]
    if dtype == "uint8":
        X = np.clip(np.rint(128 + 30 * X), 0, 255)
        options.setdefault("affine", Affine(np.full(D, 1 / 30), np.full(D, -128 / 30)))
    return Objective(X.astype(dtype), y, loss=loss, penalty=penalty, reg=reg, n_classes=K, **options)


@pytest.mark.parametrize("penalty", KINKED)
@pytest.mark.parametrize("loss", LOSSES)
def test_it_finds_the_minimum_that_scipy_finds_and_proves_it(catalogue, loss, penalty):
    problem = catalogue(loss, penalty)
    solution = WorkingSet(tol=1e-6).minimize(problem.objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.relative_gap <= 1e-6
    assert solution.certificate.lower_bound <= problem.minimum + 1e-8
    assert problem.minimum <= solution.certificate.objective + 1e-8


@pytest.mark.parametrize("penalty", KINKED)
@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_wide_data_are_certified_with_exact_zeros(loss, penalty, dtype):
    objective = wide(loss, penalty, dtype=dtype)
    solution = WorkingSet(tol=1e-5).minimize(objective)
    assert solution.status is Status.CERTIFIED
    again = certify(objective.with_engine("reference"), solution.W, solution.b, solution.state.arrays["best_G"])
    assert again.relative_gap <= 1e-5
    assert 0.0 < (solution.W != 0.0).mean() < 0.2
    assert solution.passes <= 40


@pytest.mark.parametrize("penalty", KINKED)
@pytest.mark.parametrize("loss", LOSSES)
def test_its_bounds_enclose_the_optimum_of_an_independent_solver(loss, penalty):
    common = {
        "n": 12,
        "D": 60,
        "K": 3,
        "beta": 1.0,
        "labels": "random",
        "repeated": "",
        "n_constant": 1,
        "max_iter": 60,
    }
    for seed, (reg, dtype, weights, size, offset) in enumerate(
        [
            (1e-2, "float64", "some zeros", 1.0, 0.0),
            (1e-1, "uint8", None, 1.0, 0.0),
            (1e-3, "float16", "of many sizes", 1.0, 3.0),
            (1e-2, "float32", None, 1e3, 3.0),
        ]
    ):
        drawn = common | {"seed": seed, "reg": reg, "dtype": dtype, "weights": weights, "size": size, "offset": offset}
        objective, data = build(loss, penalty, drawn | {"delta": 1.0, "map": "standardise", "engine": "threads"})
        solution = WorkingSet(tol=1e-5).minimize(objective)
        best = optimum(data)
        assert solution.certificate.lower_bound <= best.upper
        assert best.lower <= solution.certificate.objective
        assert solution.status is Status.CERTIFIED


@pytest.mark.parametrize("loss", LOSSES)
def test_picked_rows_and_weights_count_like_repetitions(loss):
    n, D = 20, 400
    random = np.random.default_rng(3)
    X, rows = random.standard_normal((3 * n, D)), random.permutation(3 * n)[:n]
    y, weight = np.arange(n) % 3, random.integers(0, 3, n).astype(float)
    some = Objective(X, y, loss=loss, penalty="l1", reg=0.03, rows=rows, sample_weight=weight)
    repeated = np.repeat(np.arange(n), weight.astype(int))
    all_rows = Objective(X[rows][repeated], y[repeated], loss=loss, penalty="l1", reg=0.03, n_classes=3)
    found = [WorkingSet(tol=1e-6).minimize(objective).certificate for objective in (some, all_rows)]
    assert found[0].relative_gap <= 1e-6
    assert found[0].objective == pytest.approx(found[1].objective, rel=3e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_class_that_does_not_occur_costs_no_proof(loss):
    random = np.random.default_rng(0)
    X, y = random.standard_normal((20, 300)), np.arange(20) % 2
    objective = Objective(X, y, loss=loss, penalty="l1", reg=0.05, n_classes=4)
    assert WorkingSet(tol=1e-5).minimize(objective).status is Status.CERTIFIED


@pytest.mark.parametrize("penalty", KINKED)
def test_a_hinge_of_many_images_is_solved_by_its_multipliers(monkeypatch, penalty):
    objective = wide("hinge", penalty, n=30, D=300)
    program = WorkingSet(tol=1e-5).minimize(objective)
    monkeypatch.setattr(module, "MAX_NONZERO", 0)
    smoothed = WorkingSet(tol=1e-5).minimize(objective)
    assert program.status is smoothed.status is Status.CERTIFIED
    assert program.certificate.objective == pytest.approx(smoothed.certificate.objective, rel=2e-5)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("loss", LOSSES)
def test_without_sizes_the_set_is_all_features(loss, weighted):
    weight = np.linspace(0.0, 3.0, 300) if weighted else None
    objective = wide(loss, "l2", n=300, D=60, K=4, reg=1e-3, dtype="float32", sample_weight=weight)
    solution = WorkingSet(tol=1e-6).minimize(objective)
    assert solution.status is Status.CERTIFIED
    other = Exact(tol=1e-6).minimize(objective)
    assert solution.certificate.lower_bound <= other.certificate.objective * (1 + 1e-9)
    assert other.certificate.lower_bound <= solution.certificate.objective * (1 + 1e-9)


def test_a_search_without_sizes_goes_on_to_the_same_bits():
    objective, states = wide("hinge", "l2", n=200, D=60, dtype="float32"), []
    whole = WorkingSet(tol=1e-6).minimize(objective, callback=lambda epoch: states.append(epoch.state))
    for state in (states[0], states[len(states) // 2]):
        assert_array_equal(WorkingSet(tol=1e-6).minimize(objective, start=state).W, whole.W)


@pytest.mark.parametrize(("loss", "penalty"), [*((loss, "l1") for loss in LOSSES), ("hinge", "l2")])
def test_every_number_of_threads_gives_the_same_bits(monkeypatch, loss, penalty):
    monkeypatch.setattr(proximal_newton, "BLOCK_SCORES", 16)
    monkeypatch.setattr(proximal_newton, "BLOCK_NUMBERS", 64)
    one, two = (WorkingSet(tol=1e-4).minimize(wide(loss, penalty, D=300, n_threads=n)) for n in (1, 3))
    assert_array_equal(one.W, two.W)
    assert_array_equal(one.b, two.b)
    assert one.certificate.lower_bound == two.certificate.lower_bound


@pytest.mark.parametrize("loss", LOSSES)
def test_a_search_goes_on_from_each_of_its_states_to_the_same_bits(loss):
    objective, states = wide(loss, "l1"), []
    whole = WorkingSet(tol=1e-5).minimize(objective, callback=lambda epoch: states.append(epoch.state))
    assert len(states) > 3
    for state in (states[0], states[2], states[-1]):
        rest = WorkingSet(tol=1e-5).minimize(objective, start=state)
        assert_array_equal(rest.W, whole.W)
        assert_array_equal(rest.b, whole.b)
        assert rest.certificate.objective == whole.certificate.objective


def test_it_stops_when_asked_and_keeps_the_weights_when_interrupted():
    objective = wide("softmax", "l1")
    stopped = WorkingSet(tol=1e-6).minimize(objective, callback=lambda epoch: epoch.epoch == 1)
    assert stopped.status is Status.STOPPED

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    ended = WorkingSet(tol=1e-6).minimize(objective, callback=interrupt)
    assert ended.status is Status.INTERRUPTED
    assert ended.certificate.objective == pytest.approx(ended.history[-1]["objective"], rel=1e-9)
    assert WorkingSet(tol=1e-6, max_iter=1).minimize(objective).status is Status.MAX_ITER


def test_the_largest_useful_reg_leaves_no_weight():
    objective = wide("softmax", "l1", reg=10.0)
    solution = WorkingSet(tol=1e-6).minimize(objective)
    assert solution.status is Status.CERTIFIED
    assert not solution.W.any()


def test_what_it_does_not_take_is_said_before_the_first_pass():
    with pytest.raises(IncompatibleError, match=r"working sets need a penalty"):
        WorkingSet().minimize(wide("softmax", None))

    class Other(Loss):
        name, smooth = "other", True

        def value_and_gradient(self, scores, y):
            return scores[:, 0] * 0.0, scores * 0.0

    with pytest.raises(IncompatibleError, match=r"Other declares neither"):
        WorkingSet().minimize(wide(Other(), "l1"))


@pytest.mark.parametrize("loss", ["hinge", "squared-hinge"])
@pytest.mark.parametrize("penalty", ["l1", "elastic-net"])
@pytest.mark.parametrize("start", ["zero", "near", "far"])
def test_the_optimum_over_few_weights_has_the_gap_that_is_asked(loss, penalty, start):
    random = np.random.default_rng(0)
    N, D, K = 24, 60, 4
    y, weight = random.integers(0, 3, N), random.random(N) * (random.random(N) > 0.2)
    X = random.standard_normal((N, D))
    objective = Objective(X, y, loss=loss, penalty=penalty, reg=0.02, n_classes=K, sample_weight=weight)
    positions = np.sort(random.permutation(D)[:40])
    within = Within(positions, random.random((40, K)) < 0.5)
    if start == "zero":
        point = minimize_within(objective, within, 1e-7)
    elif start == "near":
        first = minimize_within(objective, within, 0.05, exact_zeros=False)
        assert first is not None
        gap = 0.5 * objective.value(np.zeros((K, D)), np.zeros(K))
        point = minimize_within(objective, within, 1e-7, first, gap)
    else:
        W, G = random.standard_normal((K, len(positions))), np.zeros((N, K))
        point = minimize_within(objective, within, 1e-7, PointWithin(W, np.ones(K), G), 1.0)
    assert point is not None
    assert (point.W[~within.weights.T] == 0.0).all()
    assert (point.W[within.weights.T] == 0.0).any()
    W = np.zeros((K, D))
    W[:, positions] = point.W
    value, shares, y = objective.value(W, point.b), objective.shares(), objective.examples.y
    A = np.abs((shares[:, None] * point.G).T @ X)[:, positions][within.weights.T]
    assert np.abs(shares @ point.G).max() <= 1e-9
    size, squares = objective.l1_weight, objective.l2_weight
    scale = 1.0 if squares else min(1.0, size / A.max())
    bound = -float(shares @ objective.loss.conjugate(scale * point.G, y))
    bound -= float(np.square(np.maximum(A - size, 0.0)).sum()) / (4.0 * squares) if squares else 0.0
    assert bound <= value * (1 + 1e-12)
    assert value - bound <= 3e-7 * value


@pytest.mark.parametrize("squares", [0.0, 0.01])
def test_the_program_of_a_hinge_has_the_gap_that_is_asked(squares):
    random = np.random.default_rng(0)
    n, N, K = 60, 24, 4
    y, shares = random.integers(0, 3, N), random.random(N) * (random.random(N) > 0.2)
    shares /= shares.sum()
    X = random.standard_normal((n, N))
    size = 0.02
    program = HingeProgram(X, y, shares, K, delta=0.5, squares=squares, size=size)
    point = program.minimize(np.zeros((n, K)), np.zeros(K), np.zeros((N, K)), 1e-7)
    assert point is not None
    S = X.T @ point.W + point.b
    margins = np.maximum(S - S[np.arange(N), y][:, None] + 0.5, 0.0)
    margins[np.arange(N), y] = 0.0
    value = shares @ margins.sum(axis=1) + size * np.abs(point.W).sum() + squares * np.square(point.W).sum()
    off = point.G.copy()
    off[np.arange(N), y] = 0.0
    assert ((off >= 0.0) & (off <= 1.0)).all()
    A = np.abs(X @ (shares[:, None] * point.G))
    bound = 0.5 * float(shares @ off.sum(axis=1))
    bound = (
        bound * min(1.0, size / A.max()) if squares == 0.0 else bound - np.square(np.maximum(A - size, 0)).sum() / 0.04
    )
    assert abs(value - bound) <= 2e-7 * value
    assert np.abs((shares[:, None] * point.G).sum(axis=0)).max() <= 1e-9
    assert (point.W == 0.0).any()
