"""Sample and class weights of any size that float64 holds: only their ratios count."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from linprobe import LinearClassifier, LinearClassifierCV
from linprobe.classifiers.row_weights import row_weights
from linprobe.errors import ParameterError

N = 60
RANDOM = np.random.default_rng(0)
Y = np.arange(N) % 3
X = RANDOM.standard_normal((N, 4))
X[np.arange(N), Y] += 1.5
USUAL = RANDOM.uniform(0.5, 2.0, N)
OF_CLASS_2 = np.where(Y == 2, 1.0, 0.0)


def fitted(kind, weight, **options):
    """A classifier; a warning of NumPy is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        if kind is LinearClassifierCV:
            options = {"reg_grid": (1e-2, 1e-1), "folds": 2, **options}
        else:
            options = {"reg": 1e-2, **options}
        return kind(random_state=0, n_threads=1, **options).fit(X, Y, sample_weight=weight)


CLASSIFIERS = [
    *((LinearClassifier, {"loss": loss}) for loss in ("softmax", "hinge", "squared-hinge")),
    (LinearClassifier, {"preprocess": "standardize"}),
    (LinearClassifier, {"engine": "reference"}),
    (LinearClassifier, {"optimizer": "sgd", "epochs": 3}),
    (LinearClassifier, {"class_weight": "balanced"}),
    (LinearClassifier, {"class_weight": {0: 2.0, 2: 0.5}}),
    (LinearClassifierCV, {}),
]


@pytest.mark.parametrize(("kind", "options"), CLASSIFIERS, ids=str)
@pytest.mark.parametrize("exponent", [-1060, -131, 131, 1022])
def test_only_the_ratios_count_however_large_or_small_the_weights_are(kind, options, exponent):
    rounded = np.round(USUAL * 8) / 8  # exact at 2**-1060 too
    usual, other = (fitted(kind, np.ldexp(rounded, e), **options) for e in (0, exponent))
    assert_allclose(other.coef_, usual.coef_, rtol=1e-6, atol=1e-9)
    assert_allclose(other.intercept_, usual.intercept_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("kind", "options"), [(k, o) for k, o in CLASSIFIERS if "class_weight" not in o], ids=str)
@pytest.mark.parametrize("tiny", [5e-324, 1e-310, 1e-200])
def test_a_weight_that_changes_no_digit_counts_as_zero(kind, options, tiny):
    without, with_tiny = (fitted(kind, USUAL * (1 - OF_CLASS_2) + part * OF_CLASS_2, **options) for part in (0.0, tiny))
    assert np.array_equal(without.coef_, with_tiny.coef_)
    assert np.array_equal(without.intercept_, with_tiny.intercept_)


@pytest.mark.parametrize("ratio", [1e39, 1e-39, 1e300, 1e-300])
def test_a_balanced_class_has_its_share_whatever_the_size_of_its_weights(ratio):
    usual, other = (
        fitted(LinearClassifier, weight, class_weight="balanced") for weight in (USUAL, USUAL * ratio**OF_CLASS_2)
    )
    assert_allclose(other.coef_, usual.coef_, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("large", [1e39, 1e300, 1e308])
def test_one_image_that_outweighs_all_others_decides_alone(large):
    weight = np.where(np.arange(N) == 1, large, USUAL)
    classifier = fitted(LinearClassifier, weight)
    assert classifier.certificate_ is not None
    assert set(classifier.predict(X)) == {Y[1]}


def test_class_weights_and_sample_weights_whose_product_overflows():
    both = fitted(LinearClassifier, USUAL * 1e300, class_weight={0: 1e300, 1: 1e300, 2: 2e300})
    usual = fitted(LinearClassifier, USUAL, class_weight={2: 2.0})
    assert_allclose(both.coef_, usual.coef_, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("weight", [None, USUAL, np.where(Y == 1, 0.0, USUAL)])
def test_weights_of_the_usual_sizes_keep_their_bits(weight):
    given = np.ones(N) if weight is None else weight
    sizes = np.bincount(Y, weights=given)
    factors = np.ones(3)
    factors[sizes > 0] = sizes.sum() / ((sizes > 0).sum() * sizes[sizes > 0])
    classes, names = np.arange(3), ("0", "1", "2")
    assert np.array_equal(row_weights(weight, "balanced", Y, classes, names), factors[Y] * given)
    chosen = {0: 0.3, 2: 7.0}
    expected = np.array([0.3, 1.0, 7.0])[Y] * given
    assert np.array_equal(row_weights(weight, chosen, Y, classes, names), expected)


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.inf, r"sample_weight\[0\] = inf; weights must be finite"),
        (np.full(N, np.nan), r"sample_weight\[0\] = nan; weights must be finite"),
        (np.full(N, -1e-310), r"sample_weight\[0\] = -1e-310; weights must not be negative"),
        (np.zeros(N), "sample_weight is zero for every image"),
        (["1e999"] * N, r"sample_weight\[0\] = inf"),
    ],
)
@pytest.mark.parametrize("kind", [LinearClassifier, LinearClassifierCV])
def test_weights_that_cannot_be_are_refused(kind, weight, message):
    with pytest.raises(ParameterError, match=message):
        fitted(kind, weight)
