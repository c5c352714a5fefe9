"""Patches: what is learnt, what is pooled, and what flips cost."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits

from linprobe.classifiers.model import LinearModel
from linprobe.data.base import EmbeddingSet
from linprobe.errors import IncompatibleError, ParameterError, ShapeError
from linprobe.features.fractional_pooling import edges, fractional_edges, regions_of
from linprobe.features.hog import HogMap
from linprobe.features.mirrored import MirroredMap
from linprobe.features.parse import feature_map, map_class
from linprobe.features.patches import PatchesMap

IMAGES, LABELS = load_digits(return_X_y=True)
IMAGES = np.round(IMAGES.reshape(-1, 8, 8, 1) * (255 / 16)).astype(np.uint8)


def small(**settings):
    return PatchesMap(**{"patches": 20, "size": 3, **settings})


def pictures(n=40, height=12, width=14, channels=3):
    coarse = np.random.default_rng(0).integers(0, 256, (n, 5, 5, channels))
    return np.kron(coarse, np.ones((1, 3, 3, 1), int))[:, :height, :width].astype(np.uint8)


def test_a_linear_classifier_on_patches_beats_one_on_pixels():
    train, test = slice(0, 1200), slice(1200, None)
    patches = small(patches=60).fit(IMAGES[train])
    accuracies = []
    for X in (patches.transform(IMAGES), IMAGES.reshape(len(IMAGES), -1).astype(np.float32) / 255):
        model = LinearModel(preprocess="standardize", reg=1e-2)
        model.fit_sets(EmbeddingSet(X[train], LABELS[train], tuple("0123456789"), "digits"))
        accuracies.append(np.mean(model.scores(X[test]).argmax(axis=1) == LABELS[test]))
    assert accuracies[0] > accuracies[1] + 0.01


@pytest.mark.parametrize("pooling", ["average", "max", "fractional", "fractional-random"])
@pytest.mark.parametrize("dictionary", ["patches", "k-means"])
def test_the_same_seed_gives_the_same_numbers_and_a_model_file_can_hold_them(pooling, dictionary):
    images = pictures()
    one, two = (small(pooling=pooling, dictionary=dictionary).fit(images, seed=3) for _ in range(2))
    X = one.transform(images)
    assert X.shape == (len(images), one.n_features)
    assert X.dtype == np.float32
    assert_array_equal(X, two.transform(images))
    assert_array_equal(X[5:7], one.transform(images[5:7]))
    other = small(pooling=pooling, dictionary=dictionary).fit(images, seed=4).transform(images)
    assert not np.array_equal(X, other)
    restored = PatchesMap.restored(one.settings(), one.fitted_shape, one.tensors())
    assert_array_equal(restored.transform(images), X)


@pytest.mark.parametrize("pooling", ["average", "max"])
@pytest.mark.parametrize("grid", [1, 2, 3])
def test_with_mirror_a_picture_and_its_mirror_image_have_the_same_features(pooling, grid):
    images = pictures()
    patches = small(mirror=True, pooling=pooling, grid=grid).fit(images)
    assert_allclose(patches.transform(images[:, :, ::-1]), patches.transform(images), atol=1e-6)
    assert patches.n_features == grid**2 * 20


def test_flips_by_the_mean_are_flips_of_the_training_pictures():
    """The optimum over pictures and mirror images has the objective, and gives the scores, of that over the means."""
    images, y = IMAGES[:300], LABELS[:300]
    hog, mirrored = (
        HogMap(cell_size=2, block_size=1).fit(images),
        MirroredMap(HogMap(cell_size=2, block_size=1)).fit(images),
    )
    doubled = np.concatenate([hog.transform(images), hog.transform(images[:, :, ::-1])]).astype(np.float64)
    means = mirrored.transform(images).astype(np.float64)
    names = tuple("0123456789")
    models = []
    for X, labels in ((doubled, np.concatenate([y, y])), (means, y)):
        model = LinearModel(preprocess="none", reg=1e-2, tol=1e-9)
        models.append(model.fit_sets(EmbeddingSet(X, labels, names, "digits")))
    assert models[0].certificate_.objective == pytest.approx(models[1].certificate_.objective, rel=1e-6)
    scores = [model.scores(X) for model, X in zip(models, (doubled, means), strict=True)]
    mean_of_both = 0.5 * (scores[0][:300] + scores[0][300:])
    assert_allclose(mean_of_both, scores[1], atol=1e-3 * np.abs(scores[1]).max())


def test_a_mirrored_map_is_stored_with_what_is_inside():
    images = pictures()
    made = feature_map("hog+color+patches", mirror=True, patches=10, size=4).fit(images)
    restored = map_class(made.name).restored(made.settings(), made.fitted_shape, made.tensors())
    assert restored.spec == "hog+color+patches"
    assert_array_equal(restored.transform(images), made.transform(images))


@pytest.mark.parametrize(("n", "grid"), [(5, 2), (9, 4), (27, 2), (4, 4), (7, 1)])
def test_a_plain_grid_covers_all_and_is_symmetric(n, grid):
    ranges = edges(n, grid)
    assert {i for a, b in ranges for i in range(a, b)} == set(range(n))
    assert [(n - b, n - a) for a, b in reversed(ranges)] == ranges


@pytest.mark.parametrize("pseudo", [True, False])
@pytest.mark.parametrize(("n", "grid"), [(27, 4), (27, 19), (10, 3), (6, 6), (8, 1)])
def test_fractional_ranges_cover_all_and_differ_by_one_at_most(n, grid, pseudo):
    seen = set()
    for seed in range(20):
        random = np.random.default_rng(seed)
        ranges = fractional_edges(n, grid, random, pseudo=pseudo, overlapping=False)
        assert [i for a, b in ranges for i in range(a, b)] == list(range(n))
        lengths = [b - a for a, b in ranges]
        assert min(lengths) >= 1
        assert max(lengths[:-1], default=1) - min(lengths[:-1], default=1) <= 1
        seen.add(tuple(ranges))
    assert len(seen) > 1 or n % grid == 0
    overlapping = fractional_edges(n, grid, np.random.default_rng(0), pseudo=pseudo, overlapping=True)
    assert all(b == c + 1 for (_, b), (c, _) in pairwise(overlapping))


def test_regions_are_places_row_by_row():
    assert [region.tolist() for region in regions_of(2, 3, 1, "max")] == [[0, 1, 2, 3, 4, 5]]
    assert [region.tolist() for region in regions_of(2, 4, 2, "average")] == [[0, 1], [2, 3], [4, 5], [6, 7]]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"patches": 1}, "patches = 1; expected at least 2"),
        ({"patches": 5, "mirror": True}, "come in pairs"),
        ({"pooling": "median"}, "expected one of average, max"),
        ({"dictionary": "sift"}, "expected one of patches, k-means"),
        ({"threshold": -0.1}, "threshold = -0.1"),
        ({"epsilon": float("nan")}, "epsilon = nan"),
    ],
)
def test_a_parameter_out_of_range_is_refused(settings, says):
    with pytest.raises(ParameterError, match=says):
        small(**settings)


def test_what_does_not_suit_the_pictures_is_refused():
    with pytest.raises(ParameterError, match=r"size = 6; the pictures are 5x9: a patch must fit"):
        PatchesMap(patches=4).fit(np.zeros((2, 5, 9, 3), np.uint8))
    with pytest.raises(ParameterError, match=r"grid = 9; the map of responses is 6x6"):
        small(grid=9).fit(IMAGES[:5])
    with pytest.raises(IncompatibleError, match="not symmetric"):
        small(mirror=True, pooling="fractional")
    with pytest.raises(ParameterError, match=r"must divide 5"):
        small(mirror=True, stride=2).fit(IMAGES[:5])
    with pytest.raises(ShapeError, match="resize them to 8x8x1"):
        small().fit(IMAGES[:5]).transform(pictures())


def test_pictures_that_show_nothing_have_no_response():
    flat = np.full((6, 8, 8, 1), 9, np.uint8)
    assert not small().fit(flat).transform(flat).any()
