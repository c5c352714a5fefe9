"""The training process of the lab: `runs.train` or `runs.resume`, controlled and reporting by lines of JSON.

A process of its own, so that a training shares neither the interpreter nor the memory of the server, Ctrl-C stops it
as it stops `linprobe train`, and a crash takes nothing else with it.

The first line on stdin is the request; later ones are `{"look": true}` or `{"look": false}`, whether the weights are
wanted as well, and `{"finish": true}`, to end the run at the next row of its trace. The end of stdin is the end of the
lab: the training stops as by Ctrl-C, and can be resumed. On stdout:

    {"kind": "reading", "what": ..., "done": ..., "total": ...}
    {"kind": "rows", "rows": [{"epoch": ..., "objective": ..., ..., "left": ...}, ...]}     rows of the trace
    {"kind": "glimpse", "epoch": 3.4, "data_loss": ...}                                     between two rows
    {"kind": "weights", "epoch": ..., "shape": [K, D], "bytes": base64 of float32}
    {"kind": "finished", "metrics": {...}} | {"kind": "stopped" | "failed", "message": ...}    the last one
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from linprobe.errors import LinprobeError
from linprobe.optimizers.base import Epoch, Glimpse
from linprobe.runs.folder import TRACE_COLUMNS
from linprobe.runs.records import as_json
from linprobe.runs.train import TrainSettings, resume, train
from linprobe.shapes import Floats

__all__ = ["ROW_SECONDS", "WEIGHT_SECONDS", "main"]

ROW_SECONDS = 0.05
"""Least time between two messages with rows: epochs of a few milliseconds are sent together."""

WEIGHT_SECONDS = 0.6
"""Least time between two messages with weights."""

WEIGHT_BYTES_PER_SECOND = 2e6
"""Large weights are sent more rarely."""


class Teller:
    """Sends the events of the training, at a rate that does not slow it down.

    Args:
        out: where the lines go.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.looking = threading.Event()
        self.finishing = threading.Event()
        self._rows: list[dict[str, float | None]] = []
        self._rows_sent = self._weights_sent = self._reading_sent = -math.inf

    def send(self, kind: str, **fields: Any) -> None:
        """Write a line, and an empty one before it: Ctrl-C may have cut the last one short.

        Where nobody reads any more, the training continues until it is stopped.
        """
        with contextlib.suppress(BrokenPipeError):
            self._out.write("\n" + json.dumps({"kind": kind, **fields}) + "\n")
            self._out.flush()

    def reading(self, what: str, done: int, total: int) -> None:
        """As `ProgressCallback`."""
        now = time.monotonic()
        if done >= total or now - self._reading_sent >= ROW_SECONDS:
            self._reading_sent = now
            self.send("reading", what=what, done=done, total=total)

    def epoch(self, epoch: Epoch) -> bool:
        """A row of the trace; whether to end here."""
        row = {name: _finite(getattr(epoch, name)) for name in TRACE_COLUMNS}
        self._rows.append({**row, "left": _finite(epoch.state.numbers.get("predicted_gap", math.nan))})
        if time.monotonic() - self._rows_sent >= ROW_SECONDS:
            self.flush()
        self._weights(epoch.epoch, epoch.state.arrays["W"])
        return self.finishing.is_set()

    def glimpse(self, glimpse: Glimpse) -> None:
        """What happens between two rows."""
        self.flush()
        self.send("glimpse", epoch=glimpse.epoch, data_loss=_finite(glimpse.data_loss))
        self._weights(glimpse.epoch, glimpse.W)

    def flush(self) -> None:
        """Send the rows that wait."""
        if self._rows:
            self.send("rows", rows=self._rows)
            self._rows, self._rows_sent = [], time.monotonic()

    def _weights(self, epoch: float, W: Floats) -> None:
        pause = max(WEIGHT_SECONDS, W.size * 4 / WEIGHT_BYTES_PER_SECOND)
        if self.looking.is_set() and time.monotonic() - self._weights_sent >= pause:
            self._weights_sent = time.monotonic()
            numbers = base64.b64encode(np.ascontiguousarray(W, np.float32).tobytes()).decode("ascii")
            self.send("weights", epoch=epoch, shape=list(W.shape), bytes=numbers)


def main() -> None:
    """Run the request of the first line on stdin."""
    # the lines have the pipe to themselves: what a library prints goes to stderr
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the lab was started with it ignored
    teller = Teller(out)
    try:
        order = json.loads(sys.stdin.readline())
        threading.Thread(target=_listen, args=(teller,), daemon=True).start()
        _work(order, teller)
    except KeyboardInterrupt as stop:
        teller.flush()
        teller.send("stopped", message=str(stop) or "stopped before the first epoch")
    except LinprobeError as error:
        teller.flush()
        teller.send("failed", message=str(error))
    except MemoryError as error:
        teller.send("failed", message=f"out of memory ({error}); resize the pictures, or use a smaller source.")


def _work(order: dict[str, Any], teller: Teller) -> None:
    path = Path(order["run"])
    how: dict[str, Any] = {
        "n_threads": order["n_threads"],
        "reading": teller.reading,
        "training": teller.epoch,
        "watch": teller.glimpse,
    }
    if order["finish"]:
        teller.finishing.set()
    if order["settings"] is None:
        result = resume(path, **how)
    else:
        size = order["settings"]["image_size"]
        settings = TrainSettings(**{**order["settings"], "image_size": None if size is None else tuple(size)})
        try:
            result = train(settings, out=path, **how)
        except BaseException:
            with contextlib.suppress(OSError):
                path.rmdir()  # nothing but an empty folder goes: there was no training
            raise
    teller.flush()
    teller.send("finished", metrics=as_json(result.metrics))


def _listen(teller: Teller) -> None:
    """Follow the later lines on stdin; at their end, stop the training."""
    for line in sys.stdin:
        asked = json.loads(line)
        if "look" in asked:
            (teller.looking.set if asked["look"] else teller.looking.clear)()
        if asked.get("finish"):
            teller.finishing.set()
    os.kill(os.getpid(), signal.SIGINT)


def _finite(value: float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


if __name__ == "__main__":
    main()
