"""The page "Walks": updates, learning rates and schedules side by side, from one start, on a surface of two weights."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

from linprobe.explain.walks import GROUNDS, ground, heights, walk_on
from linprobe.lab.landscape import packed_heights
from linprobe.lab.protocol import Client, Method, Page, Request
from linprobe.lab.wire import Axes, Most, Numbers, OneOf, Packed, Positive, Registered, Seed
from linprobe.shapes import Floats
from linprobe.typed_json import Within

__all__ = ["PAGE"]

SIDE = 61
"""Points of the grid of a surface, along each side."""

MOST_WALKS, MOST_STEPS = 6, 400
"""Walks side by side, and steps of each, at most."""

GroundName: TypeAlias = Annotated[str, OneOf("GroundName", tuple(GROUNDS))]
"""A surface."""


@dataclass(frozen=True, kw_only=True)
class SurfaceRequest(Request):
    """A surface by its name."""

    ground: GroundName


@dataclass(frozen=True)
class Shape:
    """A surface.

    Attributes:
        names: of the two weights.
        low, high: two corners of the view.
        heights: (size, size), of the logarithm of L above the lowest: 0..255.
        minima: (m, 2), the lowest first.
        n_images: how many images a full gradient sums over.
    """

    names: tuple[str, str]
    low: tuple[float, float]
    high: tuple[float, float]
    heights: Packed
    minima: Annotated[Floats, Numbers((None, 2), MOST_WALKS)]
    n_images: int


@dataclass(frozen=True)
class Walker:
    """How one walk goes.

    Attributes:
        rate: the highest learning rate.
        batch: images of a batch; 0 for all of them.
    """

    update: Annotated[str, Registered("update")]
    rate: Positive
    schedule: Annotated[str, Registered("schedule")]
    batch: Annotated[int, Within(0, 10_000)]


@dataclass(frozen=True, kw_only=True)
class WalksRequest(SurfaceRequest):
    """Walks from one start.

    Args:
        x, y: the two weights of the start.
        walkers: one for each walk.
        steps: of each.
        seed: of the batches.
    """

    x: Annotated[float, Within(-1e3, 1e3)]
    y: Annotated[float, Within(-1e3, 1e3)]
    walkers: Annotated[tuple[Walker, ...], Most(MOST_WALKS)]
    steps: Annotated[int, Within(1, MOST_STEPS)]
    seed: Seed


@dataclass(frozen=True)
class Path:
    """A walk, as in `explain.walks.Walked`: steps + 1 places and losses, and the rate of each step."""

    weights: Annotated[Floats, Numbers((None, 2), MOST_STEPS)]
    losses: Annotated[Floats, Axes(1, gaps=True)]
    rates: Annotated[Floats, Axes(1)]


def surface(client: Client, asked: SurfaceRequest) -> Shape:
    """The heights of a surface, for its picture."""
    found = ground(asked.ground)
    drawn = packed_heights(heights(found, SIDE), float(found.value(found.minima[0])))
    return Shape(found.names, found.low, found.high, drawn, found.minima, found.n_images)


def run(client: Client, asked: WalksRequest) -> tuple[Path, ...]:
    """All walks, from the start to the last step."""
    found = ground(asked.ground)
    paths = []
    for walker in asked.walkers:
        batch = None if walker.batch == 0 else min(walker.batch, found.n_images)
        walked = walk_on(
            found,
            (asked.x, asked.y),
            walker.update,
            walker.rate,
            schedule=walker.schedule,
            batch_size=batch,
            steps=asked.steps,
            seed=asked.seed,
        )
        paths.append(Path(walked.weights, walked.losses, walked.rates))
    return tuple(paths)


PAGE = Page("walks", {"surface": Method(SurfaceRequest, surface), "run": Method(WalksRequest, run)}, for_students=True)
