"""The methods of the page "Scores to loss" against the lecture and the library."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge

LECTURE = [[3.2, 5.1, -1.7], [1.3, 4.9, 2.0], [2.2, 2.5, -3.1]]


def asked(scores=LECTURE, y=(0, 1, 2), **changes):
    settings = {"row": 0, "moved": 1, "low": -8, "high": 8, "delta": 1, "jiggle": 0.5, **changes}
    return {"scores": scores, "y": list(y), **settings}


def test_the_lectures_three_images_lose_what_the_lecture_says(talk):
    found = talk("scores.explain", **asked())
    assert_allclose(found["losses"]["hinge"], [2.9, 0.0, 12.9])
    assert round(found["means"]["hinge"], 2) == 5.27
    assert found["terms"]["margins"][0] is None
    assert_allclose(found["terms"]["margins"][1:], [2.9, -3.9])
    assert_allclose(found["terms"]["hinge"][1:], [2.9, 0.0])
    assert_allclose(found["terms"]["squared-hinge"][1:], [2.9**2, 0.0])
    softmax = found["softmax"]
    assert_allclose(softmax["exponentials"], [24.5, 164.0, 0.18], rtol=0.02)
    assert_allclose(softmax["probabilities"], [0.13, 0.87, 0.00], atol=5e-3)
    assert round(softmax["loss"], 2) == 2.04


def test_zero_scores_doubled_scores_and_the_term_of_the_label(talk):
    found = talk("scores.explain", **asked(row=1, delta=2.0))
    assert_allclose(found["zero"]["hinge"], 2 * 2.0)
    assert_allclose(found["zero"]["softmax"], np.log(3))
    assert found["own_term"] == 2.0
    row = 2.0 * np.array(LECTURE[1])[None]
    for loss in (MulticlassHinge(2.0), SquaredHinge(2.0), SoftmaxCrossEntropy()):
        assert_allclose(found["doubled"][loss.name], loss.value(row, np.array([1]))[0])


@pytest.mark.parametrize("moved", [0, 2])
def test_the_curves_and_the_jiggled_scores_are_those_of_the_library(talk, moved):
    found = talk("scores.explain", **asked(row=2, moved=moved, jiggle=0.25))
    row = np.array(LECTURE[2])
    for loss in (MulticlassHinge(), SquaredHinge(), SoftmaxCrossEntropy()):
        for at in (0, 80, 160):
            changed = row.copy()
            changed[moved] = found["curve"]["scores"][at]
            assert_allclose(found["curve"][loss.name][at], loss.value(changed[None], np.array([2]))[0])
        for k in range(3):
            for side, change in enumerate((-0.25, 0.25)):
                changed = row + change * np.eye(3)[k]
                assert_allclose(found["jiggled"][loss.name][k][side], loss.value(changed[None], np.array([2]))[0])
    assert (found["curve"]["scores"][0], found["curve"]["scores"][-1]) == (-8, 8)


def test_scores_whose_exponentials_overflow_still_have_a_softmax_loss(talk):
    found = talk("scores.explain", **asked([[1000.0, 0.0]], (1,), moved=0))
    assert found["softmax"]["exponentials"][0] is None  # infinite
    assert found["softmax"]["loss"] == 1000.0
    assert found["softmax"]["log_probabilities"] == [0.0, -1000.0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"scores": [[1.0]], "y": [0]}, "at least 2"),
        ({"scores": [[1.0, 2.0]] * 11, "y": [0] * 11}, "n in 1..10"),
        ({"scores": [[1.0, 2.0], [1.0]], "y": [0, 0]}, "expected n x n numbers"),
        ({"row": 3}, "row = 3; expected"),
        ({"moved": 0.5}, "whole number"),
        ({"delta": 0}, "delta is 0; expected a finite number > 0"),
        ({"y": [0, 1, 3]}, "0..2"),
        ({"low": "a"}, "low is 'a'; expected a finite number"),
        ({"scores": [[1e9, 0.0]], "y": [0]}, "above 10000"),
    ],
)
def test_bad_scores_are_refused_in_one_sentence(talk, changes, why):
    assert why in talk.error("scores.explain", **{**asked(), **changes})


def test_a_target_of_one_class_gives_the_softmax_loss_and_any_other_adds_its_entropy(talk):
    scores = [3.2, 5.1, -1.7]
    found = talk("scores.target", scores=scores, shares=[2, 0, 0])
    assert found["target"] == [1.0, 0.0, 0.0]
    assert_allclose(found["cross_entropy"], SoftmaxCrossEntropy().value(np.array([scores]), np.array([0]))[0])
    assert (found["entropy"], found["terms"][1:]) == (0.0, [0.0, 0.0])
    found = talk("scores.target", scores=scores, shares=[1, 1, 2])
    P, Q = np.array(found["target"]), np.array(found["probabilities"])
    assert_allclose(P, [0.25, 0.25, 0.5])
    assert_allclose(found["cross_entropy"], -(P * np.log(Q)).sum())
    assert_allclose(found["entropy"], -(P * np.log(P)).sum())
    assert_allclose(found["divergence"], (P * np.log(P / Q)).sum())


@pytest.mark.parametrize(
    ("shares", "words"),
    [([0, 0, 0], "one at least is above 0"), ([1, -1, 1], "numbers >= 0"), ([1, 1], "one for each of 3 scores")],
)
def test_shares_that_are_no_target_are_refused(talk, shares, words):
    assert words in talk.error("scores.target", scores=[1, 2, 3], shares=shares)
