"""A path of reg values: each member the optimum that it has alone, proved, in shared passes."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linprobe.errors import ParameterError
from linprobe.objective import Objective
from linprobe.optimizers import Exact, Status, reg_grid, solve_path
from linprobe.optimizers import path as path_room
from linprobe.optimizers.path import path_moment

REGS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1)


def made(loss="softmax", penalty="l2", **options):
    random = np.random.default_rng(0)
    y = random.integers(0, 3, 300)
    X = (random.normal(size=(300, 20)) + np.eye(3)[y] @ random.normal(size=(3, 20))).astype(np.float32)
    return Objective(X, y, loss=loss, penalty=penalty, reg=1.0, **options)


@pytest.mark.parametrize(
    ("loss", "penalty"), [("softmax", "l2"), ("squared-hinge", "l2"), ("hinge", "l2"), ("softmax", "elastic-net")]
)
def test_each_member_is_certified_and_agrees_with_the_same_problem_alone(loss, penalty):
    objective = made(loss, penalty)
    path = solve_path(objective, REGS[::-1], tol=1e-4)
    assert path.regs == REGS
    for reg, solution in zip(path.regs, path.solutions, strict=True):
        assert solution.status is Status.CERTIFIED
        assert solution.certificate.relative_gap <= 1e-4
        alone = Exact(tol=1e-4).minimize(objective.with_reg(reg)).certificate
        assert solution.certificate.lower_bound <= alone.objective
        assert alone.lower_bound <= solution.certificate.objective


def test_passes_are_shared_and_members_that_are_certified_drop_out():
    objective, seen = made(), []
    path = solve_path(objective, REGS, callback=seen.append)
    members = [solution.passes for solution in path.solutions]
    assert max(members) <= path.passes < sum(members)
    assert {progress.reg for progress in seen} == set(REGS)
    assert all(progress.n_members == len(REGS) for progress in seen)


def test_members_between_others_begin_near_their_optimum():
    objective = made()
    path = solve_path(objective, REGS, tol=1e-4)
    for i in (1, 2, 4, 5):  # the ends and the middle, a factor of 1,000 apart, begin at zero weights
        solution = path.solutions[i]
        assert solution.history[0]["objective"] < 1.001 * solution.certificate.lower_bound
        assert solution.passes < 0.7 * Exact(tol=1e-4).minimize(objective.with_reg(REGS[i])).passes


@pytest.mark.parametrize("regs", [(0.0,), (0.1,), (0.0, 0.1), (1e-9, 1.0), (0.0, 1e-3, 1e-2, 0.1)])
def test_grids_of_any_size_are_solved_whole(regs):
    path = solve_path(made(), regs, tol=1e-2, max_iter=50)
    assert path.regs == regs
    assert len(path.solutions) == len(regs)
    assert all(solution.status is Status.CERTIFIED for solution in path.solutions[regs[0] == 0.0 :])


def test_the_bits_do_not_depend_on_the_number_of_threads():
    for options in ({"loss": "softmax"}, {"loss": "hinge"}):
        one, two = (solve_path(made(**options, n_threads=n), REGS[::3], tol=1e-3) for n in (1, 2))
        for first, second in zip(one.solutions, two.solutions, strict=True):
            assert_array_equal(first.W, second.W)
            assert first.certificate.lower_bound == second.certificate.lower_bound


@pytest.mark.parametrize(("loss", "penalty"), [("softmax", "l2"), ("softmax", "l1"), ("hinge", "l2")])
def test_the_states_of_a_path_hold_the_weights_and_none_of_what_is_far_larger(loss, penalty):
    for solution in solve_path(made(loss, penalty=penalty), REGS[::3], tol=1e-2).solutions:
        assert set(solution.state.arrays) == {"W", "b"}
        assert_array_equal(solution.state.arrays["W"].shape, solution.W.shape)


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_ctrl_c_leaves_every_member_with_a_certificate(loss):
    objective, seen = made(loss), []

    def press(progress):
        seen.append(progress)
        if len(seen) == 4:
            raise KeyboardInterrupt

    path = solve_path(objective, REGS, tol=1e-10, callback=press)
    assert Status.INTERRUPTED in {solution.status for solution in path.solutions}
    for reg, solution in zip(path.regs, path.solutions, strict=True):
        value = objective.with_reg(reg).value(solution.W, solution.b)
        assert solution.certificate.objective == pytest.approx(value, rel=1e-5)
        assert solution.certificate.lower_bound <= solution.certificate.objective


def test_a_reg_of_zero_and_a_single_one_are_paths_too():
    path = solve_path(made(), [0.0, 1e-2], tol=1e-3)
    assert path.regs == (0.0, 1e-2)
    assert path.solutions[0].status in (Status.CONVERGED, Status.SEPARABLE)
    assert path.solutions[1].status is Status.CERTIFIED
    assert solve_path(made(), [1e-2]).solutions[0].status is Status.CERTIFIED


def test_a_grid_is_read_from_text():
    assert reg_grid("1e-6:1e0:7") == pytest.approx([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    assert reg_grid("1,0.1,0.1,0") == (0.0, 0.1, 1.0)
    assert reg_grid("0.5:0.5:1") == (0.5,)


@pytest.mark.parametrize("text", ["", "1:2", "1:2:3:4", "0:1:5", "2:1:5", "1:2:1", "a,b", "1,inf", "-1", "1:2:0"])
def test_a_grid_that_is_none_is_refused(text):
    with pytest.raises(ParameterError, match="reg"):
        reg_grid(text)


def test_an_empty_grid_is_refused():
    with pytest.raises(ParameterError, match="the reg grid is empty"):
        solve_path(made(), [])


def test_between_close_neighbours_the_first_pass_is_a_proof():
    path = solve_path(made(), np.geomspace(1e-3, 1e-1, 33), tol=1e-4)
    assert all(solution.certificate.relative_gap <= 1e-4 for solution in path.solutions)
    assert sum(solution.passes == 1.0 for solution in path.solutions) >= 8
    assert all(solution.status is Status.CERTIFIED for solution in path.solutions)


def test_no_pass_is_spent_on_zero_weights(monkeypatch):
    asked = []
    gradients = Objective.data_gradients

    def counted(self, W, b, *, precision):
        asked.append(len(W))
        assert all(member.any() for member in W)
        return gradients(self, W, b, precision=precision)

    monkeypatch.setattr(Objective, "data_gradients", counted)
    path = solve_path(made(), REGS, tol=1e-4)
    assert asked[0] == 3  # the ends and the middle
    assert sum(asked) == sum(solution.passes for solution in path.solutions) - 3


def few_shots(loss, n_classes=40):
    """Two images for each of many classes."""
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(n_classes), 2)
    X = (random.normal(size=(len(y), 30)) + 2.0 * random.normal(size=(n_classes, 30))[y]).astype(np.float32)
    return Objective(X, y, loss=loss, penalty="l2", reg=1.0)


@pytest.mark.parametrize(
    ("loss", "method"), [("softmax", "newton"), ("squared-hinge", "dual-ascent"), ("hinge", "dual-ascent")]
)
def test_each_member_is_solved_by_the_method_of_the_plan(loss, method, monkeypatch):
    objective = few_shots(loss)
    monkeypatch.setattr("linprobe.optimizers.plan.INTERIOR_FIRST", 0.0)  # no interior point first
    monkeypatch.setattr(path_room, "_jointly", None)
    path = solve_path(objective, REGS, tol=1e-4)
    assert {solution.chosen["method"] for solution in path.solutions} == {method}
    assert all(solution.status is Status.CERTIFIED for solution in path.solutions)
    assert path.passes == pytest.approx(sum(solution.passes for solution in path.solutions))


def test_one_after_the_other_members_begin_on_the_line_through_those_before():
    objective = few_shots("softmax")
    path = solve_path(objective, REGS, tol=1e-4)
    for reg, solution in zip(REGS[:-2], path.solutions[:-2], strict=True):
        alone = Exact(tol=1e-4).minimize(objective.with_reg(reg))
        assert solution.history[0]["objective"] < alone.history[0]["objective"]
        assert solution.passes < alone.passes


def test_a_path_has_the_moment_that_its_methods_need_and_no_other(monkeypatch):
    monkeypatch.setattr("linprobe.optimizers.plan.INTERIOR_FIRST", 0.0)
    assert path_moment(few_shots("hinge"), REGS) is None
    assert path_moment(made(), REGS) is not None


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_weights_near_the_optimum_are_a_start(loss):
    objective = made(loss)
    (solution,) = solve_path(objective, [1e-2]).solutions
    near = solution.W.astype(np.float32).astype(np.float64), solution.b
    (again,) = solve_path(objective, [1e-2], start=near).solutions
    assert again.status is Status.CERTIFIED
    assert again.passes <= solution.passes
    if loss == "softmax":
        assert again.passes == 1.0
