"""What losses declare of themselves: optimizers go by it, and not by names."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.losses.base import Loss
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS, Status


class Wrapped(Loss):
    """A loss of the package under another type."""

    smooth = True
    inner: Loss

    def value_and_gradient(self, scores, y):
        return self.inner.value_and_gradient(scores, y)

    def curvature(self, n_classes):
        return self.inner.curvature(n_classes)

    def conjugate(self, gradient, y):
        return self.inner.conjugate(gradient, y)

    def balanced(self, shares, columns):
        return self.inner.balanced(shares, columns)


class Namesake(Wrapped):
    """The squared hinge under the name of softmax."""

    name, inner = "softmax", SquaredHinge()


class LeastAtInfinity(Wrapped):
    """Softmax under another name."""

    name, inner, infimum_at_infinity = "mine", SoftmaxCrossEntropy(), True


@pytest.mark.parametrize("delta", [0.1, 1.0, 30.0])
def test_the_unit_of_the_hinges_is_their_margin_and_that_of_softmax_is_one(delta):
    assert MulticlassHinge(delta).unit == SquaredHinge(delta).unit == delta
    assert SoftmaxCrossEntropy().unit == Namesake().unit == 1.0


@pytest.mark.parametrize("loss", [MulticlassHinge(), SquaredHinge(), SoftmaxCrossEntropy()])
def test_a_loss_that_is_least_at_infinity_falls_for_ever_and_others_reach_their_least_value(loss):
    y = np.zeros(1, np.int64)
    values = [float(loss.value(np.array([[0.0, -s]]), y)[0]) for s in (1.0, 10.0, 100.0)]
    assert (values[0] > values[1] > values[2] > 0.0) == loss.infimum_at_infinity
    assert (values[2] == 0.0) != loss.infimum_at_infinity


def test_separable_classes_have_no_minimum_under_a_loss_that_says_so_whatever_its_name():
    X, y = np.array([[-2.0], [-1.0], [1.0], [2.0]]), np.array([0, 0, 1, 1])
    ends = {
        type(loss): LBFGS().minimize(Objective(X, y, loss=loss, penalty=None, reg=0.0)).status
        for loss in (Namesake(), LeastAtInfinity(), SoftmaxCrossEntropy(), SquaredHinge())
    }
    assert ends[Namesake] is ends[SquaredHinge] is Status.CERTIFIED  # the loss of 0 is reached
    assert ends[LeastAtInfinity] is ends[SoftmaxCrossEntropy] is Status.SEPARABLE


def test_a_class_without_images_takes_no_probability_from_the_others_whatever_the_loss_is_called():
    X, y = np.random.default_rng(0).normal(size=(40, 3)), np.arange(40) % 2
    objectives = [
        Objective(X, y, loss=loss, penalty="l2", reg=0.1, n_classes=n_classes, engine="reference")
        for loss, n_classes in ((LeastAtInfinity(), 3), ("softmax", 2))
    ]
    found, alone = (LBFGS(tol=1e-8).minimize(objective).certificate for objective in objectives)
    assert found.objective == pytest.approx(alone.objective, rel=1e-6)
