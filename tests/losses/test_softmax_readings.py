"""One number, three readings: likelihood, cross-entropy, divergence. And scikit-learn as a peer."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose
from sklearn.metrics import log_loss

from linprobe.errors import ParameterError, ShapeError
from linprobe.losses import SoftmaxCrossEntropy
from linprobe.losses.softmax import entropy, one_hot

LOSS = SoftmaxCrossEntropy()
LABELS = np.array([0, 1, 2, 0])
some_scores = arrays(np.float64, (4, 3), elements=st.floats(-1000.0, 1000.0))


@given(some_scores)
def test_likelihood_cross_entropy_and_divergence_agree_with_the_loss_to_rounding(scores):
    target = one_hot(LABELS, 3)
    loss = LOSS.value(scores, LABELS)
    # s_y - max is rounded before log1p is added in one, after in the other: a few eps of the largest score
    tolerance = {"rtol": 1e-14, "atol": 4e-13}
    assert_allclose(LOSS.negative_log_likelihood(scores, LABELS), loss, **tolerance)
    assert_allclose(LOSS.cross_entropy(target, scores), loss, **tolerance)
    assert_allclose(LOSS.kl_divergence(target, scores), loss, **tolerance)


@given(some_scores, some_scores)
def test_cross_entropy_is_entropy_plus_divergence_and_divergence_is_not_negative(scores, other):
    target = LOSS.probabilities(0.01 * other)
    divergence = LOSS.kl_divergence(target, scores)
    assert_allclose(LOSS.cross_entropy(target, scores), entropy(target) + divergence, rtol=1e-12, atol=1e-12)
    assert (divergence >= -1e-12).all()


@given(some_scores)
def test_probabilities_are_positive_and_sum_to_1(scores):
    probabilities = LOSS.probabilities(scores)
    assert (probabilities >= 0).all()
    assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-15 * 8)
    assert_allclose(np.exp(LOSS.log_probabilities(scores)), probabilities, rtol=1e-12, atol=1e-300)


def test_a_distribution_does_not_diverge_from_itself():
    scores = np.random.default_rng(0).normal(size=(5, 4))
    assert_allclose(LOSS.kl_divergence(LOSS.probabilities(scores), scores), 0.0, atol=1e-15)


def test_a_one_hot_distribution_has_no_entropy_and_a_flat_one_has_log_k():
    assert_allclose(entropy(one_hot(np.array([2]), 4)), [0.0], atol=0.0)
    assert_allclose(entropy(np.full((1, 4), 0.25)), [np.log(4.0)])


def test_the_mean_loss_is_scikit_learn_s_log_loss():
    random = np.random.default_rng(1)
    scores, y = random.normal(size=(50, 4)), random.integers(0, 4, 50)
    expected = log_loss(y, LOSS.probabilities(scores), labels=range(4))
    assert_allclose(LOSS.value(scores, y).mean(), expected, rtol=1e-12)


def test_a_target_that_is_no_distribution_is_named_by_its_row():
    target = np.array([[1.0, 0.0], [0.5, 0.6]])
    with pytest.raises(ParameterError, match=r"row 1 of target .* sum to 1"):
        LOSS.cross_entropy(target, np.zeros((2, 2)))
    with pytest.raises(ParameterError, match="row 0 of target"):
        LOSS.kl_divergence(np.array([[1.5, -0.5]]), np.zeros((1, 2)))
    with pytest.raises(ShapeError, match=r"target has shape \(1, 3\) but scores \(1, 2\)"):
        LOSS.cross_entropy(np.ones((1, 3)) / 3.0, np.zeros((1, 2)))
