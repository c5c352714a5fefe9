"""The constants of other tools: with them, these reach our minimum."""

from __future__ import annotations

import re

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.linear_model import LogisticRegression, SGDClassifier
from tests.oracles.pixels import MAPPED, WEIGHT, B, K, W, Y, make
from tests.oracles.smooth import minimum

from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.penalties import L1, ElasticNet


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_c_that_describe_prints_gives_scikit_learn_s_logistic_regression_our_minimum(n_classes, weighted):
    y, weight = Y % n_classes, WEIGHT if weighted else None
    objective = make(y=y, n_classes=n_classes, reg=0.02, sample_weight=weight)
    C = float(re.search(r" = ([\d.e+-]+), l1_ratio", objective.describe())[1])
    peer = LogisticRegression(C=C, tol=1e-10, max_iter=5000).fit(MAPPED, y, sample_weight=weight)
    theirs_W, theirs_b = peer.coef_, peer.intercept_
    if n_classes == 2:  # one row w stands for the two rows -w/2 and w/2
        theirs_W, theirs_b = (np.concatenate([-half, half]) / 2 for half in (theirs_W, theirs_b))
    best = minimum(objective)[0]
    # C has six digits, and the minimum is flat: what is left is of the order of 1e-6 squared
    assert_allclose(objective.value(theirs_W, theirs_b), best, rtol=1e-9)


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("penalty", [L1(), ElasticNet(beta=0.5), ElasticNet(beta=3.0)], ids=repr)
def test_the_c_and_l1_ratio_that_describe_prints_give_scikit_learn_our_minimum_with_kinks(n_classes, penalty):
    y = Y % n_classes
    objective = make("softmax", penalty, reg=0.01, y=y, n_classes=n_classes)
    C, ratio = map(float, re.search(r" = ([\d.e+-]+), l1_ratio = ([\d.e+-]+)", objective.describe()).groups())
    peer = LogisticRegression(C=C, l1_ratio=ratio, solver="saga", tol=1e-9, max_iter=100_000)
    peer.fit(MAPPED, y)
    theirs_W, theirs_b = peer.coef_, peer.intercept_
    if n_classes == 2:
        theirs_W, theirs_b = (np.concatenate([-half, half]) / 2 for half in (theirs_W, theirs_b))
    # at a minimum, and only there, the least subgradient is 0; C, in six digits, leaves 1e-6 of it
    if n_classes == 3:
        assert objective.evaluate(theirs_W, theirs_b).gradient_norm < 1e-5
    best = objective.value(theirs_W, theirs_b)
    random = np.random.default_rng(0)
    for size in (1e-3, 1e-2, 1e-1):
        for _ in range(50):
            other = theirs_W + size * random.normal(size=theirs_W.shape)
            assert objective.value(other, theirs_b + size * random.normal(size=n_classes)) >= best


def test_the_alpha_that_describe_prints_is_that_of_sgdclassifier_for_two_classes():
    y = Y % 2
    objective = make("hinge", "l2", reg=0.05, y=y, n_classes=2)
    alpha = float(re.search(r"alpha=([\d.e+-]+)", objective.describe())[1])
    peer = SGDClassifier(loss="hinge", alpha=alpha, tol=None, max_iter=300, average=100, random_state=0)
    peer.fit(MAPPED, y)
    w, b = peer.coef_, peer.intercept_
    theirs = np.maximum(0.0, 1.0 - (2 * y - 1) * (MAPPED @ w[0] + b[0])).mean() + alpha / 2 * (w**2).sum()
    ours = objective.value(np.concatenate([-w, w]) / 2, np.concatenate([-b, b]) / 2)
    assert_allclose(ours, theirs, rtol=1e-6)  # the same objective, and not only near its minimum


@pytest.mark.parametrize(
    ("loss", "penalty", "n_classes", "expected"),
    [
        (
            "hinge",
            "l2",
            3,
            ["1/K = 1/3", "Crammer-Singer", "C = 1/(2 reg N) = 0.125", "weight_decay = 2 reg = 0.2"],
        ),
        (
            "hinge",
            "l2",
            2,
            ["1/K = 1/2", "C = 1/(reg N) = 0.25", "SGDClassifier(loss='hinge')", "w = W[1] - W[0]"],
        ),
        ("squared-hinge", "l1", 3, ["MultiMarginLoss(p=2, margin=1)", "C = 1/(reg N) = 0.25, l1_ratio = 1"]),
        ("softmax", "elastic-net", 3, ["C = 1/(reg (1 + 2 beta) N)", "l1_ratio = 0.333333", "alpha=0.3"]),
        ("softmax", "elastic-net", 2, ["C = 1/(reg (1 + beta) N) = 0.125", "l1_ratio = 0.5"]),
        ("softmax", "none", 3, ["CrossEntropyLoss()", "C=inf", "weight_decay=0"]),
    ],
)
def test_describe_prints_the_constants_of_other_tools(loss, penalty, n_classes, expected):
    text = make(loss, penalty, y=Y % n_classes, n_classes=n_classes).describe()
    for part in expected:
        assert part in text
    assert text.startswith("L(W, b) = (1/N) sum L_i")


def test_describe_counts_weights_in_place_of_images():
    text = make(sample_weight=WEIGHT).describe()
    assert f"C = 1/(2 reg sum w) = {1 / (0.2 * WEIGHT.sum()):.6g}" in text


def test_the_c_of_huge_weights_is_that_of_the_weights_given():
    text = make(sample_weight=WEIGHT * 2.0**60).describe()
    assert f"C = 1/(2 reg sum w) = {1 / (0.2 * WEIGHT.sum() * 2.0**60):.6g}" in text


@pytest.mark.parametrize("delta", [1.0, 2.5])
def test_multi_margin_loss_is_ours_divided_by_the_number_of_classes(delta):
    torch = pytest.importorskip("torch", reason="PyTorch is an optional peer")
    scores = MAPPED @ W.T + B
    for p, loss in ((1, MulticlassHinge(delta)), (2, SquaredHinge(delta))):
        theirs = torch.nn.MultiMarginLoss(p=p, margin=delta)(torch.tensor(scores), torch.tensor(Y))
        assert_allclose(float(theirs) * K, loss.value(scores, Y).mean(), rtol=1e-12)
    theirs = torch.nn.CrossEntropyLoss()(torch.tensor(scores), torch.tensor(Y))
    assert_allclose(float(theirs), SoftmaxCrossEntropy().value(scores, Y).mean(), rtol=1e-12)


@pytest.mark.parametrize("n_classes", [2, 3])
def test_the_weights_of_classes_that_describe_prints_give_scikit_learn_our_minimum(n_classes):
    y = Y % n_classes
    weights = np.array([0.5, 3.0, 1.25])[:n_classes]
    objective = make(y=y, n_classes=n_classes, reg=0.02, sample_weight=weights[y])
    text = objective.describe()
    printed = [float(value) for value in re.search(r"w = \[(.*)\]", text)[1].split(", ")]
    C = float(re.search(r" = ([\d.e+-]+), l1_ratio", text)[1])
    peer = LogisticRegression(C=C, class_weight=dict(enumerate(printed)), tol=1e-10, max_iter=5000).fit(MAPPED, y)
    theirs_W, theirs_b = peer.coef_, peer.intercept_
    if n_classes == 2:
        theirs_W, theirs_b = (np.concatenate([-half, half]) / 2 for half in (theirs_W, theirs_b))
    assert_allclose(objective.value(theirs_W, theirs_b), minimum(objective)[0], rtol=1e-9)


def test_weights_that_differ_within_a_class_are_said_to_be_of_images():
    text = make(sample_weight=WEIGHT).describe()
    assert "pass w as sample_weight to scikit-learn" in text
    assert "class_weight" not in text
    assert "weight to scikit-learn" not in make().describe()
