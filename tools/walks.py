"""Four walks through the code: the files that a value passes on its way, in the order in which they are entered.

    python tools/walks.py [predict|fit|train|drag] ...

runs each walk and prints its files, by room, and four figures: rooms; files entered; hops, the pairs of files of which
one calls the other; climbs, the hops to a room above, which happen through callbacks. docs/architecture.md shows them.
"""

from __future__ import annotations

import contextlib
import inspect
import io
import re
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from PIL import Image

import linprobe

PACKAGE = str(Path(linprobe.__file__).parent) + "/"
PAGE = Path(__file__).parent.parent / "docs" / "architecture.md"
FLOORS = re.findall(r"^\| `(\w+)` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
"""Rooms from the ground up, by the table of the page."""
GROUND = FLOORS[: FLOORS.index("data")]
"""Left out of a walk: every room calls them."""

DRAWING = "report/processes.py"
"""It shares work between processes: how much of it this one does is chance."""


class Walk:
    """Records which files of linprobe call which, in all threads.

    What a module calls while it is imported is no hop, nor is what `DRAWING` calls.
    """

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self.hops: dict[tuple[str, str], None] = {}
        self.drawing = 0  # calls of the file `DRAWING` that have not returned

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        """What `sys.setprofile` calls."""
        if event not in ("call", "return"):
            return
        here = _file_of(frame)
        if here is None:
            return
        if here == DRAWING:
            self.drawing += 1 if event == "call" else -1
        if event == "return" or self.drawing > (here == DRAWING):
            return
        back = frame.f_back
        while back is not None and (there := _file_of(back)) is None:
            if back.f_code.co_filename.startswith("<frozen importlib"):
                return
            back = back.f_back
        self.files.setdefault(here)
        if back is not None and there is not None and there != here:
            self.hops.setdefault((there, here))

    def describe(self) -> str:
        """Its files and figures, as text."""
        rooms: list[tuple[str, list[str]]] = []
        for file in self.files:
            room = _room(file)
            name = file.partition("/")[2] or file
            if not rooms or rooms[-1][0] != room:
                rooms.append((room, []))
            rooms[-1][1].append(name.removesuffix(".py"))
        path = " -> ".join(room if names == [room] else f"{room}({', '.join(names)})" for room, names in rooms)
        climbs = [hop for hop in self.hops if _floor(hop[1]) > _floor(hop[0])]
        figures = f"{len(self.files)} files, {len(self.hops)} hops, {len(climbs)} climbs"
        return f"{path}\n  {len({_room(file) for file in self.files})} rooms, {figures}"


def _room(file: str) -> str:
    return file.partition("/")[0].removesuffix(".py")


def _floor(file: str) -> int:
    room = _room(file)
    return FLOORS.index(room) if room in FLOORS else len(FLOORS)


def _file_of(frame: FrameType) -> str | None:
    """The file of a frame, below the package; None for other code, for the body of a module and for the ground."""
    code = frame.f_code
    is_function = code.co_flags & inspect.CO_OPTIMIZED  # the bodies of modules and classes run on import
    if not code.co_filename.startswith(PACKAGE) or not is_function:
        return None
    file = code.co_filename.removeprefix(PACKAGE)
    return None if _room(file) in GROUND or file == "__init__.py" else file


def _pictures(folder: Path) -> Path:
    """A folder with two classes of pictures."""
    random = np.random.default_rng(0)
    for name, low in (("dark", 0), ("light", 120)):
        (folder / name).mkdir(parents=True)
        for i in range(12):
            pixels = random.integers(low, low + 120, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def _command(*words: object) -> None:
    from linprobe.cli import main

    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        main([str(word) for word in words], standalone_mode=False)


def predict(folder: Path) -> Callable[[], object]:
    """A picture -> its class."""
    pictures, run = _pictures(folder / "pictures"), folder / "run"
    _command("train", pictures, "--out", run)
    return lambda: _command("predict", run, pictures / "dark" / "0.png")


def fit(folder: Path) -> Callable[[], object]:
    """`fit` -> the certificate."""
    from linprobe import LinearClassifier

    random = np.random.default_rng(0)
    X, y = random.standard_normal((200, 12)).astype(np.float32), random.integers(0, 3, 200)
    return lambda: LinearClassifier(loss="softmax", penalty="l2", reg=0.01).fit(X, y).certificate_


def train(folder: Path) -> Callable[[], object]:
    """`linprobe train` -> the report."""
    pictures = _pictures(folder / "pictures")
    return lambda: _command("train", pictures, "--out", folder / "run")


def drag(folder: Path) -> Callable[[], object]:
    """A point that is dragged in the playground -> scores, losses, regions."""
    import json

    from websockets.sync.client import connect

    from linprobe.lab.protocol import Lab
    from linprobe.lab.server import served

    params = {
        "points": [[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]],
        "labels": [0, 1, 1],
        "n_classes": 2,
        "loss": "hinge",
        "delta": 1.0,
        "penalty": "l2",
        "reg": 0.01,
        "W": [[0.1, 0.2], [0.3, 0.1]],
        "b": [0.0, 0.0],
        "view": [-1.0, -1.0, 2.0, 2.0],
        "size": 16,
    }

    def asked() -> None:
        with served(Lab()) as address, connect(address.replace("http", "ws", 1) + "/socket", origin=address) as socket:
            socket.send(json.dumps({"id": 1, "method": "playground.look", "params": params}))
            answer: dict[str, object] = {}
            while "id" not in answer:  # an event comes first
                answer = json.loads(socket.recv(timeout=60))
            if "error" in answer:
                raise ValueError(answer["error"])

    return asked


WALKS = {"predict": predict, "fit": fit, "train": train, "drag": drag}


def walk(name: str) -> Walk:
    """One of the walks, made once."""
    with tempfile.TemporaryDirectory() as folder:
        go, recorded = WALKS[name](Path(folder)), Walk()
        threading.setprofile(recorded)
        sys.setprofile(recorded)
        try:
            go()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]  # None ends it
    return recorded


if __name__ == "__main__":
    for name in sys.argv[1:] or WALKS:
        print(f"{name}: {(WALKS[name].__doc__ or '').strip()}\n  {walk(name).describe()}")
