"""Responses to patches: the native loop against the plain form."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.features.fractional_pooling import regions_of
from linprobe.features.patch_responses import Dictionary, pooled_responses, pooled_responses_reference


def made_dictionary(random, size, channels, n_filters, stride=1):
    d = size * size * channels
    filters = random.normal(size=(n_filters, d))
    filters /= np.linalg.norm(filters, axis=1, keepdims=True)
    whiten = np.eye(d) + 0.1 * random.normal(size=(d, d))
    arrays = (random.normal(size=d) * 0.1, whiten, filters)
    return Dictionary(size, stride, *(a.astype(np.float32) for a in arrays), epsilon=10.0, threshold=0.1)


# heights and widths, channels, patch size, stride, filters: none a multiple of a vector or of a tile
SHAPES = [(8, 8, 1, 3, 1, 5), (9, 12, 3, 4, 1, 17), (7, 5, 3, 5, 1, 33), (12, 10, 1, 4, 2, 16), (6, 6, 3, 6, 1, 1)]


@pytest.mark.parametrize(("height", "width", "channels", "size", "stride", "n_filters"), SHAPES)
@pytest.mark.parametrize("maximum", [False, True])
def test_the_native_loop_gives_what_is_written_down(height, width, channels, size, stride, n_filters, maximum):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, height, width, channels)).astype(np.uint8)
    images[1] = 7  # no patch shows anything: no response, and no division by 0
    dictionary = made_dictionary(random, size, channels, n_filters, stride)
    rows, columns = ((n - size) // stride + 1 for n in (height, width))
    regions = regions_of(rows, columns, min(2, rows, columns), "average")
    wanted = pooled_responses_reference(images, dictionary, regions, maximum=maximum)
    found = pooled_responses(images, dictionary, regions, maximum=maximum)
    assert_allclose(found, wanted, atol=2e-5)
    for threads in (2, 3):
        assert_array_equal(pooled_responses(images, dictionary, regions, maximum=maximum, n_threads=threads), found)
    alone = [pooled_responses(images[i : i + 1], dictionary, regions, maximum=maximum)[0] for i in range(3)]
    assert_array_equal(alone, found)


@pytest.mark.parametrize("maximum", [False, True])
def test_mirrored_responses_are_those_of_the_plain_form(maximum):
    random = np.random.default_rng(1)
    images = random.integers(0, 256, (2, 9, 10, 3)).astype(np.uint8)
    dictionary = made_dictionary(random, 3, 3, 14)
    regions, mirrored = regions_of(7, 8, 2, "average"), np.array([1, 0, 3, 2])
    wanted = pooled_responses_reference(images, dictionary, regions, mirrored, maximum=maximum)
    assert_allclose(pooled_responses(images, dictionary, regions, mirrored, maximum=maximum), wanted, atol=2e-5)


def test_what_does_not_fit_is_refused():
    random = np.random.default_rng(2)
    images, dictionary = np.zeros((1, 6, 6, 1), np.uint8), made_dictionary(random, 3, 1, 3)
    inside = [np.arange(16)]
    for regions, mirrored in (
        ([np.array([16])], None),
        ([np.array([], np.int64)], None),
        (inside, np.array([0])),  # an odd number of filters has no mirror images
        (inside, np.array([1])),
    ):
        with pytest.raises(ValueError, match=r"region|place|mirrored"):
            pooled_responses(images, dictionary, regions, mirrored)
    with pytest.raises(ValueError, match="size"):
        pooled_responses(np.zeros((1, 2, 9, 1), np.uint8), dictionary, inside)
