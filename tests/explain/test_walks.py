"""Walks on surfaces of two weights: right gradients, the library's updates, and the minima."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.saddle import descend
from linprobe.explain.two_layer import line_saddle
from linprobe.explain.walks import GROUNDS, ground, heights, walk_on
from linprobe.optimizers.schedules import SCHEDULES, rates
from linprobe.optimizers.updates import UPDATES


@pytest.mark.parametrize("name", GROUNDS)
def test_the_gradient_is_that_of_the_value_and_zero_at_the_minima(name):
    of = ground(name)
    every = np.arange(of.n_images)
    for w in (np.array([0.3, -0.7]), np.array([2.0, 1.1])):
        numeric = [(of.value(w + h) - of.value(w - h)) / 2e-6 for h in 1e-6 * np.eye(2)]
        assert_allclose(of.gradient(w, every), numeric, rtol=1e-6, atol=1e-9)
        halves = (of.gradient(w, every[::2]), of.gradient(w, every[1::2]))
        assert_allclose(np.mean(halves, axis=0), of.gradient(w, every), atol=1e-12)
    for minimum in of.minima:
        assert np.abs(of.gradient(minimum, every)).max() < 1e-7
    values = of.value(of.minima)
    assert_array_equal(values, np.sort(values))
    assert values[0] <= heights(of, 31).min()


def test_a_full_gradient_on_the_saddle_walks_as_descend_does():
    saddle = line_saddle()
    expected = descend(saddle, saddle.at(0.4, -0.3)[None], steps=20, learning_rate=0.5)
    found = walk_on(ground("saddle"), (0.4, -0.3), "plain", 0.5, steps=20)
    assert_allclose(found.weights, expected.weights[:, 0][:, saddle.free], atol=1e-12)
    assert_allclose(found.losses, expected.losses[:, 0], atol=1e-12)


@pytest.mark.parametrize("update", UPDATES)
def test_every_update_gets_down_the_valley(update):
    found = walk_on(ground("valley"), (2.6, -0.8), update, 0.05, steps=300)
    assert found.losses[-1] < 0.6 * found.losses[0]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_rates_are_those_of_the_schedule(schedule):
    found = walk_on(ground("valley"), (1.0, 0.0), "plain", 0.2, schedule=schedule, steps=40)
    assert_array_equal(found.rates, rates(schedule, 0.2, np.arange(40), 40))
    step = found.weights[0] - found.rates[0] * ground("valley").gradient(found.weights[0], np.arange(120))
    assert_allclose(found.weights[1], step)


def test_an_epoch_of_batches_takes_every_image_once_and_a_seed_gives_the_same_bits():
    of = ground("valley")
    seen: list[int] = []
    watched = type(of)(**{**vars(of), "gradient": lambda w, rows: seen.extend(rows) or of.gradient(w, rows)})
    one = walk_on(watched, (1.0, 0.0), batch_size=50, steps=6, seed=3)
    assert sorted(seen[:120]) == sorted(seen[120:240]) == list(range(120))
    assert_array_equal(one.weights, walk_on(of, (1.0, 0.0), batch_size=50, steps=6, seed=3).weights)
    assert (one.weights != walk_on(of, (1.0, 0.0), batch_size=50, steps=6, seed=4).weights).any()


def test_a_walk_that_diverges_stays_and_its_loss_is_infinite():
    found = walk_on(ground("valley"), (1.0, 0.0), "plain", 1000.0, steps=60)
    assert np.isfinite(found.weights).all()
    assert np.isinf(found.losses[-1])
    assert np.isfinite(found.losses[0])


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"update": "none"}, "update = 'none'; expected one of plain"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"steps": 0}, "steps"),
        ({"batch_size": 121}, "batch_size"),
        ({"schedule": "none"}, "schedule"),
    ],
)
def test_bad_arguments_are_refused(changed, words):
    with pytest.raises(ParameterError, match=words):
        walk_on(ground("valley"), (0.0, 0.0), **changed)
    with pytest.raises(ParameterError, match="ground = 'hill'; expected one of valley, saddle"):
        ground("hill")
    with pytest.raises(ShapeError, match="two finite numbers"):
        walk_on(ground("valley"), (0.0, np.nan))
