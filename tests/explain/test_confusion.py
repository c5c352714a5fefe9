"""The confusion matrix against a plain count, and its picture at every number of classes."""

from __future__ import annotations

import re

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from linprobe.errors import LabelError, ParameterError, ShapeError
from linprobe.explain.confusion import confusion, confusion_picture, most_confused


def drawn_labels(n_classes, n_images=2000, seed=0):
    random = np.random.default_rng(seed)
    y = random.integers(0, n_classes, n_images)
    return y, np.where(random.random(n_images) < 0.7, y, random.integers(0, n_classes, n_images))


@pytest.mark.parametrize("n_classes", [2, 10, 120])
def test_the_counts_are_those_of_scikit_learn(n_classes):
    y, predicted = drawn_labels(n_classes)
    expected = confusion_matrix(y, predicted, labels=np.arange(n_classes))
    assert (confusion(y, predicted, n_classes) == expected).all()


def test_a_class_without_images_and_one_never_predicted_are_rows_and_columns_of_zeros():
    matrix = confusion(np.array([0, 0]), np.array([2, 0]), 3)
    assert matrix.tolist() == [[1, 0, 1], [0, 0, 0], [0, 0, 0]]
    assert "1 of 2 images" in confusion_picture(matrix, ["a", "b", "c"]).alt


def test_small_unsigned_labels_do_not_overflow():
    y = np.full(3, 199, np.uint8)
    assert confusion(y, y, 200)[199, 199] == 3


@pytest.mark.parametrize(
    ("y", "predicted", "error", "message"),
    [
        ([0, 1], [0], ShapeError, "y has shape"),
        ([0, 2], [0, 1], LabelError, r"y\[1\] = 2"),
        ([0, 1], [0, -1], LabelError, r"predicted\[1\] = -1"),
        ([0.0, 1.0], [0, 1], LabelError, "integers in 0..1"),
    ],
)
def test_labels_that_cannot_be_counted_are_named(y, predicted, error, message):
    with pytest.raises(error, match=message):
        confusion(np.array(y), np.array(predicted), 2)


def test_the_worst_pairs_come_first_and_what_is_right_is_left_out():
    matrix = np.array([[9, 1, 0], [4, 9, 0], [0, 4, 0]])
    assert most_confused(matrix) == [(1, 0, 4), (2, 1, 4), (0, 1, 1)]
    assert most_confused(matrix, 1) == [(1, 0, 4)]
    assert most_confused(np.diag([3, 3])) == []


def test_each_count_and_each_class_stands_in_the_picture():
    y, predicted = drawn_labels(4)
    matrix = confusion(y, predicted, 4)
    texts = re.findall(r"<text[^>]*>([^<]*)</text>", confusion_picture(matrix, ["fox", "hen", "cow", "$pig$"]).svg())
    for expected in [str(n) for n in matrix.ravel()] + ["fox", "hen", "cow", "$pig$"]:
        assert expected in texts


def test_of_many_classes_the_most_confused_pairs_are_listed():
    y, predicted = drawn_labels(150)
    matrix = confusion(y, predicted, 150)
    i, j, n = most_confused(matrix)[0]
    text = confusion_picture(matrix, [f"kind {k}" for k in range(150)]).svg()
    assert f"kind {i} as kind {j}" in text
    assert f" {n} of {matrix[i].sum()}" in text


def test_a_perfect_and_an_empty_matrix_are_drawn():
    assert "nothing is confused" in confusion_picture(np.eye(40, dtype=np.int64), range(40)).svg()
    assert confusion_picture(np.zeros((2, 2), np.int64), ["a", "b"]).png().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("matrix", "names", "error"),
    [
        (np.zeros((2, 3)), ["a", "b"], ShapeError),
        (np.array([[1.0, np.nan], [0.0, 1.0]]), ["a", "b"], ParameterError),
        (np.array([[1, -1], [0, 1]]), ["a", "b"], ParameterError),
        (np.eye(2), ["a"], ParameterError),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(matrix, names, error):
    with pytest.raises(error):
        confusion_picture(matrix, names)
