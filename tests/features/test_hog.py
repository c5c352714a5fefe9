"""Histograms of oriented gradients: against plain loops, and what they must not depend on."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.errors import ParameterError, ShapeError
from linprobe.features.hog import HogMap

RANDOM = np.random.default_rng(0)
PICTURES = RANDOM.integers(0, 256, (5, 18, 22, 3), dtype=np.uint8)


def by_loops(picture: np.ndarray, hog: HogMap) -> list[float]:
    """The features of one picture (height, width, channels), pixel by pixel in float64."""
    x = picture / 255.0
    x = np.sqrt(x) if hog.root else x
    height, width, channels = x.shape
    features: list[float] = []
    for scale in range(hog.scales):
        size = hog.cell_size * 2**scale
        n_y, n_x = height // size, width // size
        if min(n_y, n_x) < hog.block_size:
            break
        cells = np.zeros((n_y, n_x, hog.orientations))
        for i in range(n_y * size):
            for j in range(n_x * size):
                gradients = [
                    (
                        x[i, min(j + 1, width - 1), c] - x[i, max(j - 1, 0), c],
                        x[min(i + 1, height - 1), j, c] - x[max(i - 1, 0), j, c],
                    )
                    for c in range(channels)
                ]
                along_x, along_y = max(gradients, key=lambda g: g[0] ** 2 + g[1] ** 2)
                turn = math.atan2(along_y, along_x) / (2 * math.pi) * (1 if hog.signed else 2)
                place = turn * hog.orientations
                low = math.floor(place)
                shares = ((low, 1 - (place - low)), (low + 1, place - low))
                for (k, share), cell_y, cell_x in itertools.product(shares, range(n_y), range(n_x)):
                    near_y = max(0.0, 1 - abs((i + 0.5) / size - (cell_y + 0.5)))
                    near_x = max(0.0, 1 - abs((j + 0.5) / size - (cell_x + 0.5)))
                    vote = math.hypot(along_x, along_y) * share * near_y * near_x
                    cells[cell_y, cell_x, k % hog.orientations] += vote
        for top in range(n_y - hog.block_size + 1):
            for left in range(n_x - hog.block_size + 1):
                block = cells[top : top + hog.block_size, left : left + hog.block_size].ravel()
                block = block / math.sqrt(block @ block + (0.01 * size**2 / 16) ** 2)
                block = np.minimum(block, hog.clip)
                features += list(block / math.sqrt(block @ block + 1e-6))
    return features


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"signed": False, "orientations": 9, "scales": 1},
        {"orientations": 5, "block_size": 1},
        {"orientations": 1, "signed": False, "clip": 1.0},
        {"cell_size": 3, "block_size": 3, "root": False, "orientations": 4},
        {"cell_size": 2, "scales": 9, "signed": False, "orientations": 2},
    ],
    ids=str,
)
def test_every_choice_of_parameters_agrees_with_plain_loops(parameters):
    hog = HogMap(**parameters).fit(PICTURES)
    found = hog.transform(PICTURES[:2])
    assert found.dtype == np.float32
    assert found.shape == (2, hog.n_features)
    assert_allclose(found, [by_loops(picture, hog) for picture in PICTURES[:2]], atol=2e-5)  # float32 sums


def test_a_grey_picture_is_one_channel_and_three_equal_ones_alike():
    grey = PICTURES[..., 0]
    coloured = np.repeat(grey[..., None], 3, axis=3)
    assert_array_equal(HogMap().fit(grey).transform(grey), HogMap().fit(coloured).transform(coloured))


def test_a_row_does_not_depend_on_the_pictures_beside_it():
    hog = HogMap().fit(PICTURES)
    many = np.tile(PICTURES, (40, 1, 1, 1))  # more than one block of pixels
    assert_array_equal(hog.transform(many)[:5], np.concatenate([hog.transform(picture[None]) for picture in PICTURES]))


def test_the_first_orientation_brightens_to_the_right_and_they_turn_towards_the_bottom():
    ramp = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
    hog = HogMap(orientations=4, root=False, scales=1, block_size=1, clip=1.0)
    for turns, orientation in enumerate((0, 3, 2, 1)):  # rot90 turns against the clock
        cells = hog.fit(ramp[None]).transform(np.rot90(ramp, turns)[None]).reshape(-1, 4)
        assert_allclose(cells, np.tile(np.eye(4)[orientation], (16, 1)), atol=1e-3)


def test_unsigned_orientations_take_a_negative_for_the_picture_itself():
    unsigned, signed = (HogMap(signed=flag, root=False).fit(PICTURES) for flag in (False, True))
    negative = 255 - PICTURES
    assert_allclose(unsigned.transform(negative), unsigned.transform(PICTURES), atol=1e-5)
    assert np.abs(signed.transform(negative) - signed.transform(PICTURES)).max() > 0.1


def test_a_flat_picture_is_all_zeros():
    flat = np.full((1, 16, 16, 3), 128, dtype=np.uint8)
    assert not HogMap().fit(flat).transform(flat).any()


def test_scales_that_do_not_fit_are_left_out():
    small = PICTURES[:, :8, :8]
    hog = HogMap(scales=1000).fit(small)
    assert hog.n_features == 48
    assert_array_equal(hog.transform(small), HogMap(scales=1).fit(small).transform(small))


def test_the_published_number_of_features_of_a_cifar_picture():
    picture = np.zeros((1, 32, 32, 3), dtype=np.uint8)
    assert HogMap(orientations=9, signed=False, scales=1).fit(picture).n_features == 7 * 7 * 4 * 9
    assert HogMap().fit(picture).n_features == 2352 + 432


def test_a_picture_smaller_than_a_block_is_refused_in_one_line():
    with pytest.raises(ParameterError, match=r"^hog: the pictures are 7x30, smaller than a block .* need 8x8 or more"):
        HogMap().fit(np.zeros((1, 7, 30, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cell_size": 0}, "cell_size = 0; expected a whole number >= 1"),
        ({"block_size": 1.5}, "block_size = 1.5; expected a whole number"),
        ({"orientations": True}, "orientations = True; expected a whole number"),
        ({"cell_size": "4"}, "cell_size = '4'; expected a whole number"),
        ({"signed": "no"}, "signed = 'no'; expected True or False"),
        ({"clip": 0.0}, "clip = 0.0; expected a number > 0 and <= 1"),
        ({"clip": float("nan")}, "clip = nan; expected a number > 0"),
        ({"clip": "half"}, "clip = 'half'; expected a number > 0"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters, message):
    with pytest.raises(ParameterError, match=message):
        HogMap(**parameters)


def test_numpys_numbers_become_json_values():
    hog = HogMap(cell_size=np.int64(4), signed=np.bool_(True), clip=np.float64(0.5))
    assert json.loads(json.dumps(hog.settings())) == hog.settings()


def test_other_pictures_than_those_of_fit_are_refused():
    with pytest.raises(ShapeError, match="hog: the pictures are 16x16x3, but the features were fitted to 18x22x3"):
        HogMap().fit(PICTURES).transform(PICTURES[:, :16, :16])
    with pytest.raises(ParameterError, match="not fitted"):
        HogMap().transform(PICTURES)
    with pytest.raises(ParameterError, match="not fitted"):
        _ = HogMap().n_features


def test_what_a_file_keeps_gives_the_same_features():
    hog = HogMap(orientations=6, scales=1).fit(PICTURES)
    again = HogMap.restored(hog.settings(), hog.fitted_shape, hog.tensors())
    assert_array_equal(again.transform(PICTURES), hog.transform(PICTURES))
