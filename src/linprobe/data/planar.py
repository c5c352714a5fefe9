"""Sets of points in the plane, drawn from a seed: one that lines separate, and four that none does."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeAlias, final

import numpy as np
import numpy.typing as npt

from linprobe.data.base import Dataset, EmbeddingSet, Reader, ReadOptions
from linprobe.data.stored import check_image_size, fingerprint_of_arrays
from linprobe.errors import SourceError

__all__ = ["PLANAR", "PlanarReader", "draw_planar"]

N_POINTS = 1200
"""Points of a set, over all classes."""

Points: TypeAlias = npt.NDArray[np.float32]
PointLabels: TypeAlias = npt.NDArray[np.int64]


def blobs(random: np.random.Generator) -> tuple[Points, PointLabels]:
    """Three discs of radius 0.6, a class each, that lines separate: the hinge reaches a data loss of exactly 0.

    The centres are 1.5 from the origin, at 10, 130 and 250 degrees. With rows of W of length w along them and
    b = 0, the least margin is at least (2.25 - 0.6 sqrt(3)) w = 1.21 w.
    """
    y = np.repeat(np.arange(3), N_POINTS // 3)
    radius = 0.6 * np.sqrt(random.random(N_POINTS))  # the root: as many points on equal areas
    angle = random.uniform(0.0, 2.0 * np.pi, N_POINTS)
    towards = np.radians(10.0 + 120.0 * y)
    X = np.column_stack(
        [1.5 * np.cos(towards) + radius * np.cos(angle), 1.5 * np.sin(towards) + radius * np.sin(angle)]
    )
    return X.astype(np.float32), y


def shell(random: np.random.Generator) -> tuple[Points, PointLabels]:
    """Points of the square [-2.5, 2.5]²: class 0 where 1 <= ||x|| <= 2, class 1 elsewhere."""
    X = _square(random, 2.5)
    radius = np.hypot(X[:, 0], X[:, 1])
    return X, np.where((radius >= 1) & (radius <= 2), 0, 1)


def three_modes(random: np.random.Generator) -> tuple[Points, PointLabels]:
    """Points of the square [-2.5, 2.5]²: class 0 within 0.9 of one of three centres, class 1 elsewhere.

    The centres are 1.5 from the origin, at 90, 210 and 330 degrees.
    """
    X = _square(random, 2.5)
    angles = np.radians([90.0, 210.0, 330.0])
    centres = 1.5 * np.column_stack([np.cos(angles), np.sin(angles)])
    distances = np.linalg.norm(X[:, None] - centres, axis=2)
    return X, np.where(distances.min(axis=1) <= 0.9, 0, 1)


def quadrants(random: np.random.Generator) -> tuple[Points, PointLabels]:
    """Points of the square [-2, 2]²: class 0 in the first and third quadrants, class 1 in the other two."""
    X = _square(random, 2.0)
    return X, np.where((X[:, 0] >= 0) == (X[:, 1] >= 0), 0, 1)


def spiral(random: np.random.Generator) -> tuple[Points, PointLabels]:
    """Three arms of a spiral about the origin: radius 0..1, angle 4 radius + 4 arm + 0.2 times a normal number.

    Source:
        CS231n notes, neural-networks-case-study, "Generating some data".
    """
    y = np.repeat(np.arange(3), N_POINTS // 3)
    radius = np.tile(np.linspace(0.0, 1.0, N_POINTS // 3), 3)
    angle = 4.0 * (y + radius) + 0.2 * random.standard_normal(N_POINTS)
    return np.column_stack([radius * np.sin(angle), radius * np.cos(angle)]).astype(np.float32), y


def _square(random: np.random.Generator, half_side: float) -> Points:
    """Uniform points, rounded to float32 before their labels are computed, so that labels match the stored points."""
    return random.uniform(-half_side, half_side, (N_POINTS, 2)).astype(np.float32)


PLANAR: dict[str, tuple[Callable[[np.random.Generator], tuple[Points, PointLabels]], tuple[str, ...]]] = {
    "blobs": (blobs, ("blob 1", "blob 2", "blob 3")),
    "shell": (shell, ("shell", "rest")),
    "three-modes": (three_modes, ("modes", "rest")),
    "quadrants": (quadrants, ("first and third", "second and fourth")),
    "spiral": (spiral, ("arm 1", "arm 2", "arm 3")),
}
"""Each set by its name: how it is drawn, and the names of its classes."""


def draw_planar(name: str, seed: int = 0) -> EmbeddingSet:
    """The points of the set `name`, (1200, 2) float32; bit-identical for the same seed.

    Raises:
        SourceError: there is no such set.
    Example:
        >>> draw_planar("quadrants").class_names
        ('first and third', 'second and fourth')
    """
    if name not in PLANAR:
        choices = ", ".join(f"planar:{known}" for known in PLANAR)
        raise SourceError(f"planar:{name}: there is no planar set {name!r}; expected one of {choices}.")
    draw, class_names = PLANAR[name]
    X, y = draw(np.random.Generator(np.random.PCG64(seed)))
    return EmbeddingSet(X, y.astype(np.int64), class_names, f"planar:{name}")


@final
class PlanarReader(Reader):
    """Reads the sources `planar:NAME`, drawn from `options.seed`. They have no splits."""

    name: ClassVar[str] = "planar"

    def accepts(self, source: str, path: Path | None) -> bool:
        return path is None and source.partition(":")[0] == "planar"

    def read(self, source: str, path: Path | None, options: ReadOptions) -> Dataset:
        points = draw_planar(source.partition(":")[2], options.seed)
        check_image_size(source, None, options)
        fingerprint = fingerprint_of_arrays(points.X, points.y)
        return Dataset(source, self.name, points.class_names, points, fingerprint=fingerprint)
