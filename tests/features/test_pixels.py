"""Scaling, centring and standardising without a float copy."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.errors import ParameterError, ShapeError
from linprobe.features import Affine, Pixels
from linprobe.features import pixels as pixels_module

IMAGES = np.random.default_rng(0).integers(0, 256, (57, 12), dtype=np.uint8)


def test_by_default_pixels_are_scaled_to_0_1_and_centred_on_the_mean_image():
    pixels = Pixels().fit(IMAGES)
    assert_allclose(pixels.transform(IMAGES), IMAGES / 255.0 - (IMAGES / 255.0).mean(axis=0), atol=1e-15)
    assert_allclose(pixels.mean_image, IMAGES.mean(axis=0), rtol=1e-15)


@pytest.mark.parametrize("unit", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_each_option_does_what_it_says_alone(unit, center):
    expected = IMAGES / (255.0 if unit else 1.0)
    if center:
        expected = expected - expected.mean(axis=0)
    assert_allclose(Pixels(unit=unit, center=center).fit(IMAGES).transform(IMAGES), expected, atol=1e-12)


def test_standardised_pixels_have_mean_0_and_deviation_1_whatever_the_unit():
    for unit in (True, False):
        X = Pixels(unit=unit, standardize=True).fit(IMAGES).transform(IMAGES)
        assert_allclose(X.mean(axis=0), 0.0, atol=1e-14)
        assert_allclose(X.std(axis=0), 1.0, rtol=1e-14)
    X = Pixels(center=False, standardize=True).fit(IMAGES).transform(IMAGES)
    assert_allclose(X, IMAGES / IMAGES.std(axis=0), rtol=1e-14)


@given(arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 5))))
def test_means_and_deviations_are_those_of_numpy_in_float64(images):
    pixels = Pixels(standardize=True).fit(images)
    assert_allclose(pixels.mean_image, images.mean(axis=0), rtol=1e-15)
    assert_allclose(pixels.deviation, images.std(axis=0), rtol=1e-12, atol=1e-12)


def test_the_sums_are_exact_across_blocks(monkeypatch):
    expected = Pixels(standardize=True).fit(IMAGES)
    monkeypatch.setattr(pixels_module, "BLOCK_NUMBERS", 5 * 12)
    blocked = Pixels(standardize=True).fit(IMAGES)
    assert_array_equal(blocked.mean_image, expected.mean_image)
    assert_array_equal(blocked.deviation, expected.deviation)


def test_the_sums_of_a_block_of_white_images_do_not_overflow():
    white = np.broadcast_to(np.full((1, 2), 255, np.uint8), (2**16 + 3, 2))
    pixels = Pixels(standardize=True).fit(white)
    assert_array_equal(pixels.mean_image, 255.0)
    assert_array_equal(pixels.deviation, 0.0)


def test_a_constant_pixel_does_not_blow_up_on_a_new_image():
    images = np.full((1000, 2), 7, dtype=np.uint8)
    images[0, 1] = 8  # and one that hardly varies
    mapped = Pixels(standardize=True).fit(images).transform(np.array([[255, 255]], np.uint8))
    assert np.abs(mapped).max() <= 255.0


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("value", [1e-3, 0.1, 1234.5])
def test_a_constant_feature_has_scale_1_however_many_images_there_are(value, dtype):
    for n in (10, 10_000, 300_000):
        X = np.full((n, 2), value, dtype)
        X[:, 1] *= 1.0 + 1e-2 * (np.arange(n) % 2)
        scale = Pixels(standardize=True).fit(X).affine.scale
        assert scale[0] == 1.0
        assert scale[1] > 10.0 / value


def test_a_constant_float_feature_keeps_its_unit():
    X = np.column_stack([np.full(9, 0.1), np.arange(9.0)])
    pixels = Pixels(standardize=True).fit(X)
    assert pixels.affine.scale[0] == 1.0
    assert_allclose(pixels.transform(X).std(axis=0), [0.0, 1.0], atol=1e-15)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_features_keep_their_unit_and_can_be_standardised(dtype):
    X = np.random.default_rng(1).normal(3.0, 2.0, (50, 4)).astype(dtype)
    assert_array_equal(Pixels().fit(X).affine.scale, 1.0)
    mapped = Pixels(standardize=True).fit(X).transform(X)
    assert_allclose(mapped.mean(axis=0), 0.0, atol=1e-13)
    assert_allclose(mapped.std(axis=0), 1.0, rtol=1e-13)


def test_only_the_rows_named_are_learnt_from():
    rows = np.array([3, 50, 3, 9])
    pixels = Pixels(standardize=True).fit(IMAGES, rows)
    assert_allclose(pixels.mean_image, IMAGES[rows].mean(axis=0))
    assert_allclose(pixels.deviation, IMAGES[rows].std(axis=0))
    assert_allclose(pixels.transform(IMAGES, rows), pixels.transform(IMAGES[rows]))


@pytest.mark.parametrize("images", [IMAGES, IMAGES.astype(np.float32)], ids=["uint8", "float32"])
def test_whole_weights_count_like_repetitions(images):
    weight = np.random.default_rng(2).integers(0, 4, len(images)).astype(float)
    repeated = np.repeat(images, weight.astype(int), axis=0)
    weighted = Pixels(standardize=True).fit(images, sample_weight=weight)
    expected = Pixels(standardize=True).fit(repeated)
    assert_allclose(weighted.affine.scale, expected.affine.scale, rtol=1e-12)
    assert_allclose(weighted.affine.shift, expected.affine.shift, rtol=1e-12)


def test_a_read_only_view_with_strides_is_read_and_left_alone():
    images = np.asfortranarray(IMAGES)[::2, ::-1]
    images.flags.writeable = False
    assert_allclose(Pixels().fit(images).mean_image, IMAGES[::2, ::-1].mean(axis=0))


def test_fitting_takes_far_less_memory_than_a_float_copy():
    images = np.zeros((20_000, 300), dtype=np.uint8)
    tracemalloc.start()
    Pixels(standardize=True).fit(images, rows=np.arange(0, 20_000, 2))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000 * 300 * 4 / 2  # half of what the used rows would take in float32


def test_what_is_not_fitted_has_no_map():
    with pytest.raises(ParameterError, match="not fitted; call fit"):
        _ = Pixels().affine


@pytest.mark.parametrize(
    ("images", "message"),
    [(IMAGES[0], r"X has shape \(12,\)"), (IMAGES[:0], "X has no rows")],
)
def test_rows_that_are_no_rows_are_refused(images, message):
    with pytest.raises(ShapeError, match=message):
        Pixels().fit(images)


def test_weights_are_checked_against_the_rows():
    with pytest.raises(ShapeError, match=r"sample_weight has shape \(3,\); expected \(57,\)"):
        Pixels().fit(IMAGES, sample_weight=np.ones(3))


def test_a_map_of_two_lengths_is_refused():
    with pytest.raises(ShapeError, match=r"scale has shape \(2,\), shift \(3,\)"):
        Affine(np.ones(2), np.ones(3))
