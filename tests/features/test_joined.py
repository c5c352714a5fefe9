"""From "hog+color" to one feature map, and back from what a model file keeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.errors import ParameterError, ShapeError
from linprobe.features import FeatureMap, feature_map
from linprobe.features import parse as parse_module
from linprobe.features.color import ColorMap
from linprobe.features.hog import HogMap
from linprobe.features.intensity import IntensityMap
from linprobe.features.joined import JoinedMap
from linprobe.features.parse import map_class

PICTURES = np.random.default_rng(0).integers(0, 256, (6, 16, 17, 3), dtype=np.uint8)


@dataclass
class MeanMap(FeatureMap):
    """Minus the mean training picture, and noise: a map that learns, and that draws at random."""

    mean: Any = field(default=None, init=False, repr=False, compare=False)
    name = "mean"
    LEARNT = ("mean",)

    @property
    def n_features(self) -> int:
        return int(np.prod(self.fitted_shape))

    def _fit(self, images, seed):
        noise = np.random.default_rng(seed).normal(size=self.n_features)
        self.mean = images.reshape(len(images), -1).mean(axis=0) + noise

    def _transform(self, images):
        return (images.reshape(len(images), -1) - self.mean).astype(np.float32)


@pytest.fixture
def with_mean(monkeypatch):
    """The registry with `MeanMap` in it."""
    monkeypatch.setitem(parse_module.FEATURE_MAPS, "mean", (__name__, "MeanMap"))
    real = parse_module.importlib.import_module
    own = type("Module", (), {"MeanMap": MeanMap})
    monkeypatch.setattr(parse_module.importlib, "import_module", lambda name: own if name == __name__ else real(name))


def test_a_single_name_is_the_map_itself_with_its_options():
    assert feature_map("hog", orientations=9, signed=False) == HogMap(orientations=9, signed=False)
    assert feature_map("color") == ColorMap()
    assert feature_map("pixels") == IntensityMap()


def test_joined_maps_stand_side_by_side_in_the_order_of_the_spec():
    joined = feature_map("color+hog+pixels", grid=3).fit(PICTURES)
    parts = [ColorMap(grid=3).fit(PICTURES), HogMap().fit(PICTURES), IntensityMap().fit(PICTURES)]
    assert joined.spec == "color+hog+pixels"
    assert joined.n_features == sum(part.n_features for part in parts)
    assert_array_equal(joined.transform(PICTURES), np.concatenate([p.transform(PICTURES) for p in parts], axis=1))


def test_pixels_in_a_join_are_divided_by_255():
    found = feature_map("pixels").fit(PICTURES).transform(PICTURES)
    assert found.dtype == np.float32
    assert_allclose(found, PICTURES.reshape(6, -1) / 255.0, atol=1e-7)


def test_no_pictures_are_no_rows():
    joined = feature_map("pixels+color+hog").fit(PICTURES)
    assert joined.transform(PICTURES[:0]).shape == (0, joined.n_features)


def test_an_option_goes_to_every_map_that_has_it():
    joined = feature_map("hog+color", root=False, hue_bins=4)
    assert joined.maps == [HogMap(root=False), ColorMap(root=False, hue_bins=4)]


@pytest.mark.parametrize(
    ("spec", "options", "message"),
    [
        (
            "sift",
            {},
            r"^features = 'sift'; expected one of pixels, hog, color, patches, net, onnx:FILE, or several joined",
        ),
        ("hog+", {}, "^features = ''; expected one of"),
        ("", {}, "^features = ''; expected one of"),
        ("hog+colour", {}, "^features = 'colour'; expected one of"),
        ("joined", {}, "^features = 'joined'; expected one of"),
        ("hog", {"grid": 2}, r"^the features hog have no parameter 'grid'; they have block_size, cell_size, clip,"),
        ("pixels", {"grid": 2}, "no parameter 'grid'; they have none"),
        ("hog:4", {}, "^features = 'hog:4': only onnx is followed by a file; write hog"),
        ("onnx", {}, "^features = 'onnx': onnx requires a file, as onnx:network.onnx"),
        ("hog+color", {"orientations": 0}, "orientations = 0; expected a whole number"),
    ],
)
def test_a_spec_that_means_nothing_is_refused_in_one_line(spec, options, message):
    with pytest.raises(ParameterError, match=message) as caught:
        feature_map(spec, **options)
    assert "\n" not in str(caught.value)


def test_a_plus_in_a_file_name_belongs_to_the_file():
    joined = feature_map("hog+onnx:nets/a+b.onnx+color")
    assert [part.name for part in joined.maps] == ["hog", "onnx", "color"]
    assert joined.maps[1].file == "nets/a+b.onnx"


def test_what_a_file_keeps_of_a_join_gives_the_same_features(with_mean):
    joined = feature_map("mean+hog+mean", scales=1).fit(PICTURES, seed=3)
    tensors = joined.tensors()
    assert tensors.keys() == {"0.mean.mean", "2.mean.mean"}
    assert_array_equal(tensors["0.mean.mean"], tensors["2.mean.mean"])  # one seed for all
    settings = json.loads(json.dumps(joined.settings()))
    again = map_class("joined").restored(settings, joined.fitted_shape, tensors)
    assert again == joined
    assert_array_equal(again.transform(PICTURES), joined.transform(PICTURES))


def test_a_join_of_a_join_is_kept_too(with_mean):
    inner = JoinedMap([MeanMap(), HogMap(scales=1)])
    outer = JoinedMap([ColorMap(), inner]).fit(PICTURES)
    assert outer.tensors().keys() == {"1.joined.0.mean.mean"}
    again = JoinedMap.restored(outer.settings(), outer.fitted_shape, outer.tensors())
    assert_array_equal(again.transform(PICTURES), outer.transform(PICTURES))


def test_a_join_refuses_what_one_of_its_maps_refuses():
    with pytest.raises(ParameterError, match=r"^hog: the pictures are 4x4, smaller than a block"):
        feature_map("color+hog").fit(PICTURES[:, :4, :4])
    with pytest.raises(ShapeError, match="joined: the pictures are 15x17x3, but the features were fitted to"):
        feature_map("color+hog").fit(PICTURES).transform(PICTURES[:, :15])
    with pytest.raises(ParameterError, match="at least one map"):
        JoinedMap([])


def test_an_unknown_name_is_no_attribute_of_the_room():
    from linprobe import features

    with pytest.raises(AttributeError, match="no attribute 'SIFT'"):
        _ = features.SIFT
    assert "HOG" in dir(features)


@pytest.mark.parametrize(
    ("name", "settings", "line"),
    [
        ("hog", {"cells": 4}, "hog: cells is no known field; expected one of cell_size, "),
        ("hog", {"cell_size": "4"}, "hog: cell_size is '4'; expected a whole number."),
        ("hog", {"cell_size": 0}, "hog: cell_size = 0; expected a whole number >= 1."),
        ("onnx", {}, "onnx: file is missing; expected text."),
        ("joined", {}, "maps is missing; expected a list."),
        ("joined", {"maps": [{"name": "hog"}]}, "maps[0].settings is missing; expected an object."),
        ("joined", {"maps": [{"name": "nothing", "settings": {}}]}, "features = 'nothing'; expected one of"),
        ("halved", {"inner": 3}, "inner is 3; expected an object."),
    ],
)
def test_settings_that_no_map_wrote_are_refused_in_a_line(name, settings, line):
    with pytest.raises(ParameterError) as refused:
        map_class(name).restored(settings, (16, 16, 3), {})
    assert str(refused.value).startswith(line)
