"""Confident errors against a plain sort, and their thumbnails."""

from __future__ import annotations

import re

import numpy as np
import pytest

from linprobe.errors import LabelError, ParameterError, ShapeError
from linprobe.explain.confident_errors import confident_errors, confident_errors_picture


def drawn(n=80, n_classes=4, seed=0):
    random = np.random.default_rng(seed)
    return random.normal(size=(n, n_classes)).round(1), random.integers(0, n_classes, n)


@pytest.mark.parametrize("n_classes", [2, 4])
def test_the_widest_margins_come_first(n_classes):
    scores, y = drawn(n_classes=n_classes)
    expected = []
    for i, (row, label) in enumerate(zip(scores.tolist(), y.tolist(), strict=True)):
        best = row.index(max(row))
        if best != label:
            expected.append((-(row[best] - row[label]), i, label, best))
    expected.sort()
    found = confident_errors(scores, y, 10)
    assert found.rows.tolist() == [i for _, i, _, _ in expected[:10]]
    assert found.true.tolist() == [label for _, _, label, _ in expected[:10]]
    assert found.predicted.tolist() == [best for _, _, _, best in expected[:10]]
    np.testing.assert_allclose(found.margins, [-margin for margin, *_ in expected[:10]])
    assert len(confident_errors(scores, y, 1000).rows) == len(expected)


def test_a_tie_is_an_error_of_margin_zero_and_a_hit_is_none():
    found = confident_errors(np.array([[1.0, 1.0], [1.0, 1.0]]), np.array([0, 1]))
    assert found.rows.tolist() == [1]
    assert found.margins.tolist() == [0.0]


@pytest.mark.parametrize("shape", [(6, 6), (6, 6, 1), (3, 11, 3), (120, 100, 3)])
def test_each_error_is_drawn_with_both_classes(shape):
    scores, y = drawn(30)
    images = np.random.default_rng(0).integers(0, 256, (30, *shape)).astype(np.uint8)
    found = confident_errors(scores, y, 9)
    picture = confident_errors_picture(images, y, scores, ["hen", "fox", "$cow$", "dog"], 9)
    text = picture.svg()
    assert len(re.findall(r"<image ", text)) == 9
    assert f"{['hen', 'fox', '$cow$', 'dog'][found.predicted[0]]} +{found.margins[0]:.1f}" in text
    assert picture.png(50)
    assert "9 most confident" in picture.alt


def test_without_errors_it_says_so():
    picture = confident_errors_picture(np.zeros((2, 4, 4, 1), np.uint8), np.array([0, 1]), np.eye(2), ["a", "b"])
    assert "no image is classified wrongly" in picture.svg()
    assert picture.alt == "No image is classified wrongly."


def test_no_images_have_no_errors():
    assert confident_errors(np.zeros((0, 3)), np.zeros(0, np.int64)).rows.tolist() == []


def test_what_does_not_fit_is_refused():
    scores, y = drawn(5)
    images = np.zeros((5, 2, 2, 1), np.uint8)
    with pytest.raises(LabelError):
        confident_errors(scores, y + 4)
    with pytest.raises(ParameterError, match=r"scores\[2, 1\] = nan"):
        confident_errors(np.where(np.arange(20).reshape(5, 4) == 9, np.nan, scores), y)
    with pytest.raises(ParameterError, match="n = -1"):
        confident_errors(scores, y, -1)
    with pytest.raises(ShapeError, match="images has 4 pictures"):
        confident_errors_picture(images[:4], y, scores, "abcd")
    with pytest.raises(ParameterError, match="3 names; expected 4"):
        confident_errors_picture(images, y, scores, "abc")
