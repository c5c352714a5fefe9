"""Bad input gets one line that names what was found and what was expected."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.errors import IncompatibleError, LabelError, ParameterError, ShapeError
from linprobe.losses import LOSSES, Loss, MulticlassHinge, SquaredHinge, make_loss

SCORES = np.zeros((2, 3))


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("scores", "y", "error", "message"),
    [
        (SCORES, np.array([0]), ShapeError, r"y has shape \(1,\) but scores has 2 rows"),
        (SCORES, np.array([0, 3]), LabelError, r"y\[1\] = 3 but scores has 3 classes"),
        (SCORES, np.array([-1, 0]), LabelError, r"y\[0\] = -1"),
        (SCORES, np.array([0.0, 1.0]), LabelError, "y has dtype float64"),
        (SCORES[0], np.array([0, 1]), ShapeError, r"scores has shape \(3,\)"),
        (SCORES.astype(int), np.array([0, 1]), ShapeError, "scores has dtype int64; expected floats"),
    ],
)
def test_scores_and_labels_that_do_not_fit_are_refused(name, scores, y, error, message):
    with pytest.raises(error, match=message):
        LOSSES[name]().value_and_gradient(scores, y)


@pytest.mark.parametrize("loss", [MulticlassHinge, SquaredHinge])
@pytest.mark.parametrize("delta", [0.0, -1.0, float("nan"), float("inf")])
def test_a_margin_that_is_not_a_positive_number_is_refused(loss, delta):
    with pytest.raises(ParameterError, match=r"delta = .*; expected a finite number > 0"):
        loss(delta=delta)


def test_an_unknown_loss_lists_the_known_ones():
    with pytest.raises(ParameterError, match="loss = 'squared_hinge'; expected one of hinge, squared-hinge, softmax"):
        make_loss("squared_hinge")


def test_an_unknown_parameter_of_a_loss_lists_the_known_ones():
    with pytest.raises(ParameterError, match="'hinge' has no parameter 'beta'; it has delta"):
        make_loss("hinge", beta=1.0)
    with pytest.raises(ParameterError, match="'softmax' has no parameter 'delta'; it has none"):
        make_loss("softmax", delta=1.0)


@pytest.mark.parametrize("name", LOSSES)
def test_name_and_parameters_make_the_same_loss_again(name):
    taken = {one.name for one in getattr(LOSSES[name], "parameter_info", ())}
    loss = LOSSES[name](**({"delta": 0.25} if "delta" in taken else {}))
    assert make_loss(loss.name, **loss.parameters) == loss


def test_a_loss_without_a_conjugate_says_so():
    class Absolute(Loss):
        name, smooth = "absolute", False

        def value_and_gradient(self, scores, y):
            return np.abs(scores).sum(axis=1), np.sign(scores)

    with pytest.raises(IncompatibleError, match="Absolute has no conjugate"):
        Absolute().conjugate(SCORES, np.array([0, 1]))
    assert Absolute().curvature(3) == np.inf
    assert Absolute().kinks(SCORES, np.array([0, 1])).shape == (2, 0)
