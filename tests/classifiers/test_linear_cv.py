"""LinearClassifierCV: reg chosen on folds, every member certified, moments shared between folds."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from linprobe import LinearClassifier, LinearClassifierCV
from linprobe.classifiers.selection import Choice, PartScores
from linprobe.data.splits import stratified_folds
from linprobe.errors import ParameterError, SplitError
from linprobe.objective import Objective
from linprobe.optimizers.normal_equations import exact_moment


def digits():
    X, y = load_digits(return_X_y=True)
    return (X * 15).astype(np.uint8)[:600], y[:600]


@pytest.mark.parametrize("loss", ["softmax", "hinge"])
def test_reg_is_chosen_by_folds_and_fitted_to_all_rows(loss):
    X, y = digits()
    cv = LinearClassifierCV("1e-4:1:5", folds=3, loss=loss, random_state=0, tol=1e-3).fit(X, y)
    assert cv.scores_.shape == cv.losses_.shape == (3, 5)
    assert_allclose(cv.regs_, [1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    mean = cv.scores_.mean(axis=0)
    assert mean[list(cv.regs_).index(cv.reg_)] == mean.max()
    assert all(c.relative_gap <= 1e-3 for fold in cv.certificates_ for c in fold)
    alone = LinearClassifier(loss=loss, reg=cv.reg_, tol=1e-3).fit(X, y)
    assert cv.certificate_.lower_bound <= alone.certificate_.objective
    assert alone.certificate_.lower_bound <= cv.certificate_.objective
    assert (cv.predict(X) == alone.predict(X)).mean() > 0.99
    assert cv.coef_.shape == (10, 64)


def test_a_fold_is_judged_by_the_rows_it_leaves_out():
    X, y = digits()
    cv = LinearClassifierCV([1e-3], folds=3, random_state=0, tol=1e-6).fit(X, y)
    fold = stratified_folds(y, 3, 0)[1]
    kept = np.setdiff1d(np.arange(len(y)), fold)
    alone = LinearClassifier(reg=1e-3, tol=1e-6).fit(X[kept], y[kept])
    assert cv.scores_[1, 0] == pytest.approx(alone.score(X[fold], y[fold]), abs=1 / len(fold))


def test_a_moment_less_that_of_some_rows_is_that_of_the_others():
    random = np.random.default_rng(0)
    X, y, weight = random.normal(size=(80, 6)) + 3.0, random.integers(0, 3, 80), random.random(80)

    def moment(rows):
        options = {"n_classes": 3, "sample_weight": weight[rows], "engine": "reference"}
        return exact_moment(Objective(X[rows], y[rows], loss="hinge", penalty="l2", reg=1.0, **options))

    part, others = np.arange(0, 80, 4), np.setdiff1d(np.arange(80), np.arange(0, 80, 4))
    found, wanted = moment(np.arange(80)).without(moment(part)), moment(others)
    assert_allclose(found.mean, wanted.mean, rtol=1e-12)
    assert_allclose(found.matrix, wanted.matrix, atol=1e-12 * wanted.trace)
    assert found.weight == pytest.approx(wanted.weight)


def test_of_equal_scores_the_largest_reg_is_taken():
    X, y = np.array([[-1.0], [1.0]] * 10), np.array([0, 1] * 10)
    assert LinearClassifierCV([1e-3, 1e-2, 1e-1], folds=2, random_state=0).fit(X, y).reg_ == 1e-1


def test_no_penalty_at_all_may_win_against_l1():
    # the members of the path are solved by ADMM, the winner alone is smooth
    X, y = digits()
    cv = LinearClassifierCV([0.0, 1e3], folds=2, penalty="l1", max_iter=10, random_state=0)
    with pytest.warns(ConvergenceWarning):
        cv.fit(X, y)
    assert cv.reg_ == 0.0


def test_the_same_seed_gives_the_same_bits_for_any_number_of_threads():
    X, y = digits()
    one, two = (LinearClassifierCV([1e-3, 1e-2], folds=2, random_state=3, n_threads=n).fit(X, y) for n in (1, 2))
    assert_array_equal(one.coef_, two.coef_)
    assert_array_equal(one.losses_, two.losses_)


def test_sample_weights_count_in_training_and_in_the_scores():
    X, y = digits()
    weight = np.where(y < 5, 2.0, 1.0)
    cv = LinearClassifierCV([1e-2], folds=2, random_state=0).fit(X, y, sample_weight=weight)
    assert cv.losses_[0, 0] != LinearClassifierCV([1e-2], folds=2, random_state=0).fit(X, y).losses_[0, 0]


def test_one_warning_says_how_many_fits_ended_early():
    X, y = digits()
    with pytest.warns(ConvergenceWarning, match=r"3 of 3 fits ended early: the iterations ended .* tol 1e-12") as seen:
        LinearClassifierCV([1e-4], folds=2, max_iter=3, tol=1e-12, random_state=0).fit(X, y)
    assert len(seen) == 1


def test_the_warning_names_what_in_the_features_stood_in_the_way():
    random = np.random.default_rng(0)
    y = np.arange(40) % 2
    X = 1e17 * (random.standard_normal((40, 3)) + y[:, None])
    with pytest.warns(ConvergenceWarning, match="fits ended early: the features spread .* preprocess='standardize'"):
        LinearClassifierCV([1e-2], folds=2, random_state=0, loss="hinge").fit(X, y)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reg_grid": "1:2"}, "expected LOW:HIGH:COUNT"),
        ({"reg_grid": []}, "the reg grid is empty"),
        ({"folds": 1}, "folds = 1; expected an integer >= 2"),
        ({"folds": 2.5}, "folds = 2.5; expected an integer >= 2"),
        ({"loss": "log"}, "log"),
        ({"tol": -1.0}, "tol"),
    ],
)
def test_a_parameter_that_cannot_be_used_is_named(options, message):
    with pytest.raises(ParameterError, match=message):
        LinearClassifierCV(**options).fit(*digits())


def test_a_class_with_fewer_rows_than_folds_is_named():
    with pytest.raises(SplitError, match="class 1 has 1 image; 2 folds need at least 2"):
        LinearClassifierCV(folds=2).fit(np.arange(6.0)[:, None], [0, 0, 0, 0, 0, 1])


def test_it_is_a_classifier_like_others():
    X, y = digits()
    cv = LinearClassifierCV([1e-2], folds=2)
    with pytest.raises(NotFittedError):
        cv.predict(X)
    with pytest.raises(AttributeError, match=r"LinearClassifierCV has no attribute 'coef_'"):
        _ = cv.coef_
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = clone(cv).fit(X, y.astype(str))
    assert fitted.predict(X[:2]).dtype.kind == "U"
    assert_allclose(fitted.predict_proba(X).sum(axis=1), 1.0)
    assert_allclose(np.exp(fitted.predict_log_proba(X)), fitted.predict_proba(X))
    assert fitted.decision_function(X).shape == (600, 10)
    assert not hasattr(LinearClassifierCV(loss="hinge"), "predict_proba")


def test_values_whose_mean_accuracies_differ_by_rounding_are_equal() -> None:
    accuracies = np.array(list(itertools.permutations([0.7, 0.8, 0.9]))).T  # (parts, regs): the same mean each
    means = np.mean(accuracies, axis=0)
    assert len(set(means.tolist())) > 1
    nothing = (0.0,) * 6
    parts = tuple(
        PartScores(tuple(row), nothing, (), (), 0.0, 0.0, nothing, nothing, nothing) for row in accuracies.tolist()
    )
    assert Choice((1.0, 2.0, 3.0, 4.0, 5.0, 6.0), parts).best == 5  # the largest of equal ones
