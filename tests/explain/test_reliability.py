"""Reliability and the expected calibration error against a loop over the bins, and its diagram."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.errors import LabelError, ParameterError, ShapeError
from linprobe.explain.reliability import reliability, reliability_picture
from linprobe.losses import SoftmaxCrossEntropy


def drawn(n=500, n_classes=5, seed=0):
    random = np.random.default_rng(seed)
    S = random.normal(scale=2.0, size=(n, n_classes))
    return SoftmaxCrossEntropy().probabilities(S), random.integers(0, n_classes, n)


@pytest.mark.parametrize(("n_classes", "bins"), [(2, 15), (5, 10), (5, 1)])
def test_the_bins_and_the_error_are_those_of_a_loop(n_classes, bins):
    probabilities, y = drawn(n_classes=n_classes)
    highest, hit = probabilities.max(axis=1), probabilities.argmax(axis=1) == y
    error, total = 0.0, 0
    found = reliability(probabilities, y, bins)
    for m in range(bins):
        inside = (highest > m / bins) & (highest <= (m + 1) / bins)
        assert found.counts[m] == inside.sum()
        if inside.any():
            assert_allclose([found.confidence[m], found.accuracy[m]], [highest[inside].mean(), hit[inside].mean()])
            error += inside.mean() * abs(highest[inside].mean() - hit[inside].mean())
        else:
            assert np.isnan([found.confidence[m], found.accuracy[m]]).all()
        total += inside.sum()
    assert total == len(y)
    assert_allclose(found.ece, error)


def test_an_edge_belongs_to_the_bin_below_it():
    edges = np.linspace(0.0, 1.0, 16)
    for m in range(8, 15):
        found = reliability(np.array([[edges[m], 1.0 - edges[m]]]), np.array([0]))
        assert found.counts.argmax() == m - 1


def test_a_classifier_that_is_sure_and_right_has_no_error_and_one_that_is_sure_and_wrong_all_of_it():
    sure = np.eye(3)
    assert reliability(sure, np.arange(3)).ece == 0.0
    assert reliability(sure, np.array([1, 2, 0])).ece == 1.0


def test_single_precision_is_probability_enough():
    probabilities, y = drawn()
    assert_allclose(reliability(probabilities.astype(np.float32), y).ece, reliability(probabilities, y).ece, atol=1e-6)


@pytest.mark.parametrize("n", [1, 300])
def test_the_diagram_tells_the_error_and_the_direction(n):
    probabilities, y = drawn(n)
    found = reliability(probabilities, y)
    picture = reliability_picture(found)
    assert f"ECE {100 * found.ece:.1f}%" in picture.svg()
    assert f"{100 * found.ece:.1f}%" in picture.alt
    assert picture.png(50)
    assert "overconfident on" in reliability_picture(reliability(np.array([[0.9, 0.1]]), np.array([1]))).alt
    assert "underconfident on" in reliability_picture(reliability(np.array([[0.9, 0.1]]), np.array([0]))).alt


def test_what_is_no_distribution_is_refused():
    y = np.array([0, 1])
    with pytest.raises(ParameterError, match=r"probabilities\[1\] is not a distribution .*softmax"):
        reliability(np.array([[0.5, 0.5], [2.0, 3.0]]), y)
    with pytest.raises(ParameterError, match=r"probabilities\[0\] is not a distribution \(minimum -0.5"):
        reliability(np.array([[-0.5, 1.5], [0.5, 0.5]]), y)
    with pytest.raises(ParameterError, match=r"probabilities\[0, 1\] = nan"):
        reliability(np.array([[0.5, np.nan], [0.5, 0.5]]), y)
    with pytest.raises(ShapeError, match="at least one image"):
        reliability(np.zeros((0, 2)), np.zeros(0, np.int64))
    with pytest.raises(LabelError):
        reliability(np.eye(2), np.array([0, 2]))
    with pytest.raises(ParameterError, match="bins = 0"):
        reliability(np.eye(2), y, bins=0)
