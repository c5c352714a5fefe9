"""NearestNeighbors: its vote, its ties, the dtypes it takes, and the contract of scikit-learn."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.estimator_checks import parametrize_with_checks
from tests.classifiers.conftest import Digits

import linprobe
from linprobe.classifiers.nearest_neighbors import NearestNeighbors
from linprobe.classifiers.neighbors import NeighborModel, vote
from linprobe.data.base import open_dataset
from linprobe.errors import IncompatibleError, ParameterError, ShapeError


@parametrize_with_checks([NearestNeighbors(k=1), NearestNeighbors(), NearestNeighbors(k=3, metric="cosine"),
                          NearestNeighbors(k=1, engine="reference")])  # fmt: skip
def test_the_classifier_keeps_the_contract_of_scikit_learn(
    estimator: NearestNeighbors, check: Callable[[NearestNeighbors], None]
) -> None:
    check(estimator)


def test_it_is_a_public_name() -> None:
    assert linprobe.NearestNeighbors is NearestNeighbors


@pytest.mark.parametrize(("metric", "theirs"), [("l2", "euclidean"), ("l1", "manhattan")])
def test_pixels_have_the_neighbours_that_scikit_learn_finds(digits: Digits, metric: str, theirs: str) -> None:
    X, y = digits
    ours = NearestNeighbors(k=3, metric=metric).fit(X[:1400], y[:1400])
    peer = KNeighborsClassifier(3, metric=theirs, algorithm="brute").fit(X[:1400].astype(float), y[:1400])
    distances, positions = ours.kneighbors(X[1400:])
    expected, _ = peer.kneighbors(X[1400:].astype(float))
    assert_allclose(distances, expected, rtol=1e-6)  # theirs come from products, which lose digits
    assert_array_equal(distances[:, 0], np.sort(distances, axis=1)[:, 0])
    assert ours.score(X[1400:], y[1400:]) == pytest.approx(peer.score(X[1400:].astype(float), y[1400:]), abs=0.01)
    assert positions.max() < 1400


def test_the_most_votes_win_then_the_smaller_sum_of_distances_then_the_smaller_label() -> None:
    labels = np.array([[2, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [3, 2, 1, 0]])
    distances = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 2.0, 4.0], [1.0, 2.0, 2.0, 3.0], [5.0, 5.0, 5.0, 5.0]])
    elected = vote(labels, distances, [1, 2, 3, 4], 4)
    assert elected[1].tolist() == [2, 1, 1, 3]
    assert elected[2].tolist() == [2, 1, 1, 2]  # one vote each: the nearer; the last two are as near: the smaller
    assert elected[3].tolist() == [1, 0, 0, 1]
    assert elected[4].tolist() == [1, 0, 0, 0]  # 1 + 4 > 2 + 2, and 1 + 3 = 2 + 2


def test_of_rows_at_equal_distances_the_first_is_the_nearest() -> None:
    X = np.array([[1.0], [-1.0], [1.0], [3.0]])
    classifier = NearestNeighbors(k=1).fit(X, ["b", "a", "a", "a"])
    assert classifier.kneighbors([[0.0]], k=3)[1].tolist() == [[0, 1, 2]]
    assert classifier.predict([[0.0]]).tolist() == ["b"]


def test_shares_are_those_of_the_votes(digits: Digits) -> None:
    X, y = digits
    classifier = NearestNeighbors(k=4).fit(X[:900], y[:900])
    shares = classifier.predict_proba(X[900:])
    assert_allclose(shares.sum(axis=1), 1)
    assert_allclose(shares * 4, np.rint(shares * 4), rtol=1e-15)
    assert (np.ptp(np.sort(shares, axis=1)[:, -2:], axis=1) < 0.1).any()  # ties: predict and the shares agree on them
    assert_array_equal(shares.argmax(axis=1), classifier.predict(X[900:]))


def test_all_k_come_from_one_search(digits: Digits) -> None:
    X, y = digits
    classifier = NearestNeighbors(k=9).fit(X[:900], y[:900])
    by_k = classifier.labels_by_k(X[900:], [1, 4, 9])
    for k, labels in by_k.items():
        assert_array_equal(labels, NearestNeighbors(k=k).fit(X[:900], y[:900]).predict(X[900:]))


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_the_bits_do_not_depend_on_threads(metric: str) -> None:
    rng = np.random.default_rng(0)
    X, Q = rng.normal(size=(3000, 40)), rng.normal(size=(99, 40))
    y = rng.integers(0, 5, 3000)
    found = [NearestNeighbors(k=7, metric=metric, n_threads=threads).fit(X, y).kneighbors(Q) for threads in (1, 2, 3)]
    for other in found[1:]:
        assert_array_equal(found[0][0], other[0])
        assert_array_equal(found[0][1], other[1])


def test_queries_of_another_dtype_lose_nothing(digits: Digits) -> None:
    X, y = digits
    pixels = NearestNeighbors(k=1).fit(X, y)
    assert_array_equal(pixels.kneighbors(X[:9].astype(np.float64))[0], np.zeros((9, 1)))
    with pytest.raises(ShapeError, match="uint8 pixels"):
        pixels.predict(X[:9] / 2)
    floats = NearestNeighbors(k=1).fit(X.astype(np.float32), y)
    close = X[:9].astype(np.float64) + 1e-9
    assert_allclose(floats.kneighbors(close)[0], 1e-9 * 8, rtol=1e-4)
    assert_array_equal(floats.kneighbors(X[:9])[0], np.zeros((9, 1)))


def test_a_set_is_searched_where_it_lies(digits: Digits) -> None:
    train = open_dataset("digits").train
    picked = train.subset(np.arange(0, train.n_images, 3))
    model = NeighborModel(k=1).fit_sets(picked)
    assert model.search_.X is picked.X or np.shares_memory(model.search_.X, picked.X)
    assert model.classes_.tolist() == list(train.class_names)
    assert picked.rows is not None
    distances, positions = model.nearest(picked.X, rows=picked.rows)
    assert_array_equal(distances, np.zeros_like(distances))
    assert_array_equal(model.labels_[positions[:, 0]], picked.y)


def test_a_pickled_classifier_answers_the_same() -> None:
    rng = np.random.default_rng(0)
    X, Q = rng.integers(0, 256, (2500, 150)).astype(np.uint8), rng.integers(0, 256, (20, 150)).astype(np.uint8)
    classifier = NearestNeighbors().fit(X, rng.integers(0, 3, 2500))
    again = pickle.loads(pickle.dumps(classifier))
    assert_array_equal(again.predict(Q), classifier.predict(Q))


@pytest.mark.parametrize(
    ("parameters", "error", "words"),
    [
        ({"k": 0}, ParameterError, "k = 0; expected"),
        ({"k": 5}, ParameterError, "k = 5 neighbours, but n_samples = 4 training rows; use a k of at most 4"),
        ({"k": 1.5}, ParameterError, "k = 1.5; expected a whole number"),
        ({"k": True}, ParameterError, "k = True"),
        ({"k": 1, "metric": "l1"}, IncompatibleError, "metric = 'l1' needs uint8 pixels"),
        ({"k": 1, "metric": "hamming"}, ParameterError, "expected one of l2, l1, cosine"),
        ({"k": 1, "engine": "gpu"}, ParameterError, "engine = 'gpu'"),
        ({"k": 1, "n_threads": 0}, ParameterError, "n_threads = 0"),
    ],
)
def test_bad_parameters_are_told_in_one_line(parameters: dict[str, object], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words) as told:
        NearestNeighbors(**parameters).fit(np.eye(4), [0, 1, 2, 3])  # type: ignore[arg-type]
    assert "\n" not in str(told.value)


def test_cosine_is_not_of_pixels(digits: Digits) -> None:
    with pytest.raises(IncompatibleError, match="cosine"):
        NearestNeighbors(metric="cosine").fit(*digits)
