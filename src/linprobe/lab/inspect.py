"""The page "Inspect": the class of one picture, the reasons for it, its neighbours, and the six challenges."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Literal, TypeAlias

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from linprobe.challenges import CHALLENGES
from linprobe.challenges.table import INTRACLASS
from linprobe.classifiers.neighbors import vote
from linprobe.errors import LinprobeError, ParameterError
from linprobe.explain.contributions import contributions
from linprobe.lab.inspector import KINDS, Inspector, Subject, Where
from linprobe.lab.pixels import color_bytes, signed_bytes, smaller
from linprobe.lab.protocol import Client, Lab, Method, NoParameters, Page, Refused, Request
from linprobe.lab.run_list import RunShown, list_runs
from linprobe.lab.uploads import PICTURE_BYTES
from linprobe.lab.wire import Axes, Packed, RunName, Seed, Text
from linprobe.plain import plain
from linprobe.runs.models import scores_of_pictures
from linprobe.runs.records import finite
from linprobe.shapes import Floats, check_range
from linprobe.typed_json import Within, inside
from linprobe.wording import in_words

__all__ = ["PAGE", "Kept"]

SIDE, THUMBNAIL = 256, 64
"""Most pixels of a side of the inspected picture, and of a picture in a row of others."""

PER_PAGE = 60
"""Test images of a page of the grid, at most."""

MOST_ARRIVING = 8
"""Pictures of the user's own that may be on their way at a time: they are kept in memory until they are complete."""

MOST_NEIGHBOURS = 30
"""Neighbours of a picture that are shown, at most."""

Severity: TypeAlias = Annotated[int, Within(0, 5)]
"""0 changes no pixel."""

Place: TypeAlias = Annotated[int, Within(0, 10**12)]
"""The position of a test image, a class or a page, which the handler compares with how many there are."""


@dataclass(frozen=True)
class KindShown:
    """A kind of a challenge, as in `challenges.base.Kind`."""

    name: str
    unit: str
    amounts: tuple[float, ...]


@dataclass(frozen=True)
class ChallengeShown:
    """A challenge and its kinds."""

    name: str
    kinds: tuple[KindShown, ...]


@dataclass(frozen=True)
class InspectState:
    """The runs that have a model, and the challenges with what their severities mean."""

    runs: tuple[RunShown, ...]
    challenges: tuple[ChallengeShown, ...]


@dataclass(frozen=True)
class OpenRequest(Request):
    """A run whose model is inspected."""

    run: RunName


@dataclass(frozen=True)
class Opened:
    """What the model of a run offers.

    Attributes:
        run: its name.
        class_names: of the K classes.
        shape: of the pictures that it takes; None for vectors.
        loss, features: it was trained with.
        n_test, n_train: pictures that can be inspected, and searched for neighbours.
        why: there are no pictures, in a sentence; "" where there are.
        notes: sentences that a reader of the test figures must know.
    """

    run: str
    class_names: tuple[str, ...]
    shape: tuple[int, ...] | None
    loss: str
    features: str
    n_test: int
    n_train: int
    why: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class GridRequest(Request):
    """A page of `size` test images: all, those classified right or wrong; of one true or found class."""

    run: RunName
    show: Literal["all", "right", "wrong"]
    label: Place | None = None
    found: Place | None = None
    page: Place
    size: Annotated[int, Within(1, PER_PAGE)]


@dataclass(frozen=True)
class GridItem:
    """A test image: its position, its class, the class that was found, and its pixels."""

    index: int
    label: int
    found: int
    picture: Packed


@dataclass(frozen=True)
class GridPage:
    """A page of test images.

    Attributes:
        total: test images that were requested, on all pages.
        n_test: test images.
        accuracy: on these.
        page, pages: number of the page, and how many there are.
        items: the images of the page.
    """

    total: int
    n_test: int
    accuracy: float
    page: int
    pages: int
    items: tuple[GridItem, ...]


@dataclass(frozen=True, kw_only=True)
class PictureRequest(Request):
    """A picture under the challenges.

    Args:
        run: whose model looks at it.
        index: of a test image; None for a picture of the user's own.
        own: key of a picture of the user's own.
        severities: by kind; those not named are 0.
        seed: of what the challenges draw.
    """

    run: RunName
    index: Place | None = None
    own: Annotated[str, Text(200)] | None = None
    severities: Mapping[str, Severity] = field(default_factory=dict)
    seed: Seed

    def __post_init__(self) -> None:
        if (self.index is None) == (self.own is None):
            raise ParameterError("a picture is either a test image or the user's own; expected index or own.")
        known = (*KINDS, INTRACLASS)
        for name in self.severities:
            if name not in known:
                raise ParameterError(f"{inside('severities', name)} is no kind; expected one of {', '.join(known)}.")


@dataclass(frozen=True, kw_only=True)
class InspectionRequest(PictureRequest):
    """A picture, and the two classes whose scores are explained; None for those of the highest scores."""

    first: Place | None = None
    second: Place | None = None


@dataclass(frozen=True)
class Contributions:
    """What the pixels add to the scores of two classes, and to the difference.

    Attributes:
        first, second: the classes.
        why: there is nothing to show, in a sentence; all that follows is then 0 or empty. Else "".
        height, width: of each of the three pictures.
        limit: the contribution at the ends of the colours.
        bytes: (3, height, width) in base64, as `signed_bytes`.
        sums: of the contributions to both scores.
    """

    first: int
    second: int
    why: str = ""
    height: int = 0
    width: int = 0
    limit: float = 0.0
    bytes: str = ""
    sums: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Inspection:
    """Everything that the page shows of a picture.

    Attributes:
        name, label: of the picture; the class is None where nobody knows.
        found, before: the class of the highest score, with and without the challenges.
        stand_in: the test image that is seen in its place; None for itself.
        original, picture: the pixels, without and with the challenges.
        scores, bias: (K,).
        probabilities: (K,); None but of softmax.
        loss: of the picture; None where its class is unknown.
        contributions: of the pixels.
        seconds: that this took.
    """

    name: str
    label: int | None
    found: int
    before: int
    stand_in: int | None
    original: Packed
    picture: Packed
    scores: Annotated[Floats, Axes(1)]
    bias: Annotated[Floats, Axes(1)]
    probabilities: Annotated[Floats, Axes(1)] | None
    loss: float | None
    contributions: Contributions
    seconds: float


@dataclass(frozen=True, kw_only=True)
class NeighboursRequest(PictureRequest):
    """The k nearest training images of a picture."""

    metric: Literal["l2", "l1"]
    k: Annotated[int, Within(1, MOST_NEIGHBOURS)]


@dataclass(frozen=True)
class Neighbour:
    """A training image: the name of its class, its distance, its position, its pixels."""

    name: str
    distance: float
    position: int
    picture: Packed


@dataclass(frozen=True)
class Neighbours:
    """The nearest training images, the class that they vote for, and the seconds that this took."""

    vote: str
    items: tuple[Neighbour, ...]
    seconds: float


@dataclass(frozen=True)
class Kept:
    """The answer to a picture of the user's own: its key."""

    own: str


def state(client: Client, asked: NoParameters) -> InspectState:
    """The runs that have a model, and the challenges with what their severities mean."""
    runs = (run for run in list_runs(client.lab.runs) if isinstance(run, RunShown))
    return InspectState(
        tuple(run for run in runs if run.has_model),
        tuple(
            ChallengeShown(one.name, tuple(KindShown(kind.name, kind.unit, kind.amounts) for kind in one.kinds))
            for one in CHALLENGES
        ),
    )


def open_run(client: Client, asked: OpenRequest) -> Opened:
    """What the model of a run offers."""
    subject = client.lab.service(Inspector).subject(asked.run)
    model = subject.model
    return Opened(
        run=subject.run,
        class_names=model.class_names_,
        shape=subject.shape,
        loss=model.loss_.name,
        features="pixels" if model.features_ is None else model.features_.spec,
        n_test=0 if subject.test is None else subject.test.n_images,
        n_train=0 if subject.train is None else subject.train.n_images,
        why=subject.why,
        notes=subject.notes,
    )


def grid(client: Client, asked: GridRequest) -> GridPage:
    """A page of test images; of those classified wrong the surest mistakes first."""
    subject = client.lab.service(Inspector).subject(asked.run)
    _, y = subject.tested()
    scores = subject.scores()
    found = scores.argmax(axis=1)
    picked = np.ones(len(y), bool) if asked.show == "all" else (found == y) == (asked.show == "right")
    for name, labels, wanted in (("label", y, asked.label), ("found", found, asked.found)):
        if wanted is not None:
            check_range(name, wanted, low=0, high=len(subject.model.class_names_) - 1)
            picked &= labels == wanted
    chosen = np.flatnonzero(picked)
    if asked.show == "wrong":
        sureness = scores[chosen, found[chosen]] - scores[chosen, y[chosen]]
        chosen = chosen[np.argsort(-sureness, kind="stable")]
    n_pages = max(1, -(-len(chosen) // asked.size))
    page = min(asked.page, n_pages - 1)
    shown = [int(i) for i in chosen[page * asked.size : (page + 1) * asked.size]]
    return GridPage(
        total=len(chosen),
        n_test=len(y),
        accuracy=float(np.mean(found == y)),
        page=page,
        pages=n_pages,
        items=tuple(GridItem(i, int(y[i]), int(found[i]), color_bytes(subject.at(i).pixels, THUMBNAIL)) for i in shown),
    )


def look(client: Client, asked: InspectionRequest) -> Inspection:
    """Scores, probabilities and contributions of a picture under the challenges."""
    begun = time.perf_counter()
    subject, original = _picture(client, asked)
    seen, stand_in = subject.changed(original, asked.severities, asked.seed)
    model = subject.model
    scores = scores_of_pictures(model, seen.pixels[None])[0]
    found = int(scores.argmax())
    label = original.label
    return Inspection(
        name=original.name,
        label=label,
        found=found,
        before=found if seen is original else int(scores_of_pictures(model, original.pixels[None])[0].argmax()),
        stand_in=stand_in,
        original=color_bytes(original.pixels, SIDE),
        picture=color_bytes(seen.pixels, SIDE),
        scores=scores,
        bias=model.bias_,
        probabilities=model.loss_.probabilities(scores[None])[0] if model.loss_.gives_probabilities else None,
        loss=None if label is None else finite(model.loss_.value(scores[None], np.array([label]))[0]),
        contributions=_contributions(asked, subject, seen, scores),
        seconds=time.perf_counter() - begun,
    )


def _contributions(asked: InspectionRequest, subject: Subject, seen: Where, scores: Floats) -> Contributions:
    """What the pixels add to the scores of two classes, and to the difference; or why they cannot be shown."""
    ranked = [int(k) for k in np.argsort(-scores, kind="stable")]
    for name, chosen in (("first", asked.first), ("second", asked.second)):
        if chosen is not None:
            check_range(name, chosen, low=0, high=len(ranked) - 1)
    first, second = asked.first, asked.second
    if first is None:
        first = next(k for k in ranked if k != second)
    if second is None or second == first:
        second = next(k for k in ranked if k != first)
    try:
        maps = contributions(subject.model, seen.pixels)
    except LinprobeError as error:
        return Contributions(first, second, in_words(str(error)))
    panels = np.stack([maps[first], maps[second], maps[first] - maps[second]])
    small = smaller(panels[:, :, :, None], SIDE)[:, :, :, 0]
    drawn, limit = signed_bytes(small)
    sums = (float(maps[first].sum()), float(maps[second].sum()))
    return Contributions(first, second, "", small.shape[1], small.shape[2], limit, drawn, sums)


def neighbours(client: Client, asked: NeighboursRequest) -> Neighbours:
    """The nearest training images of a picture under the challenges, and how they vote."""
    begun = time.perf_counter()
    subject, original = _picture(client, asked)
    seen, _ = subject.changed(original, asked.severities, asked.seed)
    search = subject.neighbors(asked.metric)
    train = subject.train
    assert train is not None  # else there is no search
    k = min(asked.k, train.n_images)
    distances, positions = search.nearest(seen.pixels.reshape(1, -1), k)
    labels = search.labels_[positions]
    elected = int(vote(labels, distances, [k], len(search.classes_))[k][0])
    rows = train.positions
    names = [str(name) for name in search.classes_]
    return Neighbours(
        vote=names[elected],
        items=tuple(
            Neighbour(
                names[search.labels_[position]],
                float(distance),
                int(position),
                color_bytes(train.images[rows[position]], THUMBNAIL),
            )
            for distance, position in zip(distances[0], positions[0], strict=True)
        ),
        seconds=time.perf_counter() - begun,
    )


def _picture(client: Client, asked: PictureRequest) -> tuple[Subject, Where]:
    """The model, and the test image or the picture of the user's own."""
    inspector = client.lab.service(Inspector)
    subject = inspector.subject(asked.run)
    if asked.own is not None:
        return subject, inspector.own(asked.own, subject)
    assert asked.index is not None  # as the request was checked
    return subject, subject.at(asked.index)


async def receive(request: HttpRequest) -> Response:
    """Take a picture of the user's own; the answer holds its key, or the refusal: {"error": one sentence}."""

    lab: Lab = request.app.state.lab
    inspector = lab.service(Inspector)
    content = bytearray()
    try:
        inspector.arriving += 1
        if inspector.arriving > MOST_ARRIVING:
            raise ParameterError(f"{MOST_ARRIVING} pictures are being sent already; wait until they have arrived.")
        async for piece in request.stream():
            content += piece
            if len(content) > PICTURE_BYTES:
                raise ParameterError(f"the picture is larger than {PICTURE_BYTES // 2**20} MiB; make it smaller.")
        name = request.query_params.get("name", "") or "your picture"
        key = await run_in_threadpool(inspector.keep, bytes(content), name)
    except ClientDisconnect:
        return JSONResponse(plain(Refused("the connection ended before the picture was complete; drop it again.")))
    except LinprobeError as error:
        return JSONResponse(plain(Refused(str(error))))
    except OSError as error:
        return JSONResponse(plain(Refused(f"the picture cannot be kept ({error.strerror}); free some space.")))
    finally:
        inspector.arriving -= 1
    return JSONResponse(plain(Kept(key)))


PAGE = Page(
    "inspect",
    {
        "state": Method(NoParameters, state),
        "open": Method(OpenRequest, open_run),
        "grid": Method(GridRequest, grid),
        "look": Method(InspectionRequest, look),
        "neighbours": Method(NeighboursRequest, neighbours),
    },
    [Route("/inspect/picture", receive, methods=["POST"])],
)
