"""The page "Playground": points in the plane and weights, what they score, lose and decide, and how optimizers walk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt

from linprobe.certificate import Certificate
from linprobe.explain.borders import Border, class_borders
from linprobe.explain.regions import decision_regions
from linprobe.lab.descent import MOST_STEPS, StateRecord, StepsRequest, state_record, walk
from linprobe.lab.landscape import Surface, surface
from linprobe.lab.problem import (
    LARGEST,
    MOST_POINTS,
    Points,
    PointsRequest,
    SampleRequest,
    WeightsRequest,
    objective_over,
    sample,
)
from linprobe.lab.protocol import Client, Method, Page, Request
from linprobe.lab.votes import GRID, NeighborCount, Neighbors, View, VotesRequest, check_view, votes
from linprobe.lab.wire import Axes, Numbers, Packed, check_shape, packed
from linprobe.objective import Objective
from linprobe.runs.records import finite
from linprobe.scores import scores
from linprobe.shapes import Floats, Labels
from linprobe.typed_json import Within

__all__ = ["PAGE"]


class _Linear:
    """The class of the highest score, for `decision_regions`."""

    def __init__(self, W: Floats, b: Floats) -> None:
        self.W, self.b = W, b

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """(n,) classes."""
        classes: npt.NDArray[np.int64] = scores(X, self.W, self.b).argmax(axis=1)
        return classes


@dataclass(frozen=True)
class Drawn:
    """Points (n, 2) of a planar set, their classes, and the names of these."""

    points: Annotated[Floats, Numbers((None, 2), MOST_POINTS)]
    labels: Annotated[Labels, Axes(1)]
    n_classes: int
    class_names: tuple[str, ...]


@dataclass(frozen=True)
class NeighborsRequest(Request):
    """The vote of the `k` nearest points."""

    k: NeighborCount
    metric: Literal["l2", "cosine"]


@dataclass(frozen=True, kw_only=True)
class LookRequest(WeightsRequest):
    """One (W, b).

    Args:
        view: x0, y0, x1, y1 of the borders and the regions; None for neither.
        size: points of the grid of the regions along a side; None for no regions.
        neighbors: for the regions of nearest neighbours, too, on half the grid.
    """

    view: View | None = None
    size: Annotated[int, Within(2, GRID)] | None = GRID
    neighbors: NeighborsRequest | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.view is not None:
            check_view(self.view)


@dataclass(frozen=True)
class Doubled:
    """The sums at (2 W, 2 b), as in `Look`."""

    data_loss: float
    R: float
    objective: float


@dataclass(frozen=True)
class OwnVote:
    """The class that the `k` nearest points, itself among them, give each point, and the share that is right."""

    k: int
    predicted: Annotated[Labels, Axes(1)]
    accuracy: float


@dataclass(frozen=True)
class Look:
    """Everything that the page shows of one (W, b).

    Attributes:
        scores: (N, K).
        margins: (N,) s_y less the highest other score: a point is classified correctly where it is above 0.
        losses, predicted: (N,) L_i, and the class of the highest score.
        data_loss, R, penalty, objective: mean of L_i, R(W), reg R(W), and their sum.
        accuracy, gradient_norm: as in `Evaluation`.
        dW, db: (K, 2) and (K,), the gradient.
        doubled: the sums at (2 W, 2 b).
        borders: between the regions of the scores.
        margin_lines: of each class, where it leads another by just the margin of the loss; none of losses without one.
        vote: what the nearest neighbours decide; None where they were not asked for.
        regions, neighbors: the classes over the view, of the scores and of the nearest neighbours.
    """

    scores: Annotated[Floats, Axes(2)]
    margins: Annotated[Floats, Axes(1)]
    losses: Annotated[Floats, Axes(1)]
    predicted: Annotated[Labels, Axes(1)]
    data_loss: float
    R: float
    penalty: float
    objective: float
    accuracy: float
    gradient_norm: float
    dW: Annotated[Floats, Axes(2)]
    db: Annotated[Floats, Axes(1)]
    doubled: Doubled
    borders: tuple[Border, ...]
    margin_lines: tuple[Border, ...]
    vote: OwnVote | None
    regions: Packed | None
    neighbors: Packed | None


@dataclass(frozen=True)
class Proof:
    """A certificate in numbers and in words; None for what is not bounded."""

    objective: float
    lower_bound: float | None
    gap: float | None
    relative_gap: float | None
    words: str

    @classmethod
    def of(cls, certificate: Certificate) -> Proof:
        """What the page shows of it."""
        return cls(
            certificate.objective,
            finite(certificate.lower_bound),
            finite(certificate.gap),
            finite(certificate.relative_gap),
            certificate.describe(),
        )


@dataclass(frozen=True)
class Steps:
    """The path of an optimizer, as in `Walk`: W (n, K, 2), b (n, K), and L after each step."""

    W: Annotated[Sequence[Floats], Numbers((None, None, 2), MOST_STEPS)]
    b: Annotated[Sequence[Floats], Axes(2)]
    objective: tuple[float | None, ...]
    status: str
    state: StateRecord | None
    learning_rate: float | None
    chosen: str
    batch: tuple[int, ...]
    epoch: float
    certificate: Proof | None


@dataclass(frozen=True, kw_only=True)
class LandscapeRequest(PointsRequest):
    """A slice of the loss of `size` x `size` points, with the path (n, K, 2), (n, K)."""

    path_W: Annotated[Floats, Numbers((None, None, 2), MOST_STEPS, LARGEST)]
    path_b: Annotated[Floats, Numbers((None, None), MOST_STEPS, LARGEST)]
    size: Annotated[int, Within(5, 64)]

    def __post_init__(self) -> None:
        super().__post_init__()
        n = len(self.path_W)
        check_shape("path_W", self.path_W, (n, self.n_classes, 2))
        check_shape("path_b", self.path_b, (n, self.n_classes))


def draw(client: Client, asked: SampleRequest) -> Drawn:
    """Points of a planar set."""
    points, names = sample(asked)
    return Drawn(points.X, points.y, points.n_classes, names)


def look(client: Client, asked: LookRequest) -> Look:
    """Scores, margins and losses of the points, the sums, the regions."""
    points, W, b = asked.drawn, asked.W, asked.b
    objective = objective_over(points, asked)
    S = scores(points.X, W, b)
    own = S[np.arange(len(S)), points.y]
    others = np.where(np.arange(points.n_classes) == points.y[:, None], -np.inf, S)
    neighbors = None if asked.neighbors is None else Neighbors(points, asked.neighbors.k, asked.neighbors.metric)
    evaluation, dW, db = objective.with_penalty(objective.data_gradient(W, b), W)
    return Look(
        scores=S,
        margins=own - others.max(axis=1),
        losses=objective.loss.value(S, points.y),
        predicted=S.argmax(axis=1),
        data_loss=evaluation.data_loss,
        R=_penalty_value(objective, W),
        penalty=evaluation.penalty,
        objective=evaluation.objective,
        accuracy=evaluation.accuracy,
        gradient_norm=evaluation.gradient_norm,
        dW=dW,
        db=db,
        doubled=_doubled(objective, W, b),
        borders=_borders(asked, 0.0),
        margin_lines=() if objective.loss.margin_power is None else _borders(asked, objective.loss.unit),
        vote=None if neighbors is None else _own_vote(points, neighbors),
        regions=_regions(asked, _Linear(W, b), asked.size),
        neighbors=None
        if neighbors is None or asked.size is None
        else _regions(asked, neighbors, max(2, asked.size // 2)),
    )


def _penalty_value(objective: Objective, W: Floats) -> float:
    """R(W); 0 without a penalty."""
    return 0.0 if objective.penalty is None else objective.penalty.value(W)


def _doubled(objective: Objective, W: Floats, b: Floats) -> Doubled:
    """The sums at (2 W, 2 b)."""
    evaluation = objective.evaluate(2.0 * W, 2.0 * b)
    return Doubled(evaluation.data_loss, _penalty_value(objective, 2.0 * W), evaluation.objective)


def _own_vote(points: Points, neighbors: Neighbors) -> OwnVote:
    """What the neighbours decide on the points themselves."""
    predicted = neighbors.predict(points.X)
    return OwnVote(neighbors.k, predicted, float(np.mean(predicted == points.y)))


def _borders(asked: LookRequest, margin: float) -> tuple[Border, ...]:
    """The segments within the view on which a class leads another by just the margin."""
    return () if asked.view is None else class_borders(asked.W, asked.b, asked.view[:2], asked.view[2:], margin)


def _regions(asked: LookRequest, classifier: _Linear | Neighbors, size: int | None) -> Packed | None:
    """The classes over the view; None where there is no view, or no grid."""
    if asked.view is None or size is None:
        return None
    return packed(decision_regions(classifier, list(asked.view[:2]), list(asked.view[2:]), size))


def step(client: Client, asked: StepsRequest) -> Steps:
    """Some steps of an optimizer, from the `state` of the request or from its (W, b)."""
    found = walk(asked, objective_over(asked.drawn, asked))
    return Steps(
        W=found.W,
        b=found.b,
        objective=tuple(map(finite, found.objective)),
        status=found.status,
        state=None if found.state is None else state_record(found.state),
        learning_rate=None if found.learning_rate is None else finite(found.learning_rate),
        chosen=found.chosen,
        batch=tuple(found.batch),
        epoch=found.epoch,
        certificate=None if found.certificate is None else Proof.of(found.certificate),
    )


def landscape(client: Client, asked: LandscapeRequest) -> Surface:
    """A slice of L(W, b) through the start of a walk and the minimum, with the walk on it."""
    return surface(objective_over(asked.drawn, asked), asked.path_W, asked.path_b, asked.size)


PAGE = Page(
    "playground",
    {
        "draw": Method(SampleRequest, draw),
        "look": Method(LookRequest, look),
        "step": Method(StepsRequest, step),
        "votes": Method(VotesRequest, votes),
        "landscape": Method(LandscapeRequest, landscape),
    },
    for_students=True,
)
