"""The lecture's numbers, slide by slide. docs/lecture.md tells the same story in words."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.losses import LOSSES, MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge

# Cat, car and frog pictures (rows), scored as cat, car and frog (columns); each is of the class of its row.
SCORES = np.array([[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]])
Y = np.array([0, 1, 2])
EXACT = 1e-14  # the slide's own digits are exact here; what is left is the rounding of a few sums


def test_the_hinge_losses_of_cat_car_and_frog_are_2_9_and_0_and_12_9():
    assert_allclose(MulticlassHinge().value(SCORES, Y), [2.9, 0.0, 12.9], rtol=EXACT)


def test_their_mean_is_15_8_thirds_which_the_slide_rounds_to_5_27():
    mean = MulticlassHinge().value(SCORES, Y).mean()
    assert_allclose(mean, 15.8 / 3.0, rtol=EXACT)
    assert f"{mean:.2f}" == "5.27"


def test_a_loss_of_0_stays_0_when_the_car_scores_change_a_bit():
    jiggled = SCORES[1] + np.array([[0.5, -0.5, 0.5], [-0.5, -0.5, 0.5], [0.9, -0.9, 0.0]])
    assert_allclose(MulticlassHinge().value(jiggled, np.array([1, 1, 1])), 0.0, atol=0.0)


def test_doubling_the_weights_doubles_the_scores_and_leaves_a_loss_of_0_at_0():
    margins = MulticlassHinge().kinks(2.0 * SCORES[1:2], Y[1:2])
    assert_allclose(margins[0, [0, 2]], [-6.2, -4.8], rtol=EXACT)
    assert MulticlassHinge().value(2.0 * SCORES[1:2], Y[1:2]) == [0.0]


@pytest.mark.parametrize("n_classes", [2, 3, 10, 1000])
def test_the_hinge_loss_of_equal_scores_is_the_number_of_classes_less_one(n_classes):
    assert MulticlassHinge().value(np.zeros((1, n_classes)), np.array([1])) == [n_classes - 1.0]


def test_a_sum_over_all_classes_would_add_exactly_delta():
    over_all = np.maximum(0.0, SCORES - SCORES[[0, 1, 2], Y][:, None] + 1.0).sum(axis=1)
    assert_allclose(over_all - MulticlassHinge().value(SCORES, Y), 1.0, rtol=EXACT)


def test_a_mean_over_the_other_classes_would_divide_every_loss_by_their_number():
    margins = MulticlassHinge().kinks(SCORES, Y)
    means = [np.maximum(0.0, np.delete(margins[i], Y[i])).mean() for i in range(3)]
    assert_allclose(means, MulticlassHinge().value(SCORES, Y) / 2.0, rtol=EXACT)


def test_the_squared_hinge_of_cat_car_and_frog_is_8_41_and_0_and_83_25():
    assert_allclose(SquaredHinge().value(SCORES, Y), [2.9**2, 0.0, 6.3**2 + 6.6**2], rtol=EXACT)
    assert_allclose(SquaredHinge().value(SCORES, Y), [8.41, 0.0, 83.25], rtol=EXACT)


def test_the_softmax_of_the_cat_scores_has_the_slide_s_digits():
    exponentials = np.exp(SCORES[0])
    assert [f"{e:.1f}" for e in exponentials[:2]] == ["24.5", "164.0"]
    assert f"{exponentials[2]:.2f}" == "0.18"
    probabilities = SoftmaxCrossEntropy().probabilities(SCORES[:1])[0]
    assert [f"{p:.2f}" for p in probabilities] == ["0.13", "0.87", "0.00"]
    assert_allclose(probabilities, exponentials / exponentials.sum(), rtol=EXACT)


def test_the_softmax_loss_of_the_cat_is_2_04_in_natural_logarithm():
    loss = SoftmaxCrossEntropy().value(SCORES[:1], Y[:1])[0]
    assert_allclose(loss, 2.0403551528, rtol=1e-10)  # the slide's -log(0.13) is 2.0402208: the same two decimals
    assert f"{loss:.2f}" == f"{-np.log(0.13):.2f}" == "2.04"


@pytest.mark.parametrize("n_classes", [2, 3, 10, 1000])
def test_the_softmax_loss_of_equal_scores_is_the_log_of_the_number_of_classes(n_classes):
    loss = SoftmaxCrossEntropy().value(np.full((1, n_classes), 0.25), np.array([0]))
    assert_allclose(loss, np.log(n_classes), rtol=EXACT)


def test_on_the_comparison_slide_the_hinge_loss_is_1_58_and_the_softmax_loss_1_04():
    scores, y = np.array([[-2.85, 0.86, 0.28]]), np.array([2])
    assert_allclose(MulticlassHinge().value(scores, y), [1.58], rtol=EXACT)
    assert_allclose(SoftmaxCrossEntropy().value(scores, y), [1.0401905694301083], rtol=EXACT)


JIGGLED = np.array([[10.0, -2.0, 3.0], [10.0, 9.0, 9.0], [10.0, -100.0, -100.0]])


def test_all_three_score_vectors_of_the_jiggle_slide_satisfy_the_hinge():
    assert_allclose(MulticlassHinge().value(JIGGLED, np.zeros(3, int)), 0.0, atol=0.0)


def test_a_jiggle_moves_the_hinge_only_of_the_vector_at_the_margin_but_softmax_of_all():
    y = np.zeros(3, dtype=int)
    jiggled = JIGGLED + np.array([-0.1, 0.0, 0.0])
    assert_allclose(MulticlassHinge().value(jiggled, y), [0.0, 0.2, 0.0], atol=1e-14)
    # 50-digit arithmetic: log(1 + e^-12 + e^-7), log(1 + 2 e^-1), log(1 + 2 e^-110); then with 0.1 less
    before = [0.00091760504959435188, 0.55144471393205109, 3.3778237604490647e-48]
    after = [0.0010140614996525396, 0.59505977354242665, 3.7330725864332292e-48]
    # 10 - 0.1 - s_j is rounded in the last digit of 110: e to that is off by 1e-14
    assert_allclose(SoftmaxCrossEntropy().value(JIGGLED, y), before, rtol=1e-14)
    assert_allclose(SoftmaxCrossEntropy().value(jiggled, y), after, rtol=5e-14)


@pytest.mark.parametrize("name", LOSSES)
def test_float32_scores_give_float32_losses_and_gradients(name):
    loss, dscores = LOSSES[name]().value_and_gradient(SCORES.astype(np.float32), Y)
    assert loss.dtype == dscores.dtype == np.float32
    assert_allclose(loss, LOSSES[name]().value(SCORES, Y), rtol=1e-6)
