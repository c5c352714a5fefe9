"""Contributions: their sums are the scores, whatever the model reads, and each pixel has its own."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.classifiers.linear import LinearClassifier
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.explain.contributions import contributions, contributions_picture


@pytest.mark.parametrize("preprocess", ["none", "center", "standardize"])
@pytest.mark.parametrize(("shape", "n_classes"), [((8, 8, 1), 2), ((3, 7, 3), 5)])
def test_the_sum_over_the_pixels_and_the_bias_are_the_scores(make_model, preprocess, shape, n_classes):
    model, images = make_model(shape, n_classes, preprocess=preprocess)
    for image in images.images[[0, -1]]:
        found = contributions(model, image)
        assert found.shape == (n_classes, *shape[:2])
        raw = image.ravel().astype(np.float64)
        expected = (
            model.weights_ @ (raw if model.affine_ is None else raw * model.affine_.scale + model.affine_.shift)
            + model.bias_
        )
        assert_allclose(found.sum(axis=(1, 2)) + model.bias_, expected, rtol=1e-12, atol=1e-12)
        assert_allclose(expected, model.scores(image.reshape(1, -1))[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("spec", ["pixels", "hog", "color", "patches", "pixels+hog+color"])
def test_of_features_too(make_model, spec, mirror):
    options = {"mirror": mirror, **({"patches": 4, "size": 3} if spec == "patches" else {})}
    model, images = make_model((16, 18, 3), 3, spec, options)
    found = contributions(model, images.images[4])
    row = model.features_.transform(images.images[4:5]).astype(np.float16)
    assert_allclose(found.sum(axis=(1, 2)) + model.bias_, model.scores(row)[0], rtol=1e-4, atol=1e-4)


def test_a_pixel_like_the_mean_image_adds_nothing(make_model):
    model, images = make_model((4, 4, 1), 3)
    image = images.images.mean(axis=0)
    image[2, 1] += 10.0
    found = contributions(model, image)
    assert (np.abs(found[:, 2, 1]) > 0).all()
    found[:, 2, 1] = 0.0
    assert_allclose(found, 0.0, atol=1e-12)


def test_grey_pictures_need_no_axis_of_channels_and_rows_of_an_array_may_be_pictures(make_model):
    model, images = make_model((4, 5, 1), 3)
    assert_allclose(contributions(model, images.images[0, :, :, 0]), contributions(model, images.images[0]))
    by_rows = LinearClassifier(tol=1e-3, reg=1e-2).fit(images.X, images.y)
    assert_allclose(contributions(by_rows, images.images[0]), contributions(model, images.images[0]), atol=1e-6)


def test_what_is_no_picture_of_the_model_is_refused(make_model):
    model, images = make_model((4, 5, 1), 3)
    with pytest.raises(IncompatibleError, match="trained on images of 4x5x1; resize it to 4x5"):
        contributions(model, np.zeros((5, 4)))
    with pytest.raises(IncompatibleError, match="Use algebra for vectors"):
        contributions(model, images.X[0])
    broken = images.images[0].astype(np.float64)
    broken[1, 2, 0] = np.nan
    with pytest.raises(ParameterError, match=r"image\[1, 2, 0\] = nan"):
        contributions(model, broken)


def test_the_picture_compares_the_two_highest_scores_or_those_asked_for(make_model):
    model, images = make_model((8, 8, 3), 4)
    image = images.images[0]
    ranked = np.argsort(-model.scores(image.reshape(1, -1))[0])
    names = model.class_names_
    alt = contributions_picture(model, image).alt
    assert f"of {names[ranked[0]]} (" in alt
    assert f"and {names[ranked[1]]} (" in alt
    assert f"and {names[ranked[0]]} (" in contributions_picture(model, image, second=int(ranked[0])).alt
    text = contributions_picture(model, image, "fox", 3)
    assert f"of fox ({model.scores(image.reshape(1, -1))[0, 1]:.4g}" in text.alt
    assert ">dog<" in text.svg()
    assert text.png(50)
    for wrong in [("hen", 0), ("mouse", 1), (0, 4), (-1, 0)]:
        with pytest.raises(ParameterError, match="class"):
            contributions_picture(model, image, *wrong)


def test_two_classes_and_no_weights_are_drawn(make_model):
    model, images = make_model((2, 9, 1), 2)
    model.weights_[:] = 0.0
    assert contributions_picture(model, images.images[0]).png(50)
