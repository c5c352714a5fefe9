"""Borders and margin lines: on them the scores are what they must be, and the regions on either side differ."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.errors import ParameterError
from linprobe.explain.borders import class_borders, zero_lines
from linprobe.explain.regions import decision_regions
from linprobe.losses import make_loss

LOW, HIGH = (-2.0, -1.5), (2.0, 2.5)


def drawn(seed: int, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    return random.standard_normal((n_classes, 2)), 0.5 * random.standard_normal(n_classes)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("n_classes", [2, 3, 6])
@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_on_a_segment_the_class_leads_one_by_the_margin_and_the_others_by_no_less(seed, n_classes, margin):
    W, b = drawn(seed, n_classes)
    found = class_borders(W, b, LOW, HIGH, margin)
    for border in found:
        for share in (0.0, 0.3, 1.0):
            at = (1 - share) * np.array(border.start) + share * np.array(border.end)
            assert ((at >= np.array(LOW) - 1e-9) & (at <= np.array(HIGH) + 1e-9)).all()
            lead = (W @ at + b)[border.inside] - (W @ at + b)
            assert abs(lead[border.other] - margin) < 1e-9
            assert np.delete(lead, border.inside).min() > margin - 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_every_two_regions_that_touch_have_a_border_and_no_others_have(seed):
    W, b = drawn(seed, 5)

    class Highest:
        def predict(self, X):
            return (X @ W.T + b).argmax(axis=1)

    regions = decision_regions(Highest(), LOW, HIGH, 400)
    beside = np.column_stack([regions[:, 1:].ravel(), regions[:, :-1].ravel()])
    above = np.column_stack([regions[1:].ravel(), regions[:-1].ravel()])
    pairs, counts = np.unique(np.sort(np.concatenate([beside, above]), axis=1), axis=0, return_counts=True)
    touching = {(int(i), int(j)) for (i, j), n in zip(pairs, counts, strict=True) if i != j and n > 4}
    found = {(border.inside, border.other): border for border in class_borders(W, b, LOW, HIGH)}
    assert touching <= set(found)
    for pair in set(found) - touching:  # a border shorter than a few cells of the grid
        assert np.linalg.norm(np.subtract(found[pair].start, found[pair].end)) < 0.1


@pytest.mark.parametrize("seed", range(4))
def test_the_margin_lines_enclose_the_points_without_a_loss(seed):
    W, b = drawn(seed, 3)
    loss = make_loss("hinge", delta=0.7)
    for border in class_borders(W, b, LOW, HIGH, 0.7):
        middle = (np.array(border.start) + np.array(border.end)) / 2
        towards = W[border.inside] - W[border.other]
        towards /= np.linalg.norm(towards)
        y = np.array([border.inside])
        if np.linalg.norm(np.subtract(border.start, border.end)) > 1e-3:
            assert loss.value(np.array([W @ (middle + 1e-6 * towards) + b]), y)[0] == 0
        assert loss.value(np.array([W @ (middle - 1e-6 * towards) + b]), y)[0] > 0


def test_the_borders_of_three_classes_meet_in_one_point():
    W = np.array([[0.87, -0.5], [0.0, 1.0], [-0.87, -0.5]])
    found = class_borders(W, np.zeros(3), (-1, -1), (1, 1))
    assert [(one.inside, one.other) for one in found] == [(0, 1), (0, 2), (1, 2)]
    assert all(min(np.hypot(*one.start), np.hypot(*one.end)) < 1e-12 for one in found)


def test_equal_rows_share_the_border_to_a_third_and_have_no_margin():
    W, b = np.array([[1.0, 0.0], [1.0, 0.0], [-1.0, 0.0]]), np.zeros(3)
    found = class_borders(W, b, (-1, -1), (1, 1))
    assert [(one.inside, one.other) for one in found] == [(0, 2), (1, 2)]
    assert [one.inside for one in class_borders(W, b, (-1, -1), (1, 1), 0.5)] == [2, 2]
    assert class_borders(np.zeros((3, 2)), np.zeros(3), (-1, -1), (1, 1), 1.0) == ()


@pytest.mark.parametrize(
    ("low", "high", "margin"), [((0, 0), (0, 1), 0.0), ((0, 0), (1, 1), -1.0), ((0, 0), (1, 1), np.nan)]
)
def test_what_cannot_be_used_is_refused(low, high, margin):
    with pytest.raises(ParameterError, match="expected"):
        class_borders(np.eye(2), np.zeros(2), low, high, margin)


@pytest.mark.parametrize("seed", range(4))
def test_on_the_line_of_a_class_its_score_is_0(seed):
    W, b = drawn(seed, 4)
    lines = zero_lines(W, b, LOW, HIGH)
    assert len(lines) == 4
    corners = np.array([[x, y] for x in (LOW[0], HIGH[0]) for y in (LOW[1], HIGH[1])])
    for k, line in enumerate(lines):
        of_corners = corners @ W[k] + b[k]
        assert (line is not None) == (of_corners.min() < 0 < of_corners.max())
        for end in line or ():
            assert abs(W[k] @ np.array(end) + b[k]) < 1e-9
    with pytest.raises(ParameterError, match="low below high"):
        zero_lines(W, b, HIGH, LOW)
