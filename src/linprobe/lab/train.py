"""The page "Train": sources, settings, one training at a time, the list of runs and their reports."""

from __future__ import annotations

import base64
import contextlib
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from linprobe.choices import KINDS, choices
from linprobe.classifiers.model import LinearModel
from linprobe.classifiers.model_file import read_model
from linprobe.errors import IncompatibleError, LinprobeError, ParameterError, RunError
from linprobe.explain.templates import AT_MOST, as_colors, signed
from linprobe.lab.choices import features
from linprobe.lab.pixels import signed_bytes, smaller
from linprobe.lab.problem import read_options
from linprobe.lab.protocol import Client, Lab, Page, Params
from linprobe.lab.run_list import list_runs, run_at, trace_of
from linprobe.lab.sources import BUILT_IN, Source, Sources
from linprobe.lab.training import Trainer
from linprobe.lab.uploads import MOST_BYTES, Uploads
from linprobe.parameters import Parameter
from linprobe.runs.folder import RunFolder
from linprobe.runs.train import TrainSettings

__all__ = ["PAGE", "Trainings", "settings_of"]

MOST_COUNT = 1_000_000
"""Epochs, iterations, batch size or patience of a request, at most."""

MOST_COMPARED = 8
"""Runs that are compared, at most."""

SIDE = 96
"""Most pixels of a side of a template that is sent."""

REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; font-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'; sandbox"
)
"""A report is a page that holds everything and runs nothing."""


class Trainings:
    """The trainer of a lab, and who follows it.

    Args:
        lab: whose service it is.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab, self.sources = lab, lab.service(Sources)
        self.trainer = Trainer(lab.runs, self._notify)
        self._lookers: set[Client] = set()
        self._lock = threading.Lock()
        self._reports = threading.Lock()

    def close(self) -> None:
        """Stop what runs."""
        self.trainer.close()

    def look(self, client: Client, looking: bool) -> None:
        """Note whether this page wants every step of the training."""
        with self._lock:
            (self._lookers.add if looking else self._lookers.discard)(client)
        self.trainer.look(bool(self._present()))

    def _present(self) -> list[Client]:
        """The pages that look and are still there."""
        with self._lock:
            self._lookers &= self.lab.clients
            return list(self._lookers)

    def report(self, run: RunFolder) -> None:
        """Write the report of a run into its folder.

        Raises:
            RunError: this lab cannot make one, or the run is not finished.
            ParameterError: it would have to read a source that the lab may not read.
        """
        if self.lab.report is None:
            raise RunError(f"{run.path.name} has no report, and this lab cannot make one: linprobe report {run.path}")
        source, cache = run.settings().request.source, True
        if source in BUILT_IN or Path(source).exists():  # a report does without a source that is gone
            cache = self.sources.cache_of(self.sources.of_run(source)) is None
        with self._reports:  # a second page with the same request waits
            if not (run.path / "report.html").is_file():
                self.lab.report(run.path, cache)

    def _report_of(self, name: str) -> None:
        """Write the report of a run that has just been finished; where that fails, the page still offers to."""
        with contextlib.suppress(LinprobeError):
            self.report(run_at(self.lab.runs, name))
        self.lab.broadcast("train.reported", {"run": name})

    def _notify(self, kind: str, data: dict[str, Any]) -> None:
        if kind == "state":
            self.lab.broadcast("train.state", data)
            if data["phase"] == "finished" and self.lab.report is not None:
                threading.Thread(target=self._report_of, args=(data["run"],), daemon=True).start()
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
        """The weights of a running training as pictures; None for vectors and for features."""
        job = self.trainer.job
        if job is None:
            return None
        try:
            source = self.sources.of(job.source)
            size = job.settings.get("image_size")
            skip_bad = job.settings.get("on_bad_image") == "skip"
            dataset = self.sources.dataset(source, None if size is None else (size[0], size[1]), skip_bad=skip_bad)
        except LinprobeError:
            return None
        W = np.frombuffer(base64.b64decode(data["bytes"]), np.float32).reshape(data["shape"])
        if dataset.image_shape is None or W.shape[1] != np.prod(dataset.image_shape):
            return None
        drawn = draw_templates(W.astype(np.float64), dataset.image_shape)
        return {"run": data["run"], "epoch": data["epoch"], "class_names": dataset.class_names, **drawn}


def draw_templates(W: npt.NDArray[np.float64], shape: tuple[int, ...]) -> dict[str, Any]:
    """The rows of W (K, D) as pictures, for the mapped pixels that they multiply: bytes as base64.

    `color` is (K, height, width, 3), the lecture's rendering; `signed` (K, height, width), as `signed_bytes`; `limit`
    the weight of its ends. Of many classes the first 60, large pictures averaged.
    """
    weights = smaller(W[:AT_MOST].reshape(-1, *shape), SIDE)
    drawn, limit = signed_bytes(signed(weights))
    return {
        "height": weights.shape[1],
        "width": weights.shape[2],
        "limit": limit,
        "color": base64.b64encode(as_colors(weights).tobytes()).decode("ascii"),
        "signed": drawn,
    }


def state(client: Client, params: Params) -> dict[str, Any]:
    """Everything that the page shows when it opens."""
    trainings = client.lab.service(Trainings)
    job = trainings.trainer.job
    return {
        "sources": _sources(trainings.sources),
        "job": None if job is None else job.as_dict(with_rows=True),
        "runs": list_runs(client.lab.runs),
        "folder": str(client.lab.runs),
        "reports": client.lab.report is not None,
        "most_bytes": MOST_BYTES,
    }


def describe(client: Client, params: Params) -> dict[str, Any]:
    """What a source holds, once it is read in this size."""
    sources = client.lab.service(Sources)
    source = sources.of(params.text("source", longest=4096))
    seed, skip_bad = params.whole("seed", low=0, high=2**31 - 1), params.flag("skip_bad")
    found = sources.describe(source, _image_size(params), seed, skip_bad=skip_bad)
    return {"source": source.key, "label": source.label, **found}


def start(client: Client, params: Params) -> dict[str, Any]:
    """Begin a run."""
    trainings = client.lab.service(Trainings)
    source = trainings.sources.of(params.text("source", longest=4096))
    settings = settings_of(source, params.group("settings"))
    trainings.sources.check(source, settings.image_size)
    trainings.look(client, True)
    return trainings.trainer.start(settings, source.key, cache=trainings.sources.cache_of(source)).as_dict()


def settings_of(source: Source, params: Params) -> TrainSettings:
    """The settings of a run, every value checked before a process is started."""
    optimizers = choices("optimizer")
    optimizer = params.choice("optimizer", optimizers)
    classifier: dict[str, Any] = {
        "loss": params.choice("loss", choices("loss")),
        "penalty": params.choice("penalty", choices("penalty")),
        "reg": params.number("reg", low=0.0),
        "beta": params.number("beta", low=0.0),
        "delta": params.number("delta", low=0.0, open_low=True),
        **_own(params, "loss"),
        **_own(params, "penalty"),
        "optimizer": optimizer,
        "preprocess": params.choice("preprocess", choices("preprocess")),
    }
    # tol and max_iter, which the command line writes down for every optimizer, and those of this one
    for about in (*optimizers["exact"].parameters, *optimizers[optimizer].parameters):
        classifier[about.name] = _setting(params, about)
    LinearModel(**classifier).check_parameters()
    chosen = params.choice("features", features())
    options: dict[str, Any] = {"mirror": True} if params.flag("flips") else {}
    if chosen == "patches" and "patches" in params:
        options["patches"] = params.whole("patches", low=2, high=100_000)
    validation = params.number("validation", low=0.0, high=0.95)
    return TrainSettings(
        source.path,
        classifier,
        seed=params.whole("seed", low=0, high=2**31 - 1),
        validation=validation,
        image_size=_image_size(params),
        on_bad_image="skip" if params.flag("skip_bad") else "fail",
        features=chosen,
        feature_options=options,
    )


def _own(params: Params, kind: Literal["loss", "penalty"]) -> dict[str, dict[str, float]]:
    """`loss_options` or `penalty_options` of the classifier, where the request gives any."""
    options = read_options(params, kind, params.choice(kind, choices(kind)))
    return {f"{kind}_options": options} if options else {}


def _setting(params: Params, about: Parameter) -> Any:
    """One parameter of an optimizer; one that the page leaves out keeps a default of None or "auto"."""
    if about.name in KINDS:
        return params.choice(about.name, choices(about.name))
    if about.name not in params and about.default in (None, "auto"):
        return about.default
    match about.kind:
        case "flag":
            return params.flag(about.name)
        case "whole":
            return params.whole(about.name, low=int(about.low), high=MOST_COUNT)
        case _:
            return params.parameter(about)


def _image_size(params: Params) -> tuple[int, int] | None:
    """(height, width) to resize to; None where the pictures stay as they are."""
    if "image_size" not in params:
        return None
    height, width = params.floats("image_size", (2,), most=2, size=1024)
    if min(height, width) < 1 or height != int(height) or width != int(width):
        raise ParameterError(f"image_size = {height:g}x{width:g}; expected whole numbers of pixels, 1..1024.")
    return int(height), int(width)


def stop(client: Client, params: Params) -> None:
    """Stop the training; it can be resumed."""
    client.lab.service(Trainings).trainer.stop()


def finish(client: Client, params: Params) -> None:
    """End the training at its next row, and keep what it has as a finished run."""
    client.lab.service(Trainings).trainer.finish()


def resume(client: Client, params: Params) -> dict[str, Any]:
    """Resume a stopped run; with `finish`, end it with its last checkpoint."""
    trainings = client.lab.service(Trainings)
    run = run_at(client.lab.runs, params.text("run"))
    if run.finished:
        raise RunError(f"{run.path.name} is finished and cannot be resumed; start a new run.")
    settings = run.settings()
    if settings.swept:
        raise RunError(f"{run.path.name} is a sweep; resume it with: linprobe sweep --resume {run.path}")
    source = trainings.sources.of_run(settings.request.source)
    trainings.look(client, True)
    cache, finish = trainings.sources.cache_of(source), params.flag("finish")
    shown = asdict(settings.request)
    return trainings.trainer.resume(run.path, source.key, shown, trace_of(run), finish=finish, cache=cache).as_dict()


def runs(client: Client, params: Params) -> list[dict[str, Any]]:
    """The list of runs."""
    return list_runs(client.lab.runs)


def traces(client: Client, params: Params) -> dict[str, Any]:
    """The traces of runs, to be compared."""
    names = [name for name in params.text("runs", longest=4096).split("/") if name][:MOST_COMPARED]
    return {name: trace_of(run_at(client.lab.runs, name)) for name in names}


def templates(client: Client, params: Params) -> dict[str, Any]:
    """The templates of a run's model, as those of a running training."""
    run = run_at(client.lab.runs, params.text("run"))
    model = read_model(run.model_path)
    if model.features_ is not None or model.image_shape_ is None:
        raise IncompatibleError(f"{run.path.name} was trained on features or vectors, whose weights are no pixels.")
    drawn = draw_templates(model.weights_, model.image_shape_)
    return {"run": run.path.name, "epoch": None, "class_names": model.class_names_, **drawn}


def report(client: Client, params: Params) -> dict[str, Any]:
    """The address of a run's report; it is written first where it is missing."""
    run = run_at(client.lab.runs, params.text("run"))
    if not (run.path / "report.html").is_file():
        client.lab.service(Trainings).report(run)
    return {"address": f"train/report/{run.path.name}"}


def look(client: Client, params: Params) -> None:
    """Whether this page wants every step of the training."""
    client.lab.service(Trainings).look(client, params.flag("on"))


def forget(client: Client, params: Params) -> list[dict[str, Any]]:
    """The sources, once an upload is deleted."""
    trainings = client.lab.service(Trainings)
    key, job = params.text("source", longest=4096), trainings.trainer.job
    if job is not None and job.running and job.source == key:
        raise RunError(f"{job.run} is being trained on it; stop it first.")
    client.lab.service(Uploads).forget(key)
    return _sources(trainings.sources)


def _sources(sources: Sources) -> list[dict[str, Any]]:
    shown = []
    for source in sources.all():
        upload = sources.uploads.kept.get(source.key)
        about = (
            None if upload is None else {"n_files": upload.n_files, "size": upload.size, "one_size": upload.one_size}
        )
        shown.append({"key": source.key, "label": source.label, "kind": source.kind, "upload": about})
    return shown


async def receive(request: Request) -> Response:
    """Take an archive, a piece at a time, into the lab's own folder; the answer holds the sources, or a refusal.

    As over the WebSocket, a refusal is an answer: {"error": one sentence}.
    """

    lab: Lab = request.app.state.lab
    uploads, sources = lab.service(Uploads), lab.service(Sources)
    path: Path | None = None
    try:
        path = uploads.place(request.query_params.get("name", ""))
        with path.open("wb") as file:
            length = 0
            async for piece in request.stream():
                length += len(piece)
                if length > MOST_BYTES:
                    raise ParameterError(
                        f"{path.name} is larger than {MOST_BYTES // 2**20} MiB; name it on the command line: "
                        f"linprobe lab {path.name}"
                    )
                await run_in_threadpool(file.write, piece)
        key, _ = await run_in_threadpool(uploads.keep, path)
    except ClientDisconnect:
        uploads.drop(path)
        return JSONResponse({"error": "the connection ended before the upload was complete; upload it again."})
    except LinprobeError as error:
        uploads.drop(path)
        return JSONResponse({"error": str(error)})
    except OSError as error:
        uploads.drop(path)
        return JSONResponse(
            {"error": f"the upload cannot be kept ({error.strerror}); free some space."}, status_code=507
        )
    return JSONResponse({"source": key, "sources": _sources(sources)})


def show_report(request: Request) -> Response:
    """The report of a run."""

    lab: Lab = request.app.state.lab
    try:
        path = run_at(lab.runs, request.path_params["run"]).path / "report.html"
    except RunError as error:
        return PlainTextResponse(f"{error}\n", status_code=404)
    if not path.is_file():
        return PlainTextResponse(f"{path.parent.name} has no report yet.\n", status_code=404)
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


PAGE = Page(
    "train",
    {
        "state": state,
        "describe": describe,
        "start": start,
        "stop": stop,
        "finish": finish,
        "resume": resume,
        "runs": runs,
        "traces": traces,
        "templates": templates,
        "report": report,
        "look": look,
        "forget": forget,
    },
    [
        Route("/train/upload", receive, methods=["POST"]),
        Route("/train/report/{run}", show_report, methods=["GET"]),
    ],
)
