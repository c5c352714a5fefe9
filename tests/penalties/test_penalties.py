"""Values, gradients, proxes and conjugates of the penalties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.integrate import fixed_quad
from scipy.optimize import minimize_scalar

from linprobe.errors import IncompatibleError, ParameterError
from linprobe.penalties import L1, L2, PENALTIES, ElasticNet, Penalty, make_penalty

EVERY = [*(kind() for kind in PENALTIES.values() if kind), ElasticNet(beta=0.25), ElasticNet(beta=0.0)]
WITH_COEFFICIENTS = [penalty for penalty in EVERY if penalty.coefficients is not None]
some_weights = arrays(np.float64, (3, 4), elements=st.floats(-50.0, 50.0))
some_steps = st.floats(0.0, 20.0)
ROUNDING = 1e-9  # values reach 12 * 50² * 20 = 6e5, of which eps is 1e-10; a few of those


def test_l2_spreads_the_weights_and_l1_does_not_mind():
    x = np.ones(4)
    peaked, spread = np.array([[1.0, 0.0, 0.0, 0.0]]), np.array([[0.25, 0.25, 0.25, 0.25]])
    assert peaked @ x == spread @ x == 1.0
    assert (L2().value(peaked), L2().value(spread)) == (1.0, 0.25)
    assert (L1().value(peaked), L1().value(spread)) == (1.0, 1.0)
    assert (ElasticNet().value(peaked), ElasticNet().value(spread)) == (2.0, 1.25)


@pytest.mark.parametrize(
    ("penalty", "value"),
    [(L2(), 5.25), (L1(), 3.5), (ElasticNet(), 8.75), (ElasticNet(beta=2.0), 14.0)],
    ids=repr,
)
def test_the_values_are_the_lecture_s_sums(penalty, value):
    assert penalty.value(np.array([[1.0, -2.0], [0.0, 0.5]])) == value


@given(some_weights, some_weights, some_steps)
def test_the_prox_never_moves_two_points_apart(V, other, step):
    for penalty in EVERY:
        moved = np.linalg.norm(penalty.prox(V, step) - penalty.prox(other, step))
        assert moved <= np.linalg.norm(V - other) * (1 + 1e-12)


@given(st.floats(-50.0, 50.0), some_steps)
def test_the_prox_is_where_its_own_objective_is_least(v, step):
    for penalty in EVERY:

        def cost(w, penalty=penalty):
            smooth = fixed_quad(lambda at: penalty.gradient(at[None])[0], 0.0, w, n=9)[0]
            kinked = 0.0 if penalty.smooth else penalty.value(np.array([[w]])) - smooth
            return 0.5 * (w - v) ** 2 + step * kinked

        found = float(penalty.prox(np.array([[v]]), step)[0, 0])
        best = minimize_scalar(cost, bounds=(-60.0, 60.0), method="bounded", options={"xatol": 1e-9})
        assert cost(found) <= best.fun + 1e-9


@pytest.mark.parametrize("penalty", [L1(), ElasticNet()], ids=repr)
def test_what_lies_within_the_step_becomes_exactly_zero_and_not_minus_zero(penalty):
    W = penalty.prox(np.array([[-0.5, 0.5, -0.2, 0.7, -0.7]]), 0.5)
    assert_array_equal(W[0, :3], [0.0, 0.0, 0.0])
    assert not np.signbit(W[0, :3]).any()
    assert_allclose(W[0, 3:], [0.2, -0.2])


@pytest.mark.parametrize("penalty", EVERY, ids=repr)
def test_a_step_for_each_coordinate_acts_as_that_step_alone(penalty):
    V = np.random.default_rng(0).normal(size=(2, 3))
    steps = np.array([[0.0, 0.1, 0.5], [1.0, 2.0, 0.3]])
    alone = [[penalty.prox(V[k : k + 1, d : d + 1], steps[k, d])[0, 0] for d in range(3)] for k in range(2)]
    assert_array_equal(penalty.prox(V, steps), alone)


@pytest.mark.parametrize("penalty", EVERY, ids=repr)
def test_float32_weights_keep_their_dtype_even_with_float64_steps(penalty):
    W = np.ones((2, 3), dtype=np.float32)
    assert penalty.gradient(W).dtype == np.float32
    assert penalty.prox(W, 0.5).dtype == np.float32
    assert penalty.prox(W, np.full((2, 3), 0.5)).dtype == np.float32


@pytest.mark.parametrize("penalty", EVERY, ids=repr)
def test_values_are_summed_in_float64(penalty):
    W = np.full((1000, 1000), 0.1, dtype=np.float32)
    assert_allclose(penalty.value(W), penalty.value(W.astype(np.float64)), rtol=1e-12)


@given(some_weights, some_weights, st.floats(0.01, 20.0))
def test_penalty_plus_conjugate_is_at_least_the_product(W, V, reg):
    for penalty in EVERY:
        slack = ROUNDING * (1.0 + np.abs(W * V).sum())
        assert reg * penalty.value(W) + penalty.conjugate(V, reg) >= (W * V).sum() - slack


@given(some_weights, st.floats(0.01, 20.0))
def test_penalty_plus_conjugate_is_the_product_at_the_gradient(W, reg):
    for penalty in EVERY:
        V = penalty.least_subgradient(W, reg * penalty.gradient(W), reg)
        total = reg * penalty.value(W) + penalty.conjugate(V, reg)
        assert_allclose(total, (W * V).sum(), rtol=1e-9, atol=1e-9)


@given(some_weights, some_weights, st.floats(0.0, 1.0))
def test_every_penalty_is_convex_by_its_strong_convexity(here, there, share):
    for penalty in EVERY:
        between = penalty.value(share * here + (1.0 - share) * there)
        chord = share * penalty.value(here) + (1.0 - share) * penalty.value(there)
        bend = penalty.strong_convexity / 2.0 * share * (1.0 - share) * np.square(here - there).sum()
        assert between <= chord - bend + ROUNDING * (1.0 + chord)


@given(some_weights)
def test_the_coefficients_give_the_value(W):
    for penalty in WITH_COEFFICIENTS:
        a, c = penalty.coefficients
        assert_allclose(penalty.value(W), a * np.square(W).sum() + c * np.abs(W).sum(), rtol=1e-12, atol=1e-300)


@given(some_weights, some_weights, st.floats(0.01, 20.0))
def test_the_least_subgradient_is_the_smallest_of_them_all(W, gradient, reg):
    W = np.where(np.abs(W) < 10.0, 0.0, W)
    for penalty in WITH_COEFFICIENTS:
        least = penalty.least_subgradient(W, gradient, reg)
        c = reg * penalty.coefficients[1]
        for at_zero in (-1.0, -0.5, 0.0, 0.3, 1.0):
            other = gradient + c * np.where(W == 0.0, at_zero, np.sign(W))
            assert (np.abs(least) <= np.abs(other) + 1e-12).all()


def test_the_least_subgradient_of_l1_is_zero_where_reg_holds_a_weight_at_zero():
    least = L1().least_subgradient(np.array([[0.0, 0.0, 2.0]]), np.array([[0.9, -1.5, 0.25]]), 1.0)
    assert_allclose(least, [[0.0, -0.5, 1.25]])


@pytest.mark.parametrize(
    ("penalty", "V", "reg", "conjugate"),
    [
        (L2(), [[3.0, -4.0]], 0.5, 12.5),
        (L2(), [[0.0, 0.0]], 0.0, 0.0),
        (L2(), [[0.0, 1e-9]], 0.0, np.inf),
        (L1(), [[0.5, -0.5]], 0.5, 0.0),
        (L1(), [[0.5, -0.5 - 1e-15]], 0.5, 0.0),
        (L1(), [[0.5, -0.501]], 0.5, np.inf),
        (ElasticNet(beta=2.0), [[0.5, -2.5]], 0.5, 1.0),
        (ElasticNet(beta=0.0), [[0.5, -2.5]], 0.5, np.inf),
        (ElasticNet(beta=0.0), [[0.5, -0.5]], 0.5, 0.0),
    ],
)
def test_conjugates_worked_out_by_hand(penalty, V, reg, conjugate):
    assert penalty.conjugate(np.array(V), reg) == conjugate


def test_kinks_are_the_weights_themselves_where_there_is_an_absolute_value():
    W = np.array([[0.5, -1.0]])
    assert L2().kinks(W).size == 0
    assert_array_equal(L1().kinks(W), W)
    assert_array_equal(ElasticNet().kinks(W), W)


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf")])
def test_a_share_of_squares_that_is_negative_or_no_number_is_refused(beta):
    with pytest.raises(ParameterError, match=r"beta = .*; expected a finite number >= 0"):
        ElasticNet(beta=beta)


def test_the_registry_makes_each_penalty_and_none_is_none():
    assert [make_penalty(name) for name in ("l2", "l1", "elastic-net", "none")] == [L2(), L1(), ElasticNet(), None]
    assert all(made is None or made.name == name for name in PENALTIES for made in [make_penalty(name)])
    assert make_penalty("elastic-net", beta=0.5) == ElasticNet(beta=0.5)
    for penalty in EVERY:
        assert make_penalty(penalty.name, **penalty.parameters) == penalty


def test_unknown_penalties_and_parameters_list_the_known_ones():
    with pytest.raises(ParameterError, match=f"penalty = 'l3'; expected one of {', '.join(PENALTIES)}"):
        make_penalty("l3")
    with pytest.raises(ParameterError, match="'l2' has no parameter 'beta'; it has none"):
        make_penalty("l2", beta=1.0)
    with pytest.raises(ParameterError, match="'none' has no parameter 'beta'; it has none"):
        make_penalty("none", beta=1.0)


def test_a_kinked_penalty_without_a_least_subgradient_says_so():
    class Largest(Penalty):
        name, smooth = "largest", False

        def value(self, W):
            return float(np.abs(W).max())

        def gradient(self, W):
            return np.zeros_like(W)

        def prox(self, V, step):
            return V

        def conjugate(self, V, reg):
            return 0.0 if np.abs(V).sum() <= reg else np.inf

    with pytest.raises(IncompatibleError, match="Largest has kinks but no least_subgradient"):
        Largest().least_subgradient(np.ones((1, 2)), np.ones((1, 2)), 1.0)
    assert Largest().coefficients is None
