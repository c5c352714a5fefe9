"""The page "Inspect": the class of one picture, the reasons for it, its neighbours, and the six challenges."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from linprobe.challenges import CHALLENGES
from linprobe.challenges.table import INTRACLASS
from linprobe.classifiers.neighbors import vote
from linprobe.errors import LinprobeError, ParameterError
from linprobe.explain.contributions import contributions
from linprobe.lab.inspector import KINDS, Inspector, Subject, Where
from linprobe.lab.pixels import color_bytes, signed_bytes, smaller
from linprobe.lab.protocol import Client, Lab, Page, Params
from linprobe.lab.run_list import list_runs
from linprobe.lab.uploads import PICTURE_BYTES
from linprobe.runs.models import scores_of_pictures

__all__ = ["PAGE"]

SIDE, THUMBNAIL = 256, 64
"""Most pixels of a side of the inspected picture, and of a picture in a row of others."""

PER_PAGE = 60
"""Test images of a page of the grid, at most."""

MOST_NEIGHBOURS = 30
"""Neighbours of a picture that are shown, at most."""

METRICS = ("l2", "l1")
"""Distances between pictures."""


def state(client: Client, params: Params) -> dict[str, Any]:
    """The runs that have a model, and the challenges with what their severities mean."""
    return {
        "runs": [run for run in list_runs(client.lab.runs) if run.get("has_model")],
        "challenges": [
            {
                "name": challenge.name,
                "kinds": [{"name": k.name, "unit": k.unit, "amounts": k.amounts} for k in challenge.kinds],
            }
            for challenge in CHALLENGES
        ],
    }


def open_run(client: Client, params: Params) -> dict[str, Any]:
    """What the model of a run offers."""
    subject = _subject(client, params)
    model = subject.model
    return {
        "run": subject.run,
        "class_names": model.class_names_,
        "shape": subject.shape,
        "loss": model.loss_.name,
        "features": "pixels" if model.features_ is None else model.features_.spec,
        "n_test": 0 if subject.test is None else subject.test.n_images,
        "n_train": 0 if subject.train is None else subject.train.n_images,
        "why": subject.why,
    }


def grid(client: Client, params: Params) -> dict[str, Any]:
    """A page of test images: all, those classified right, or those classified wrong, the surest mistakes first."""
    subject = _subject(client, params)
    _, y = subject.tested()
    K = len(subject.model.class_names_)
    scores = subject.scores()
    found = scores.argmax(axis=1)
    show = params.choice("show", ("all", "right", "wrong"))
    picked = np.ones(len(y), bool) if show == "all" else (found == y) == (show == "right")
    for name, labels in (("label", y), ("found", found)):
        if name in params:
            picked &= labels == params.whole(name, low=0, high=K - 1)
    chosen = np.flatnonzero(picked)
    if show == "wrong":
        sureness = scores[chosen, found[chosen]] - scores[chosen, y[chosen]]
        chosen = chosen[np.argsort(-sureness, kind="stable")]
    size = params.whole("size", low=1, high=PER_PAGE)
    n_pages = max(1, -(-len(chosen) // size))
    page = min(params.whole("page", low=0, high=10**9), n_pages - 1)
    shown = chosen[page * size : (page + 1) * size]
    return {
        "total": len(chosen),
        "n_test": len(y),
        "accuracy": float(np.mean(found == y)),
        "page": page,
        "pages": n_pages,
        "items": [
            {
                "index": int(i),
                "label": int(y[i]),
                "found": int(found[i]),
                "picture": color_bytes(subject.at(int(i)).pixels, THUMBNAIL),
            }
            for i in shown
        ],
    }


def look(client: Client, params: Params) -> dict[str, Any]:
    """Scores, probabilities and contributions of a picture under the challenges."""
    begun = time.perf_counter()
    subject = _subject(client, params)
    original = _picture(client, params, subject)
    seen, stand_in = _challenged(params, subject, original)
    model = subject.model
    scores = scores_of_pictures(model, seen.pixels[None])[0]
    found = int(scores.argmax())
    label = original.label
    return {
        "name": original.name,
        "label": label,
        "found": found,
        "before": found if seen is original else int(scores_of_pictures(model, original.pixels[None])[0].argmax()),
        "stand_in": stand_in,
        "original": color_bytes(original.pixels, SIDE),
        "picture": color_bytes(seen.pixels, SIDE),
        "scores": scores,
        "bias": model.bias_,
        "probabilities": model.loss_.probabilities(scores[None])[0] if model.loss_.gives_probabilities else None,
        "loss": None if label is None else model.loss_.value(scores[None], np.array([label]))[0],
        "contributions": _contributions(params, subject, seen, scores),
        "seconds": time.perf_counter() - begun,
    }


def _contributions(params: Params, subject: Subject, seen: Where, scores: Any) -> dict[str, Any]:
    """What the pixels add to the scores of two classes, and to the difference; or why they cannot be shown."""
    K = len(subject.model.class_names_)
    ranked = [int(k) for k in np.argsort(-scores, kind="stable")]
    first = params.whole("first", low=0, high=K - 1) if "first" in params else None
    second = params.whole("second", low=0, high=K - 1) if "second" in params else None
    if first is None:
        first = next(k for k in ranked if k != second)
    if second is None or second == first:
        second = next(k for k in ranked if k != first)
    try:
        maps = contributions(subject.model, seen.pixels)
    except LinprobeError as error:
        return {"first": first, "second": second, "why": str(error)}
    panels = np.stack([maps[first], maps[second], maps[first] - maps[second]])
    small = smaller(panels[:, :, :, None], SIDE)[:, :, :, 0]
    drawn, limit = signed_bytes(small)
    return {
        "first": first,
        "second": second,
        "height": small.shape[1],
        "width": small.shape[2],
        "limit": limit,
        "bytes": drawn,
        "sums": maps.sum(axis=(1, 2))[[first, second]],
    }


def neighbours(client: Client, params: Params) -> dict[str, Any]:
    """The nearest training images of a picture under the challenges, and how they vote."""
    begun = time.perf_counter()
    subject = _subject(client, params)
    seen, _ = _challenged(params, subject, _picture(client, params, subject))
    search = subject.neighbors(params.choice("metric", METRICS))
    train = subject.train
    assert train is not None  # else there is no search
    k = min(params.whole("k", low=1, high=MOST_NEIGHBOURS), train.n_images)
    distances, positions = search.nearest(seen.pixels.reshape(1, -1), k)
    labels = search.labels_[positions]
    elected = int(vote(labels, distances, [k], len(search.classes_))[k][0])
    rows = train.positions
    names = [str(name) for name in search.classes_]
    return {
        "vote": names[elected],
        "items": [
            {
                "name": names[search.labels_[position]],
                "distance": float(distance),
                "position": int(position),
                "picture": color_bytes(train.images[rows[position]], THUMBNAIL),
            }
            for distance, position in zip(distances[0], positions[0], strict=True)
        ],
        "seconds": time.perf_counter() - begun,
    }


def _subject(client: Client, params: Params) -> Subject:
    return client.lab.service(Inspector).subject(params.text("run"))


def _picture(client: Client, params: Params, subject: Subject) -> Where:
    """The test image of that index, or the picture of the user's own."""
    if "own" in params:
        return client.lab.service(Inspector).own(params.text("own"), subject)
    return subject.at(params.whole("index", low=0, high=10**12))


def _challenged(params: Params, subject: Subject, where: Where) -> tuple[Where, int | None]:
    given = params.group("severities") if "severities" in params else Params({})
    severities = {name: given.whole(name, low=0, high=5) for name in (*KINDS, INTRACLASS) if name in given}
    return subject.changed(where, severities, params.whole("seed", low=0, high=2**31 - 1))


async def receive(request: Request) -> Response:
    """Take a picture of the user's own; the answer holds its key, or the refusal: {"error": one sentence}."""

    lab: Lab = request.app.state.lab
    content = bytearray()
    try:
        async for piece in request.stream():
            content += piece
            if len(content) > PICTURE_BYTES:
                raise ParameterError(f"the picture is larger than {PICTURE_BYTES // 2**20} MiB; make it smaller.")
        name = request.query_params.get("name", "") or "your picture"
        key = await run_in_threadpool(lab.service(Inspector).keep, bytes(content), name)
    except ClientDisconnect:
        return JSONResponse({"error": "the upload was broken off."})
    except LinprobeError as error:
        return JSONResponse({"error": str(error)})
    except OSError as error:
        return JSONResponse({"error": f"the picture cannot be kept ({error.strerror})."})
    return JSONResponse({"own": key})


PAGE = Page(
    "inspect",
    {"state": state, "open": open_run, "grid": grid, "look": look, "neighbours": neighbours},
    [Route("/inspect/picture", receive, methods=["POST"])],
)
