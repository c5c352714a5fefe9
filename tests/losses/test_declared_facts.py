"""What losses declare of themselves: optimizers go by it, and not by names."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.classifiers.linear import LinearClassifier
from linprobe.classifiers.linear_cv import LinearClassifierCV
from linprobe.equivalents import equivalents
from linprobe.errors import IncompatibleError
from linprobe.explain.algebra import algebra
from linprobe.losses import LOSSES, MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.losses.base import Loss
from linprobe.objective import Objective
from linprobe.optimizers import LBFGS, Status
from linprobe.penalties import L2


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


@pytest.fixture
def namesake(monkeypatch):
    """A loss that is registered as "softmax", and is the squared hinge."""
    monkeypatch.setitem(LOSSES, "softmax", Namesake)
    random = np.random.default_rng(0)
    X, y = random.normal(size=(60, 4)), random.integers(0, 3, 60)
    return LinearClassifier(loss="softmax", optimizer="sgd", epochs=1, random_state=0).fit(X, y), X, y


def test_a_namesake_of_softmax_gives_no_probabilities(namesake):
    model, X, _ = namesake
    assert not hasattr(model, "predict_proba")
    assert not hasattr(LinearClassifierCV(loss=Namesake()), "predict_proba")
    with pytest.raises(IncompatibleError, match="the scores of Namesake are not probabilities"):
        model.loss_.probabilities(X)


def test_a_namesake_of_softmax_has_no_terms_and_no_equivalents_of_softmax(namesake):
    model, X, _ = namesake
    found = algebra(model, X[0], 1)
    assert found.terms is None
    assert not found.probabilities
    assert found.value == SquaredHinge().value(found.scores[None], np.array([1]))[0]
    lines = equivalents(Namesake(), L2(), 0.1, n_classes=3, total_weight=60, weighted=False)
    assert not any("CrossEntropyLoss" in line for line in lines)


def test_a_namesake_of_softmax_is_minimised_as_itself(namesake):
    _, X, y = namesake
    mine, own = (
        LinearClassifier(loss=loss, penalty="none", tol=1e-6).fit(X[:12], y[:12])
        for loss in (Namesake(), SquaredHinge())
    )
    assert mine.status_ == own.status_ != Status.SEPARABLE
    np.testing.assert_allclose(mine.certificate_.objective, own.certificate_.objective, rtol=1e-5, atol=1e-9)


def test_what_softmax_declares_holds():
    S, y = np.random.default_rng(1).normal(size=(50, 4)) * 5.0, np.arange(50) % 4
    for kind in LOSSES.values():
        loss = kind()
        if loss.gives_probabilities:
            np.testing.assert_allclose(loss.probabilities(S).sum(axis=1), 1.0, rtol=1e-12)
            np.testing.assert_allclose(np.log(loss.probabilities(S)), loss.log_probabilities(S), rtol=1e-9)
        if loss.is_cross_entropy:
            np.testing.assert_allclose(-loss.log_probabilities(S)[np.arange(50), y], loss.value(S, y), rtol=1e-9)
        if loss.margin_power is not None:
            margins = np.maximum(0.0, S - S[np.arange(50), y, None] + loss.unit)
            margins[np.arange(50), y] = 0.0
            np.testing.assert_allclose((margins**loss.margin_power).sum(axis=1), loss.value(S, y), rtol=1e-12)


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
