"""Targets: messages to the lab, and uploads of archives and pictures."""

from __future__ import annotations

import asyncio
import atexit
import json
import random
import shutil
import zipfile
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from linprobe.errors import ParameterError, RunError
from linprobe.lab.inspector import OWN_KEPT
from linprobe.lab.pages import PAGES
from linprobe.lab.protocol import Lab, encode
from linprobe.lab.server import _BadRequest, _request, make_app
from linprobe.lab.sources import Sources
from linprobe.lab.train import Trainings
from linprobe.lab.uploads import Uploads
from linprobe.runs.train import TrainSettings, train

from .cases import Target
from .mutations import mutated_bytes, mutated_json
from .sources import picture, png_repaired, zipped

METHODS = {f"{page.name}.{name}": method for page in PAGES for name, method in page.methods.items()}

WEIGHTS = {"W": [[0.9, -0.5], [0.1, 1.0], [-0.9, -0.4]], "b": [0.1, -0.2, 0.0]}
DRAWN = {"points": [[0.1, 0.2], [1.0, -1.0], [-0.5, 0.5], [0.7, 0.7]], "labels": [0, 1, 2, 1], "n_classes": 3}
PROBLEM = {"loss": "hinge", "delta": 1.5, "penalty": "elastic-net", "beta": 0.25, "reg": 0.01}
CHECK = {"set": "spiral", "n": 20, "seed": 0, "weights_seed": 0, **PROBLEM}
SGD = {"method": "sgd", "learning_rate": 0.1, "batch_size": 2, "epochs": 4, "schedule": "cosine", "update": "adam"}
WALK = {"path_W": [WEIGHTS["W"]] * 2, "path_b": [WEIGHTS["b"]] * 2, "size": 5}
SETTINGS = {
    "loss": "softmax", "penalty": "l2", "reg": 0.001, "beta": 1, "delta": 1, "optimizer": "exact", "preprocess": "auto",
    "tol": 1e-4, "max_iter": 100, "features": "pixels", "flips": False, "validation": 0.1, "seed": 0, "skip_bad": False,
}  # fmt: skip

REQUESTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("playground.draw", {"set": "spiral", "n": 20, "seed": 0}),
    ("playground.look", {**DRAWN, **PROBLEM, **WEIGHTS, "view": [-2, -2, 2, 2], "size": 8,
                         "neighbors": {"k": 1, "metric": "l2"}}),
    ("playground.votes", {**DRAWN, "ks": [1, 5], "view": [-2, -2, 2, 2], "size": 8, "set": "blobs", "seed": 0}),
    ("playground.step", {**DRAWN, **PROBLEM, **WEIGHTS, **SGD, "momentum": 0.9, "seed": 3, "steps": 3}),
    ("playground.step", {**DRAWN, **PROBLEM, **WEIGHTS, "method": "exact", "steps": 1}),
    ("playground.landscape", {**DRAWN, **PROBLEM, **WALK}),
    ("scores.explain", {"scores": [[3.2, 5.1, -1.7]], "y": [0], "row": 0, "moved": 1, "low": -8, "high": 8, "delta": 1,
                        "jiggle": 0.5}),
    ("scores.target", {"scores": [3.2, 5.1, -1.7], "shares": [1, 0, 0.5]}),
    ("matrix.multiply", {"W": [[0.2, -0.5, 0.1, 2], [1.5, 1.3, 2.1, 0]], "b": [1.1, 3.2], "x": [56, 231, 24, 2], "y": 0,
                         "across": 0, "up": 1, "half": 300}),
    ("walks.surface", {"ground": "saddle"}),
    ("walks.run", {"ground": "valley", "x": 1, "y": -0.5, "steps": 20, "seed": 0,
                   "walkers": [{"update": "adam", "rate": 0.1, "schedule": "cosine", "batch": 8}]}),
    ("gradient.move", {**CHECK, "h": 0.1, "coordinate": 2}),
    ("gradient.check", {**CHECK, "h": 1e-5}),
    ("gradient.sweep", CHECK),
    ("hall.show", {"address": "#/scores?s=10_9_9"}),
    ("train.state", {}),
    ("train.describe", {"source": "digits", "image_size": None, "seed": 0, "skip_bad": False}),
    ("train.start", {"source": "planar:spiral", "settings": SETTINGS}),
    ("train.traces", {"runs": "digits"}),
    ("train.templates", {"run": "digits"}),
    ("train.forget", {"source": "upload:1:x.zip"}),
    ("inspect.open", {"run": "digits"}),
    ("inspect.grid", {"run": "digits", "show": "wrong", "size": 4, "page": 0}),
    ("inspect.look", {"run": "digits", "index": 1, "severities": {"rim": 3}, "seed": 0}),
    ("inspect.neighbours", {"run": "digits", "index": 1, "metric": "l2", "k": 3, "seed": 0}),
)  # fmt: skip
"""Requests of every page. Some of their fields are optional or have other names in time: they are refused then."""


@cache
def lab() -> Lab:
    """A lab with one run of pictures, which starts no training."""
    folder = Path(mkdtemp(prefix="linprobe-fuzz-lab-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    train(TrainSettings("digits", {"max_iter": 2}), out=folder / "digits", n_threads=1, cache=False)
    made = Lab(runs=folder)
    atexit.register(made.close)
    trainings = made.service(Trainings)

    def refuse(*_: object, **__: object) -> None:
        raise RunError("this lab trains nothing.")

    trainings.trainer.start = trainings.trainer.resume = refuse
    return made


def mutated_request(request: tuple[str, dict[str, Any]], chance: random.Random) -> str:
    """A message of the request after mutations, mostly of its parameters."""
    name, params = request
    if chance.random() < 0.1:
        return mutated_json({"id": 1, "method": name, "params": params}, chance)
    return f'{{"id": 1, "method": {json.dumps(name)}, "params": {mutated_json(params, chance)}}}'


class _Page:
    """An open page that reads nothing."""

    def __init__(self) -> None:
        self.lab: Any = lab()

    def send(self, *_: object, **__: object) -> None:
        """Nothing is sent."""


def answer(_: Path, message: Any) -> int:
    """Answers a message as the server does."""
    if isinstance(message, tuple):
        message = json.dumps({"id": 1, "method": message[0], "params": message[1]})
    try:
        number, name, params = _request({"type": "websocket.receive", "text": message}, METHODS, {})
    except _BadRequest as bad:
        raise ParameterError(str(bad)) from None
    page: Any = _Page()
    json.loads(encode({"id": number, "result": METHODS[name].answer(page, params)}))
    return 0


def post(path: str, query: str, body: bytes) -> dict[str, Any]:
    """The answer of the lab to an upload."""
    sent: list[dict[str, Any]] = []
    pieces = [body[:100], body[100:]]

    async def receive() -> dict[str, Any]:
        piece = pieces.pop(0) if pieces else b""
        return {"type": "http.request", "body": piece, "more_body": bool(pieces)}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "",
        "headers": [(b"host", b"127.0.0.1:1"), (b"origin", b"http://127.0.0.1:1")],
        "client": ("127.0.0.1", 2), "server": ("127.0.0.1", 1),
    }  # fmt: skip
    asyncio.run(make_app(lab())(scope, receive, send))
    assert sent[0]["status"] == 200, sent[0]
    found = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    assert isinstance(found, dict)
    return found


def upload(_: Path, body: bytes) -> int:
    """Uploads an archive, reads it as the page does, and removes it; nothing stays behind."""
    uploads, sources = lab().service(Uploads), lab().service(Sources)
    found = post("/train/upload", "name=set.zip", body)
    try:
        if "error" in found:
            raise ParameterError(found["error"])
        source = sources.of(found["source"])
        sources.describe(source, (8, 8), skip_bad=True)
    finally:
        sources._open.clear()
        for key in list(uploads.kept):
            uploads.forget(key)
        left = [path.name for path in uploads.folder.glob("upload-*")]
        assert not left, left
    return len(body)


def upload_picture(_: Path, body: bytes) -> int:
    """Uploads a picture to inspect; at most OWN_KEPT stay."""
    found = post("/inspect/picture", "name=x.png", body)
    left = list(lab().service(Uploads).folder.glob("picture-*"))
    assert len(left) <= OWN_KEPT, left
    if "error" in found:
        raise ParameterError(found["error"])
    return len(body)


def targets() -> list[Target]:
    """Messages and uploads."""
    files = (picture("PNG"), picture("JPEG"), picture("GIF"), picture("TIFF"), picture("WEBP"))
    zips = (zipped(), zipped(zipfile.ZIP_STORED), zipped(zipfile.ZIP_BZIP2))
    return [
        Target("lab message", REQUESTS, mutated_request, answer),
        Target("lab archive", zips, mutated_bytes, upload),
        Target("lab picture", files, png_repaired, upload_picture),
    ]
