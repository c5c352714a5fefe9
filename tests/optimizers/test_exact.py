"""The plan of methods: which is taken when, and what becomes of a method that ends without a proof."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import linprobe.optimizers.plan as plan_module
from linprobe.errors import StateError
from linprobe.objective import Objective
from linprobe.optimizers import ADMM, LBFGS, Exact, Moments, State, Status
from linprobe.optimizers.dual_ascent import DualAscent
from linprobe.optimizers.interior_point import InteriorPoint
from linprobe.optimizers.newton import Newton
from linprobe.optimizers.span import SpanOfImages
from linprobe.optimizers.working_set import WorkingSet


def methods(loss, penalty, n=60, D=5, K=3, dtype=np.float32, reg=0.1, **options):
    y = np.arange(n) % K
    X = np.random.default_rng(0).standard_normal((n, D)).astype(dtype)
    objective = Objective(X, y, loss=loss, penalty=penalty, reg=reg, **options)
    return [type(step.method) for step in Exact().plan(objective, Moments(objective))]


def test_the_first_method_is_the_one_that_fits():
    assert methods("softmax", "l2")[0] is LBFGS
    assert methods("hinge", "l2")[0] is InteriorPoint
    assert methods("softmax", "l1")[0] is InteriorPoint
    assert methods("hinge", "l2", n=400, D=500, K=20)[0] is DualAscent
    assert methods("squared-hinge", "l2", n=400, D=500, K=20)[0] is DualAscent
    assert methods("softmax", "l2", n=400, D=500, K=20)[0] is SpanOfImages
    assert methods("softmax", "l1", n=100, D=9000, K=10)[0] is WorkingSet
    assert methods("softmax", "l2", n=2000, D=100, K=50)[0] is Newton
    assert methods("squared-hinge", "l2", n=30_000, D=20, K=50)[:2] == [Newton, DualAscent]
    assert methods("hinge", "l2", n=200_000, D=20, K=50)[0] is WorkingSet
    assert methods("hinge", "l2", n=200_000, D=200, K=20, dtype=np.uint8)[0] is ADMM
    assert methods("squared-hinge", "l1", n=20_000, D=50, K=20)[:2] == [LBFGS, WorkingSet]
    assert methods("squared-hinge", "l1", n=400, D=40, K=40)[0] is WorkingSet
    assert methods("hinge", "elastic-net", n=400, D=40, K=40)[:2] == [WorkingSet, DualAscent]
    assert methods("hinge", "elastic-net", n=400, D=80, K=40, reg=1e-5)[:2] == [DualAscent, WorkingSet]
    assert methods("hinge", "l1", n=100, D=9000, K=20)[0] is WorkingSet
    assert methods("hinge", "l1", n=3000, D=200, K=20, reg=0.1)[0] is WorkingSet
    assert methods("hinge", "l1", n=3000, D=200, K=20, reg=1e-5)[0] is WorkingSet
    assert methods("hinge", "l1", n=400, D=40, K=20, reg=1e-5)[0] is InteriorPoint


def test_dual_ascent_may_keep_more_for_vectors_than_for_pixels(monkeypatch):
    monkeypatch.setattr(plan_module, "DUAL_BYTES_OF_PIXELS", 2**16)
    assert methods("hinge", "l2", n=2000, D=30, K=40)[0] is DualAscent
    assert DualAscent not in methods("hinge", "l2", n=2000, D=30, K=40, dtype=np.uint8)


def test_a_small_budget_is_for_the_first_method_alone():
    objective = Objective(np.eye(6), np.arange(6) % 3, loss="softmax", penalty="l2", reg=0.1)
    assert len(Exact(max_iter=300).plan(objective, Moments(objective))) == 1
    plan = Exact(max_iter=1000).plan(objective, Moments(objective))
    assert sum(step.method.max_iter for step in plan) == 1000


@dataclass(frozen=True)
class Stopped(LBFGS):
    """L-BFGS that is cut off after two iterations."""

    def minimize(self, *arguments, **options):
        return LBFGS(self.tol, 2).minimize(*arguments, **options)


def cut_off(monkeypatch):
    monkeypatch.setattr(plan_module, "LBFGS", Stopped)
    random = np.random.default_rng(0)
    y = np.arange(50) % 4
    X = random.standard_normal((50, 6)) + random.standard_normal((4, 6))[y]
    return Objective(X, y, loss="softmax", penalty="l2", reg=1e-4, engine="reference")


def test_the_second_method_proves_what_the_first_did_not(monkeypatch):
    objective, rows = cut_off(monkeypatch), []
    solution = Exact().minimize(objective, callback=lambda epoch: rows.append(epoch))
    assert solution.status is Status.CERTIFIED
    assert solution.chosen["method"] == "interior-point"
    assert [row.epoch for row in rows] == list(range(len(rows)))  # one trace of both
    assert len(solution.history) == len(rows)
    assert solution.passes > rows[2].passes


def test_a_plan_resumed_from_any_state_has_the_same_bits(monkeypatch):
    objective, states = cut_off(monkeypatch), []
    whole = Exact().minimize(objective, callback=lambda epoch: states.append(epoch.state))
    for state in states[3:]:  # those of the second method
        again = Exact().minimize(objective, state)
        assert again.W.tobytes() == whole.W.tobytes()
        assert again.status is whole.status


def test_an_objective_that_tends_to_0_has_an_absolute_gap():
    y = np.arange(40) % 2
    X = np.random.default_rng(0).standard_normal((40, 3)) + 8.0 * np.eye(2, 3)[y]
    solution = Exact().minimize(Objective(1e6 * X, y, loss="squared-hinge", penalty="l2", reg=1e-8))
    assert solution.status is Status.CERTIFIED_ABSOLUTE
    assert solution.certificate.gap <= 1e-10
    assert "tends to 0" in solution.status.value


@pytest.mark.parametrize("loss", ["softmax", "squared-hinge", "hinge"])
def test_separable_data_without_a_penalty_end_with_a_status_that_is_true(loss):
    y = np.arange(30) % 3
    X = np.random.default_rng(0).standard_normal((30, 4)) + 6.0 * np.eye(3, 4)[y]
    solution = Exact().minimize(Objective(X, y, loss=loss, penalty=None, reg=0.0))
    if loss == "softmax":
        assert solution.status is Status.SEPARABLE
    else:
        assert solution.status in (Status.CERTIFIED, Status.CERTIFIED_ABSOLUTE)
        assert solution.certificate.objective <= 1e-8
    assert solution.certificate.lower_bound == 0.0


def test_a_plan_that_is_resumed_in_its_second_method_keeps_what_the_first_had_proved():
    random = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = random.standard_normal((60, 6)) + random.standard_normal((3, 6))[y]
    objective, states = Objective(X, y, loss="hinge", penalty="l1", reg=1e-3), []
    method = Exact(tol=0.0, max_iter=400)
    whole = method.minimize(objective, callback=lambda epoch: states.append(epoch.state))
    later = [state for state in states if state.numbers.get("step")]
    assert later
    for state in (later[0], later[-1], states[0]):
        rest = method.minimize(objective, start=state)
        assert_array_equal(rest.W, whole.W)
        assert rest.state.epoch == whole.state.epoch
        assert (rest.status, rest.certificate.lower_bound) == (whole.status, whole.certificate.lower_bound)
    broken = State(later[0].epoch, later[0].arrays | {"earlier_b": np.full(3, np.nan)}, later[0].numbers)
    with pytest.raises(StateError, match="'earlier_b' is not finite"):
        method.minimize(objective, start=broken)


@pytest.mark.parametrize(
    ("loss", "penalty", "n", "D", "K", "first"),
    [
        ("softmax", "l2", 60, 5, 3, LBFGS),
        ("hinge", "l2", 60, 5, 3, InteriorPoint),
        ("hinge", "l2", 100, 120, 20, DualAscent),
        ("softmax", "l2", 40, 50, 20, SpanOfImages),
        ("softmax", "l2", 400, 100, 50, Newton),
        ("squared-hinge", "l1", 400, 40, 40, WorkingSet),
    ],
)
def test_a_resumed_search_counts_the_passes_of_an_unbroken_one(loss, penalty, n, D, K, first):
    y = np.arange(n) % K
    X = np.random.default_rng(0).standard_normal((n, D)).astype(np.float32)
    objective = Objective(X, y, loss=loss, penalty=penalty, reg=0.01, n_threads=1)
    assert type(Exact().plan(objective, Moments(objective))[0].method) is first
    states = []
    whole = Exact(tol=1e-3).minimize(objective, callback=lambda epoch: states.append(epoch.state))
    for state in (states[0], states[len(states) // 2], states[-1]):
        again = Exact(tol=1e-3).minimize(objective, state)
        assert again.W.tobytes() == whole.W.tobytes()
        assert again.passes == whole.passes
        assert again.certificate.passes == whole.certificate.passes


def test_a_hinge_on_one_hot_vectors_takes_the_interior_point_method_after_dual_ascent():
    random = np.random.default_rng(3)
    X = np.concatenate([np.eye(n)[random.integers(0, n, 700)] for n in (2, 5, 12, 50, 120)], axis=1)
    y = (X @ random.normal(size=(X.shape[1], 6)) + random.gumbel(size=(700, 6))).argmax(axis=1)
    objective = Objective(X, y, loss="hinge", penalty="l2", reg=1e-5)
    names = [type(one.method).__name__ for one in Exact().plan(objective, Moments(objective))]
    assert names == ["DualAscent", "InteriorPoint", "WorkingSet"]
