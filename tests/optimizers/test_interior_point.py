"""The interior point method: every loss and penalty of the catalogue, odd scales, weights, and how it resumes."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from linprobe.errors import IncompatibleError, StateError
from linprobe.losses import Loss
from linprobe.objective import Objective
from linprobe.optimizers import Status, interior_point, interior_system
from linprobe.optimizers.base import State
from linprobe.optimizers.interior_point import InteriorPoint, interior_point_cost

LOSSES = ("softmax", "squared-hinge", "hinge")


def problem(seed=0, n=30, D=6, K=4, scale=1.0, **options):
    random = np.random.default_rng(seed)
    y = np.concatenate([np.arange(K), random.integers(0, K, n)])[:n]
    X = scale * (random.standard_normal((n, D)) + random.standard_normal((K, D))[y])
    defaults = {"loss": "hinge", "penalty": "l1", "reg": 1e-2, "n_classes": K, "engine": "reference"}
    return Objective(X, y, **(defaults | options))


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_minimum_of_every_loss_and_penalty_is_proved(catalogue, loss, penalty):
    known = catalogue(loss, penalty)
    solution = InteriorPoint(tol=1e-7).minimize(known.objective)
    assert solution.status is Status.CERTIFIED
    assert solution.certificate.objective == pytest.approx(known.minimum, rel=1e-6)
    assert solution.certificate.lower_bound <= known.minimum * (1.0 + 1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_without_a_penalty_the_minimum_is_found(catalogue, loss):
    known = catalogue(loss, "none")
    solution = InteriorPoint(tol=1e-6).minimize(known.objective)
    assert solution.status is Status.CONVERGED
    assert solution.certificate.objective == pytest.approx(known.minimum, rel=1e-5)


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("loss", LOSSES)
def test_the_scale_of_the_features_does_not_matter(loss, scale):
    for penalty, power in (("l2", 2.0), ("l1", 1.0)):  # W scales by 1 / scale, and the penalty with it
        objective = problem(loss=loss, penalty=penalty, reg=1e-2 * scale**power, scale=scale)
        solution = InteriorPoint().minimize(objective)
        assert solution.status is Status.CERTIFIED
        assert solution.state.epoch < 40


@pytest.mark.parametrize("loss", LOSSES)
def test_weights_that_do_not_help_are_exactly_zero(loss):
    random = np.random.default_rng(1)
    y = np.arange(60) % 3
    X = np.concatenate([np.eye(3)[y] + 0.3 * random.standard_normal((60, 3)), random.standard_normal((60, 4))], axis=1)
    solution = InteriorPoint(tol=1e-6).minimize(Objective(X, y, loss=loss, penalty="l1", reg=0.05, engine="reference"))
    assert solution.status is Status.CERTIFIED
    assert (solution.W[:, 3:] == 0.0).mean() > 0.5
    assert (solution.W[:, :3] != 0.0).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_classes_and_images_of_tiny_weight_cost_no_proof(loss):
    for tiny in (1e-6, 1e-12, 1e-300, 0.0):
        base = problem(loss=loss, penalty="l2", n=40)
        weight = np.where(base.examples.y == 3, tiny, 1.0)
        solution = InteriorPoint().minimize(problem(loss=loss, penalty="l2", n=40, sample_weight=weight))
        assert solution.status is Status.CERTIFIED, tiny


def test_a_class_that_does_not_occur_never_wins():
    objective = problem(loss="softmax", penalty="l2", K=3, n_classes=5)
    solution = InteriorPoint().minimize(objective)
    assert solution.status is Status.CERTIFIED
    scores = objective.engine.scores(solution.W, solution.b)
    assert set(scores.argmax(axis=1)) <= {0, 1, 2}
    assert not solution.W[3:].any()


def test_fewer_images_than_features_take_one_unknown_an_image():
    wide = problem(loss="hinge", penalty="l2", n=12, D=400)
    operations, _ = interior_point_cost(wide)
    assert operations < interior_point_cost(problem(loss="hinge", penalty="l1", n=12, D=400))[0] / 100
    assert InteriorPoint().minimize(wide).status is Status.CERTIFIED


def test_constant_features_keep_weights_of_zero():
    objective = problem(loss="hinge", penalty="l2", n=30, D=4)
    X = objective.examples.X.copy()
    X[:, 1] = 1e5
    solution = InteriorPoint().minimize(
        Objective(X, objective.examples.y, loss="hinge", penalty="l2", reg=1e-2, engine="reference")
    )
    assert solution.status is Status.CERTIFIED
    assert not solution.W[:, 1].any()


@pytest.mark.parametrize("penalty", ["l2", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_search_resumed_from_any_state_has_the_same_bits(loss, penalty):
    states = []
    whole = InteriorPoint().minimize(problem(loss=loss, penalty=penalty), callback=lambda e: states.append(e.state))
    assert len(states) > 3
    for state in states:
        again = InteriorPoint().minimize(problem(loss=loss, penalty=penalty), state)
        assert again.W.tobytes() == whole.W.tobytes()
        assert again.b.tobytes() == whole.b.tobytes()
        assert again.status is whole.status


def test_weights_alone_are_no_state_and_a_misshapen_state_is_refused():
    objective, states = problem(), []
    InteriorPoint().minimize(objective, callback=lambda e: states.append(e.state))
    W, b = states[-1].arrays["W"], states[-1].arrays["b"]
    assert InteriorPoint().minimize(objective, State(0, {"W": W, "b": b})).status is Status.CERTIFIED
    broken = states[1].arrays | {"margin_g": states[1].arrays["margin_g"][:-1]}
    with pytest.raises(StateError, match="margin_g"):
        InteriorPoint().minimize(objective, State(1, broken, states[1].numbers))


def test_a_budget_that_is_too_small_says_how_far_off_it_is():
    solution = InteriorPoint(max_iter=2).minimize(problem())
    assert solution.status is Status.MAX_ITER
    assert 0.0 < solution.certificate.relative_gap <= 1.0
    assert len(solution.history) == 3


def test_a_loss_without_margins_or_curvature_is_refused_in_words():
    class Squares(Loss):
        name, smooth = "squares", True

        def value_and_gradient(self, scores, y):
            return np.square(scores).sum(axis=1), 2.0 * scores

    with pytest.raises(IncompatibleError, match="declares neither"):
        InteriorPoint().minimize(problem(loss=Squares()))


def test_images_of_little_weight_do_not_slow_the_search():
    # a barrier that counts by the weight of its image has them on the path of all others: 71 iterations
    X, y = large(n=150, D=12, K=10)
    weight = np.random.default_rng(3).choice([1e-3, 1.0, 1e3], len(y))
    for loss in ("hinge", "squared-hinge"):
        objective = Objective(X, y, loss=loss, penalty="elastic-net", reg=1e-3, sample_weight=weight)
        solution = InteriorPoint().minimize(objective)
        assert solution.status is Status.CERTIFIED
        assert len(solution.history) <= 40


def test_large_systems_are_solved_by_their_products(monkeypatch):
    X, y = large(n=80, D=15, K=8)
    objective = Objective(X, y, loss="hinge", penalty="l1", reg=0.02)
    whole = InteriorPoint(tol=1e-4).minimize(objective)
    for most, careful in ((60, 100), (60, 1000), (200, 1000)):
        for name, value in (("MAX_WHOLE", 50), ("MAX_PART", most), ("MAX_EXACT", careful)):
            monkeypatch.setattr(interior_point, name, value)
            monkeypatch.setattr(interior_system, name, value)
        states = []
        solution = InteriorPoint(tol=1e-4).minimize(objective, callback=lambda e, s=states: s.append(e.state))
        assert solution.status is Status.CERTIFIED
        assert solution.certificate.objective == pytest.approx(whole.certificate.objective, rel=2e-4)
        again = InteriorPoint(tol=1e-4).minimize(objective, states[len(states) // 2])
        np.testing.assert_array_equal(again.W, solution.W)


def large(n, D, K):
    random = np.random.default_rng(0)
    y = np.arange(n) % K
    return random.standard_normal((n, D)) + random.standard_normal((K, D))[y], y


def outlying(seed=2, n=60, factor=1e6):
    """(X, y) of three classes, the first image far from all others and wrongly labelled."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % 3
    X = random.standard_normal((n, 5)) + random.standard_normal((3, 5))[y]
    X[0], y[0] = factor * X[0], 1
    return X, y


def test_softmax_with_l1_is_proved_with_an_outlying_image():
    X, y = outlying()
    objective = Objective(X, y, loss="softmax", penalty="l1", reg=1e-2, engine="reference")
    assert InteriorPoint().minimize(objective).status is Status.CERTIFIED


def test_collinear_features_without_a_penalty_have_a_minimum():
    X, y = outlying(seed=0, factor=1.0)
    mixed = np.concatenate([X, X, X @ np.random.default_rng(0).standard_normal((5, 4))], axis=1)
    of = {"loss": "hinge", "penalty": None, "reg": 0.0, "engine": "reference"}
    alone, together = (InteriorPoint().minimize(Objective(data, y, **of)) for data in (X, mixed))
    assert together.status is Status.CONVERGED
    assert together.certificate.objective == pytest.approx(alone.certificate.objective, rel=1e-3)
    assert np.abs(together.W).max() < 100.0


def test_the_hinge_of_fewer_images_than_features_falls_to_0_without_a_penalty():
    random = np.random.default_rng(0)
    X, y = np.exp(1.5 * random.standard_normal((30, 300)) + 5.0), np.arange(30) % 2
    solution = InteriorPoint().minimize(Objective(X, y, loss="hinge", penalty=None, reg=0.0, engine="reference"))
    assert solution.status in (Status.CERTIFIED, Status.CERTIFIED_ABSOLUTE, Status.CONVERGED)
    assert solution.certificate.objective <= 1e-6


@pytest.mark.parametrize("penalty", ["l1", "elastic-net"])
@pytest.mark.parametrize("loss", ["softmax", "hinge", "squared-hinge"])
def test_weights_of_0_are_exactly_0(loss, penalty):
    digits = load_digits()
    X, y = digits.data[:160] / 16.0, digits.target[:160]
    objective = Objective(X - X.mean(axis=0), y, loss=loss, penalty=penalty, reg=3e-3, engine="reference")
    solution = InteriorPoint().minimize(objective)
    W = np.abs(solution.W)
    assert solution.status is Status.CERTIFIED
    assert (W == 0.0).mean() > 0.5
    assert ((W > 0.0) & (1e-4 * W.max() > W)).mean() < 0.02  # a few may not be decided within tol
