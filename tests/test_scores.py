"""f(x, W) = W x + b, and folding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from linprobe.errors import ShapeError
from linprobe.scores import fold, scores


def test_the_scores_are_one_template_product_and_one_bias_per_class():
    X = np.array([[56, 231, 24, 2]], dtype=np.uint8)  # four pixels of a cat
    W = np.array([[0.2, -0.5, 0.1, 2.0], [1.5, 1.3, 2.1, 0.0], [0.0, 0.25, 0.2, -0.3]])
    b = np.array([1.1, 3.2, -1.2])
    # the cat score is 0.2 * 56 - 0.5 * 231 + 0.1 * 24 + 2 * 2 + 1.1
    assert_allclose(scores(X, W, b), [[-96.8, 437.9, 60.75]])


@pytest.mark.parametrize("dtype", [np.uint8, np.float16, np.float32, np.float64])
def test_pixels_of_any_dtype_count_as_the_numbers_they_are(dtype):
    X = np.array([[0, 200], [255, 3]]).astype(dtype)
    assert_array_equal(scores(X, np.array([[1.0, 1.0], [0.0, 2.0]]), np.zeros(2)), [[200, 400], [258, 6]])


finite = st.floats(-10.0, 10.0)


@given(arrays(np.uint8, (5, 3)), arrays(float, (2, 3), elements=finite), arrays(float, (2, 3), elements=finite))
def test_folded_weights_score_raw_rows_as_the_weights_score_mapped_ones(X, W, maps):
    scale, shift = maps
    b = np.array([0.5, -1.0])
    mapped = X * scale + shift
    assert_allclose(scores(X, *fold(W, b, scale, shift)), scores(mapped, W, b), atol=1e-9, rtol=1e-12)


def test_folding_leaves_float32_weights_in_float64():
    W, b = fold(np.ones((2, 3), np.float32), np.ones(2, np.float32), np.full(3, 1 / 255), np.zeros(3))
    assert W.dtype == b.dtype == np.float64


@pytest.mark.parametrize(
    ("X", "W", "b", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), np.zeros(2), r"W has shape \(2, 4\) but X has 3 features"),
        (
            np.zeros((2, 3)),
            np.zeros((2, 3)),
            np.zeros(3),
            r"b has shape \(3,\); expected one bias per class, \(2,\)",
        ),
        (np.zeros(3), np.zeros((2, 3)), np.zeros(2), r"X has shape \(3,\), W \(2, 3\)"),
        (np.zeros((2, 3)), np.zeros(3), np.zeros(2), r"W \(3,\)"),
    ],
)
def test_arrays_that_do_not_fit_are_named_with_their_shapes(X, W, b, message):
    with pytest.raises(ShapeError, match=message):
        scores(X, W, b)


@pytest.mark.parametrize(
    ("scale", "shift"), [(np.ones(4), np.ones(4)), (np.ones(3), np.ones(2)), (np.ones((3, 1)), np.ones(3))]
)
def test_a_map_of_the_wrong_length_is_refused(scale, shift):
    with pytest.raises(ShapeError, match=r"W has shape .* scale .* shift"):
        fold(np.zeros((2, 3)), np.zeros(2), scale, shift)
