"""NeighborModel: nearest neighbours and their vote, without importing scikit-learn."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.model import check_finite
from linprobe.data.base import LabelledSet
from linprobe.errors import ParameterError, ShapeError
from linprobe.neighbors.search import NeighborSearch, Progress, check_k, check_metric
from linprobe.shapes import Floats, Labels

__all__ = ["AnyNeighbors", "NeighborModel", "accuracy", "shares", "vote"]

AnyNeighbors = TypeVar("AnyNeighbors", bound="NeighborModel")

VOTES = 2**22
"""Entries of the table of votes (queries times classes) of one block: 64 MB with its two arrays of 8 bytes."""


class NeighborModel:
    """The class of most of the k nearest training rows: the model of a run and of the command line.

    Parameters and attributes are those of `NearestNeighbors`, which adds scikit-learn's interface.
    """

    classes_: npt.NDArray[Any]
    n_features_in_: int
    image_shape_: tuple[int, ...] | None
    feature_names_in_: npt.NDArray[Any]
    search_: NeighborSearch
    labels_: npt.NDArray[np.int64]

    def __init__(
        self, k: int = 5, metric: str = "l2", *, engine: str = "threads", n_threads: int | None = None
    ) -> None:
        self.k = k
        self.metric = metric
        self.engine = engine
        self.n_threads = n_threads

    def parameters(self) -> dict[str, Any]:  # of the types that the constructor takes
        """The arguments of the constructor, by name."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def fit_sets(self: AnyNeighbors, train: LabelledSet) -> AnyNeighbors:
        """The classifier itself, fitted to the rows that `train` uses; its classes are the class names.

        The rows are not copied, subsets and memory maps included.

        Raises:
            ParameterError: k is not in 1..N, or another parameter is unknown.
            IncompatibleError: the metric does not support the dtype.
            ShapeError: a row holds NaN or infinity.
        """
        check_finite(train)
        self.image_shape_ = train.image_shape
        self._keep(train.X, train.rows, train.y.astype(np.int64), np.array(train.class_names))
        return self

    def restore(self, X: npt.NDArray[Any], labels: npt.NDArray[np.int64], classes: npt.NDArray[Any]) -> None:
        """Fit to the rows and labels of a model file."""
        self._keep(X, None, labels, classes)

    def _keep(
        self,
        X: npt.NDArray[Any],
        rows: npt.NDArray[np.int64] | None,
        labels: npt.NDArray[np.int64],
        classes: npt.NDArray[Any],
    ) -> None:
        """Set the attributes."""
        check_metric(self.metric, X.dtype)
        whole = isinstance(self.k, int | np.integer)
        if not whole or self.k is True:
            raise ParameterError(f"k = {self.k!r}; expected a whole number >= 1.")
        check_k(int(self.k), len(labels))
        self.search_ = NeighborSearch(X, rows, metric=self.metric, engine=self.engine, n_threads=self.n_threads)
        self.search_.prepare()
        self.labels_, self.classes_, self.n_features_in_ = labels, classes, int(X.shape[1])

    def nearest(
        self,
        Q: npt.NDArray[Any],
        k: int | None = None,
        rows: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> tuple[Floats, npt.NDArray[np.int64]]:
        """Distances and positions (n, k) of the nearest training rows of rows of Q; `k` None for the classifier's."""
        search, Q = self._alike(Q)
        return search.search(Q, self.k if k is None else k, rows, progress)

    def labels_by_k(
        self,
        Q: npt.NDArray[Any],
        ks: Sequence[int],
        rows: npt.NDArray[np.int64] | None = None,
        progress: Progress | None = None,
    ) -> dict[int, npt.NDArray[np.int64]]:
        """Labels (n,) of the rows of Q for each k, as positions in `classes_`, all from one search."""
        distances, positions = self.nearest(Q, max(ks), rows, progress)
        return vote(self.labels_[positions], distances, ks, len(self.classes_))

    def _alike(self, Q: npt.NDArray[Any]) -> tuple[NeighborSearch, npt.NDArray[Any]]:
        """A search and queries of one dtype, by lossless conversions."""
        search, dtype = self.search_, self.search_.X.dtype
        if Q.dtype == dtype:
            return search, Q
        if dtype == np.uint8:
            if not ((Q >= 0) & (Q <= 255) & (np.rint(Q) == Q)).all():
                raise ShapeError(
                    f"the classifier was fitted to uint8 pixels; these {Q.dtype} rows hold other numbers than the "
                    "integers 0..255. Pass uint8 pixels, or fit it to floats."
                )
            return search, Q.astype(np.uint8)
        wide = np.result_type(dtype, Q.dtype)
        if wide != dtype:
            search = NeighborSearch(
                search.X.astype(wide), search.rows, metric=self.metric, engine=self.engine, n_threads=self.n_threads
            )
        return search, Q.astype(wide)


def vote(
    labels: npt.NDArray[np.int64], distances: Floats, ks: Sequence[int], n_classes: int
) -> dict[int, npt.NDArray[np.int64]]:
    """The class (n,) that the first k neighbours elect, for each k of `ks`.

    The class with the most votes wins. Ties go to the smaller sum of distances, then to the smaller label. With k = 1
    and k = 2 that is the class of the nearest row.

    Args:
        labels: (n, max(ks)) classes 0..n_classes-1 of the neighbours, the nearest first.
        distances: of the same shape.
    """
    elected = {k: np.empty(len(labels), np.int64) for k in ks}
    step = max(1, VOTES // n_classes)
    for start in range(0, len(labels), step):
        part = slice(start, start + step)
        counts, sums = np.zeros((len(labels[part]), n_classes), np.int64), np.zeros((len(labels[part]), n_classes))
        rows = np.arange(len(counts))
        for rank in range(max(ks)):
            counts[rows, labels[part, rank]] += 1
            sums[rows, labels[part, rank]] += distances[part, rank]
            if rank + 1 in elected:
                most = counts == counts.max(axis=1, keepdims=True)
                elected[rank + 1][part] = np.where(most, sums, np.inf).argmin(axis=1)
    return elected


def shares(labels: npt.NDArray[np.int64], n_classes: int) -> npt.NDArray[np.float64]:
    """(n, K) share of the neighbours (n, k) in each class."""
    counts = np.zeros((len(labels), n_classes))
    for rank in range(labels.shape[1]):
        counts[np.arange(len(labels)), labels[:, rank]] += 1
    result: npt.NDArray[np.float64] = counts / labels.shape[1]
    return result


def accuracy(found: npt.NDArray[np.int64], y: Labels) -> float:
    """Share of the labels that are right."""
    return float(np.mean(found == y))
