"""Hue and saturation histograms: worked colours, plain loops, grey pictures."""

from __future__ import annotations

import colorsys
import itertools
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.errors import ParameterError
from linprobe.features.color import ColorMap, hue_and_saturation

PICTURES = np.random.default_rng(0).integers(0, 256, (4, 7, 9, 3), dtype=np.uint8)


def plain(colour: tuple[int, int, int]) -> np.ndarray:
    """A picture (1, 4, 4, 3) of one colour."""
    return np.full((1, 4, 4, 3), colour, dtype=np.uint8)


def by_loops(picture: np.ndarray, color: ColorMap) -> list[float]:
    """The features of one picture (height, width, 3), pixel by pixel with Python's own conversion."""
    height, width, _ = picture.shape
    shares = np.zeros((color.grid, color.grid, color.hue_bins, color.saturation_bins))
    for i in range(height):
        for j in range(width):
            hue, saturation, _ = colorsys.rgb_to_hsv(*(picture[i, j] / 255.0))
            if color.soft:
                at, along = hue * color.hue_bins, saturation * (color.saturation_bins - 1)
                hues = [(math.floor(at) + k, (1 - at % 1, at % 1)[k]) for k in (0, 1)]
                saturations = [(math.floor(along) + k, (1 - along % 1, along % 1)[k]) for k in (0, 1)]
            else:
                hues = [(min(math.floor(hue * color.hue_bins), color.hue_bins - 1), 1.0)]
                saturations = [(min(math.floor(saturation * color.saturation_bins), color.saturation_bins - 1), 1.0)]
            region = shares[i * color.grid // height, j * color.grid // width]
            for (h, hue_share), (s, saturation_share) in itertools.product(hues, saturations):
                if hue_share * saturation_share:
                    region[h % color.hue_bins, s] += hue_share * saturation_share
    shares /= shares.sum(axis=(2, 3), keepdims=True)
    return list((np.sqrt(shares) if color.root else shares).ravel())


@pytest.mark.parametrize(
    "parameters",
    [
        {"grid": 1},
        {"soft": False, "root": False},
        {"grid": 3, "root": False},
        {"grid": 2, "soft": False, "hue_bins": 7, "saturation_bins": 3},
        {"hue_bins": 1, "saturation_bins": 2, "root": False},
    ],
    ids=str,
)
def test_every_choice_of_parameters_agrees_with_plain_loops(parameters):
    color = ColorMap(**parameters).fit(PICTURES)
    found = color.transform(PICTURES)
    assert found.dtype == np.float32
    assert found.shape == (4, color.n_features)
    # the root of a share that ought to be 0 is that of its rounding, 1e-7
    assert_allclose(found, [by_loops(picture, color) for picture in PICTURES], atol=1e-3 if color.root else 1e-5)


def test_hue_and_saturation_are_those_of_pythons_colorsys():
    colours = PICTURES.reshape(-1, 3)
    expected = np.array([colorsys.rgb_to_hsv(*colour)[:2] for colour in colours / 255.0])
    found = [part.ravel() for part in hue_and_saturation(PICTURES)]
    assert_allclose(found, expected.T, atol=1e-6)
    assert all(part.dtype == np.float32 for part in found)


@pytest.mark.parametrize(
    ("colour", "hue", "saturation"),
    [
        ((255, 0, 0), 0, 1),
        ((255, 255, 0), 1 / 6, 1),
        ((0, 128, 0), 1 / 3, 1),
        ((64, 128, 128), 1 / 2, 1 / 2),
        ((0, 0, 9), 2 / 3, 1),
        ((200, 0, 200), 5 / 6, 1),
        ((90, 90, 90), 0, 0),
        ((0, 0, 0), 0, 0),
    ],
)
def test_the_colours_of_the_circle(colour, hue, saturation):
    found = hue_and_saturation(plain(colour))
    assert_allclose([found[0][0, 0, 0], found[1][0, 0, 0]], [hue, saturation], atol=1e-7)


@pytest.mark.parametrize("soft", [True, False])
def test_grey_pictures_have_all_in_the_first_bin(soft):
    grey = PICTURES[..., 0]
    expected = np.zeros((4, 800), dtype=np.float32)
    expected[:, ::50] = 1.0  # of each of the 16 regions
    assert_array_equal(ColorMap(soft=soft).fit(grey).transform(grey), expected)
    as_colours = np.repeat(grey[..., None], 3, axis=3)
    assert_array_equal(ColorMap(soft=soft).fit(as_colours).transform(as_colours), expected)


def test_each_region_of_a_grid_has_its_own_histogram():
    halves = np.concatenate([plain((255, 0, 0)), plain((0, 255, 0))], axis=2)
    color = ColorMap(hue_bins=3, saturation_bins=2, grid=2, root=False).fit(halves)
    left, right = [0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0]
    assert_array_equal(color.transform(halves), [left + right + left + right])


def test_a_row_does_not_depend_on_the_pictures_beside_it():
    color = ColorMap().fit(PICTURES)
    many = np.tile(PICTURES, (600, 1, 1, 1))  # more than one block of pixels
    assert_array_equal(color.transform(many)[-4:], color.transform(PICTURES))


def test_bad_input_is_refused_in_one_line():
    with pytest.raises(ParameterError, match=r"^color: the pictures are 7x9, smaller than a grid of 8x8 .* grid = 7"):
        ColorMap(grid=8).fit(PICTURES)
    with pytest.raises(ParameterError, match=r"^color: the pictures have 4 channels; expected 3 .* or 1"):
        ColorMap().fit(np.zeros((1, 4, 4, 4), dtype=np.uint8))
    with pytest.raises(ParameterError, match="hue_bins = 0; expected a whole number >= 1"):
        ColorMap(hue_bins=0)


def test_what_a_file_keeps_gives_the_same_features():
    color = ColorMap(hue_bins=6, grid=2).fit(PICTURES)
    again = ColorMap.restored(color.settings(), color.fitted_shape, color.tensors())
    assert_array_equal(again.transform(PICTURES), color.transform(PICTURES))
