"""The training process of the lab: `runs.train` or `runs.resume`, controlled and reporting by lines of JSON.

A process of its own, so that a training shares neither the interpreter nor the memory of the server, Ctrl-C stops it
as it stops `linprobe train`, and a crash takes nothing else with it.

The first line on stdin is an `Order`; later ones are a `Command` each. The end of stdin is the end of the lab: the
training stops as by Ctrl-C, and can be resumed. Each line on stdout is an event of `job.EVENTS` with its kind; the last
one is `Finished` or `Ended`.
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
from typing import TextIO

import numpy as np

from linprobe.errors import LinprobeError
from linprobe.lab.job import Command, Ended, Event, Finished, GlimpseMet, Order, Reading, Rows, TraceRow, Weights
from linprobe.optimizers.base import Epoch, Glimpse
from linprobe.plain import plain
from linprobe.runs.folder import TRACE_COLUMNS
from linprobe.runs.records import finite
from linprobe.runs.result import Interrupted
from linprobe.runs.train import resume, train
from linprobe.shapes import Floats
from linprobe.typed_json import dataclass_from

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
        self._rows: list[TraceRow] = []
        self._rows_sent = self._weights_sent = self._reading_sent = -math.inf

    def send(self, event: Event) -> None:
        """Write a line, and an empty one before it: Ctrl-C may have cut the last one short.

        Where nobody reads any more, the training continues until it is stopped.
        """
        with contextlib.suppress(BrokenPipeError):
            self._out.write("\n" + json.dumps({"kind": event.kind, **plain(event)}) + "\n")
            self._out.flush()

    def reading(self, what: str, done: int, total: int) -> None:
        """As `ProgressCallback`."""
        now = time.monotonic()
        if done >= total or now - self._reading_sent >= ROW_SECONDS:
            self._reading_sent = now
            self.send(Reading(what, done, total))

    def epoch(self, epoch: Epoch) -> bool:
        """A row of the trace; whether to end here."""
        row = {name: float(getattr(epoch, name)) for name in TRACE_COLUMNS}
        self._rows.append(TraceRow.of(row, left=epoch.state.numbers.get("predicted_gap", math.nan)))
        if time.monotonic() - self._rows_sent >= ROW_SECONDS:
            self.flush()
        self._weights(epoch.epoch, epoch.state.arrays["W"])
        return self.finishing.is_set()

    def glimpse(self, glimpse: Glimpse) -> None:
        """What happens between two rows."""
        self.flush()
        self.send(GlimpseMet(float(glimpse.epoch), finite(glimpse.data_loss)))
        self._weights(glimpse.epoch, glimpse.W)

    def flush(self) -> None:
        """Send the rows that wait."""
        if self._rows:
            self.send(Rows(tuple(self._rows)))
            self._rows, self._rows_sent = [], time.monotonic()

    def _weights(self, epoch: float, W: Floats) -> None:
        pause = max(WEIGHT_SECONDS, W.size * 4 / WEIGHT_BYTES_PER_SECOND)
        if self.looking.is_set() and time.monotonic() - self._weights_sent >= pause:
            self._weights_sent = time.monotonic()
            numbers = base64.b64encode(np.ascontiguousarray(W, np.float32).tobytes()).decode("ascii")
            self.send(Weights(float(epoch), (W.shape[0], W.shape[1]), numbers))


def main() -> None:
    """Run the request of the first line on stdin."""
    # the lines have the pipe to themselves: what a library prints goes to stderr
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where the lab was started with it ignored
    teller = Teller(out)
    try:
        order = dataclass_from(Order, json.loads(sys.stdin.readline()))
        threading.Thread(target=_listen, args=(teller,), daemon=True).start()
        _work(order, teller)
    except KeyboardInterrupt as stop:
        teller.flush()
        teller.send(
            Ended("stopped", stop.reached if isinstance(stop, Interrupted) else "stopped before the training began")
        )
    except LinprobeError as error:
        teller.flush()
        teller.send(Ended("failed", str(error)))
    except MemoryError as error:
        teller.send(Ended("failed", f"out of memory ({error}); resize the pictures, or use a smaller source."))


def _work(order: Order, teller: Teller) -> None:
    path = Path(order.run)
    if order.finish:
        teller.finishing.set()
    if order.settings is None:
        result = resume(path, reading=teller.reading, training=teller.epoch, watch=teller.glimpse)
    else:
        try:
            result = train(
                order.settings, out=path, reading=teller.reading, training=teller.epoch, watch=teller.glimpse
            )
        except BaseException:
            with contextlib.suppress(OSError):
                path.rmdir()  # nothing but an empty folder goes: there was no training
            raise
    teller.flush()
    teller.send(Finished(result.metrics))


def _listen(teller: Teller) -> None:
    """Follow the later lines on stdin; at their end, stop the training."""
    for line in sys.stdin:
        command = dataclass_from(Command, json.loads(line))
        if command.look is not None:
            (teller.looking.set if command.look else teller.looking.clear)()
        if command.finish:
            teller.finishing.set()
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
