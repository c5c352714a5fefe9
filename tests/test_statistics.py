"""Facts about the images: against eigenvalues, and shared by every objective over the same images."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from tests.oracles.pixels import MAPPED, WEIGHT, K, N, Y, make

from linprobe.losses import SoftmaxCrossEntropy
from linprobe.objective import Objective
from linprobe.penalties import L2


@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_the_means_of_classes_are_sums_over_their_images(weight):
    means = make(sample_weight=weight).statistics.class_means
    share = np.full(N, 1 / N) if weight is None else weight / weight.sum()
    for k in range(K):
        of_class = np.where(k == Y, share, 0.0)
        assert_allclose(means.shares[k], of_class.sum(), rtol=1e-12)
        assert_allclose(means.sums[k], of_class @ MAPPED, rtol=1e-12, atol=1e-14)


def test_objectives_that_differ_in_reg_alone_share_their_statistics(monkeypatch):
    objective, reads = make(), []
    other = objective.with_reg(7.0)
    plain = type(objective.engine).gradient_of_scores
    monkeypatch.setattr(
        type(objective.engine), "gradient_of_scores", lambda *given, **by: reads.append(1) or plain(*given, **by)
    )
    first = other.statistics.class_means
    count = len(reads)
    assert objective.statistics.class_means is first
    assert len(reads) == count > 0


def test_the_curvature_of_the_features_is_the_top_eigenvalue_of_their_second_moment():
    for weight in (None, WEIGHT):
        objective = make(sample_weight=weight)
        Z = np.column_stack([MAPPED, np.ones(N)])
        share = np.full(N, 1 / N) if weight is None else weight / weight.sum()
        moment = (Z * share[:, None]).T @ Z
        assert_allclose(objective.statistics.moments().curvature, np.linalg.eigvalsh(moment)[-1], rtol=1e-2)
        assert objective.statistics.moments().curvature <= np.linalg.eigvalsh(moment)[-1] * (1 + 1e-12)
        assert_allclose(objective.statistics.moments().square_norm, np.trace(moment), rtol=1e-12)
        moments = objective.statistics.moments()
        balanced, square = moments.balanced_curvature, moments.bias_square
        variances = share @ np.square(MAPPED - share @ MAPPED)
        assert_allclose(square, max(1.0, variances.mean()), rtol=1e-9)
        Z[:, -1] = np.sqrt(square)
        assert_allclose(balanced, np.linalg.eigvalsh((Z * share[:, None]).T @ Z)[-1], rtol=1e-2)
        assert_allclose(objective.statistics.moments().absolute_norm, (share * np.abs(Z).sum(axis=1)).sum(), rtol=1e-12)


def test_the_bias_is_as_large_as_features_that_vary_by_more_than_1_wherever_they_lie():
    random = np.random.default_rng(5)
    for factor, mean, expected in ((20.0, 0.0, 400.0), (20.0, 1e3, 400.0), (0.1, 0.0, 1.0), (0.1, 50.0, 1.0)):
        rows = factor * random.standard_normal((3000, 4)) + mean
        objective = Objective(rows, np.arange(3000) % 2, loss="softmax", penalty=None, reg=0.0, engine="reference")
        assert_allclose(objective.statistics.moments().bias_square, expected, rtol=0.1)  # sqrt(2 / 12000) is 1.3 %


def test_the_curvature_of_many_rows_comes_from_a_seeded_sample_of_them():
    random = np.random.default_rng(5)
    rows = random.normal(size=(20_000, 3)) * [3.0, 1.0, 0.5]
    objective = Objective(rows, np.arange(20_000) % 2, loss="softmax", penalty=None, reg=0.0, engine="reference")
    assert objective.statistics.moments(0).curvature != objective.statistics.moments(1).curvature
    assert_allclose(objective.statistics.moments(0).curvature, 9.0, rtol=0.1)  # of 4096 rows: sqrt(2 / 4096) is 2 %
    again = objective.with_engine("reference")
    assert again.statistics.moments(0).curvature == objective.statistics.moments(0).curvature


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_sizes_of_features_are_those_of_their_largest_numbers(dtype):
    X = np.random.default_rng(0).normal(size=(40, 7)).astype(dtype)
    X[:, 1], X[3, 2], X[:, 3], X[:, 4] = -0.0, -6e4, np.finfo(dtype).smallest_subnormal, -np.abs(X[:, 4])
    objective = Objective(X, np.arange(40) % 3, loss=SoftmaxCrossEntropy(), penalty=L2(), reg=0.1)
    assert_array_equal(objective.statistics.feature_sizes, np.abs(X.astype(np.float64)).max(axis=0))
