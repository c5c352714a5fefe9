"""The geometric view: lines, normals and margins against the scores, regions of anything, and exact slices."""

from __future__ import annotations

import itertools
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.classifiers.linear import LinearClassifier
from linprobe.classifiers.nearest_neighbors import NearestNeighbors
from linprobe.errors import IncompatibleError, LabelError, ParameterError, ShapeError
from linprobe.explain.planes import planes, planes_picture, regions_picture, slice_picture, slice_plane


def points(n_classes, per_class=20, seed=0):
    random = np.random.default_rng(seed)
    y = np.repeat(np.arange(n_classes), per_class)
    angle = 2 * np.pi * y / n_classes
    return random.normal(scale=0.6, size=(len(y), 2)) + 2 * np.stack([np.cos(angle), np.sin(angle)], axis=1), y


@pytest.mark.parametrize("preprocess", ["none", "standardize"])
def test_on_a_line_the_score_is_zero_and_the_normal_points_to_where_it_grows(preprocess):
    X, y = points(4)
    model = LinearClassifier(preprocess=preprocess).fit(3 * X + 5, y)
    found = planes(model)
    assert found.classes.tolist() == [0, 1, 2, 3]
    assert found.margin is None
    for k, normal, offset in zip(found.classes, found.normals, found.offsets, strict=True):
        foot = -offset * normal / (normal @ normal)
        along = np.array([-normal[1], normal[0]])
        for step in (-2.0, 0.0, 3.0):
            assert_allclose(model.scores((foot + step * along)[None])[0, k], 0.0, atol=1e-9)
        assert model.scores((foot + 0.1 * normal)[None])[0, k] > 0


def test_two_classes_have_one_plane_where_their_scores_are_equal():
    X, y = points(2)
    model = LinearClassifier(loss="hinge", delta=2.0).fit(X, np.array(["no", "yes"])[y])
    found = planes(model)
    assert found.normals.shape == (1, 2)
    assert found.margin == 2.0
    assert_allclose(X @ found.normals[0] + found.offsets[0], model.decision_function(X), atol=1e-9)


@pytest.mark.parametrize("loss", ["softmax", "hinge", "squared-hinge"])
@pytest.mark.parametrize("n_classes", [2, 3, 12])
def test_planes_are_drawn_with_the_points_of_every_class(loss, n_classes):
    X, y = points(n_classes)
    names = np.array([f"class {k}" for k in range(n_classes)])
    model = LinearClassifier(loss=loss, reg=1e-3, tol=1e-3).fit(X, names[y])
    picture = planes_picture(model, X, names[y])
    text = picture.svg()
    assert all(f">{name}<" in text for name in names)
    assert ("margin" in picture.alt) == (loss != "softmax")
    assert f"{1 if n_classes == 2 else n_classes} plane" in picture.alt
    assert picture.png(50)


def test_a_plane_of_zero_weights_a_single_point_and_none_are_drawn():
    X, y = points(3)
    model = LinearClassifier(loss="hinge", reg=1e-2).fit(X, y)
    model.weights_[:] = 0.0
    assert planes_picture(model, X, y).png(50)
    assert planes_picture(model, X[:1], y[:1]).png(50)
    assert planes_picture(model, X[:0], y[:0]).png(50)


def test_corners_may_be_given():
    X, y = points(3)
    picture = planes_picture(LinearClassifier().fit(X, y), X, y, low=(-9, -8), high=(10, 11))
    axes = picture.figure.axes[0]
    assert axes.get_xlim() == (-9, 10)
    assert axes.get_ylim() == (-8, 11)


def test_regions_are_those_that_the_classifier_predicts():
    X, y = points(3)
    names = np.array(["a", "b", "c"])
    classifier = NearestNeighbors(k=3).fit(X, names[y])
    picture = regions_picture(classifier, X, names[y])
    image = np.asarray(picture.figure.axes[0].images[0].get_array())
    left, right, bottom, top = picture.figure.axes[0].images[0].get_extent()
    grid = np.stack(np.meshgrid(np.linspace(left, right, 240), np.linspace(bottom, top, 240)), axis=-1)
    predicted = classifier.predict(grid.reshape(-1, 2)).reshape(240, 240)
    colours = [np.unique(image[predicted == name], axis=0) for name in names]
    assert [len(c) for c in colours] == [1, 1, 1]
    assert len(np.unique(np.concatenate(colours), axis=0)) == 3


def test_of_many_points_a_thousand_are_drawn():
    X, y = points(2, per_class=800)
    picture = regions_picture(LinearClassifier().fit(X, y), X, y)
    assert "1000 of 1600 points" in picture.alt
    assert 900 < len(re.findall(r"<use ", picture.svg())) < 1200


def test_labels_may_be_positions_where_the_classes_are_names():
    X, y = points(3)
    model = LinearClassifier().fit(X, np.array(["a", "b", "c"])[y])
    assert planes_picture(model, X, y).svg() == planes_picture(model, X, np.array(["a", "b", "c"])[y]).svg()
    with pytest.raises(LabelError, match="d, not among the classes a, b, c"):
        planes_picture(model, X[:1], np.array(["d"]))
    shifted = LinearClassifier().fit(X, y + 1)
    with pytest.raises(LabelError, match="0, not among the classes 1, 2, 3"):
        planes_picture(shifted, X, y)


def test_what_is_not_in_the_plane_is_refused(make_model):
    model, images = make_model((4, 4, 1), 3)
    with pytest.raises(IncompatibleError, match="rows of 16 numbers"):
        planes(model)
    with pytest.raises(IncompatibleError, match="rows of 16 numbers"):
        regions_picture(model, images.X, images.y)
    X, y = points(3)
    fitted = LinearClassifier().fit(X, y)
    with pytest.raises(ParameterError, match=r"X\[3, 1\] = nan"):
        planes_picture(fitted, np.where(np.arange(len(X) * 2).reshape(-1, 2) == 7, np.nan, X), y)
    with pytest.raises(ShapeError, match="a label for each"):
        planes_picture(fitted, X, y[:-1])
    with pytest.raises(ParameterError, match="low below high"):
        planes_picture(fitted, X, y, low=(0, 0), high=(0, 1))


@pytest.mark.parametrize("n_classes", [2, 3, 6])
def test_in_a_slice_the_differences_of_the_scores_are_exact(make_model, n_classes):
    model, images = make_model((5, 4, 3), n_classes, loss="hinge")
    found = slice_plane(model, images.images, images.y)
    S = model.scores(images.X[found.rows])[:, found.classes]
    T = found.points @ found.normals.T + found.offsets
    assert len(found.classes) == min(n_classes, 3)
    assert_allclose(found.basis @ found.basis.T, np.eye(2), atol=1e-12)
    for a, b in itertools.combinations(range(len(found.classes)), 2):
        assert_allclose(T[:, a] - T[:, b], S[:, a] - S[:, b], rtol=1e-5, atol=1e-5)
    assert set(images.y[found.rows]) == set(found.classes)


def test_the_classes_of_a_slice_may_be_chosen(make_model):
    model, images = make_model((5, 4, 1), 5)
    assert slice_plane(model, images.images, images.y, ["fox", 3]).classes.tolist() == [1, 3]
    for wrong in (["fox"], ["fox", 1], [0, 1, 2, 3], ["mouse", 1]):
        with pytest.raises(ParameterError, match="class"):
            slice_plane(model, images.images, images.y, wrong)


def test_unless_chosen_they_are_those_that_are_confused():
    random = np.random.default_rng(0)
    y = np.repeat(np.arange(6), 40)
    centres = 8 * np.eye(6)
    centres[4] = centres[1] + 0.1
    centres[5] = centres[1] + 1.2
    X = random.normal(size=(240, 6)) + centres[y]
    model = LinearClassifier().fit(X, y)
    assert slice_plane(model, X, y).classes.tolist() == [1, 4, 5]


@pytest.mark.parametrize("features", [None, "hog"])
@pytest.mark.parametrize("n_classes", [2, 4])
def test_slices_are_drawn(make_model, features, n_classes):
    model, images = make_model((16, 16, 1), n_classes, features, loss="hinge")
    picture = slice_picture(model, images.images, images.y)
    assert picture.png(50)
    assert "projected" in picture.alt
    assert ">hen<" in picture.svg()


def test_a_slice_of_zero_weights_and_of_equal_images_is_a_plane_still(make_model):
    model, images = make_model((3, 3, 1), 3)
    model.weights_[:] = 0.0
    for pictures in (images.images, np.zeros_like(images.images)):
        found = slice_plane(model, pictures, images.y)
        assert_allclose(found.basis @ found.basis.T, np.eye(2), atol=1e-9)
        assert slice_picture(model, pictures, images.y).png(50)
    assert found.normals.tolist() == [[0.0, 0.0]] * 3


def test_a_slice_needs_two_numbers_and_a_label_for_each_image(make_model):
    model, images = make_model((4, 4, 1), 3)
    with pytest.raises(ShapeError, match="expected one label per image"):
        slice_plane(model, images.images[:-1], images.y)
    single = LinearClassifier().fit(np.arange(6.0)[:, None], [0, 0, 0, 1, 1, 1])
    with pytest.raises(IncompatibleError, match="at least 2"):
        slice_plane(single, np.arange(6.0)[:, None], np.array([0, 0, 0, 1, 1, 1]))
