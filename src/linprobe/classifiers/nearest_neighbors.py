"""NearestNeighbors: the vote of the nearest training rows as a scikit-learn classifier."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from linprobe.classifiers.neighbors import NeighborModel, shares, vote
from linprobe.classifiers.savable import Savable
from linprobe.shapes import Floats, check_rows

__all__ = ["NearestNeighbors"]

DTYPES = (np.float64, np.float32, np.float16, np.uint8)
"""Dtypes that the search reads without conversion; X of another dtype becomes the first, float64."""

Fitted = TypeVar("Fitted", bound="NearestNeighbors")


class NearestNeighbors(ClassifierMixin, BaseEstimator, NeighborModel, Savable):  # type: ignore[misc]  # scikit-learn has no types
    """The class of most of the k nearest training rows, found by an exact search.

        l2: d(a, b) = |a - b|        l1: d(a, b) = sum_j |a_j - b_j|        cosine: d(a, b) = 1 - a·b / (|a| |b|)

    Of rows at equal distances, the first in the training set is nearer. The class with the most votes wins; ties go to
    the smaller sum of distances, then to the smaller label. Both hold for any number of threads. X is (N, D): uint8
    pixels, which are never copied to floats, or float16, float32 or float64 vectors. Other dtypes are converted to
    float64. Sparse X raises an error.

    Args:
        k: neighbours that vote, 1..N.
        metric: "l2"; "l1", for uint8 pixels; "cosine", for floats.
        engine: "threads" (native code) or "reference" (NumPy, every distance).
        n_threads: number of threads; None for one per core. At most four per core are used (16 on fewer than four
            cores). The result does not depend on it.
    Attributes:
        classes_: (K,) the labels, sorted (class names in their own order after `fit_sets`).
        labels_: (N,) the class of each training row, as a position in `classes_`.
        search_: the `NeighborSearch` over the training rows.
        image_shape_: (height, width, channels) after `fit_sets` on images, else None.
        n_features_in_: D.
    Source:
        CS231n notes, classification, "k - Nearest Neighbor Classifier".
    Example:
        >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
        >>> classifier = NearestNeighbors(k=1).fit(X, ["up", "right", "up", "right"])
        >>> classifier.predict(np.array([[0.5, 3.0]]))
        array(['up'], dtype='<U5')
    """

    def fit(self: Fitted, X: Any, y: Any) -> Fitted:
        """The classifier itself, fitted to the rows of X (N, D) and their labels y (N,).

        Raises:
            ParameterError: k is not in 1..N, or another parameter is unknown.
            ShapeError: X holds pictures, not rows.
            IncompatibleError: the metric does not support the dtype of X.
            ValueError, TypeError: raised by scikit-learn if X is not a finite, dense table.
        """
        check_rows(X)
        X, y = validate_data(self, X, y, dtype=list(DTYPES))
        check_classification_targets(y)
        classes, labels = np.unique(y, return_inverse=True)
        self.image_shape_ = None
        self._keep(X, None, labels.astype(np.int64), classes)
        return self

    def kneighbors(self, X: Any, k: int | None = None) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Distances (n, k), ascending, and positions (n, k) in the training rows, of the k nearest of each row of X.

        Args:
            X: (n, D) queries.
            k: 1..N; None for that of the classifier.
        """
        check_is_fitted(self, "search_")
        return self.nearest(validate_data(self, X, dtype=list(DTYPES), reset=False), k)

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) the labels that win the vote of the k nearest training rows."""
        _, elected = self._votes(X)
        result: npt.NDArray[Any] = self.classes_[elected]
        return result

    def predict_proba(self, X: Any) -> npt.NDArray[np.float64]:
        """(n, K) share of the k votes of each class.

        On a tie, the share of the winning class is greater by one unit in the last place, so the class of the highest
        share is the one that `predict` returns.
        """
        labels, elected = self._votes(X)
        result = shares(labels, len(self.classes_))
        rows = np.arange(len(result))
        tied = (result == result.max(axis=1, keepdims=True)).sum(axis=1) > 1
        result[rows[tied], elected[tied]] = np.nextafter(result[rows[tied], elected[tied]], 1.0)
        return result

    def _votes(self, X: Any) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Classes (n, k) of the neighbours, and the elected class (n,), as positions in `classes_`."""
        distances, positions = self.kneighbors(X)
        labels = self.labels_[positions]
        return labels, vote(labels, distances, [self.k], len(self.classes_))[self.k]
