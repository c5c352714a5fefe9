"""The algebraic view: its numbers are those of the model and of the losses, and each stands in the picture."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.classifiers.linear import LinearClassifier
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.explain.algebra import algebra, algebra_picture
from linprobe.losses import Loss


def numbers(picture):
    """All numbers of the drawing, with their signs."""
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", picture.svg())
    return [t.replace("\N{MINUS SIGN}", "-") for t in texts]


@pytest.mark.parametrize("preprocess", ["none", "center", "standardize"])
def test_the_scores_are_those_of_the_model(make_model, preprocess):
    model, images = make_model((4, 5, 3), 3, preprocess=preprocess)
    for image in images.images[:2]:
        found = algebra(model, image)
        assert found.raw.tolist() == image.ravel().tolist()
        assert_allclose(found.W @ found.x + found.b, found.scores)
        assert_allclose(found.products + found.b, found.scores)
        assert_allclose(found.scores, model.scores(image.reshape(1, -1))[0], rtol=1e-5, atol=1e-5)
        assert found.label is found.terms is found.value is None


@pytest.mark.parametrize("delta", [1.0, 2.5])
@pytest.mark.parametrize("loss", ["hinge", "squared-hinge"])
def test_the_terms_of_the_hinge_are_margins_that_are_violated(make_model, loss, delta):
    model, images = make_model((4, 4, 1), 4, loss=loss, delta=delta)
    for label in range(4):
        found = algebra(model, images.images[0], label)
        s = found.scores
        margins = [0.0 if j == label else max(0.0, s[j] - s[label] + delta) for j in range(4)]
        assert_allclose(found.terms, margins if loss == "hinge" else np.square(margins))
        assert_allclose(found.value, sum(found.terms))


def test_the_terms_of_softmax_are_probabilities(make_model):
    model, images = make_model((4, 4, 1), 3)
    found = algebra(model, images.images[5], "fox")
    assert found.label == 1
    assert_allclose(found.terms, np.exp(found.scores) / np.exp(found.scores).sum())
    assert_allclose(found.value, -np.log(found.terms[1]))


def test_another_loss_has_a_value_and_no_terms(make_model):
    class Distance(Loss):
        """(s_y - 1)²."""

        name, smooth = "distance", True

        def value_and_gradient(self, scores, y):
            rows = np.arange(len(y))
            gradient = np.zeros_like(scores)
            gradient[rows, y] = 2 * (scores[rows, y] - 1)
            return (scores[rows, y] - 1) ** 2, gradient

    model, images = make_model((4, 4, 1), 3)
    model.loss_ = Distance()
    found = algebra(model, images.images[0], 2)
    assert found.terms is None
    assert_allclose(found.value, (found.scores[2] - 1) ** 2)
    assert "distance" in algebra_picture(model, images.images[0], 2).svg()


def test_of_two_classes_and_two_features_each_number_is_written_out():
    random = np.random.default_rng(0)
    X = random.normal(size=(40, 2))
    model = LinearClassifier(loss="hinge").fit(X, np.where(X @ [1, 2] > 0, "yes", "no"))
    texts = numbers(algebra_picture(model, X[3], "no"))
    found = algebra(model, X[3], "no")
    for value in [*found.W.ravel(), *found.x, *found.products, *found.b, *found.scores, *found.terms]:
        assert any(re.fullmatch(r"-?[\d.]+(e-?\d+)?", t) and np.isclose(float(t), value, atol=0.006) for t in texts)
    assert {"yes", "no"} <= set(texts)


@pytest.mark.parametrize(("shape", "n_classes"), [((1, 2, 1), 2), ((9, 4, 3), 10), ((3, 20, 2), 40)])
def test_every_shape_and_number_of_classes_is_drawn(make_model, shape, n_classes):
    model, images = make_model(shape, n_classes, optimizer="sgd", epochs=1)
    for loss in (None, n_classes - 1):
        picture = algebra_picture(model, images.images[0], loss)
        assert picture.png(50)
        assert ("12 of 40 classes" in picture.svg()) == (n_classes == 40)
    assert algebra_picture(model, images.images[0, ..., 0]).png(50) if shape[2] == 1 else True


def test_the_class_of_the_image_is_drawn_though_its_score_is_low(make_model):
    model, images = make_model((4, 5, 1), 40, optimizer="sgd", epochs=1)
    lowest = int(algebra(model, images.images[0]).scores.argmin())
    assert model.class_names_[lowest] not in numbers(algebra_picture(model, images.images[0]))
    assert model.class_names_[lowest][:12] in "".join(numbers(algebra_picture(model, images.images[0], lowest)))


def test_features_and_vectors_and_zeros_are_drawn(make_model):
    model, images = make_model((16, 16, 3), 3, "hog+color")
    assert "columns of W are drawn" in algebra_picture(model, images.images[0], 0).svg()
    row = model.features_.transform(images.images[:1]).astype(np.float16)[0]
    assert_allclose(algebra(model, row).scores, algebra(model, images.images[0]).scores)
    model, images = make_model((2, 2, 1), 2)
    model.weights_[:], model.bias_[:] = 0.0, 0.0
    assert algebra_picture(model, images.images[0], 1).png(50)
    assert algebra(model, images.X[0]).raw.shape == (4,)


def test_what_does_not_fit_is_refused(make_model):
    model, images = make_model((4, 4, 1), 3)
    with pytest.raises(ParameterError, match="class 'mouse'"):
        algebra(model, images.images[0], "mouse")
    with pytest.raises(ParameterError, match="class 3"):
        algebra(model, images.images[0], 3)
    with pytest.raises(IncompatibleError, match="4x4x1"):
        algebra(model, np.zeros((4, 5, 1)))
    with pytest.raises(IncompatibleError, match="15 numbers, but the model reads 16"):
        algebra(model, np.zeros(15))
    with pytest.raises(ParameterError, match=r"image\[0\] = inf"):
        algebra(model, np.full(16, np.inf))


def test_a_loss_of_the_users_that_is_called_softmax_has_no_probabilities():
    class Distance(Loss):
        name = "softmax"
        smooth = True

        def value_and_gradient(self, scores, y):
            miss = scores - np.eye(scores.shape[1])[y]
            return np.square(miss).sum(axis=1), 2.0 * miss

    random = np.random.default_rng(0)
    X, y = random.normal(size=(30, 4)), np.arange(30) % 3
    model = LinearClassifier(loss=Distance(), optimizer="sgd", epochs=1, random_state=0).fit(X, y)
    found = algebra(model, X[0], 1)
    assert found.terms is None
    assert not found.probabilities
    assert "softmax: loss =" in algebra_picture(model, X[0], 1).svg()
