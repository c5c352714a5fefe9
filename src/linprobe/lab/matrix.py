"""The page "W times x": a picture of four pixels, a few rows of W, and the scores, as numbers, templates and lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, TypeAlias

import numpy as np

from linprobe.errors import ParameterError
from linprobe.explain.borders import zero_lines
from linprobe.lab.pixels import signed_bytes
from linprobe.lab.protocol import Client, Method, Page, Request
from linprobe.lab.wire import Axes, Numbers
from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy
from linprobe.scores import scores
from linprobe.shapes import Floats, check_range
from linprobe.typed_json import Within

__all__ = ["PAGE"]

N_PIXELS = 4
"""Of the picture, two rows of two."""

MOST_CLASSES = 6
"""Rows of W, at most."""

LARGEST = 1e4
"""Absolute value of a number, at most."""

Segment: TypeAlias = tuple[float, float, float, float]
"""x and y of the start, and of the end."""


@dataclass(frozen=True, kw_only=True)
class MatrixRequest(Request):
    """The scores W x + b of one picture.

    Args:
        W, b, x: (K, 4), (K,) and (4,).
        y: the correct class.
        across, up: the pixels that the plane of the lines shows; the others stay.
        half: the plane shows -half..half in both directions.
    """

    W: Annotated[Floats, Numbers((None, N_PIXELS), MOST_CLASSES, LARGEST)]
    b: Annotated[Floats, Numbers((None,), MOST_CLASSES, LARGEST)]
    x: Annotated[Floats, Numbers((N_PIXELS,), N_PIXELS, LARGEST)]
    y: Annotated[int, Within(0, MOST_CLASSES - 1)]
    across: Annotated[int, Within(0, N_PIXELS - 1)]
    up: Annotated[int, Within(0, N_PIXELS - 1)]
    half: Annotated[float, Within(1.0, 2 * LARGEST)]

    def __post_init__(self) -> None:
        K = len(self.W)
        if K < 2 or len(self.b) != K:
            raise ParameterError(f"W has {K} rows and b {len(self.b)} numbers; expected as many, at least 2.")
        check_range("y", self.y, low=0, high=K - 1)
        if self.across == self.up:
            raise ParameterError(f"across = up = {self.up}; expected two pixels.")


@dataclass(frozen=True)
class Multiplied:
    """What `multiply` gives.

    Attributes:
        products: (K, 4), W_kd x_d: what each pixel adds to each score.
        scores: (K,).
        hinge, softmax: the losses of the picture.
        probabilities: (K,).
        template: (K, 2, 2) in base64, as `signed_bytes`: the rows of W as pictures.
        lines: of each class, where its score is 0 while the other two pixels stay; None where that is not in the view.
    """

    products: Annotated[Floats, Axes(2)]
    scores: Annotated[Floats, Axes(1)]
    hinge: float
    softmax: float
    probabilities: Annotated[Floats, Axes(1)]
    template: str
    lines: tuple[Segment | None, ...]


def multiply(client: Client, asked: MatrixRequest) -> Multiplied:
    """The scores of the picture, term by term, its losses, and the lines of the classes in the plane of two pixels."""
    W, b, x, y = asked.W, asked.b, asked.x, np.array([asked.y])
    found = scores(x[None], W, b)
    plane = [asked.across, asked.up]
    rest = np.setdiff1d(np.arange(N_PIXELS), plane)
    corner = (asked.half, asked.half)
    lines = zero_lines(W[:, plane], b + W[:, rest] @ x[rest], (-asked.half, -asked.half), corner)
    softmax = SoftmaxCrossEntropy()
    return Multiplied(
        W * x,
        found[0],
        float(MulticlassHinge().value(found, y)[0]),
        float(softmax.value(found, y)[0]),
        softmax.probabilities(found)[0],
        signed_bytes(W.reshape(-1, 2, 2).astype(np.float64))[0],
        tuple(None if line is None else (*line[0], *line[1]) for line in lines),
    )


PAGE = Page("matrix", {"multiply": Method(MatrixRequest, multiply)}, for_students=True)
