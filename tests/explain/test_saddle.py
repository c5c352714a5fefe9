"""Walks from a saddle: against a plain loop, and what the lecture says of them, with its limits."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.saddle import (
    Descent,
    descend,
    escapes,
    escapes_picture,
    losses_picture,
    nearest,
    settle,
    starts_near,
    surface,
    surface_picture,
)
from linprobe.explain.two_layer import line_saddle, quadrants_saddle, stationary

LINE = line_saddle()
MINIMA = [settle(LINE, LINE.at(*near)) for near in ((4.4, 1.7), (-1.4, -2.6))]
SMALL = quadrants_saddle(n_hidden=4, n_points=128)


def drawn(losses, steps, size=16):
    """A descent with these losses (T, R)."""
    losses = np.array(losses, dtype=np.float64)
    return Descent(size, 64, 0.1, np.array(steps), np.zeros((*losses.shape, 6)), losses)


@pytest.mark.parametrize("size", [None, 48])
def test_walks_are_those_of_the_loop_of_the_slide(size):
    starts = starts_near(SMALL, 0.1, n=3, seed=1)
    taken = descend(SMALL, starts, size, steps=7, learning_rate=0.5, seed=4)
    batch = size or 128
    orders = [
        np.random.Generator(np.random.PCG64([4, epoch])).permuted(np.tile(np.arange(128), (3, 1)), axis=1)
        for epoch in range(7)
    ]
    for i, start in enumerate(starts):
        W, batches = start.copy(), [order[i, k : k + batch] for order in orders for k in range(0, 128, batch)]
        for rows in batches[:7]:  # of 48 the third of an epoch has 32
            rows = np.arange(128) if size is None else rows
            W = W - 0.5 * SMALL.network.value_and_gradient(W, SMALL.X[rows], SMALL.y[rows])[1]
        assert_allclose(taken.weights[-1, i], W, atol=1e-12)
        assert_allclose(taken.losses[-1, i], SMALL.network.value(W, SMALL.X, SMALL.y), atol=1e-12)


def test_held_weights_do_not_move_and_records_are_as_often_as_required():
    taken = descend(LINE, starts_near(LINE, 0.1, n=4), 16, steps=11, record_every=4)
    assert taken.steps.tolist() == [0, 4, 8, 11]
    assert taken.weights.shape == (4, 4, 6)
    assert (taken.weights[:, :, [1, 2, 4, 5]] == LINE.weights[[1, 2, 4, 5]]).all()
    assert (taken.weights[-1][:, [0, 3]] != taken.weights[0][:, [0, 3]]).all()


def test_the_same_seed_gives_the_same_bits():
    starts = starts_near(SMALL, 0.0, n=5)
    one, same, other = (descend(SMALL, starts, 32, steps=9, seed=seed).weights for seed in (0, 0, 1))
    assert np.array_equal(one, same)
    assert not np.allclose(one, other)


def test_starts_lie_at_their_distance():
    starts = starts_near(SMALL, 0.3, n=50)
    assert_allclose(np.linalg.norm(starts - SMALL.weights, axis=1), 0.3)
    assert_allclose(starts_near(SMALL, 0.03, n=50) - SMALL.weights, 0.1 * (starts - SMALL.weights), atol=1e-15)
    assert np.array_equal(starts_near(LINE, 0.0, n=2), np.stack([LINE.weights] * 2))


def test_at_the_saddle_the_full_gradient_stays_and_every_batch_leaves():
    starts = starts_near(SMALL, 0.0, n=20)
    full = escapes(descend(SMALL, starts, steps=100), 0.6)
    assert full.stayed == 20
    for size in (16, 32, 64):
        batch = escapes(descend(SMALL, starts, size, steps=100, record_every=2), 0.6)
        assert batch.stayed == 0


def test_the_nearer_the_start_the_longer_the_full_gradient_stays_as_the_eigenvalue_says():
    """The distance grows by 1 + eta |eigenvalue| a step, so a factor of 1000 takes log 1000 over its log."""
    lowest = stationary(LINE).eigenvalues[0]
    far, near = (
        escapes(descend(LINE, starts_near(LINE, distance, n=20), steps=200), 0.65).median_steps
        for distance in (1e-3, 1e-6)
    )
    assert_allclose(near - far, np.log(1000) / np.log(1 - lowest), atol=2.0)


def test_far_from_the_saddle_batches_gain_few_steps_and_end_higher():
    starts = starts_near(SMALL, 0.1, n=40)
    full, batch = (escapes(descend(SMALL, starts, size, steps=150), 0.6) for size in (None, 16))
    assert full.stayed == batch.stayed == 0
    assert full.median_steps < 2.0 * batch.median_steps
    assert np.median(batch.ends) > np.median(full.ends)


def test_batches_do_not_leave_the_higher_minimum_at_the_same_rate():
    starts = np.tile(MINIMA[0], (30, 1))
    ends = descend(LINE, starts, 16, steps=150, record_every=150).weights[-1]
    assert (nearest(LINE, ends, MINIMA) == 0).all()


def test_the_line_has_two_minima_of_different_losses():
    found = [stationary(LINE, point) for point in MINIMA]
    assert [one.kind for one in found] == ["minimum", "minimum"]
    assert_allclose([one.loss for one in found], [0.470, 0.401], atol=5e-4)
    assert all(one.gradient < 1e-9 < 0.2 < one.image_gradient for one in found)


def test_escape_times_are_those_of_the_first_record_below_the_level():
    found = escapes(drawn([[0.7, 0.7, 0.7], [0.7, 0.5, 0.7], [0.4, 0.7, 0.6]], [0, 5, 9]), 0.6)
    assert found.steps.tolist() == [9, 5, np.inf]
    assert found.images.tolist() == [144, 80, np.inf]
    assert found.ends.tolist() == [0.4, 0.7, 0.6]
    assert (found.stayed, found.median_steps, found.last) == (1, 9, 9)


def test_walks_that_diverge_are_infinite_and_no_error():
    taken = descend(SMALL, starts_near(SMALL, 0.1, n=3), 16, steps=5, learning_rate=1e300)
    assert np.isinf(taken.losses[-1]).all()
    assert escapes(taken, 0.6).ends.tolist() == [np.inf] * 3
    with pytest.raises(ParameterError, match="take a lower learning rate"):
        losses_picture({"far too fast": taken})


def test_every_value_of_the_surface_is_the_loss_there():
    cut = surface(LINE, (-1.0, -2.0), (1.0, 2.0), 3)
    for i, v in enumerate(cut.y):
        for j, w in enumerate(cut.x):
            assert_allclose(cut.values[i, j], LINE.network.value(LINE.at(w, v), LINE.X, LINE.y), rtol=1e-12)


def test_the_pictures_say_where_walks_end_and_how_many_stayed():
    starts = starts_near(LINE, 1e-3, n=15)
    walks = {"all $N$": descend(LINE, starts, steps=60), "M = 16": descend(LINE, starts, 16, steps=60)}
    cut = surface(LINE, (-4, -4), (6, 4), 21)
    picture = surface_picture(LINE, cut, walks, MINIMA)
    counts = np.bincount(nearest(LINE, walks["M = 16"].weights[-1], MINIMA), minlength=2)
    assert f"M = 16: {counts[0]} end near 0.470 and {counts[1]} end near 0.401" in picture.alt
    assert "0.470" in picture.svg()
    assert "median ends at" in surface_picture(LINE, cut, walks).alt
    found = {"one": escapes(drawn([[0.7] * 3, [0.7] * 3], [0, 5]), 0.6), "M": escapes(walks["M = 16"], 0.65)}
    assert "one: 3 of 3 stayed for all 5 steps" in escapes_picture(found).alt
    assert "0 of 15 stayed" in escapes_picture(found).alt
    assert ">all $N$<" in losses_picture(walks).svg()


def test_what_cannot_be_done_is_one_line():
    starts = starts_near(LINE, 0.0, n=2)
    with pytest.raises(ShapeError, match=r"starts has shape \(6,\); expected \(n_walks, 6\)"):
        descend(LINE, starts[0])
    for name in ("batch_size", "steps", "record_every"):
        with pytest.raises(ParameterError, match=f"{name} = 0"):
            descend(LINE, starts, **{name: 0})
    with pytest.raises(ParameterError, match=r"batch_size = 129.*<= 128"):
        descend(LINE, starts, 129)
    with pytest.raises(ParameterError, match=r"learning_rate = 0\.0"):
        descend(LINE, starts, learning_rate=0.0)
    with pytest.raises(ParameterError, match="n = 0"):
        starts_near(LINE, 0.1, n=0)
    with pytest.raises(ParameterError, match="distance = -1"):
        starts_near(LINE, -1.0)
    with pytest.raises(ParameterError, match="22 weights are free"):
        surface(quadrants_saddle(), (-1, -1), (1, 1))
    with pytest.raises(ParameterError, match="low below high"):
        surface(LINE, (0, 0), (0, 1))
    with pytest.raises(ParameterError, match="size = 1"):
        surface(LINE, (0, 0), (1, 1), 1)
    with pytest.raises(ParameterError, match="points is empty"):
        nearest(LINE, starts, [])
    for draw in (escapes_picture, losses_picture):
        with pytest.raises(ParameterError, match="is empty"):
            draw({})
    with pytest.raises(ParameterError, match="walks is empty"):
        surface_picture(LINE, surface(LINE, (0, 0), (1, 1), 5), {})
