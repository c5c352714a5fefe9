"""Templates: their weights give the scores, and every kind of model has its picture."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.classifiers.linear import LinearClassifier
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.explain.feature_templates import edge_weights, hue_weights, patch_weights
from linprobe.explain.templates import as_colors, signed, templates, templates_picture
from linprobe.features import feature_map


@pytest.mark.parametrize("preprocess", ["none", "unit", "center", "standardize"])
@pytest.mark.parametrize(("shape", "n_classes"), [((8, 8, 1), 2), ((3, 7, 3), 4)])
def test_a_level_more_in_a_pixel_moves_the_scores_by_its_weights(make_model, preprocess, shape, n_classes):
    model, images = make_model(shape, n_classes, preprocess=preprocess)
    found = templates(model)
    assert found.shape == (n_classes, *shape)
    image = images.images[0].astype(np.float64)
    row = image.reshape(1, -1)
    for place in [(0, 0, 0), tuple(n - 1 for n in shape)]:
        brighter = image.copy()
        brighter[place] += 1.0
        change = model.scores(brighter.reshape(1, -1))[0] - model.scores(row)[0]
        assert_allclose(change, found[(slice(None), *place)], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("mirror", [False, True])
def test_pixels_as_features_have_templates_too(make_model, mirror):
    model, images = make_model((4, 6, 3), 3, "pixels", {"mirror": mirror})
    pictures = images.images[:5]
    S = model.scores(model.features_.transform(pictures))
    found = np.einsum("khwc,nhwc->nk", templates(model), pictures.astype(np.float64))
    assert_allclose(found - found[0], S - S[0], atol=1e-3)  # the bias apart; features are kept in float16


def test_rows_of_an_array_are_pictures_when_their_shape_is_told():
    random = np.random.default_rng(0)
    X = random.integers(0, 256, (30, 15)).astype(np.uint8)
    model = LinearClassifier().fit(X, np.arange(30) % 3)
    with pytest.raises(IncompatibleError, match="give image_shape"):
        templates(model)
    assert templates(model, (3, 5)).shape == (3, 3, 5, 1)
    assert_allclose(templates(model, (3, 5)).reshape(3, 15), model.coef_)
    with pytest.raises(IncompatibleError, match="15 numbers"):
        templates(model, (3, 4))


def test_what_was_not_trained_on_pixels_has_no_templates(make_model):
    model, _ = make_model((16, 16, 3), 3, "hog")
    with pytest.raises(IncompatibleError, match="hog features"):
        templates(model)


def test_a_model_that_is_not_trained_or_broken_is_refused(make_model):
    with pytest.raises(ParameterError, match="not trained"):
        templates(LinearClassifier())
    model, _ = make_model()
    model.weights_[1, 2] = np.nan
    for function in (templates, templates_picture):
        with pytest.raises(ParameterError, match=r"W\[1, 2\] = nan"):
            function(model)


def test_colours_are_grey_at_zero_and_one_scale_for_all_classes():
    weights = np.zeros((2, 1, 2, 3))
    weights[0, 0, 0] = [1.0, -1.0, 0.5]
    assert as_colors(weights)[0, 0].tolist() == [[255, 0, 191], [128, 128, 128]]
    assert (as_colors(weights)[1] == 128).all()
    assert (as_colors(np.zeros((2, 2, 2, 1))) == 128).all()
    assert signed(weights)[0].tolist() == [[0.5, 0.0]]


@pytest.mark.parametrize("kind", ["signed", "color"])
@pytest.mark.parametrize(("shape", "n_classes"), [((8, 8, 1), 2), ((1, 9, 3), 5), ((20, 3, 2), 11), ((4, 4, 3), 70)])
def test_every_shape_and_number_of_classes_is_drawn(make_model, kind, shape, n_classes):
    model, _ = make_model(shape, n_classes, optimizer="sgd", epochs=1)
    picture = templates_picture(model, kind)
    assert picture.png(50).startswith(b"\x89PNG")
    drawn = re.findall(r"<image ", picture.svg())
    assert len(drawn) >= min(n_classes, 60)
    assert str(n_classes) in picture.alt


def test_weights_that_are_all_zero_are_drawn(make_model):
    for parts in ((None, {}), ("hog+color", {})):
        model, _ = make_model((16, 16, 3), 3, *parts)
        model.weights_[:] = 0.0
        for kind in ("signed", "color"):
            assert templates_picture(model, kind).png(50)


def test_names_may_be_given_and_must_be_as_many_as_the_classes(make_model):
    model, _ = make_model()
    assert ">mouse<" in templates_picture(model, class_names=["mouse", "b", 3]).svg()
    with pytest.raises(ParameterError, match="2 names; expected 3"):
        templates_picture(model, class_names=["a", "b"])
    with pytest.raises(ParameterError, match="signed or color"):
        templates_picture(model, "rgb")


@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("hog", {}),
        ("hog", {"signed": False, "orientations": 9}),
        ("hog", {"mirror": True, "orientations": 5}),
        ("color", {"grid": 2, "soft": False}),
        ("patches", {"patches": 6, "grid": 2, "size": 4}),
        ("patches", {"patches": 6, "grid": 2, "size": 4, "mirror": True}),
        ("pixels+hog+color+patches", {"patches": 4, "grid": 2}),
    ],
)
def test_features_have_a_picture_of_their_own(make_model, spec, options):
    model, _ = make_model((17, 16, 3), 3, spec, options)
    picture = templates_picture(model)
    assert picture.png(50).startswith(b"\x89PNG")
    assert len(picture.svg()) < 400_000
    for word in {"hog": ["strokes"], "color": ["hue"], "patches": ["patches"]}.get(
        spec, ["strokes", "hue", "template"]
    ):
        assert word in picture.alt + picture.svg()


def test_vectors_have_bars_of_their_largest_weights():
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 30))
    model = LinearClassifier().fit(X, np.where(X[:, 17] > 0, "yes", "no"))
    text = templates_picture(model).svg()
    assert text.count(">17<") == 2
    assert ">yes<" in text


def test_edges_run_across_their_gradient_and_both_signs_count():
    maps = feature_map("hog", scales=1).fit(np.zeros((1, 16, 16, 1), np.uint8))
    brightens_right = np.tile(np.linspace(0, 255, 16), (16, 1)).astype(np.uint8)[None, :, :, None]
    values = maps.transform(brightens_right).astype(np.float64)
    cells, directions = edge_weights(maps, values)
    assert cells.shape == (1, 4, 4, 6)
    strongest = directions[cells[0].sum(axis=(0, 1)).argmax()]
    assert np.isclose(np.cos(strongest), 0.0, atol=1e-9)  # it runs upright
    mirrored = edge_weights(maps, maps.transform(255 - brightens_right).astype(np.float64))[0]
    assert mirrored[0].sum(axis=(0, 1)).argmax() == cells[0].sum(axis=(0, 1)).argmax()
    assert_allclose(cells.sum(), values.sum())


def test_a_table_of_colours_and_the_weights_of_patches_are_found_again():
    images = np.random.default_rng(0).integers(0, 256, (40, 12, 12, 3)).astype(np.uint8)
    color = feature_map("color", grid=2, hue_bins=3, saturation_bins=2).fit(images)
    W = np.zeros((1, color.n_features))
    W.reshape(4, 3, 2)[:, 2, 1] = [1.0, 2.0, 3.0, 2.0]
    assert hue_weights(color, W)[0].tolist() == [[0, 0, 0], [0, 0, 2.0]]
    patches = feature_map("patches", patches=5, size=3, grid=2).fit(images)
    W = np.zeros((1, patches.n_features))
    W.reshape(4, 2, 5)[:, 1, 3] = 1.0
    assert patch_weights(patches, W)[0].tolist() == [[0] * 5, [0, 0, 0, 4.0, 0]]


def test_the_picture_of_a_patch_is_what_its_filter_answers_to_most():
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    maps = feature_map("patches", patches=7, size=4, grid=1).fit(images)
    pictures = maps.patch_pictures()
    assert pictures.shape == (7, 4, 4, 3)
    whitened = pictures.reshape(7, -1) @ maps.whiten
    responses = (whitened / np.linalg.norm(whitened, axis=1, keepdims=True)) @ maps.filters.T
    assert_allclose(np.diag(responses), 1.0, atol=1e-4)


def test_features_of_two_scales_have_a_panel_each():
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), dtype=np.uint8)
    features = feature_map("color+color/2", grid=2).fit(images)
    model = LinearClassifier(max_iter=5, tol=1e-1).fit(features.transform(images), np.arange(12) % 3)
    model.features_ = features
    assert len(templates_picture(model).alt.split(";")) == 2
