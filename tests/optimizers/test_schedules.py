import numpy as np
import pytest

from linprobe.errors import ParameterError
from linprobe.optimizers.schedules import SCHEDULES, rates

STEPS = np.arange(8)


def test_constant_stays():
    assert rates("constant", 0.3, STEPS, 8).tolist() == [0.3] * 8


def test_step_falls_by_one_factor_between_four_stretches():
    found = rates("step", 1.0, STEPS, 8, final_rate=1e-3)
    np.testing.assert_allclose(found, [1, 1, 0.1, 0.1, 0.01, 0.01, 0.001, 0.001], rtol=1e-12)


def test_exponential_falls_by_one_factor_per_step():
    found = rates("exponential", 2.0, STEPS, 8, final_rate=2.0**-8)
    np.testing.assert_allclose(found, 2.0 * 0.5**STEPS, rtol=1e-12)


def test_cosine_is_halfway_in_the_middle():
    found = rates("cosine", 1.0, np.array([0, 4, 8]), 8, final_rate=0.2)
    np.testing.assert_allclose(found, [1.0, 0.6, 0.2], rtol=1e-12)


def test_inverse_is_one_over_a_line():
    found = rates("inverse", 1.0, STEPS, 8, final_rate=1.0 / 9.0)
    np.testing.assert_allclose(found, 1.0 / (1.0 + STEPS), rtol=1e-12)


def test_one_over_t_is_inverse():
    assert rates("1/t", 1.0, STEPS, 8).tolist() == rates("inverse", 1.0, STEPS, 8).tolist()


@pytest.mark.parametrize("schedule", sorted(SCHEDULES.keys() - {"constant"}))
def test_schedules_start_at_the_learning_rate_never_rise_and_end_at_the_final_share(schedule):
    found = rates(schedule, 0.5, np.arange(1000), 999, final_rate=0.01)
    assert found[0] == 0.5
    assert (np.diff(found) <= 0).all()
    assert found[-2] == pytest.approx(0.005, rel=0.02)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_warm_up_rises_in_a_straight_line_and_changes_nothing_after(schedule):
    plain, warmed = rates(schedule, 1.0, STEPS, 8), rates(schedule, 1.0, STEPS, 8, warmup=4)
    np.testing.assert_allclose(warmed / plain, [0.25, 0.5, 0.75, 1, 1, 1, 1, 1], rtol=1e-12)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_rates_of_two_halves_are_those_of_the_whole(schedule):
    halves = [rates(schedule, 1.0, part, 8, warmup=3) for part in (STEPS[:4], STEPS[4:])]
    assert np.concatenate(halves).tolist() == rates(schedule, 1.0, STEPS, 8, warmup=3).tolist()


def test_an_unknown_schedule_is_named_with_the_known_ones():
    with pytest.raises(ParameterError, match=r"schedule = 'linear'; expected one of constant, step"):
        rates("linear", 1.0, STEPS, 8)
