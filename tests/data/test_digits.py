"""The handwritten digits: scikit-learn's scans, as uint8."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import datasets

from linprobe.data.base import ReadOptions
from linprobe.data.digits import DigitsReader, load_digits
from linprobe.errors import ImageError


def test_the_digits_are_the_scans_of_scikit_learn_spread_over_0_to_255():
    digits, original = load_digits(), datasets.load_digits()
    assert digits.images.shape == (1797, 8, 8, 1)
    assert digits.images.dtype == np.uint8
    assert (digits.images.min(), digits.images.max()) == (0, 255)
    # rounding moved no intensity by more than half a step, so the counts 0..16 come back
    assert np.array_equal(np.rint(digits.images[..., 0] * (16 / 255)), original.images)
    assert np.array_equal(digits.y, original.target)
    assert digits.y.dtype == np.int64
    assert digits.class_names == tuple("0123456789")


def test_the_source_digits_has_no_splits_of_its_own_and_always_the_same_fingerprint():
    first, second = (DigitsReader().read("digits", None, ReadOptions(seed=seed)) for seed in (0, 1))
    assert (first.format, first.validation, first.test) == ("digits", None, None)
    assert first.fingerprint == second.fingerprint != ""


def test_only_the_embedded_source_is_accepted_not_a_path_of_that_name(tmp_path):
    assert DigitsReader().accepts("digits", None)
    assert not DigitsReader().accepts("digits", tmp_path)
    assert not DigitsReader().accepts("digit", None)


def test_the_size_of_the_digits_may_be_asked_for_but_not_another():
    assert DigitsReader().read("digits", None, ReadOptions(image_size=(8, 8))).train.n_images == 1797
    with pytest.raises(ImageError, match=r"holds pictures of 8x8.*expected 16x16.*Leave the image size out"):
        DigitsReader().read("digits", None, ReadOptions(image_size=(16, 16)))
