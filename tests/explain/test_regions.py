"""Decision regions: the grid, and what nearest neighbours make of the planar sets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from linprobe.classifiers.linear import LinearClassifier
from linprobe.classifiers.nearest_neighbors import NearestNeighbors
from linprobe.data.planar import PLANAR, draw_planar
from linprobe.errors import IncompatibleError, ParameterError
from linprobe.explain.regions import decision_regions, grid_points


class Quadrant:
    """Class 1 where x and y are positive."""

    def predict(self, X: Any) -> npt.NDArray[np.int64]:
        return ((X[:, 0] > 0) & (X[:, 1] > 0)).astype(np.int64)


def borders(regions: npt.NDArray[Any]) -> int:
    """Pairs of neighbouring points in different classes: the length of the decision boundary."""
    return int((regions[1:] != regions[:-1]).sum() + (regions[:, 1:] != regions[:, :-1]).sum())


def test_rows_go_up_and_columns_to_the_right() -> None:
    points = grid_points((-1, -2), (3, 2), (5, 9))
    assert points.shape == (5, 9, 2)
    assert points[0, 0].tolist() == [-1, -2]
    assert points[0, -1].tolist() == [3, -2]
    assert points[-1, 0].tolist() == [-1, 2]
    regions = decision_regions(Quadrant(), (-1, -1), (1, 1), 5)
    assert regions.tolist() == [[0] * 5, [0] * 5, [0] * 5, [0, 0, 0, 1, 1], [0, 0, 0, 1, 1]]


@pytest.mark.parametrize("name", sorted(PLANAR))
def test_one_neighbour_classifies_its_training_points_and_five_have_smoother_regions(name: str) -> None:
    points = draw_planar(name)
    X, y = points.X, points.y
    noisy = y.copy()
    flipped = np.random.default_rng(0).permutation(len(y))[:60]
    noisy[flipped] = (y[flipped] + 1) % (y.max() + 1)
    one, five = NearestNeighbors(k=1).fit(X, noisy), NearestNeighbors(k=5).fit(X, noisy)
    _, first, times = np.unique(X, axis=0, return_index=True, return_counts=True)
    alone = first[times == 1]  # the arms of the spiral begin in one point, which has three labels
    assert len(alone) >= len(X) - 3
    assert (one.predict(X[alone]) == noisy[alone]).all()
    low, high = X.min(axis=0), X.max(axis=0)
    of_one, of_five = (decision_regions(classifier, low, high, 60) for classifier in (one, five))
    assert set(np.unique(of_one)) == set(np.unique(y))
    assert borders(of_five) < borders(of_one)


def test_a_label_stands_where_its_training_point_is() -> None:
    X, y = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]), np.array(["a", "b", "c"])
    regions = decision_regions(NearestNeighbors(k=1).fit(X, y), (0, 0), (1, 1), 2)
    assert regions.tolist() == [["a", "b"], ["c", "b"]]  # the last is as far from b as from c: the first in the set


def test_any_classifier_has_regions() -> None:
    points = draw_planar("quadrants")
    X, y = points.X, points.y
    regions = decision_regions(LinearClassifier().fit(X, y), (-2, -2), (2, 2), (10, 20))
    assert regions.shape == (10, 20)


def test_corners_and_sizes_that_make_no_grid_are_refused() -> None:
    for low, high, size in [
        ((0, 0), (0, 1), 5),
        ((0, 1), (1, 0), 5),
        ((0, 0), (1, np.inf), 5),
        ((0, 0, 0), (1, 1, 1), 5),
        ((0, 0), (1, 1), 1),
        ((0, 0), (1, 1), (5, 0)),
    ]:
        with pytest.raises(ParameterError):
            decision_regions(Quadrant(), low, high, size)


def test_rows_of_other_than_two_numbers_have_no_regions() -> None:
    classifier = NearestNeighbors(k=1).fit(np.eye(3), [0, 1, 2])
    with pytest.raises(IncompatibleError, match="rows of 3 numbers"):
        decision_regions(classifier, (0, 0), (1, 1))
