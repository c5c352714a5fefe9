"""Likelihood, divergence and cross-entropy: against sums written out, and the bars of the slide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.errors import ParameterError, ShapeError
from linprobe.explain.divergence import divergence, divergence_picture

CAT = [3.2, 5.1, -1.7]


def test_the_numbers_of_the_slide():
    found = divergence([1, 0, 0], CAT)
    assert_allclose(found.Q, [0.13, 0.87, 0.00], atol=0.005)
    assert_allclose([found.entropy, found.divergence, found.cross_entropy], [0.0, 2.04, 2.04], atol=0.005)
    assert found.terms[1:].tolist() == [0.0, 0.0]


def test_of_any_target_the_parts_sum_to_the_cross_entropy():
    P = [0.7, 0.2, 0.1]
    found = divergence(P, CAT)
    Q = [math.exp(s) / sum(math.exp(t) for t in CAT) for s in CAT]
    assert_allclose(found.divergence, sum(p * math.log(p / q) for p, q in zip(P, Q, strict=True)))
    assert_allclose(found.entropy, -sum(p * math.log(p) for p in P))
    assert_allclose(found.terms.sum(), found.cross_entropy)
    assert_allclose(found.entropy + found.divergence, found.cross_entropy)


def test_the_bars_carry_the_numbers_and_names():
    text = divergence_picture(divergence([1, 0, 0], CAT), ["cat", "$car$", "frog"]).svg()
    for shown in ("1.00", "0.13", "0.87", "2.04", ">$car$<"):
        assert shown in text


@pytest.mark.parametrize(("K", "certain"), [(2, True), (10, True), (20, False)])
def test_certain_scores_and_many_classes_can_be_drawn(K, certain):
    scores = np.zeros(K)
    scores[0] = 1000.0 if certain else 0.0
    picture = divergence_picture(divergence(np.eye(K)[0], scores), [f"class {k}" for k in range(K)])
    assert f"cross-entropy {0.0 if certain else math.log(K):.3f}" in picture.alt
    assert picture.png()


def test_what_cannot_be_drawn_is_one_line():
    with pytest.raises(ShapeError, match=r"\(2,\), scores \(3,\)"):
        divergence([1, 0], CAT)
    with pytest.raises(ParameterError, match="scores"):
        divergence([1, 0, 0], [0.0, np.inf, 0.0])
    with pytest.raises(ParameterError):
        divergence([1, 1, 0], CAT)
    with pytest.raises(ShapeError, match="3 classes, 2 names"):
        divergence_picture(divergence([1, 0, 0], CAT), ["cat", "car"])
    with pytest.raises(ShapeError, match="21 classes"):
        divergence_picture(divergence(np.eye(21)[0], np.zeros(21)), range(21))
