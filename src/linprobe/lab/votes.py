"""Two numbers of nearest neighbours side by side: the regions of each, and what each gets right."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from linprobe.classifiers.neighbors import NeighborModel
from linprobe.data.base import EmbeddingSet
from linprobe.errors import ParameterError
from linprobe.explain.regions import grid_points
from linprobe.lab.problem import LARGEST, MOST_CLASSES, MOST_POINTS, Points, held_out
from linprobe.lab.protocol import Client, Request
from linprobe.lab.wire import Axes, ClassNumbers, Numbers, Packed, PlanarName, Seed, check_labels_of, packed
from linprobe.shapes import Floats, Labels
from linprobe.typed_json import Within

__all__ = ["GRID", "NeighborCount", "Neighbors", "View", "Votes", "VotesRequest", "check_view", "votes"]

GRID = 240
"""Most points of a grid of regions along a side."""

Coordinate: TypeAlias = Annotated[float, Within(-LARGEST, LARGEST)]

View: TypeAlias = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
"""x0, y0, x1, y1, with x0 < x1 and y0 < y1."""

NeighborCount: TypeAlias = Annotated[int, Within(1, MOST_POINTS)]
"""Neighbours that vote; of fewer points, all."""


def check_view(view: View) -> None:
    """Raise ParameterError unless the view has a width and a height."""
    if not (view[0] < view[2] and view[1] < view[3]):
        shown = ", ".join(f"{end:g}" for end in view)
        raise ParameterError(f"view = {shown}; expected x0, y0, x1, y1 with x0 < x1 and y0 < y1.")


class Neighbors:
    """The vote of the nearest points, for `decision_regions`."""

    def __init__(self, points: Points, k: int, metric: str) -> None:
        names = tuple(str(c) for c in range(points.n_classes))
        self.k = min(k, len(points.y))
        self.model = NeighborModel(self.k, metric, n_threads=1)
        self.model.fit_sets(EmbeddingSet(points.X, points.y, names, "playground"))

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) classes."""
        return self.model.labels_by_k(X, [self.k])[self.k]


@dataclass(frozen=True, kw_only=True)
class VotesRequest(Request):
    """Two numbers of neighbours over `points` (N, 2) with `labels` (N,), by the L2 distance.

    Args:
        ks: the two numbers.
        view, size: x0, y0, x1, y1 of the regions, and the points of their grids along a side.
        set, seed: where the points came from: the held-out points are others of the same set.
    """

    points: Annotated[Floats, Numbers((None, 2), MOST_POINTS, LARGEST)]
    labels: Annotated[Labels, ClassNumbers(MOST_POINTS)]
    n_classes: Annotated[int, Within(2, MOST_CLASSES)]
    ks: tuple[NeighborCount, NeighborCount]
    view: View
    size: Annotated[int, Within(2, GRID)]
    set: PlanarName
    seed: Seed

    def __post_init__(self) -> None:
        check_labels_of("labels", self.labels, len(self.points), self.n_classes)
        check_view(self.view)


@dataclass(frozen=True)
class Vote:
    """What `k` nearest neighbours decide.

    Attributes:
        k: at most the number of points.
        regions: the classes over the view.
        predicted: (N,) the class of each point, which is one of its own neighbours.
        accuracy, held_out_accuracy: shares that are right, of the points and of the held-out ones.
    """

    k: int
    regions: Packed
    predicted: Annotated[Labels, Axes(1)]
    accuracy: float
    held_out_accuracy: float


@dataclass(frozen=True)
class Votes:
    """A vote for each of `ks`, and how many points were held out."""

    votes: tuple[Vote, ...]
    n_held_out: int


def votes(client: Client, asked: VotesRequest) -> Votes:
    """Regions and accuracies of two numbers of neighbours, from one search for both."""
    ks = [min(k, len(asked.labels)) for k in asked.ks]
    neighbors = Neighbors(Points(asked.points, asked.labels, asked.n_classes), max(ks), "l2")
    others = held_out(asked.set, asked.seed)
    grid = grid_points(asked.view[:2], asked.view[2:], asked.size)
    of_grid, of_points, of_others = (
        neighbors.model.labels_by_k(X, ks) for X in (grid.reshape(-1, 2), asked.points, others.X)
    )
    found = tuple(
        Vote(
            k=k,
            regions=packed(of_grid[k].reshape(grid.shape[:2])),
            predicted=of_points[k],
            accuracy=float(np.mean(of_points[k] == asked.labels)),
            held_out_accuracy=float(np.mean(of_others[k] == others.y)),
        )
        for k in ks
    )
    return Votes(found, len(others.y))
