"""The page "Train": sources, settings, one training at a time, the list of runs and their reports."""

from __future__ import annotations

import base64
import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from linprobe.classifiers.model import OPTIMIZERS, PREPROCESS, LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.data.base import ImageSet
from linprobe.errors import IncompatibleError, LinprobeError, ParameterError, RunError
from linprobe.lab.protocol import Client, Lab, Page, Params
from linprobe.lab.run_list import list_runs, run_at, trace_of
from linprobe.lab.sources import Source, Sources
from linprobe.lab.training import Trainer
from linprobe.lab.uploads import MOST_BYTES, Uploads
from linprobe.losses import LOSSES
from linprobe.optimizers.schedules import SCHEDULES
from linprobe.optimizers.updates import UPDATES
from linprobe.penalties import PENALTIES
from linprobe.runs.train import TrainSettings
from linprobe.shapes import Floats

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["FEATURES", "PAGE", "Trainings"]

FEATURES = ("pixels", "hog", "color", "hog+color", "patches")
"""A network in a file is for the command line: the page names no files."""

MOST_COMPARED = 8

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'; sandbox"
)
"""A report is a page that holds everything and runs nothing."""


class Trainings:
    """The trainer of a lab, and who follows it.

    Args:
        lab: whose service it is.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab, self.sources = lab, lab.service(Sources)
        self.trainer = Trainer(lab.runs, self._tell)
        self._lookers: set[Client] = set()
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stop what runs."""
        self.trainer.close()

    def look(self, client: Client, looking: bool) -> None:
        """Whether this page wants to be told of every step."""
        with self._lock:
            (self._lookers.add if looking else self._lookers.discard)(client)
        self.trainer.look(bool(self._present()))

    def _present(self) -> list[Client]:
        """The pages that look and are still there."""
        with self._lock:
            self._lookers &= self.lab.clients
            return list(self._lookers)

    def _tell(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "state":
            self.lab.broadcast("train.state", data)
            self.trainer.look(bool(self._present()))
            return
        lookers = self._present()
        if kind == "weights":
            if not lookers:
                self.trainer.look(False)
                return
            drawn = self._templates(data)
            if drawn is None:
                return
            kind, data = "templates", drawn
        for client in lookers:
            client.send(f"train.{kind}", data)

    def _templates(self, data: dict[str, Any]) -> dict[str, Any] | None:
        """The weights of a running training as pictures; None of vectors and features, whose weights are none."""
        job = self.trainer.job
        if job is None:
            return None
        try:
            source = self.sources.of(job.source)
            size = (job.settings or {}).get("image_size")
            dataset = self.sources.dataset(source, None if size is None else (size[0], size[1]))
        except LinprobeError:
            return None
        W = np.frombuffer(base64.b64decode(data["bytes"]), np.float32).reshape(data["shape"])
        if dataset.image_shape is None or W.shape[1] != np.prod(dataset.image_shape):
            return None
        drawn = draw_templates(W.astype(np.float64), dataset.image_shape)
        return {"run": data["run"], "epoch": data["epoch"], "class_names": dataset.class_names, **drawn}
