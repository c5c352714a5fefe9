"""The network of two layers: its gradients against differences and a plain loop, and its points without a gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.two_layer import Saddle, TwoLayer, line_saddle, quadrants_saddle, stationary
from linprobe.losses.softmax import SoftmaxCrossEntropy


def problem(seed=0, n=20, sizes=(3, 4, 3)):
    random = np.random.default_rng(seed)
    network = TwoLayer(*sizes)
    X, y = random.normal(size=(n, sizes[0])), random.integers(0, sizes[2], n)
    return network, random.normal(size=network.n_weights), X, y


def test_the_loss_is_that_of_a_plain_loop_and_of_linprobe():
    network, weights, X, y = problem()
    V, c, W, b = network.split(weights)
    scores = np.array([[W[k] @ np.tanh(V @ x + c) + b[k] for k in range(3)] for x in X])
    assert_allclose(network.scores(weights, X), scores, rtol=1e-12)
    assert_allclose(network.value(weights, X, y), SoftmaxCrossEntropy().value(scores, y).mean(), rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_the_gradient_is_that_of_centred_differences(seed):
    network, weights, X, y = problem(seed)
    value, gradient = network.value_and_gradient(weights, X, y)
    assert value == network.value(weights, X, y)
    h = 1e-5
    moved = h * np.eye(network.n_weights)
    centred = (network.value(weights + moved, X, y) - network.value(weights - moved, X, y)) / (2 * h)
    error = np.abs(gradient - centred) / np.maximum(np.abs(gradient) + np.abs(centred), 1e-3)
    assert error.max() < 1e-7


def test_the_gradients_of_single_images_have_the_full_gradient_as_their_mean():
    network, weights, X, y = problem()
    alone = network.image_gradients(weights, X, y)
    assert alone.shape == (20, network.n_weights)
    assert_allclose(alone.mean(axis=0), network.value_and_gradient(weights, X, y)[1], atol=1e-15)
    assert_allclose(alone[7], network.value_and_gradient(weights, X[7:8], y[7:8])[1], atol=1e-15)


def test_many_networks_at_once_are_each_of_them_alone_with_its_own_images():
    network, weights, X, y = problem()
    both = np.stack([weights, -weights])
    rows = np.array([[0, 3, 5], [1, 1, 2]])
    values, gradients = network.value_and_gradient(both, X[rows], y[rows])
    for i in range(2):
        value, gradient = network.value_and_gradient(both[i], X[rows[i]], y[rows[i]])
        assert_allclose(values[i], value, rtol=1e-14)
        assert_allclose(gradients[i], gradient, atol=1e-15)


def test_scores_of_a_thousand_keep_the_loss_finite():
    network, weights, X, y = problem()
    value, gradient = network.value_and_gradient(1e4 * weights, X, y)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()


def test_the_saddle_of_the_quadrants_has_no_full_gradient_and_every_image_has_one():
    saddle = quadrants_saddle()
    found = stationary(saddle)
    assert found.kind == "saddle"
    assert_allclose(found.loss, math.log(2.0), rtol=1e-12)
    assert found.gradient < 1e-14
    alone = saddle.network.image_gradients(saddle.weights, saddle.X, saddle.y)
    assert np.linalg.norm(alone, axis=1).min() > 0.7  # the shift of the output alone has length sqrt(1/2)
    assert found.image_gradient > 1.0
    assert found.eigenvalues[0] < -0.1


def test_each_quadrant_holds_the_reflections_of_the_same_points():
    saddle = quadrants_saddle(n_points=40, seed=3)
    assert len(saddle.X) == 40
    assert np.array_equal(saddle.y == 0, saddle.X.prod(axis=1) > 0)
    assert np.array_equal(np.sort(saddle.X, axis=0), np.sort(-saddle.X, axis=0))


def test_the_surface_of_two_weights_is_the_formula_of_its_docstring():
    saddle = line_saddle()
    w, v = 0.7, -1.3
    s = v * np.tanh(w * saddle.X[:, 0] + 0.5)
    losses = np.logaddexp(0.0, np.where(saddle.y == 1, -s, s))
    assert_allclose(saddle.network.value(saddle.at(w, v), saddle.X, saddle.y), losses.mean(), rtol=1e-12)


def test_the_surface_of_two_weights_has_a_saddle_of_the_curvature_on_paper():
    saddle = line_saddle()
    found = stationary(saddle)
    assert found.kind == "saddle"
    assert found.gradient < 1e-15
    # at w = v = 0: L_ww = 0, L_vv = tanh(c)²/4, L_wv = mean of (1/2 - y) x (1 - tanh(c)²)
    square = math.tanh(0.5) ** 2
    mixed = float(((0.5 - saddle.y) * saddle.X[:, 0]).mean()) * (1.0 - square)
    assert_allclose(found.eigenvalues, np.linalg.eigvalsh([[0.0, mixed], [mixed, square / 4]]), atol=1e-9)


def test_a_convex_function_of_the_free_weights_has_only_minima():
    """With a held hidden layer the network is a linear classifier of its hidden units."""
    saddle = quadrants_saddle(n_hidden=2, n_points=40)
    output = np.arange(6, 12)
    linear = Saddle(saddle.network, saddle.X, saddle.y, saddle.weights, output)
    assert stationary(linear).kind == "flat"  # adding a constant to all scores changes nothing
    assert stationary(linear).eigenvalues[0] > -1e-9


def test_a_point_with_a_gradient_is_a_slope():
    assert stationary(line_saddle(), line_saddle().at(1.0, 1.0)).kind == "slope"


def test_what_does_not_fit_is_one_line():
    network, weights, X, y = problem()
    with pytest.raises(ShapeError, match=r"\(30,\); expected \(\.\.\., 31\)"):
        network.value(weights[:-1], X, y)
    with pytest.raises(ShapeError, match=r"\(20, 2\); expected \(n_images, 3\)"):
        network.value(weights, X[:, :2], y)
    with pytest.raises(ShapeError, match="found 1 values; expected 2"):
        line_saddle().at(1.0)
    with pytest.raises(ParameterError, match="n_hidden = 0"):
        quadrants_saddle(0)
    for n in (0, 30, 604):
        with pytest.raises(ParameterError, match=rf"n_points = {n}; expected a multiple of 4 in 4\.\.600"):
            quadrants_saddle(n_points=n)
    with pytest.raises(ParameterError, match="weights"):
        stationary(line_saddle(), np.full(6, np.nan))
