"""Points in the plane, weights, and the objective over them, as requests hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from linprobe.choices import choices
from linprobe.data.planar import PLANAR, draw_planar
from linprobe.errors import ParameterError
from linprobe.lab.protocol import Params
from linprobe.losses import Loss, make_loss
from linprobe.objective import Objective
from linprobe.parameters import NAMED
from linprobe.penalties import Penalty, make_penalty
from linprobe.shapes import Floats

__all__ = [
    "MOST_CLASSES",
    "MOST_POINTS",
    "Points",
    "read_objective",
    "read_options",
    "read_points",
    "read_weights",
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

    X: npt.NDArray[np.float64]
    y: npt.NDArray[np.int64]
    n_classes: int


def sample(params: Params) -> tuple[Points, tuple[str, ...]]:
    """`n` points of the planar set `set`, drawn with `seed`, and the names of its classes.

    They are rounded to thousandths, as the page shows and keeps them.
    """
    name = params.choice("set", PLANAR)
    n, seed = params.whole("n", low=2, high=MOST_POINTS), params.whole("seed", low=0, high=2**31 - 1)
    drawn = draw_planar(name, seed)
    picked = np.random.Generator(np.random.PCG64(seed)).permutation(len(drawn.y))[:n]
    X = np.asarray(np.round(drawn.X[picked].astype(np.float64), 3), np.float64)
    return Points(X, np.asarray(drawn.y[picked], np.int64), len(drawn.class_names)), drawn.class_names


def read_points(params: Params) -> Points:
    """The `points` (N, 2), their `labels` (N,), and `n_classes`, of a request."""
    n_classes = params.whole("n_classes", low=2, high=MOST_CLASSES)
    X = params.floats("points", (None, 2), most=MOST_POINTS, size=LARGEST)
    return Points(X, params.labels("labels", len(X), n_classes=n_classes), n_classes)


def read_weights(params: Params, n_classes: int) -> tuple[Floats, Floats]:
    """`W` (K, 2) and `b` (K,) of a request."""
    W = params.floats("W", (n_classes, 2), most=n_classes, size=LARGEST)
    return W, params.floats("b", (n_classes,), most=n_classes, size=LARGEST)


def read_loss(params: Params) -> Loss:
    """The `loss` of a request, with those of its parameters that the request holds."""
    name, given = _read_choice(params, "loss")
    return make_loss(name, **given)


def read_penalty(params: Params) -> Penalty | None:
    """The `penalty` of a request, with those of its parameters that the request holds."""
    name, given = _read_choice(params, "penalty")
    return make_penalty(name, **given)


def _read_choice(params: Params, kind: Literal["loss", "penalty"]) -> tuple[str, dict[str, float]]:
    """The name of a choice, and its parameters that are given; those that are not keep their defaults."""
    known = choices(kind)
    name = params.choice(kind, known)
    given = {one.name: params.parameter(one) for one in known[name].parameters if one.name == NAMED[kind] in params}
    return name, {**given, **read_options(params, kind, name)}


def read_options(params: Params, kind: Literal["loss", "penalty"], name: str) -> dict[str, float]:
    """Parameters of the loss or penalty `name` that the classifiers do not take by name, from a group of their own."""
    group = f"{kind}_options"
    if group not in params:
        return {}
    known = {one.name: one for one in choices(kind)[name].parameters if one.name != NAMED[kind]}
    given = params.group(group)
    for one in given.names(MOST_OPTIONS):
        if one not in known:
            raise ParameterError(f"{group} holds {one!r}; the {kind} {name!r} has {', '.join(known) or 'none'}.")
    return {one: given.parameter(known[one]) for one in known if one in given}


def read_objective(params: Params, points: Points) -> Objective:
    """L(W, b) over the points: `loss`, `penalty` and `reg` of a request, summed in float64 on one core."""
    return Objective(
        points.X,
        points.y,
        loss=read_loss(params),
        penalty=read_penalty(params),
        reg=params.number("reg", low=0),
        n_classes=points.n_classes,
        n_threads=1,  # no pool for so few points
    )
