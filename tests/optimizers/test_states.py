"""States at the door of an optimizer: another problem's are refused in words; another layout or float type is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linprobe.errors import StateError
from linprobe.objective import Objective
from linprobe.optimizers import (
    ADMM,
    LBFGS,
    SGD,
    DualAscent,
    Exact,
    GradientDescent,
    InteriorPoint,
    State,
    WorkingSet,
)
from linprobe.optimizers.admm import ADMMState
from linprobe.optimizers.interior_point import InteriorPointState
from linprobe.optimizers.sgd import SGDState
from linprobe.optimizers.states import sizes_of

METHODS = {
    "lbfgs": (LBFGS(tol=1e-9), "softmax", "l2"),
    "lbfgs with l1": (LBFGS(tol=1e-9, max_iter=30), "softmax", "l1"),
    "admm": (ADMM(tol=1e-4), "hinge", "l2"),
    "admm with a copy": (ADMM(tol=1e-4, max_iter=300), "hinge", "elastic-net"),
    "sgd": (SGD(epochs=4, update="adam", average=True), "hinge", "l2"),
    "gd": (GradientDescent(max_iter=12), "softmax", "l2"),
    "interior point": (InteriorPoint(tol=1e-6), "hinge", "elastic-net"),
    "working set": (WorkingSet(tol=1e-6), "hinge", "elastic-net"),
    "dual ascent": (DualAscent(tol=1e-7), "hinge", "elastic-net"),
}


def problem(loss: str = "softmax", penalty: str = "l2", dtype: str = "f4") -> Objective:
    random = np.random.default_rng(0)
    y = np.arange(150) % 3
    X = (random.normal(size=(150, 7)) + np.eye(3, 7)[y]).astype(dtype)
    return Objective(X, y, loss=loss, penalty=penalty, reg=0.01)


def run(method: str, at: int = 3) -> tuple[Objective, object, object, State]:
    """(objective, optimizer, its solution, the state of an early row)."""
    optimizer, loss, penalty = METHODS[method]
    objective, states = problem(loss, penalty), []
    solution = optimizer.minimize(objective, callback=lambda epoch: states.append(epoch.state))
    return objective, optimizer, solution, states[min(at, len(states) - 2)]


@pytest.mark.parametrize("method", METHODS)
def test_a_state_in_fortran_order_and_in_strides_resumes_to_the_same_bits(method):
    objective, optimizer, whole, state = run(method)
    for stored in (np.asfortranarray, lambda array: np.repeat(array, 2, axis=-1)[..., ::2]):
        start = replace(state, arrays={name: stored(array) for name, array in state.arrays.items()})
        again = optimizer.minimize(objective, start=start)
        assert_array_equal(again.W, whole.W)
        assert_array_equal(again.b, whole.b)
        assert again.status is whole.status


@pytest.mark.parametrize("method", ["admm", "admm with a copy", "sgd"])
def test_single_precision_arrays_that_were_stored_as_doubles_resume_to_the_same_bits(method):
    objective, optimizer, whole, state = run(method)
    start = replace(state, arrays={name: array.astype(np.float64) for name, array in state.arrays.items()})
    again = optimizer.minimize(objective, start=start)
    assert_array_equal(again.W, whole.W)
    assert again.status is whole.status


@pytest.mark.parametrize("method", METHODS)
def test_a_resumed_search_leaves_the_arrays_of_its_state_as_they_were(method):
    objective, optimizer, _, state = run(method)
    before = {name: array.copy() for name, array in state.arrays.items()}
    optimizer.minimize(objective, start=state)
    for name, array in before.items():
        assert_array_equal(state.arrays[name], array)


@pytest.mark.parametrize("method", METHODS)
def test_an_array_of_another_shape_is_refused_with_both_shapes(method):
    objective, optimizer, _, state = run(method)
    for name, array in state.arrays.items():
        if name == "positions":  # says how many features there are: the arrays over them are refused
            continue
        start = replace(state, arrays=state.arrays | {name: np.zeros((*array.shape[:-1], array.shape[-1] + 1))})
        with pytest.raises(StateError, match=rf"'{name}' has shape .*; expected .* other images, features or classes"):
            optimizer.minimize(objective, start=start)


@pytest.mark.parametrize("method", METHODS)
def test_an_array_that_is_not_float32_or_float64_is_refused_with_its_dtype(method):
    objective, optimizer, _, state = run(method)
    for name, array in state.arrays.items():
        for dtype in ("i8", "f2", "c16"):
            start = replace(state, arrays=state.arrays | {name: array.astype(dtype)})
            with pytest.raises(StateError, match=rf"'{name}' is {np.dtype(dtype)}; expected float32 or float64"):
                optimizer.minimize(objective, start=start)


@pytest.mark.parametrize("method", METHODS)
def test_weights_that_are_not_finite_are_refused_with_their_place(method):
    objective, optimizer, _, state = run(method)
    for name in {"W", "b", "z", "g"} & state.arrays.keys():
        wrong = state.arrays[name].copy()
        wrong[(1,) * wrong.ndim] = np.nan
        with pytest.raises(StateError, match=rf"'{name}' holds nan at \[1"):
            optimizer.minimize(objective, start=replace(state, arrays=state.arrays | {name: wrong}))


@pytest.mark.parametrize("method", METHODS)
def test_a_state_without_a_bias_is_refused_with_the_names_it_has(method):
    objective, optimizer, _, state = run(method)
    with pytest.raises(StateError, match="no array 'b'; it has W"):
        optimizer.minimize(objective, start=State(0, {"W": state.arrays["W"]}))


@pytest.mark.parametrize(("method", "name"), [("lbfgs", "y1"), ("admm", "z"), ("admm with a copy", "price")])
def test_half_of_what_belongs_together_is_refused(method, name):
    objective, optimizer, _, state = run(method)
    arrays = {key: array for key, array in state.arrays.items() if key != name}
    with pytest.raises(StateError, match=f"no array '{name}'"):
        optimizer.minimize(objective, start=replace(state, arrays=arrays))


def test_the_weights_of_another_optimizer_are_a_start():
    objective = problem("hinge", "l2")
    found = SGD(epochs=2, update="adam").minimize(objective)
    weights = {name: found.state.arrays[name] for name in ("W", "b")}
    for start in (State(0, weights), State(0, {**weights, "of_another_method": np.zeros(3)})):
        assert Exact(tol=1e-3).minimize(objective, start=start).certificate.relative_gap <= 1e-3


NUMBERS = {
    "admm": [("rho", -1.0, "a number in 0..inf"), ("slack", 1.5, "a number in 0..1"), ("passes", np.nan, "a number")],
    "interior point": [
        ("short", 1.5, "a whole number"),
        ("since", -1.0, "a whole number"),
        ("coarse", 0.5, "0 or 1"),
        ("left", "small", "a number"),
    ],
    "working set": [("since", 0.5, "a whole number"), ("wanted", -1.0, "a number in 0..inf")],
    "dual ascent": [
        ("hopeless", 2.0, "0 or 1"),
        ("bias", -1.0, "a number in 0..inf"),
        ("sweeps", 2.5, "a whole number"),
    ],
    "lbfgs": [
        ("precision", 7.0, "a whole number in 0..3"),
        ("passes", -1.0, "a number in 0..inf"),
        ("curvature", 0.0, "a number"),
    ],
    "sgd": [("steps", 1.5, "a whole number"), ("learning_rate", -1.0, "a number in 0..inf")],
    "gd": [("idle", -1.0, "a whole number"), ("passes", 10**400, "a number in 0..inf")],
}


@pytest.mark.parametrize(
    ("method", "name", "value", "expected"), [(m, *row) for m, rows in NUMBERS.items() for row in rows]
)
def test_a_number_outside_its_range_is_refused_with_what_was_expected(method, name, value, expected):
    objective, optimizer, _, state = run(method)
    assert name in state.numbers
    # long messages are cut in their middle
    with pytest.raises(StateError, match=f"number '{name}' is {repr(value)[:50]}.*; expected {expected}"):
        optimizer.minimize(objective, start=replace(state, numbers=state.numbers | {name: value}))


@pytest.mark.parametrize(("method", "record"), [("admm with a copy", ADMMState)])
def test_a_record_is_written_as_it_was_read(method, record):
    objective, _, _, state = run(method)
    again = record.from_state(state, sizes_of(objective)).to_state()
    assert again.epoch == state.epoch
    assert again.numbers == state.numbers
    assert again.arrays.keys() == state.arrays.keys()
    for name, array in again.arrays.items():
        assert array is state.arrays[name]


def test_a_number_that_is_not_known_yet_is_not_written_and_an_old_file_may_hold_it_as_infinite():
    state = InteriorPointState(W=np.zeros((3, 7)), b=np.zeros(3)).to_state()
    assert "lowest" not in state.numbers
    assert "exact" not in state.numbers
    old = State(0, state.arrays, {"lowest": np.inf, "exact": 1.0})
    record = InteriorPointState.from_state(old, sizes_of(problem()) | {"n": 150, "k": 3, "d": 7, "e": 8})
    assert record.lowest == np.inf
    assert record.exact is True


@pytest.mark.parametrize("method", METHODS)
def test_only_a_state_of_sgd_is_read_as_one(method):
    _, _, _, state = run(method)
    saved = SGDState.of(state)
    assert (saved is not None) == (method == "sgd")
    if saved is not None:
        again = saved.to_state()
        assert (again.epoch, again.numbers) == (state.epoch, state.numbers)
        assert again.arrays.keys() == state.arrays.keys()
        assert all(again.arrays[key].dtype == array.dtype for key, array in state.arrays.items())
