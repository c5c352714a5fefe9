"""The page "Scores to loss": rows of scores, and how each loss makes its number of one of them, term by term."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, TypeAlias, get_args

import numpy as np

from linprobe.errors import ParameterError
from linprobe.explain.divergence import divergence
from linprobe.lab.protocol import Client, Method, Page, Request
from linprobe.lab.wire import Axes, ClassNumbers, Numbers, OneOf, Positive, check_labels_of
from linprobe.losses import Loss, MulticlassHinge, SoftmaxCrossEntropy, SquaredHinge
from linprobe.runs.records import finite
from linprobe.shapes import Floats, Labels, check_range
from linprobe.typed_json import Within

__all__ = ["PAGE"]

MOST_CLASSES = 10
"""Classes of the table, at most."""

MOST_ROWS = 10
"""Images of the table, at most."""

LARGEST = 1e4
"""Absolute value of a score, at most."""

CURVE = 161
"""Points of a curve: with a span of a multiple of 8, every twentieth is a round number."""


_Loss: TypeAlias = Literal["hinge", "squared-hinge", "softmax"]
LossName: TypeAlias = Annotated[_Loss, OneOf("LossName", get_args(_Loss))]
"""The losses of the page."""

Gapped: TypeAlias = Annotated[Floats, Axes(1, gaps=True)]
"""(n,) numbers, infinite ones included."""

Terms: TypeAlias = tuple[float | None, ...]
"""A number for each class; None for that of the label."""


@dataclass(frozen=True, kw_only=True)
class ScoresRequest(Request):
    """The losses of `scores` (N, K) with the labels `y` (N,), and all about row `row`.

    Args:
        moved: the class whose score the curves move, over low..high.
        delta: margin of the hinges.
        jiggle: size of a small change of each score.
    """

    scores: Annotated[Floats, Numbers((None, None), MOST_ROWS, LARGEST)]
    y: Annotated[Labels, ClassNumbers(MOST_ROWS)]
    row: Annotated[int, Within(0, MOST_ROWS - 1)]
    moved: Annotated[int, Within(0, MOST_CLASSES - 1)]
    low: Annotated[float, Within(-2 * LARGEST, 2 * LARGEST)]
    high: Annotated[float, Within(-2 * LARGEST, 2 * LARGEST)]
    delta: Positive
    jiggle: Annotated[float, Within(0.0, LARGEST)]

    def __post_init__(self) -> None:
        N, K = self.scores.shape
        if not 2 <= K <= MOST_CLASSES:
            raise ParameterError(f"scores has {K} columns; expected one for each class, at least 2.")
        check_labels_of("y", self.y, N, K)
        check_range("row", self.row, low=0, high=N - 1)
        check_range("moved", self.moved, low=0, high=K - 1)


@dataclass(frozen=True)
class SoftmaxSteps:
    """The steps of the softmax loss of a row: e^s, their sum, the probabilities and their logarithms."""

    exponentials: Gapped
    sum: float | None
    probabilities: Annotated[Floats, Axes(1)]
    log_probabilities: Gapped
    loss: float


@dataclass(frozen=True)
class Explained:
    """What `explain` gives; of each loss by its name.

    Attributes:
        losses, means: of all rows.
        terms: of the row: the margins, and the terms of both hinges.
        softmax: the steps of softmax.
        gradients: of the row, in its scores.
        doubled, zero: losses of the row with its scores doubled, and with all scores 0.
        own_term: what the term j = y would add to the hinge.
        jiggled: (K, 2), losses with each score less and more the jiggle.
        curve: the scores of the class that is moved, and the losses there.
    """

    losses: Mapping[LossName, Gapped]
    means: Mapping[LossName, float | None]
    terms: Mapping[Literal["margins", "hinge", "squared-hinge"], Terms]
    softmax: SoftmaxSteps
    gradients: Mapping[LossName, Annotated[Floats, Axes(1)]]
    doubled: Mapping[LossName, float]
    zero: Mapping[LossName, float]
    own_term: float
    jiggled: Mapping[LossName, Annotated[Floats, Numbers((None, 2), MOST_CLASSES)]]
    curve: Mapping[Literal["scores", "hinge", "squared-hinge", "softmax"], Annotated[Floats, Axes(1)]]


@dataclass(frozen=True, kw_only=True)
class TargetRequest(Request):
    """The softmax of one row of scores against a target.

    Args:
        scores: (K,).
        shares: (K,) numbers >= 0, not all 0, whose share of their sum is the target P.
    """

    scores: Annotated[Floats, Numbers((None,), MOST_CLASSES, LARGEST)]
    shares: Annotated[Floats, Numbers((None,), MOST_CLASSES, LARGEST)]

    def __post_init__(self) -> None:
        if len(self.scores) != len(self.shares):
            raise ParameterError(
                f"shares has {len(self.shares)} numbers; expected one for each of {len(self.scores)} scores."
            )
        if not (self.shares >= 0.0).all() or not self.shares.sum() > 0.0:
            raise ParameterError("the shares of the target are not numbers >= 0 of which one at least is above 0.")


@dataclass(frozen=True)
class Targeted:
    """The target P against the probabilities Q, as in `explain.divergence`; natural logarithms.

    Attributes:
        target, probabilities: P and Q, (K,).
        terms: (K,) -P log Q.
        entropy, divergence, cross_entropy: H(P), D_KL(P || Q) and their sum, H(P, Q).
    """

    target: Annotated[Floats, Axes(1)]
    probabilities: Annotated[Floats, Axes(1)]
    terms: Annotated[Floats, Axes(1)]
    entropy: float
    divergence: float
    cross_entropy: float


def target(client: Client, asked: TargetRequest) -> Targeted:
    """Cross-entropy, entropy and divergence of a row of scores against a target."""
    found = divergence(asked.shares / asked.shares.sum(), asked.scores)
    return Targeted(found.P, found.Q, found.terms, found.entropy, found.divergence, found.cross_entropy)


def explain(client: Client, asked: ScoresRequest) -> Explained:
    """The losses of all rows, and how each makes its number of one of them."""
    scores, y, K = asked.scores, asked.y, asked.scores.shape[1]
    hinge, squared, softmax = MulticlassHinge(asked.delta), SquaredHinge(asked.delta), SoftmaxCrossEntropy()
    losses: dict[LossName, Loss] = {"hinge": hinge, "squared-hinge": squared, "softmax": softmax}
    s, label = scores[asked.row], y[asked.row : asked.row + 1]
    ticks = np.linspace(asked.low, asked.high, CURVE)
    swept = np.repeat(s[None], CURVE, axis=0)
    swept[:, asked.moved] = ticks
    # row 2 j has s_j less the jiggle, row 2 j + 1 has it more
    jiggled = np.repeat(s[None], 2 * K, axis=0)
    jiggled[np.arange(2 * K), np.arange(2 * K) // 2] += asked.jiggle * np.tile([-1.0, 1.0], K)
    zeros = np.zeros((1, K))
    return Explained(
        losses={name: loss.value(scores, y) for name, loss in losses.items()},
        means={name: finite(loss.value(scores, y).mean()) for name, loss in losses.items()},
        terms={
            "margins": _off_label(hinge.kinks(s[None], label)[0], label),
            "hinge": _terms(hinge, s, label),
            "squared-hinge": _terms(squared, s, label),
        },
        softmax=_softmax(s, label),
        gradients={name: loss.value_and_gradient(s[None], label)[1][0] for name, loss in losses.items()},
        doubled={name: loss.value(2.0 * s[None], label)[0] for name, loss in losses.items()},
        zero={name: loss.value(zeros, label)[0] for name, loss in losses.items()},
        # the sum with j = y has one term more: that of a score against itself
        own_term=hinge.value(s[None, label].repeat(2, axis=1), np.zeros(1, np.int64))[0],
        jiggled={name: loss.value(jiggled, label.repeat(2 * K)).reshape(K, 2) for name, loss in losses.items()},
        curve={
            "scores": ticks,
            **{name: loss.value(swept, label.repeat(CURVE)) for name, loss in losses.items()},
        },
    )


def _off_label(values: Floats, label: Labels) -> Terms:
    """The values, without that of the label."""
    return tuple(None if j == label[0] else float(value) for j, value in enumerate(values))


def _terms(loss: MulticlassHinge | SquaredHinge, s: Floats, label: Labels) -> Terms:
    """The terms of the sum over j != y: each is the loss of the two scores (s_y, s_j) alone."""
    pairs = np.stack([np.full_like(s, s[label[0]]), s], axis=1)
    return _off_label(loss.value(pairs, np.zeros(len(s), np.int64)), label)


def _softmax(s: Floats, label: Labels) -> SoftmaxSteps:
    """The steps of the softmax loss."""
    loss = SoftmaxCrossEntropy()
    with np.errstate(over="ignore"):  # shown as infinite: the reason why the loss takes the largest score off first
        exponentials = np.exp(s)
        total = exponentials.sum()
    return SoftmaxSteps(
        exponentials,
        finite(total),
        loss.probabilities(s[None])[0],
        loss.log_probabilities(s[None])[0],
        loss.value(s[None], label)[0],
    )


PAGE = Page(
    "scores",
    {"explain": Method(ScoresRequest, explain), "target": Method(TargetRequest, target)},
    for_students=True,
)
