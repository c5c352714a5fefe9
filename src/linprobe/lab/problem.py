"""Points in the plane, weights, and the objective over them, as requests hold them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import numpy as np

from linprobe.choices import choices
from linprobe.data.planar import draw_planar
from linprobe.errors import ParameterError
from linprobe.lab.protocol import Request
from linprobe.lab.wire import (
    ClassNumbers,
    Most,
    NotNegative,
    Number,
    Numbers,
    PlanarName,
    Positive,
    Registered,
    Seed,
    check_labels_of,
    check_shape,
)
from linprobe.losses import Loss, make_loss
from linprobe.objective import Objective
from linprobe.parameters import NAMED
from linprobe.penalties import Penalty, make_penalty
from linprobe.shapes import Floats, Labels
from linprobe.typed_json import Within, shortened

__all__ = [
    "LARGEST",
    "MOST_CLASSES",
    "MOST_POINTS",
    "ObjectiveRequest",
    "Options",
    "Points",
    "PointsRequest",
    "SampleRequest",
    "WeightsRequest",
    "check_options",
    "held_out",
    "loss_of",
    "objective_over",
    "penalty_of",
    "sample",
]

MOST_POINTS = 400
"""Points of the playground, at most."""

MOST_CLASSES = 6
"""Classes of the playground, at most."""

MOST_OPTIONS = 32
"""Parameters of one loss or penalty in a request, at most."""

LARGEST = 1e6
"""Largest size of a coordinate or a weight."""


@dataclass(frozen=True)
class Points:
    """X (N, 2) float64, y (N,) in 0..n_classes-1."""

    X: Floats
    y: Labels
    n_classes: int


@dataclass(frozen=True, kw_only=True)
class SampleRequest(Request):
    """`n` points of the planar set `set`, drawn with `seed`."""

    set: PlanarName
    n: Annotated[int, Within(2, MOST_POINTS)]
    seed: Seed


Options: TypeAlias = Annotated[Mapping[str, bool | int | Number], Most(MOST_OPTIONS)]
"""Parameters of a loss or penalty that the classifiers do not take by name, as `loss_options` and `penalty_options`."""


@dataclass(frozen=True, kw_only=True)
class ObjectiveRequest(Request):
    """L(W, b) = (1/N) sum L_i + reg R(W).

    Args:
        loss, penalty: names of the table of choices.
        delta, beta: parameters of the losses and penalties that have them; None for their defaults.
        loss_options, penalty_options: their other parameters.
        reg: >= 0.
    """

    loss: Annotated[str, Registered("loss")]
    penalty: Annotated[str, Registered("penalty")]
    delta: Positive | None = None
    beta: NotNegative | None = None
    loss_options: Options = field(default_factory=dict)
    penalty_options: Options = field(default_factory=dict)
    reg: NotNegative

    def __post_init__(self) -> None:
        check_options("loss", self.loss, self.loss_options)
        check_options("penalty", self.penalty, self.penalty_options)


def check_options(kind: Literal["loss", "penalty"], chosen: str, options: Mapping[str, float]) -> None:
    """Raise ParameterError where the loss or penalty lacks an option, or its value is of another kind or range."""
    known = {about.name: about for about in choices(kind)[chosen].parameters if about.name != NAMED[kind]}
    for name, value in options.items():
        if name not in known:
            raise ParameterError(
                f"{kind}_options holds {shortened(name)}; the {kind} {chosen!r} has {', '.join(known) or 'none'}."
            )
        known[name].check(value)


@dataclass(frozen=True, kw_only=True)
class PointsRequest(ObjectiveRequest):
    """The objective over `points` (N, 2) with `labels` (N,), 0..n_classes-1."""

    points: Annotated[Floats, Numbers((None, 2), MOST_POINTS, LARGEST)]
    labels: Annotated[Labels, ClassNumbers(MOST_POINTS)]
    n_classes: Annotated[int, Within(2, MOST_CLASSES)]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_labels_of("labels", self.labels, len(self.points), self.n_classes)

    @property
    def drawn(self) -> Points:
        """The points."""
        return Points(self.points, self.labels, self.n_classes)


@dataclass(frozen=True, kw_only=True)
class WeightsRequest(PointsRequest):
    """The objective over points at `W` (K, 2) and `b` (K,)."""

    W: Annotated[Floats, Numbers((None, 2), MOST_CLASSES, LARGEST)]
    b: Annotated[Floats, Numbers((None,), MOST_CLASSES, LARGEST)]

    def __post_init__(self) -> None:
        super().__post_init__()
        check_shape("W", self.W, (self.n_classes, 2))
        check_shape("b", self.b, (self.n_classes,))


def sample(asked: SampleRequest) -> tuple[Points, tuple[str, ...]]:
    """The points of a planar set, and the names of its classes.

    The points are rounded to thousandths, as the page shows and keeps them.
    """
    return _picked(asked.set, asked.seed, slice(asked.n))


def held_out(name: str, seed: int) -> Points:
    """MOST_POINTS points of a planar set that no sample with that seed holds, whatever its size."""
    points, _ = _picked(name, seed, slice(-MOST_POINTS, None))
    return points


def _picked(name: str, seed: int, part: slice) -> tuple[Points, tuple[str, ...]]:
    """A part of the points of a planar set, in an order drawn from the seed, and the names of its classes."""
    drawn = draw_planar(name, seed)
    picked = np.random.Generator(np.random.PCG64(seed)).permutation(len(drawn.y))[part]
    X = np.asarray(np.round(drawn.X[picked].astype(np.float64), 3), np.float64)
    return Points(X, np.asarray(drawn.y[picked], np.int64), len(drawn.class_names)), drawn.class_names


def loss_of(asked: ObjectiveRequest) -> Loss:
    """The loss of a request."""
    return make_loss(asked.loss, **_named("loss", asked.loss, asked.delta), **asked.loss_options)


def penalty_of(asked: ObjectiveRequest) -> Penalty | None:
    """The penalty of a request; None for no penalty."""
    return make_penalty(asked.penalty, **_named("penalty", asked.penalty, asked.beta), **asked.penalty_options)


def _named(kind: Literal["loss", "penalty"], chosen: str, value: float | None) -> dict[str, float]:
    """delta or beta, where the loss or penalty has it and the request gives it."""
    name = NAMED[kind]
    has = any(about.name == name for about in choices(kind)[chosen].parameters)
    return {name: value} if has and value is not None else {}


def objective_over(points: Points, asked: ObjectiveRequest) -> Objective:
    """L(W, b) over the points, summed in float64 on one core."""
    return Objective(
        points.X,
        points.y,
        loss=loss_of(asked),
        penalty=penalty_of(asked),
        reg=asked.reg,
        n_classes=points.n_classes,
        n_threads=1,  # no pool for so few points
    )
