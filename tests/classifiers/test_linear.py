"""LinearClassifier: what it learns and proves, the identities it keeps, and what it says to bad input."""

from __future__ import annotations

import pickle
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from linprobe.classifiers.linear import LinearClassifier
from linprobe.classifiers.linear_cv import LinearClassifierCV
from linprobe.classifiers.nearest_neighbors import NearestNeighbors
from linprobe.data.base import EmbeddingSet, ImageSet
from linprobe.errors import IncompatibleError, LabelError, ParameterError, ShapeError, SplitError
from linprobe.losses import Loss, MulticlassHinge
from linprobe.optimizers.base import Epoch, Status
from linprobe.optimizers.trace import Trace
from linprobe.penalties import Penalty
from linprobe.printed import gap_text

Digits = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]


def make(**parameters: Any) -> LinearClassifier:
    """A classifier with a fixed seed."""
    return LinearClassifier(**{"random_state": 0, **parameters})


def blobs(n: int, n_classes: int, seed: int = 0) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64]]:
    """`n` points around `n_classes` centres in 5-D."""
    random = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    return random.normal(size=(n_classes, 5))[y] * 2 + random.normal(size=(n, 5)), y


def picture_set(digits: Digits, rows: npt.NDArray[np.int64] | None = None) -> ImageSet:
    """The digits as pictures of 8 x 8 pixels."""
    X, y = digits
    names = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    whole = ImageSet(X.reshape(-1, 8, 8, 1), y, names, "digits")
    return whole if rows is None else whole.subset(rows)


# what it learns


@pytest.mark.parametrize("optimizer", ["exact", "sgd"])
@pytest.mark.parametrize("loss", ["softmax", "hinge", "squared-hinge"])
def test_digits_held_out_are_told_apart_with_the_defaults(digits: Digits, loss: str, optimizer: str) -> None:
    X, y = digits
    classifier = make(loss=loss, optimizer=optimizer).fit(X[:1200], y[:1200])
    assert classifier.score(X[1200:], y[1200:]) > 0.88  # logistic regression of scikit-learn: 0.90 to 0.92
    assert classifier.score(X[:1200], y[:1200]) > 0.95
    assert classifier.status_ is (Status.CERTIFIED if optimizer == "exact" else Status.COMPLETED)
    if optimizer == "sgd":
        assert classifier.n_iter_ == 20
    assert [row["epoch"] for row in classifier.history_] == list(range(classifier.n_iter_ + 1))


def test_the_exact_optimum_is_the_default() -> None:
    assert LinearClassifier().optimizer == "exact"


def test_gradient_descent_reaches_the_minimum_that_scikit_learn_finds() -> None:
    X, y = blobs(90, 3)
    reg = 0.05
    ours = make(optimizer="gd", reg=reg, tol=1e-7, max_iter=5000).fit(X, y)
    theirs = LogisticRegression(C=1 / (2 * reg * len(X)), tol=1e-10, max_iter=5000).fit(X, y)
    assert ours.status_ is Status.CONVERGED
    assert_allclose(ours.coef_, theirs.coef_, atol=1e-5)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "gd", "tol": 1e-8},
        {"optimizer": "exact", "tol": 1e-9},
        {"optimizer": "exact", "tol": 1e-9, "loss": "squared-hinge"},
        {"optimizer": "exact", "tol": 1e-7, "loss": "hinge"},
        {"optimizer": "exact", "tol": 1e-8, "penalty": "elastic-net"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_weights_of_two_count_like_rows_given_twice(settings: dict[str, Any]) -> None:
    X, y = blobs(40, 3)
    weight = 1.0 + (np.arange(40) % 2)
    twice = np.repeat(np.arange(40), weight.astype(int))
    settings = {**settings, "reg": 0.1, "preprocess": "standardize"}
    weighted = make(**settings).fit(X, y, weight)
    repeated = make(**settings).fit(X[twice], y[twice])
    assert_allclose(weighted.coef_, repeated.coef_, atol=1e-6)


def test_class_weights_are_weights_of_the_rows() -> None:
    X, y = blobs(40, 2)
    settings: dict[str, Any] = {"optimizer": "gd", "reg": 0.1}
    by_class = make(**settings, class_weight={0: 3.0}).fit(X, y)
    by_row = make(**settings).fit(X, y, np.where(y == 0, 3.0, 1.0))
    assert_array_equal(by_class.coef_, by_row.coef_)
    rare = np.concatenate([np.flatnonzero(y == 0)[:4], np.flatnonzero(y == 1)])
    balanced = make(**settings, class_weight="balanced").fit(X[rare], y[rare])
    factors = np.where(y[rare] == 0, 24 / (2 * 4), 24 / (2 * 20))
    assert_allclose(balanced.coef_, make(**settings).fit(X[rare], y[rare], factors).coef_, rtol=1e-9)


@pytest.mark.parametrize("optimizer", ["exact", "sgd"])
def test_l1_gives_exact_zeros(digits: Digits, optimizer: str) -> None:
    budget = {"epochs": 5} if optimizer == "sgd" else {}
    classifier = make(penalty="l1", reg=3e-2, optimizer=optimizer, **budget).fit(*digits)
    assert (classifier.weights_ == 0.0).mean() > 0.3
    assert_array_equal(classifier.weights_ == 0.0, classifier.coef_ == 0.0)


@dataclass(frozen=True)
class SquaredDistance(Loss):
    """A loss that linprobe does not have: |s - e_y|² / 2."""

    name: ClassVar[str] = "squared-distance"
    smooth: ClassVar[bool] = True

    def curvature(self, n_classes: int) -> float:
        return 1.0

    def value_and_gradient(self, scores: Any, y: Any) -> tuple[Any, Any]:
        residual = scores - np.eye(scores.shape[1])[y]
        return (residual**2).sum(axis=1) / 2, residual


def test_a_loss_of_the_user_is_trained_and_survives_clone() -> None:
    X, y = blobs(60, 3)
    classifier = clone(make(loss=SquaredDistance(), optimizer="gd", penalty="none", tol=1e-7)).fit(X, y)
    Z = np.column_stack([X, np.ones(60)])
    least_squares = np.linalg.lstsq(Z, np.eye(3)[y], rcond=None)[0]
    assert_allclose(classifier.coef_, least_squares[:-1].T, atol=1e-5)


# the identities it keeps


@pytest.mark.parametrize("n_classes", [2, 4])
@pytest.mark.parametrize("preprocess", ["auto", "none", "unit", "center", "standardize"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_scores_are_those_of_the_folded_weights_on_raw_rows(n_classes: int, preprocess: str, dtype: type) -> None:
    random = np.random.default_rng(1)
    X = random.integers(0, 256, (40, 6)).astype(dtype)
    y = np.arange(40) % n_classes
    classifier = make(preprocess=preprocess).fit(X, y)
    S = classifier.decision_function(X)
    by_hand = X.astype(np.float64) @ classifier.coef_.T + classifier.intercept_
    assert S.shape == ((40,) if n_classes == 2 else (40, n_classes))
    assert S.dtype == np.float64
    # the native core sums products of float32 rows in float32: 6 terms of 256
    assert_allclose(S, by_hand.reshape(S.shape), rtol=1e-4, atol=1e-4 * np.abs(by_hand).max())
    assert classifier.weights_.shape == (n_classes, 6)


def test_two_classes_have_one_row_of_coefficients_and_positive_scores_mean_the_second() -> None:
    X, y = blobs(40, 2)
    classifier = make().fit(X, np.where(y == 1, "yes", "no"))
    assert classifier.coef_.shape == (1, 5)
    assert classifier.intercept_.shape == (1,)
    assert_array_equal(classifier.predict(X) == "yes", classifier.decision_function(X) > 0)
    assert_allclose(classifier.scores(X), X @ classifier.weights_.T + classifier.bias_, rtol=1e-12)
    assert_array_equal(np.diff(classifier.scores(X))[:, 0], classifier.decision_function(X))


def test_probabilities_are_the_softmax_of_the_scores(digits: Digits, fitted: LinearClassifier) -> None:
    X, _ = digits
    S = fitted.decision_function(X)
    E = np.exp(S - S.max(axis=1, keepdims=True))
    assert_allclose(fitted.predict_proba(X), E / E.sum(axis=1, keepdims=True), rtol=1e-12)
    assert_allclose(np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X), rtol=1e-12)
    assert_array_equal(fitted.predict(X), fitted.predict_proba(X).argmax(axis=1))


@pytest.mark.parametrize("loss", ["hinge", "squared-hinge", MulticlassHinge()])
def test_hinge_losses_have_no_probabilities(loss: Any) -> None:
    assert not hasattr(make(loss=loss), "predict_proba")
    assert not hasattr(make(loss=loss), "predict_log_proba")


def test_one_seed_gives_one_result_and_two_seeds_give_two(digits: Digits) -> None:
    one, same, other = (make(optimizer="sgd", epochs=1, random_state=seed).fit(*digits) for seed in (3, 3, 4))
    assert_array_equal(one.coef_, same.coef_)
    assert not np.array_equal(one.coef_, other.coef_)
    exact = [make(random_state=seed).fit(*digits).coef_ for seed in (3, 4)]
    assert_array_equal(*exact)  # nothing is drawn


@pytest.mark.parametrize("labels", [["b", "a", "c"], [10, -1, 7], [0.0, 4.0, 2.0]])
def test_labels_of_any_kind_come_back(labels: list[Any]) -> None:
    X, y = blobs(60, 3)
    named = np.array(labels)[y]
    classifier = make().fit(X, named)
    assert_array_equal(classifier.classes_, np.sort(labels))
    assert classifier.score(X, named) > 0.9
    assert classifier.predict(X).dtype == named.dtype


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd", "epochs": 1}], ids=["exact", "sgd"])
def test_uint8_rows_are_never_copied(options: dict[str, Any]) -> None:
    random = np.random.default_rng(0)
    y = np.arange(100_000) % 2
    X = random.integers(0, 128, (len(y), 400), dtype=np.uint8)  # 40 MB, and 160 MB as float32
    X[y == 1, :200] += 64
    X.flags.writeable = False
    tracemalloc.start()
    try:
        make(validation_fraction=0.2, **options).fit(X, y)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes  # of it 32 MB are for a sample of the rows, whatever their number


def test_a_memory_map_that_cannot_be_written_is_trained_on(tmp_path: Path, digits: Digits) -> None:
    X, y = digits
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    assert_array_equal(make().fit(mapped, y).coef_, make().fit(X, y).coef_)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "squared-hinge"},
        {"loss": "hinge", "reg": 1e-2},
        {"penalty": "elastic-net", "reg": 1e-2},
        {"optimizer": "sgd", "epochs": 2},
        {"optimizer": "gd", "max_iter": 400},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_the_number_of_threads_changes_no_bit(digits: Digits, settings: dict[str, Any]) -> None:
    one, two, three = (make(**settings, n_threads=n).fit(*digits) for n in (1, 2, 3))
    assert_array_equal(one.coef_, two.coef_)
    assert_array_equal(one.coef_, three.coef_)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"loss": "hinge", "reg": 1e-2},
        {"loss": "squared-hinge"},
        {"optimizer": "sgd"},
    ],
    ids=["softmax", "hinge", "squared-hinge", "sgd"],
)
def test_rows_of_weight_zero_teach_nothing_about_their_class(digits: Digits, settings: dict[str, Any]) -> None:
    X, y = digits
    classifier = make(**settings).fit(X, y, np.where(y == 3, 0.0, 1.0))
    assert not (classifier.predict(X) == 3).any()


def test_children_of_joblib_come_to_the_same_scores(digits: Digits) -> None:
    X, y = digits
    alone, shared = (cross_val_score(make(), X, y, cv=3, n_jobs=n) for n in (1, 2))
    assert_array_equal(alone, shared)


def test_a_fitted_classifier_survives_pickling(digits: Digits, fitted: LinearClassifier) -> None:
    X, _ = digits
    again = pickle.loads(pickle.dumps(fitted))
    assert_array_equal(again.decision_function(X), fitted.decision_function(X))


# with the tools around it


def test_data_frames_are_read_and_their_columns_remembered() -> None:
    X, y = blobs(40, 2)
    names = list("abcde")
    plain = make().fit(X, y)
    for frame in (pd.DataFrame(X, columns=names), pl.DataFrame(X, schema=names)):
        classifier = make().fit(frame, y)
        assert_array_equal(classifier.feature_names_in_, names)
        assert_array_equal(classifier.predict(frame), plain.predict(X))
        assert_array_equal(classifier.coef_, plain.coef_)
    with pytest.raises(ValueError, match="feature names"):
        make().fit(pd.DataFrame(X, columns=names), y).predict(pd.DataFrame(X, columns=names[::-1]))


def test_it_works_in_a_pipeline_under_grid_search() -> None:
    X, y = blobs(60, 3)
    search = GridSearchCV(make_pipeline(StandardScaler(), make()), {"linearclassifier__reg": [1e-3, 10.0]}, cv=3).fit(
        X, y
    )
    assert search.best_params_ == {"linearclassifier__reg": 1e-3}
    assert search.best_score_ > 0.85


# streams


def test_a_stream_is_learnt_part_by_part(digits: Digits) -> None:
    X, y = digits
    classifier = make(optimizer="sgd")
    for _ in range(3):
        for part in np.array_split(np.arange(1500), 10):
            classifier.partial_fit(X[part], y[part], classes=np.arange(10))
    assert classifier.n_iter_ == 30
    assert classifier.score(X[1500:], y[1500:]) > 0.85


def test_a_stream_of_one_part_is_one_epoch_at_a_constant_rate(digits: Digits) -> None:
    stream = make(optimizer="sgd").partial_fit(*digits, classes=np.arange(10))
    stream.partial_fit(*digits)
    whole = make(optimizer="sgd", epochs=2, schedule="constant").fit(*digits)
    assert_array_equal(stream.coef_, whole.coef_)


def test_a_part_may_hold_one_class_or_one_row(digits: Digits) -> None:
    X, y = digits
    classifier = make(optimizer="sgd").partial_fit(X[:100], y[:100], classes=np.arange(10))
    before = classifier.coef_.copy()
    classifier.partial_fit(X[:1], y[:1])
    assert not np.array_equal(before, classifier.coef_)


def test_training_goes_on_after_fit(digits: Digits) -> None:
    X, y = digits
    classifier = make(optimizer="sgd", epochs=3).fit(X, y)
    accuracy = classifier.score(X, y)
    classifier.partial_fit(X, y)
    assert classifier.n_iter_ == 4
    assert classifier.score(X, y) > accuracy - 0.03


def test_a_stream_takes_a_learning_rate_that_is_set_on_the_way(digits: Digits) -> None:
    classifier = make(optimizer="sgd").partial_fit(*digits, classes=np.arange(10))
    before = classifier.coef_
    classifier.set_params(learning_rate=1e-12).partial_fit(*digits)
    assert_allclose(classifier.coef_, before, atol=1e-8)
    assert classifier.history_[-1]["learning_rate"] == 1e-12


@pytest.mark.parametrize("optimizer", ["exact", "gd"])
def test_a_stream_goes_on_from_another_optimizer(optimizer: str) -> None:
    X, y = blobs(60, 3)
    classifier = make(optimizer=optimizer, reg=0.1).fit(X, y)
    found = classifier.coef_
    classifier.set_params(optimizer="sgd").partial_fit(X, y)
    assert classifier.certificate_ is None  # it was one of other weights
    assert 0 < np.abs(classifier.coef_ - found).max() < 0.5 * np.abs(found).max()


def test_a_stream_says_what_it_cannot_take(digits: Digits) -> None:
    X, y = digits
    with pytest.raises(ParameterError, match="first call of partial_fit requires all labels"):
        make(optimizer="sgd").partial_fit(X, y)
    with pytest.raises(LabelError, match="y holds 9; expected labels among the classes 0, 1"):
        make(optimizer="sgd").partial_fit(X, y, classes=np.arange(9))
    with pytest.raises(LabelError, match="fewer than 2 classes"):
        make(optimizer="sgd").partial_fit(X, y, classes=[0])
    classifier = make(optimizer="sgd").partial_fit(X, y, classes=np.arange(10))
    with pytest.raises(ParameterError, match="but training began with 0, 1"):
        classifier.partial_fit(X, y, classes=np.arange(11))
    with pytest.raises(ParameterError, match="use a dict"):
        make(optimizer="sgd", class_weight="balanced").partial_fit(X, y, classes=np.arange(10))
    with pytest.raises(ParameterError, match="partial_fit holds nothing out"):
        make(optimizer="sgd", patience=2).partial_fit(X, y, classes=np.arange(10))
    assert not hasattr(make(optimizer="gd"), "partial_fit")
    assert not hasattr(make(), "partial_fit")


# held-out rows, labelled sets


def test_early_stopping_keeps_the_weights_of_the_lowest_validation_loss(digits: Digits) -> None:
    settings: dict[str, Any] = {"optimizer": "sgd", "epochs": 40, "schedule": "constant", "patience": 2}
    classifier = make(reg=0.0, validation_fraction=0.2, **settings).fit(*digits)
    losses = [row["validation_loss"] for row in classifier.history_]
    assert classifier.status_ is Status.EARLY_STOPPED
    assert classifier.n_iter_ == int(np.argmin(losses)) + 2
    assert np.isfinite(losses).all()


def test_a_set_is_trained_like_its_rows(digits: Digits) -> None:
    X, y = digits
    rows = np.arange(0, len(X), 2)
    of_set = make().fit_sets(picture_set(digits, rows))
    of_rows = make().fit(X[rows], y[rows])
    assert_allclose(of_set.coef_, of_rows.coef_, rtol=1e-6, atol=1e-9)
    assert of_set.image_shape_ == (8, 8, 1)
    assert of_set.class_names_[:2] == ("zero", "one")
    assert of_set.predict(X[:1]).tolist() == ["zero"]
    assert of_rows.image_shape_ is None


def test_a_set_of_vectors_is_trained_and_a_class_may_be_absent() -> None:
    X, y = blobs(40, 2)
    classifier = make().fit_sets(EmbeddingSet(X, y, ("b", "a", "absent"), "points"))
    assert classifier.coef_.shape == (3, 5)
    assert set(classifier.predict(X)) == {"a", "b"}
    assert classifier.image_shape_ is None


@pytest.mark.parametrize("settings", [{}, {"optimizer": "sgd", "epochs": 2}], ids=["exact", "sgd"])
def test_validation_images_are_measured_in_each_epoch(digits: Digits, settings: dict[str, Any]) -> None:
    order = np.arange(len(digits[1]))
    train, held = picture_set(digits, order[300:]), picture_set(digits, order[:300])
    classifier = make(**settings).fit_sets(train, held)
    assert classifier.history_[-1]["validation_accuracy"] == pytest.approx(
        classifier.score(digits[0][:300], np.array(train.class_names)[digits[1][:300]])
    )


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "exact", "max_iter": 3},
        {"optimizer": "exact", "loss": "hinge", "max_iter": 3},
        {"optimizer": "exact", "loss": "hinge", "penalty": "elastic-net", "max_iter": 3, "tol": 0.0},
        {"optimizer": "exact", "penalty": "elastic-net", "max_iter": 3, "tol": 0.0},
        {"optimizer": "sgd", "epochs": 3},
        {"optimizer": "gd", "max_iter": 3},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_training_continued_from_any_state_comes_to_the_same_bits(digits: Digits, settings: dict[str, Any]) -> None:
    states: list[Epoch] = []
    images = picture_set(digits, np.arange(300))
    settings = {**settings, "validation_fraction": 0.2}
    whole = make(**settings).fit_sets(images, callback=states.append)
    assert [epoch.epoch for epoch in states] == [0, 1, 2, 3]
    for epoch in states:
        again = make(**settings).fit_sets(images, start=epoch.state)
        assert_array_equal(again.coef_, whole.coef_)


@pytest.mark.parametrize("settings", [{}, {"loss": "hinge"}, {"optimizer": "sgd"}], ids=["lbfgs", "admm", "sgd"])
def test_a_callback_can_end_the_training(digits: Digits, settings: dict[str, Any]) -> None:
    classifier = make(**settings).fit_sets(picture_set(digits), callback=lambda epoch: epoch.epoch == 1)
    assert classifier.status_ is Status.STOPPED
    assert classifier.n_iter_ == 1


def test_a_set_of_another_kind_is_refused_for_validation(digits: Digits) -> None:
    images = picture_set(digits)
    renamed = ImageSet(images.images, images.y, tuple("abcdefghij"), "renamed")
    with pytest.raises(IncompatibleError, match="renamed: the validation classes are a, b"):
        make().fit_sets(images, renamed)
    turned = ImageSet(images.images.reshape(-1, 4, 16, 1), images.y, images.class_names, "turned")
    with pytest.raises(IncompatibleError, match=r"turned: .* shape \(4, 16, 1\), but .* \(8, 8, 1\)"):
        make().fit_sets(images, turned)


# the certificate


def loss_by_hand(loss: str, S: npt.NDArray[np.float64], y: npt.NDArray[np.int64]) -> float:
    """Mean loss of scores (N, K), in plain NumPy."""
    correct = S[np.arange(len(y)), y, None]
    if loss == "softmax":
        return float(
            (np.log(np.exp(S - S.max(axis=1, keepdims=True)).sum(axis=1)) + S.max(axis=1) - correct[:, 0]).mean()
        )
    margins = np.maximum(0.0, S - correct + 1.0)
    margins[np.arange(len(y)), y] = 0.0
    return float((margins if loss == "hinge" else margins**2).sum(axis=1).mean())


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net"])
@pytest.mark.parametrize("loss", ["softmax", "squared-hinge", "hinge"])
def test_the_certificate_is_of_the_weights_that_are_returned(digits: Digits, loss: str, penalty: str) -> None:
    X, y = digits
    tol = 5e-3  # the hinge with L1 is a linear program, and slow
    classifier = make(loss=loss, penalty=penalty, reg=1e-2, tol=tol).fit(X, y)
    W, b, certificate = classifier.weights_, classifier.bias_, classifier.certificate_
    assert classifier.status_ is Status.CERTIFIED
    mapped = (X - X.mean(axis=0)) / 255.0
    size = {"l2": np.square(W), "l1": np.abs(W), "elastic-net": np.square(W) + np.abs(W)}[penalty].sum()
    by_hand = loss_by_hand(loss, mapped @ W.T + b, y) + 1e-2 * size
    assert certificate.objective == pytest.approx(by_hand, rel=1e-10)
    assert 0.0 < certificate.lower_bound <= certificate.objective
    assert certificate.relative_gap <= tol
    assert certificate.relative_gap == pytest.approx(1.0 - certificate.lower_bound / certificate.objective)


def test_the_minimum_that_scikit_learn_finds_is_within_the_gap() -> None:
    X, y = blobs(90, 3)
    reg = 0.05
    ours = make(reg=reg).fit(X, y)
    theirs = LogisticRegression(C=1 / (2 * reg * len(X)), tol=1e-10, max_iter=5000).fit(X, y)
    S = X @ theirs.coef_.T + theirs.intercept_
    least = loss_by_hand("softmax", S, y) + reg * float(np.square(theirs.coef_).sum())
    assert ours.certificate_.lower_bound <= least * (1 + 1e-9)
    assert least <= ours.certificate_.objective * (1 + 1e-9)


@pytest.mark.parametrize("optimizer", ["sgd", "gd"])
def test_what_proves_nothing_has_no_certificate(optimizer: str) -> None:
    classifier = make(optimizer=optimizer, reg=0.1).fit(*blobs(60, 3))
    assert classifier.certificate_ is None


@pytest.mark.parametrize("settings", [{"max_iter": 2}, {"loss": "hinge", "max_iter": 10}], ids=["lbfgs", "admm"])
def test_a_budget_that_is_too_small_is_one_warning_with_the_gap_and_what_to_turn(settings: dict[str, Any]) -> None:
    X, y = blobs(60, 3)
    with pytest.warns(ConvergenceWarning) as caught:
        classifier = make(**settings, tol=1e-6).fit(X, y)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    message = str(caught[0].message)
    assert "the iterations ended before tol was reached: raise max_iter, loosen tol, or increase reg" in message
    certificate = classifier.certificate_
    assert f"relative duality gap {gap_text(certificate.relative_gap)}, tol 1e-06" in message
    assert certificate.describe() in message
    assert classifier.status_ is Status.MAX_ITER
    assert 1e-6 < certificate.relative_gap <= 1.0


def test_without_a_penalty_the_warning_shows_the_gradient_and_no_gap() -> None:
    X, y = np.random.default_rng(7).normal(size=(60, 2)), np.arange(60) % 3
    for settings in ({"penalty": "none", "max_iter": 1}, {"loss": "hinge", "reg": 0.0, "max_iter": 2}):
        with pytest.warns(ConvergenceWarning) as caught:
            classifier = make(**settings, tol=1e-9).fit(X, y)
        assert len(caught) == 1
        norm = classifier.certificate_.gradient_norm
        assert f"(gradient norm {norm:.3g}; without a penalty the only lower bound is 0" in str(caught[0].message)
        assert "gap" not in str(caught[0].message)


def test_classes_that_can_be_separated_have_no_best_weights_without_a_penalty() -> None:
    X, y = blobs(30, 3, seed=4)
    X += 20.0 * np.eye(3, 5)[y]
    for settings in ({"penalty": "none"}, {"reg": 0.0}):
        with pytest.warns(
            ConvergenceWarning, match=r"the classes are separable: without a penalty .*; use a penalty with reg > 0"
        ) as caught:
            classifier = make(**settings).fit(X, y)
        assert len(caught) == 1
        assert classifier.status_ is Status.SEPARABLE
        assert np.isfinite(classifier.coef_).all()
        assert classifier.score(X, y) == 1.0


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_ctrl_c_gives_the_weights_so_far_with_a_warning(monkeypatch: pytest.MonkeyPatch, loss: str) -> None:
    whole = Trace.add

    def press(trace: Trace, *arguments: Any, **options: Any) -> bool:
        stop = whole(trace, *arguments, **options)
        if len(trace.history) == 3:
            raise KeyboardInterrupt
        return stop

    monkeypatch.setattr(Trace, "add", press)
    X, y = blobs(60, 3)
    with pytest.warns(ConvergenceWarning, match=r"stopped by Ctrl-C; .* \(relative duality gap .*, tol 1e-12"):
        classifier = make(loss=loss, tol=1e-12).fit(X, y)
    assert classifier.status_ is Status.INTERRUPTED
    assert classifier.score(X, y) > 0.5
    assert classifier.certificate_.objective < loss_by_hand(loss, np.zeros((60, 3)), y)
    monkeypatch.undo()
    assert classifier.certificate_.lower_bound <= make(loss=loss).fit(X, y).certificate_.objective


# odd problems


LOSSES = ("softmax", "squared-hinge", "hinge")
AT_ZERO = {"softmax": np.log(3.0), "squared-hinge": 2.0, "hinge": 2.0}
"""The loss of zero weights, for three classes."""


@pytest.mark.parametrize("loss", LOSSES)
def test_one_feature_is_enough(loss: str) -> None:
    X, y = blobs(60, 2)
    classifier = make(loss=loss, reg=0.01).fit(X[:, :1], y)
    assert classifier.status_ is Status.CERTIFIED
    assert classifier.coef_.shape == (1, 1)


@pytest.mark.parametrize("penalty", ["l2", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_there_may_be_fewer_rows_than_features(loss: str, penalty: str) -> None:
    random = np.random.default_rng(5)
    X, y = random.normal(size=(8, 40)), np.arange(8) % 2
    classifier = make(loss=loss, penalty=penalty, reg=0.01).fit(X, y)
    assert classifier.status_ is Status.CERTIFIED
    assert classifier.score(X, y) == 1.0


@pytest.mark.parametrize("loss", LOSSES)
def test_every_row_may_be_a_class_of_its_own(loss: str) -> None:
    X = np.random.default_rng(6).normal(size=(6, 10))
    classifier = make(loss=loss, reg=0.01).fit(X, list("abcdef"))
    assert classifier.status_ is Status.CERTIFIED
    assert classifier.predict(X).tolist() == list("abcdef")


@pytest.mark.parametrize("loss", ["softmax", "squared-hinge"])
def test_a_class_may_have_one_example(loss: str) -> None:
    X, y = blobs(60, 2)
    y[7], X[7] = 2, 5.0
    classifier = make(loss=loss, reg=0.01).fit(X, y)
    assert classifier.status_ is Status.CERTIFIED
    assert classifier.predict(X[7:8]).tolist() == [2]


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_black_pictures_teach_the_shares_of_the_classes_and_no_weights(loss: str, penalty: str) -> None:
    X = np.zeros((30, 16), np.uint8)
    classifier = make(loss=loss, penalty=penalty).fit(X, np.arange(30) % 3)
    assert classifier.status_ is Status.CERTIFIED
    assert not classifier.weights_.any()
    assert classifier.certificate_.objective == pytest.approx(AT_ZERO[loss])
    shares = np.repeat(["common", "rare"], [20, 10])
    probabilities = make(tol=1e-6).fit(X, shares).predict_proba(X[:1])
    assert_allclose(probabilities, [[2 / 3, 1 / 3]], atol=1e-3)


@pytest.mark.parametrize("penalty", ["l2", "l1", "elastic-net"])
@pytest.mark.parametrize("loss", LOSSES)
def test_a_huge_reg_leaves_no_weights(loss: str, penalty: str) -> None:
    classifier = make(loss=loss, penalty=penalty, reg=1e6).fit(*blobs(60, 3))
    assert classifier.status_ is Status.CERTIFIED
    assert np.abs(classifier.weights_).max() < 1e-5
    assert classifier.certificate_.objective == pytest.approx(AT_ZERO[loss], rel=1e-4)


@pytest.mark.parametrize("settings", [{"reg": 0.0}, {"reg": 0.0, "penalty": "l1"}, {"penalty": "none"}])
@pytest.mark.parametrize("loss", LOSSES)
def test_without_a_penalty_the_bound_is_zero_and_the_gradient_the_test(loss: str, settings: dict[str, Any]) -> None:
    X, y = np.random.default_rng(7).normal(size=(60, 2)), np.arange(60) % 3  # nothing to tell apart
    classifier = make(loss=loss, **settings).fit(X, y)
    assert classifier.status_ is Status.CONVERGED
    assert classifier.certificate_.lower_bound == 0.0
    assert classifier.certificate_.objective < AT_ZERO[loss]


class Cubes(Penalty):
    """A penalty that linprobe does not have: sum |W|³."""

    name: ClassVar[str] = "cubes"
    smooth: ClassVar[bool] = True

    def value(self, W: Any) -> float:
        return float((np.abs(W) ** 3).sum())

    def gradient(self, W: Any) -> Any:
        return 3.0 * W * np.abs(W)

    def prox(self, V: Any, step: Any) -> Any:
        return V

    def conjugate(self, V: Any, reg: float) -> float:
        return float(2.0 * ((np.abs(V) / 3.0) ** 1.5).sum() / reg**0.5)


def test_a_penalty_or_a_loss_that_exact_cannot_take_is_refused_with_what_to_use() -> None:
    X, y = blobs(30, 3)
    with pytest.raises(
        IncompatibleError, match=r"needs a penalty a sum W² \+ c sum \|W\|; Cubes .*use optimizer='sgd'"
    ):
        make(penalty=Cubes()).fit(X, y)
    with pytest.raises(IncompatibleError, match=r"SquaredDistance has no .*; define .*, or use optimizer='sgd'\."):
        make(loss=SquaredDistance()).fit(X, y)
    assert make(penalty=Cubes(), optimizer="sgd").fit(X, y).score(X, y) > 0.9


# what it says to bad input

BAD: list[tuple[dict[str, Any], str]] = [
    ({"loss": "absolute"}, "loss = 'absolute'; expected one of hinge"),
    ({"penalty": "l3"}, "penalty = 'l3'; expected one of l2"),
    ({"reg": -1.0}, "reg = -1.0; expected a finite number >= 0"),
    ({"reg": "much"}, "reg = 'much'; expected a number"),
    ({"beta": float("nan"), "penalty": "l2"}, "beta = nan"),
    ({"delta": 0.0, "loss": "hinge"}, "delta = 0.0"),
    ({"optimizer": "newton"}, "optimizer = 'newton'; expected one of exact, sgd, gd"),
    ({"batch_size": 0}, "batch_size = 0; expected an integer >= 1"),
    ({"epochs": 2.5}, "epochs = 2.5; expected an integer >= 0"),
    ({"learning_rate": 0.0}, "learning_rate = 0.0"),
    ({"learning_rate": "fast"}, "learning_rate = 'fast'; expected a number"),
    ({"schedule": "random"}, "schedule = 'random'"),
    ({"update": "newton"}, "update = 'newton'"),
    ({"momentum": 1.0}, "momentum = 1.0"),
    ({"patience": 0}, "patience = 0; expected an integer >= 1"),
    ({"patience": 2, "optimizer": "sgd"}, "patience = 2 needs validation rows"),
    ({"validation_fraction": 1.0}, "validation_fraction = 1"),
    ({"preprocess": "whiten"}, "preprocess = 'whiten'; expected one of auto, none"),
    ({"engine": "steam"}, "engine = 'steam'; expected one of"),
    ({"class_weight": "equal"}, "class_weight = 'equal'; expected one of balanced"),
    ({"class_weight": {7: 1.0}}, "class_weight names the class 7; the classes are 0, 1, 2"),
    ({"class_weight": {0: -1.0}}, "class_weight[0] = -1.0"),
    ({"random_state": -1}, "random_state = -1"),
    ({"n_threads": 0}, "n_threads = 0; expected an integer >= 1"),
    ({"max_iter": -1}, "max_iter = -1"),
    ({"tol": -1.0}, "tol = -1.0"),
]


@pytest.mark.parametrize(("parameters", "message"), BAD, ids=lambda value: str(value)[:40])
def test_a_bad_parameter_is_named_with_what_was_expected(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError) as caught:
        make(**parameters).fit(*blobs(12, 3))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_arrays_are_named() -> None:
    X, y = blobs(12, 3)
    with pytest.raises(LabelError, match="only one class, '4'"):
        make().fit(X, np.full(12, 4))
    with pytest.raises(ShapeError, match="sample_weight has shape"):
        make().fit(X, y, np.ones(11))
    with pytest.raises(ParameterError, match=r"sample_weight\[0\] = -1"):
        make().fit(X, y, -np.ones(12))
    with pytest.raises(ShapeError, match="not a list of numbers"):
        make().fit(X, y, ["heavy"] * 12)
    with pytest.raises(ValueError, match="contains NaN"):
        make().fit(np.full((12, 5), np.nan), y)
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        make().fit(sparse.csr_matrix(X), y)
    with pytest.raises(SplitError, match=r"validation_fraction = 0\.1: 12 rows of 3 classes"):
        make(validation_fraction=0.1).fit(X, y)
    X[7, 2] = np.inf
    with pytest.raises(ShapeError, match="points: row 3 holds NaN or infinity"):
        make().fit_sets(EmbeddingSet(X, y[4:], ("a", "b", "c"), "points", rows=np.arange(4, 12)))


def test_an_early_end_is_a_warning_and_a_status() -> None:
    X, y = blobs(30, 3)
    with pytest.warns(ConvergenceWarning, match=r"ended before tol was reached.*gradient norm .*tol 0\.0001"):
        assert make(optimizer="gd", max_iter=1).fit(X, y).status_ is Status.MAX_ITER
    with pytest.warns(ConvergenceWarning, match="lower learning_rate"):
        classifier = make(optimizer="sgd", learning_rate=1e30, loss="squared-hinge").fit(X, y)
    assert classifier.status_ is Status.DIVERGED
    assert np.isfinite(classifier.coef_).all()


@pytest.mark.parametrize("classifier", [LinearClassifier(), LinearClassifierCV(), NearestNeighbors(k=1)])
def test_pictures_where_rows_are_needed_are_refused_with_what_to_give(classifier):
    pictures = np.zeros((6, 4, 4, 3), np.uint8)
    with pytest.raises(ShapeError, match=r"\(6, 4, 4, 3\), the shape of pictures.*Use X.reshape\(len\(X\), -1\)"):
        classifier.fit(pictures, [0, 1, 0, 1, 0, 1])
