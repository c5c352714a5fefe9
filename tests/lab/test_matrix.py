"""The page "W times x": the numbers that it gets, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

LECTURE: dict[str, Any] = {
    "W": [[0.01, -0.05, 0.1, 0.05], [0.7, 0.2, 0.05, 0.16], [0.0, -0.45, -0.2, 0.03]],
    "b": [0.0, 0.2, -0.3],
    "x": [-15.0, 22.0, -44.0, 56.0],
    "y": 2,
    "across": 0,
    "up": 1,
    "half": 70.0,
}


def test_the_example_of_the_lecture_ends_in_its_two_losses(talk: Any) -> None:
    found = talk("matrix.multiply", **LECTURE)
    assert_allclose(found["scores"], [-2.85, 0.86, 0.28])
    assert round(found["hinge"], 2) == 1.58
    assert round(found["softmax"], 2) == 1.04
    assert_allclose(found["products"], np.array(LECTURE["W"]) * LECTURE["x"])
    assert_allclose(sum(found["probabilities"]), 1.0)


def test_on_the_line_of_a_class_its_score_is_0(talk: Any) -> None:
    found = talk("matrix.multiply", **LECTURE | {"across": 3, "up": 1})
    W, b = np.array(LECTURE["W"]), np.array(LECTURE["b"])
    n_lines = 0
    for k, line in enumerate(found["lines"]):
        if line is None:
            continue
        n_lines += 1
        for end in (line[:2], line[2:]):
            x = np.array(LECTURE["x"])
            x[3], x[1] = end
            assert abs(W[k] @ x + b[k]) < 1e-9
            assert np.abs(end).max() <= 70.0 + 1e-9
    assert n_lines >= 2


def test_a_row_of_zeros_has_no_line(talk: Any) -> None:
    W = [[0.0, 0.0, 1.0, 1.0], *LECTURE["W"][1:]]
    assert talk("matrix.multiply", **LECTURE | {"W": W})["lines"][0] is None


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"b": [0.0, 1.0]}, "W has 3 rows and b 2 numbers; expected as many, at least 2."),
        ({"W": [[1.0, 1.0, 1.0, 1.0]], "b": [0.0]}, "expected as many, at least 2"),
        ({"y": 3}, "y = 3"),
        ({"up": 0}, "across = up = 0; expected two pixels."),
        ({"x": [1.0, 2.0]}, "x"),
        ({"half": 0.0}, "half"),
    ],
)
def test_what_does_not_fit_is_one_sentence(talk: Any, changed: dict[str, Any], words: str) -> None:
    said = talk.error("matrix.multiply", **LECTURE | changed)
    assert words in said
    assert "\n" not in said
