"""Numbers of features laid back over the pixels: where they belong, and with the same sum."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.errors import IncompatibleError
from linprobe.features import feature_map
from linprobe.features.onnx import OnnxMap

IMAGES = np.random.default_rng(0).integers(0, 256, (30, 19, 17, 3)).astype(np.uint8)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(
    ("spec", "options"),
    [
        ("pixels", {}),
        ("hog", {"cell_size": 3}),
        ("color", {"grid": 4}),
        ("patches", {"patches": 6, "grid": 3, "size": 5, "stride": 2}),
        ("pixels+hog+color", {}),
    ],
)
def test_the_sum_is_kept(spec, options, mirror):
    maps = feature_map(spec, mirror=mirror, **options).fit(IMAGES)
    values = np.random.default_rng(1).normal(size=(2, maps.n_features))
    spread = maps.spread(values)
    assert spread.shape == (2, 19, 17)
    assert_allclose(spread.sum(axis=(1, 2)), values.sum(axis=1))


@pytest.mark.parametrize("pooling", ["max", "fractional"])
def test_the_sum_is_kept_whatever_the_regions(pooling):
    maps = feature_map("patches", patches=6, pooling=pooling).fit(IMAGES)
    values = np.ones((1, maps.n_features))
    assert_allclose(maps.spread(values).sum(), maps.n_features)


@pytest.mark.parametrize(
    ("spec", "options"), [("hog", {}), ("color", {"grid": 4}), ("patches", {"patches": 40, "grid": 2, "size": 4})]
)
def test_a_feature_belongs_where_a_change_of_the_picture_changes_it(spec, options):
    maps = feature_map(spec, **options).fit(IMAGES)
    changed = IMAGES[:1].copy()
    changed[:, :4, :4] = 255 - changed[:, :4, :4]
    change = np.abs(maps.transform(changed) - maps.transform(IMAGES[:1])).astype(np.float64)
    spread = maps.spread(change)[0]
    assert spread[:4, :4].mean() > 3 * spread[12:, 12:].mean()
    assert np.unravel_index(spread.argmax(), spread.shape)[0] < 8


def test_a_mirrored_feature_lies_on_both_sides():
    maps = feature_map("color", grid=2, mirror=True).fit(IMAGES[:, :, :16])
    values = np.zeros((1, maps.n_features))
    values[0, 0] = 1.0
    spread = maps.spread(values)[0]
    assert_allclose(spread, spread[:, ::-1])
    assert spread[12:].sum() == 0.0


def test_features_of_a_whole_picture_have_no_place():
    with pytest.raises(IncompatibleError, match="whole picture"):
        OnnxMap("network.onnx").spread(np.zeros((1, 3)))


def test_a_feature_of_the_half_picture_keeps_its_sum_and_lies_in_squares_of_four():
    images = IMAGES[:, :16, :16]
    half = feature_map("color/2", grid=3).fit(images)
    whole = feature_map("color", grid=2).fit(images[:, ::2, ::2])
    values = np.random.default_rng(0).normal(size=(2, half.n_features))
    spread = half.spread(values)
    assert spread.shape == (2, 16, 16)
    assert_allclose(spread.sum(axis=(1, 2)), values.sum(axis=1))
    assert_allclose(4.0 * spread[:, ::2, ::2], whole.spread(values))
    assert_allclose(spread[:, ::2, ::2], spread[:, 1::2, 1::2])
