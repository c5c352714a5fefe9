"""Intraclass variation: the clusters inside each class, and whether a classifier knows only some of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from linprobe.challenges.wilson import Rate, RateJson
from linprobe.shapes import Floats, Labels, Pixels

__all__ = [
    "CLUSTERS",
    "Cluster",
    "ClusterJson",
    "Intraclass",
    "IntraclassJson",
    "clusters_of",
    "intraclass_variation",
    "thumbnails",
]

CLUSTERS = 5
"""Clusters in each class; fewer where a class has fewer pictures."""

LEAST = 10
"""Pictures of a cluster whose accuracy is compared with others, at least."""

SIDE = 8
"""Side of the thumbnails that are clustered, in pixels."""

RESTARTS, MOST_STEPS, SHUFFLES = 4, 100, 200
"""Starts of k-means, iterations of each at most, and shuffles of the hits. Not tuned."""

BLOCK_NUMBERS = 2**20
"""Intensities of a block, at most: 4 MB in float32."""


_NamedClass = TypedDict("_NamedClass", {"class": str})  # a keyword: no class body can hold it


class ClusterJson(_NamedClass, RateJson):
    """A cluster in JSON: its class, the position of its example, its share of hits."""

    example: int


class IntraclassJson(TypedDict):
    """The accuracy inside the classes in JSON; null where nothing could be compared."""

    worst: ClusterJson | None
    best: ClusterJson | None
    gap: float | None
    gap_by_chance: float | None
    clusters: list[ClusterJson]


@dataclass(frozen=True)
class Cluster:
    """Pictures of one class that look alike.

    Args:
        class_name: of their class.
        rate: hits among them.
        example: position of the picture nearest to the centre, 0..N-1.
    """

    class_name: str
    rate: Rate
    example: int

    def as_dict(self) -> ClusterJson:
        """For JSON."""
        return {"class": self.class_name, "example": self.example, **self.rate.as_dict()}


@dataclass(frozen=True)
class Intraclass:
    """Accuracy inside the classes.

    Args:
        clusters: class by class, the most accurate first.
        gap: best less worst cluster of a class, the mean over the classes with at least two clusters of 10 pictures;
            NaN without any.
        gap_by_chance: the same, had the hits of each class fallen on its pictures at random: the mean of 200 shuffles.
            The best of five is above the mean by luck alone; only what goes beyond this is variation.
    """

    clusters: tuple[Cluster, ...]
    gap: float
    gap_by_chance: float

    @property
    def compared(self) -> tuple[Cluster, ...]:
        """The clusters that are large enough to be compared."""
        return tuple(cluster for cluster in self.clusters if cluster.rate.n >= LEAST)

    @property
    def worst(self) -> Cluster | None:
        """The cluster of the lowest accuracy, of any class; None where none is large enough."""
        return min(self.compared, key=lambda cluster: cluster.rate.accuracy, default=None)

    @property
    def best(self) -> Cluster | None:
        """The cluster of the highest accuracy."""
        return max(self.compared, key=lambda cluster: cluster.rate.accuracy, default=None)

    def as_dict(self) -> IntraclassJson:
        """For JSON."""
        worst, best = self.worst, self.best
        return {
            "worst": None if worst is None else worst.as_dict(),
            "best": None if best is None else best.as_dict(),
            "gap": None if math.isnan(self.gap) else self.gap,
            "gap_by_chance": None if math.isnan(self.gap_by_chance) else self.gap_by_chance,
            "clusters": [cluster.as_dict() for cluster in self.clusters],
        }


def intraclass_variation(
    images: Pixels,
    y: Labels,
    hits: npt.NDArray[np.bool_],
    class_names: tuple[str, ...],
    seed: int = 0,
    *,
    rows: npt.NDArray[np.int64] | None = None,
) -> Intraclass:
    """Accuracy in each of five clusters of each class.

    The pictures of a class are clustered by k-means on thumbnails of at most 8x8 pixels, so by what they look like
    from afar: colours, and where they are.

    Args:
        images: (M, height, width, channels) uint8.
        y: (N,) labels of the pictures at `rows`.
        hits: (N,) whether each was classified correctly.
        seed: of the starts of k-means, and of the shuffles.
        rows: (N,) positions of the pictures in `images`; None for all.
    """
    points = thumbnails(images, np.arange(len(images)) if rows is None else rows)
    random = np.random.default_rng([seed, CLUSTERS])
    found: list[Cluster] = []
    gaps, by_chance = [], []
    for k, name in enumerate(class_names):
        members = np.flatnonzero(y == k)
        if len(members) == 0:
            continue
        labels, centres = clusters_of(points[members], CLUSTERS, random)
        of_class = []
        for cluster, centre in enumerate(centres):
            inside = members[labels == cluster]
            example = inside[((points[inside] - centre) ** 2).sum(axis=1).argmin()]
            of_class.append(Cluster(name, Rate(int(hits[inside].sum()), len(inside)), int(example)))
        found += sorted(of_class, key=lambda cluster: -cluster.rate.accuracy)
        if sum(cluster.rate.n >= LEAST for cluster in of_class) >= 2:
            gaps.append(_gap(labels, hits[members]))
            shuffled = [_gap(labels, random.permutation(hits[members])) for _ in range(SHUFFLES)]
            by_chance.append(float(np.mean(shuffled)))
    nan = float("nan")
    return Intraclass(
        tuple(found), float(np.mean(gaps)) if gaps else nan, float(np.mean(by_chance)) if by_chance else nan
    )


def _gap(labels: npt.NDArray[np.int64], hits: npt.NDArray[np.bool_]) -> float:
    """Accuracy of the best cluster less that of the worst, of those that are large enough."""
    sizes = np.bincount(labels)
    accuracy = (np.bincount(labels, weights=hits) / sizes)[sizes >= LEAST]
    return float(accuracy.max() - accuracy.min())


def thumbnails(images: Pixels, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.float32]:
    """(n, D) float32: pictures averaged over at most 8x8 equal parts, each channel; intensities 0..255."""
    height, width, channels = images.shape[1:]
    down, across = _averages(height), _averages(width)
    result = np.empty((len(rows), len(down) * len(across) * channels), np.float32)
    size = max(1, BLOCK_NUMBERS // (height * width * channels))
    for start in range(0, len(rows), size):
        planes = np.moveaxis(images[rows[start : start + size]], 3, 1).astype(np.float32)
        small = down @ planes @ across.T
        result[start : start + size] = small.reshape(len(planes), -1)
    return result


def _averages(size: int) -> npt.NDArray[np.float32]:
    """(parts, size) float32: the share of each pixel of a side in the mean of each part; pixels may be divided."""
    parts = min(SIDE, size)
    edges = np.arange(parts + 1) * (size / parts)
    pixel = np.arange(size)
    overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    averages: npt.NDArray[np.float32] = (np.clip(overlap, 0, None) * (parts / size)).astype(np.float32)
    return averages


def clusters_of(points: Floats, k: int, random: np.random.Generator) -> tuple[npt.NDArray[np.int64], Floats]:
    """k-means: the cluster of each point (n,) int64 in 0..m-1, and the centres (m, D), m <= k, none of them empty.

    The best of four starts with k-means++.

    Source:
        Arthur and Vassilvitskii, "k-means++: the advantages of careful seeding", SODA 2007.
    """
    points = points.astype(np.float64)
    best: tuple[float, npt.NDArray[np.int64], Floats] | None = None
    for _ in range(RESTARTS):
        centres = _careful_start(points, k, random)
        labels = np.full(len(points), -1)
        for _ in range(MOST_STEPS):
            distance = _distances(points, centres)
            nearest = distance.argmin(axis=1)
            kept = np.unique(nearest)  # a centre without points is given up
            labels, before = np.searchsorted(kept, nearest), labels
            centres = np.stack([points[labels == cluster].mean(axis=0) for cluster in range(len(kept))])
            if np.array_equal(labels, before):
                break
        cost = float(((points - centres[labels]) ** 2).sum())
        if best is None or cost < best[0]:
            best = cost, labels, centres
    assert best is not None
    return best[1].astype(np.int64), best[2]


def _careful_start(points: Floats, k: int, random: np.random.Generator) -> Floats:
    """At most k of the points, each drawn in proportion to its squared distance from those before it."""
    chosen = [int(random.integers(len(points)))]
    nearest = _distances(points, points[chosen])[:, 0]
    while len(chosen) < k and nearest.sum() > 0:  # else all points are chosen ones
        chosen.append(int(random.choice(len(points), p=nearest / nearest.sum())))
        nearest = np.minimum(nearest, _distances(points, points[chosen[-1:]])[:, 0])
    return points[chosen]


def _distances(points: Floats, centres: Floats) -> npt.NDArray[np.float64]:
    """(n, k) squared distances; differences first, so that equal points have distance 0 exactly."""
    distances: npt.NDArray[np.float64] = np.stack([((points - centre) ** 2).sum(axis=1) for centre in centres], axis=1)
    return distances
