"""Scores of +-1000 against 50-digit arithmetic, and scores that are not finite."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe.losses import LOSSES, SoftmaxCrossEntropy

EXTREMES = np.array(
    [
        [1000.0, -1000.0, 0.0],
        [-1000.0, 1000.0, 999.5],
        [1000.0, 1000.0, 1000.0],
        [-1000.0, -1000.0, -1000.0],
        [0.0, 40.0, -40.0],
        [0.0, 1e-9, -1e-9],
        [700.0, 700.0 + 1e-10, -745.0],
    ]
)


def in_50_digits(name: str, scores: np.ndarray, y: int) -> tuple[float, list[float]]:
    """Loss and its gradient in the scores."""
    with mpmath.workdps(50):
        s = [mpmath.mpf(float(score)) for score in scores]
        if name == "softmax":
            # 2000 apart, e^-2000 is lost even in 50 digits unless the sum is kept in log1p's form
            top = max(range(len(s)), key=lambda j: s[j])
            rest = mpmath.fsum(mpmath.exp(s[j] - s[top]) for j in range(len(s)) if j != top)
            p = [mpmath.exp(s_j - s[top]) / (1 + rest) for s_j in s]
            gradient = [p[j] for j in range(len(s))]
            gradient[y] = -mpmath.fsum(p[j] for j in range(len(s)) if j != y)
            return float(mpmath.log1p(rest) - (s[y] - s[top])), [float(g) for g in gradient]
        power = 2 if name == "squared-hinge" else 1
        margins = [s_j - s[y] + 1 if j != y else mpmath.mpf(0) for j, s_j in enumerate(s)]
        gradient = [power * max(m, mpmath.mpf(0)) ** (power - 1) if m > 0 else mpmath.mpf(0) for m in margins]
        gradient[y] = -mpmath.fsum(gradient)
        value = mpmath.fsum(max(m, mpmath.mpf(0)) ** power for m in margins)
        return float(value), [float(g) for g in gradient]


@pytest.mark.parametrize("name", ["softmax", "hinge", "squared-hinge"])  # those of `in_50_digits`
@pytest.mark.parametrize("row", range(len(EXTREMES)))
@pytest.mark.parametrize("label", [0, 1, 2])
def test_extreme_scores_agree_with_50_digit_arithmetic(name, row, label):
    value, gradient = LOSSES[name]().value_and_gradient(EXTREMES[row : row + 1], np.array([label]))
    expected, expected_gradient = in_50_digits(name, EXTREMES[row], label)
    assert np.isfinite(value).all()
    # The scores are exact; their differences, near 700, are rounded once to 1e-13. Nothing else may be lost.
    assert_allclose(value[0], expected, rtol=1e-14, atol=1e-300)
    assert_allclose(gradient[0], expected_gradient, rtol=1e-14, atol=1e-300)


def test_a_softmax_loss_near_0_keeps_its_digits():
    # log(1 + e^-40) = 4.248354255291589e-18, which 1 + e^-40 in float64 would turn into 0
    assert_allclose(SoftmaxCrossEntropy().value(np.array([[40.0, 0.0]]), np.array([0])), 4.248354255291589e-18)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("bad", [[np.nan, 0.0, 1.0], [0.0, np.inf, 1.0], [-np.inf, 0.0, 1.0], [np.inf, np.inf, 0.0]])
def test_scores_that_are_not_finite_give_a_loss_that_is_not_and_no_warning(name, bad):
    loss = LOSSES[name]().value(np.array([bad]), np.array([0]))
    assert not np.isfinite(loss).any()


@pytest.mark.parametrize("name", LOSSES)
def test_scores_beyond_the_range_of_float32_give_infinity_and_no_warning(name):
    loss = LOSSES[name]().value(np.array([[-3e38, 3e38]], dtype=np.float32), np.array([0]))
    assert loss == [np.inf]


@pytest.mark.parametrize("name", LOSSES)
def test_no_images_give_no_losses(name):
    loss, dscores = LOSSES[name]().value_and_gradient(np.zeros((0, 3)), np.zeros(0, dtype=int))
    assert loss.shape == (0,)
    assert dscores.shape == (0, 3)
