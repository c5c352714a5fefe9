"""A loss of the user's ends in the same way whatever it is called: optimizers go by what a loss declares."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from linprobe.losses import Loss, SoftmaxCrossEntropy, SquaredHinge
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS, SGD, Exact, GradientDescent, Optimizer, Solution


class Wrapped(Loss):
    """Another loss, declared with no more than the exact optimizers need."""

    smooth: ClassVar[bool] = True
    inner: ClassVar[Loss]

    def curvature(self, n_classes):
        return self.inner.curvature(n_classes)

    def value_and_gradient(self, scores, y):
        return self.inner.value_and_gradient(scores, y)

    def conjugate(self, gradient, y):
        return self.inner.conjugate(gradient, y)

    def balanced(self, shares, columns):
        return self.inner.balanced(shares, columns)

    def dual_size(self, value, n_classes):
        return self.inner.dual_size(value, n_classes)


class Logarithmic(Wrapped):
    """log(1 + sum_{j != y} exp(s_j - s_y)), without a word of its infimum at infinity."""

    name: ClassVar[str] = "logarithmic"
    inner = SoftmaxCrossEntropy()


class CalledSoftmax(Logarithmic):
    name: ClassVar[str] = "softmax"


class CalledHinge(Logarithmic):
    name: ClassVar[str] = "hinge"


class CalledSquaredHinge(Logarithmic):
    name: ClassVar[str] = "squared-hinge"


class Quadratic(Wrapped):
    """The squared hinge, called softmax: it has a minimum where softmax has none."""

    name: ClassVar[str] = "softmax"
    inner = SquaredHinge()


OPTIMIZERS: dict[str, Optimizer] = {
    "exact": Exact(tol=1e-4, max_iter=100),
    "lbfgs": LBFGS(tol=1e-4, max_iter=100),
    "gd": GradientDescent(tol=1e-3, max_iter=100),
    "sgd": SGD(epochs=3, seed=0),
}


def found(optimizer: Optimizer, loss: Loss, reg: float, separable: bool) -> Solution:
    random = np.random.default_rng(0)
    y = np.arange(60) % 3
    X = random.normal(size=(60, 4)) + (20.0 if separable else 1.0) * np.eye(3, 4)[y]
    return optimizer.minimize(Objective(X, y, loss=loss, penalty="l2" if reg else None, reg=reg))


@pytest.mark.parametrize("named", [CalledSoftmax, CalledHinge, CalledSquaredHinge])
@pytest.mark.parametrize(("reg", "separable"), [(0.1, False), (0.0, False), (0.0, True)])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=list(OPTIMIZERS))
def test_a_loss_that_bears_the_name_of_a_built_in_one_ends_as_under_its_own(optimizer, reg, separable, named):
    own, borrowed = (found(optimizer, loss, reg, separable) for loss in (Logarithmic(), named()))
    assert borrowed.status is own.status
    assert_array_equal(borrowed.W, own.W)
    assert_array_equal(borrowed.b, own.b)
    in_own_words = {about: words.replace(named.name, Logarithmic.name) for about, words in borrowed.chosen.items()}
    assert in_own_words == own.chosen


def test_a_squared_hinge_called_softmax_has_a_minimum_where_softmax_has_none():
    own, borrowed = (found(LBFGS(tol=1e-6), loss, 0.0, True) for loss in (SquaredHinge(), Quadratic()))
    assert borrowed.status is own.status
    assert found(LBFGS(tol=1e-6), SoftmaxCrossEntropy(), 0.0, True).status is not own.status
