"""The page "Train": sources, settings, one training at a time, the list of runs and their reports."""

from __future__ import annotations

import base64
import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import numpy.typing as npt
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HttpRequest
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from linprobe.classifiers.model_file import read_model
from linprobe.errors import DataError, IncompatibleError, LinprobeError, ParameterError, RunError
from linprobe.explain.templates import AT_MOST, as_colors, signed
from linprobe.files import unwritten
from linprobe.lab.job import Event, GlimpseMet, JobShown, Reading, Rows, TraceRow, Weights
from linprobe.lab.pixels import signed_bytes, smaller
from linprobe.lab.protocol import Client, Lab, Method, NoParameters, Page, Refused, Request
from linprobe.lab.run_list import BrokenRun, RunShown, list_runs, report_of, run_at, trace_of
from linprobe.lab.settings import ImageSize, SettingsRequest, settings_of
from linprobe.lab.sources import BUILT_IN, Description, Sources, SourceShown
from linprobe.lab.training import Trainer
from linprobe.lab.uploads import LEAVE_OUT, MOST_BYTES, RESIZE, Uploads, shown_name
from linprobe.lab.wire import RunName, Seed, SourceKey, Text
from linprobe.plain import plain, shell_word
from linprobe.runs.folder import RunFolder
from linprobe.runs.records import TrainSettings
from linprobe.wording import in_words

__all__ = ["PAGE", "Trainings", "Uploaded"]

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
            raise RunError(
                f"{run.path.name} has no report, and this lab cannot make one: linprobe report {shell_word(run.path)}"
            )
        source, cache = run.settings().request.source, True
        if source in BUILT_IN or Path(source).exists():  # a report does without a source that is gone
            cache = self.sources.cache_of(self.sources.of_run(source)) is None
        with self._reports:  # a second page with the same request waits
            if report_of(run) is None:
                self.lab.report(run.path, cache)

    def forget(self, key: str, why: str = "") -> None:
        """Delete an upload, and send all pages the sources that remain.

        Args:
            key: of the upload.
            why: it was refused; "" where its user removed it.
        Raises:
            ParameterError: there is none of that key.
            RunError: a training runs on it.
        """
        job = self.trainer.job
        if job is not None and job.running and job.source == key:
            raise RunError(f"{job.run} is being trained on it; stop it first.")
        self.sources.forget(key)
        self.lab.broadcast("train.sources", SourcesChanged(self.sources.shown(), key, in_words(why)))

    def _report_of(self, name: str) -> None:
        """Write the report of a run that has just been finished; where that fails, the page still offers to."""
        with contextlib.suppress(LinprobeError):
            self.report(run_at(self.lab.runs, name))
        self.lab.broadcast("train.reported", Reported(name))

    def _notify(self, event: JobShown | Event) -> None:
        """Pass on what happens: the state to all pages, the rest to those that look."""
        if isinstance(event, JobShown):
            self.lab.broadcast("train.state", event)
            if event.phase == "finished" and self.lab.report is not None:
                threading.Thread(target=self._report_of, args=(event.run,), daemon=True).start()
            self.trainer.look(bool(self._present()))
            return
        lookers = self._present()
        if not isinstance(event, Weights):
            for client in lookers:
                client.send(f"train.{event.kind}", event)
        elif not lookers:
            self.trainer.look(False)
        elif (drawn := self._templates(event)) is not None:
            for client in lookers:
                client.send("train.templates", drawn)

    def _templates(self, sent: Weights) -> Templates | None:
        """The weights of a running training as pictures; None for vectors and for features."""
        job = self.trainer.job
        if job is None:
            return None
        try:
            source = self.sources.of(job.source)
            skip_bad = job.settings.on_bad_image == "skip"
            dataset = self.sources.dataset(source, job.settings.image_size, skip_bad=skip_bad)
        except LinprobeError:
            return None
        W = np.frombuffer(base64.b64decode(sent.bytes), np.float32).reshape(sent.shape)
        if dataset.image_shape is None or W.shape[1] != np.prod(dataset.image_shape):
            return None
        return draw_templates(W.astype(np.float64), dataset.image_shape, job.run, dataset.class_names, epoch=sent.epoch)


@dataclass(frozen=True)
class Templates:
    """The rows of W (K, D) as pictures, for the mapped pixels that they multiply; of many classes the first 60.

    Attributes:
        run: whose.
        epoch: of a running training; None at the end.
        class_names: of all classes.
        height, width: of each picture; large ones are averaged.
        limit: the weight at the ends of the signed colours.
        color: (K, height, width, 3) bytes in base64, the lecture's rendering.
        signed: (K, height, width) bytes in base64, as `signed_bytes`.
    """

    run: str
    epoch: float | None
    class_names: tuple[str, ...]
    height: int
    width: int
    limit: float
    color: str
    signed: str


def draw_templates(
    W: npt.NDArray[np.float64],
    shape: tuple[int, ...],
    run: str,
    class_names: tuple[str, ...],
    *,
    epoch: float | None = None,
) -> Templates:
    """The weights (K, D) of pictures of `shape` as pictures."""
    weights = smaller(W[:AT_MOST].reshape(-1, *shape), SIDE)
    drawn, limit = signed_bytes(signed(weights))
    color = base64.b64encode(as_colors(weights).tobytes()).decode("ascii")
    return Templates(run, epoch, class_names, weights.shape[1], weights.shape[2], limit, color, drawn)


@dataclass(frozen=True)
class TrainState:
    """Everything that the page shows when it opens.

    Attributes:
        sources: that can be trained on.
        job: the latest training, with its rows; None before the first.
        runs: the list of runs.
        folder: in which they lie.
        reports: whether this lab can make them.
        most_bytes: of an upload.
    """

    sources: tuple[SourceShown, ...]
    job: JobShown | None
    runs: tuple[RunShown | BrokenRun, ...]
    folder: str
    reports: bool
    most_bytes: int


@dataclass(frozen=True, kw_only=True)
class DescribeRequest(Request):
    """A source, as it would be read with these settings."""

    source: SourceKey
    seed: Seed
    image_size: ImageSize | None = None
    skip_bad: bool = False


@dataclass(frozen=True)
class StartRequest(Request):
    """A new run on a source."""

    source: SourceKey
    settings: SettingsRequest


@dataclass(frozen=True)
class ResumeRequest(Request):
    """A stopped run; with `finish`, to be ended with its last checkpoint."""

    run: RunName
    finish: bool = False


@dataclass(frozen=True)
class RunRequest(Request):
    """A run by its name."""

    run: RunName


@dataclass(frozen=True)
class TracesRequest(Request):
    """Runs to be compared, by their names, with "/" between them."""

    runs: Annotated[str, Text(4096)]


@dataclass(frozen=True)
class TrainLookRequest(Request):
    """Whether the page wants every step of the training."""

    on: bool = False


@dataclass(frozen=True)
class ForgetRequest(Request):
    """An upload to be deleted."""

    source: SourceKey


@dataclass(frozen=True)
class ReportAddress:
    """Where a report is served."""

    address: str


@dataclass(frozen=True)
class Reported:
    """The report of a run was written, or could not be."""

    run: str


@dataclass(frozen=True)
class SourcesChanged:
    """The list of sources is another one now.

    Attributes:
        sources: all of them.
        gone: the key of an upload that was removed or refused; "" where one was added.
        why: it was refused, in a sentence; "" where it was not.
    """

    sources: tuple[SourceShown, ...]
    gone: str = ""
    why: str = ""


@dataclass(frozen=True)
class Uploaded:
    """The answer to an upload: its key and all sources."""

    source: str
    sources: tuple[SourceShown, ...]


def state(client: Client, asked: NoParameters) -> TrainState:
    """Everything that the page shows when it opens."""
    trainings = client.lab.service(Trainings)
    job = trainings.trainer.job
    return TrainState(
        sources=trainings.sources.shown(),
        job=None if job is None else job.shown(with_rows=True),
        runs=list_runs(client.lab.runs),
        folder=str(client.lab.runs),
        reports=client.lab.report is not None,
        most_bytes=MOST_BYTES,
    )


def describe(client: Client, asked: DescribeRequest) -> Description:
    """What a source holds, once it is read in this size."""
    trainings = client.lab.service(Trainings)
    source = trainings.sources.of(asked.source)
    try:
        return trainings.sources.describe(source, asked.image_size, asked.seed, skip_bad=asked.skip_bad)
    except DataError as error:
        # what no control of the page can make readable does not stay in its list
        if source.kind == "uploaded" and not any(control in str(error) for control in (RESIZE, LEAVE_OUT)):
            trainings.forget(source.key, str(error))
        raise


def start(client: Client, asked: StartRequest) -> JobShown:
    """Begin a run."""
    trainings = client.lab.service(Trainings)
    source = trainings.sources.of(asked.source)
    settings = settings_of(source, asked.settings)
    trainings.sources.check(source, settings.image_size)
    trainings.look(client, True)
    return trainings.trainer.start(settings, source.key, cache=trainings.sources.cache_of(source)).shown()


def stop(client: Client, asked: NoParameters) -> None:
    """Stop the training; it can be resumed."""
    client.lab.service(Trainings).trainer.stop()


def finish(client: Client, asked: NoParameters) -> None:
    """End the training at its next row, and keep what it has as a finished run."""
    client.lab.service(Trainings).trainer.finish()


def resume(client: Client, asked: ResumeRequest) -> JobShown:
    """Resume a stopped run; with `finish`, end it with its last checkpoint."""
    trainings = client.lab.service(Trainings)
    run = run_at(client.lab.runs, asked.run)
    if run.finished:
        raise RunError(f"{run.path.name} is finished and cannot be resumed; start a new run.")
    settings = run.settings().request
    if not isinstance(settings, TrainSettings):
        raise RunError(f"{run.path.name} is a sweep; resume it with: {run.resume_command()}")
    source = trainings.sources.of_run(settings.source)
    trainings.look(client, True)
    cache, rows = trainings.sources.cache_of(source), trace_of(run)
    job = trainings.trainer.resume(run.path, source.key, settings, rows, finish=asked.finish, cache=cache)
    return job.shown()


def runs(client: Client, asked: NoParameters) -> tuple[RunShown | BrokenRun, ...]:
    """The list of runs."""
    return list_runs(client.lab.runs)


def traces(client: Client, asked: TracesRequest) -> Mapping[str, tuple[TraceRow, ...]]:
    """The traces of runs, to be compared."""
    names = [name for name in asked.runs.split("/") if name][:MOST_COMPARED]
    return {name: trace_of(run_at(client.lab.runs, name)) for name in names}


def templates(client: Client, asked: RunRequest) -> Templates:
    """The templates of a run's model, as those of a running training."""
    run = run_at(client.lab.runs, asked.run)
    model = read_model(run.model_path)
    if model.features_ is not None or model.image_shape_ is None:
        raise IncompatibleError(f"{run.path.name} was trained on features or vectors, whose weights are no pixels.")
    return draw_templates(model.weights_, model.image_shape_, run.path.name, model.class_names_)


def report(client: Client, asked: RunRequest) -> ReportAddress:
    """The address of a run's report; it is written first where it is missing."""
    run = run_at(client.lab.runs, asked.run)
    if report_of(run) is None:
        client.lab.service(Trainings).report(run)
    return ReportAddress(f"train/report/{run.path.name}")


def look(client: Client, asked: TrainLookRequest) -> None:
    """Note whether this page wants every step of the training."""
    client.lab.service(Trainings).look(client, asked.on)


def forget(client: Client, asked: ForgetRequest) -> tuple[SourceShown, ...]:
    """The sources, once an upload is deleted."""
    trainings = client.lab.service(Trainings)
    trainings.forget(asked.source)
    return trainings.sources.shown()


async def receive(request: HttpRequest) -> Response:
    """Take an archive, a piece at a time, into the lab's own folder; the answer holds the sources, or a refusal.

    As over the WebSocket, a refusal is an answer: {"error": one sentence}.
    """

    lab: Lab = request.app.state.lab
    uploads, path, key, name = None, None, None, request.query_params.get("name", "")
    try:
        uploads, sources = lab.service(Uploads), lab.service(Sources)
        path = uploads.place(name)
        with path.open("wb") as file:
            length = 0
            async for piece in request.stream():
                length += len(piece)
                if length > MOST_BYTES:
                    raise ParameterError(
                        f"{shown_name(name)} is larger than {MOST_BYTES // 2**20} MiB; name it on the command line: "
                        f"linprobe lab {shell_word(shown_name(name))}"
                    )
                await run_in_threadpool(file.write, piece)
        key, _ = await run_in_threadpool(uploads.keep, path, name)
    except ClientDisconnect:
        return _json(Refused("the connection ended before the upload was complete; upload it again."))
    except LinprobeError as error:
        return _json(Refused(in_words(str(error))))
    except OSError as error:
        return _json(Refused(unwritten(error.filename or "TMPDIR", error, "upload it again")), status_code=507)
    finally:
        if key is None and uploads is not None:  # whatever happened: what stays would count as an upload
            uploads.drop(path)
    shown = sources.shown()
    lab.broadcast("train.sources", SourcesChanged(shown))
    return _json(Uploaded(key, shown))


def _json(answer: Uploaded | Refused, status_code: int = 200) -> Response:
    return JSONResponse(plain(answer), status_code=status_code)


def show_report(request: HttpRequest) -> Response:
    """The report of a run."""

    lab: Lab = request.app.state.lab
    try:
        run = run_at(lab.runs, request.path_params["run"])
    except RunError as error:
        return PlainTextResponse(f"{error}\n", status_code=404)
    path = report_of(run)
    if path is None:
        return PlainTextResponse(f"{run.path.name} has no report yet.\n", status_code=404)
    return FileResponse(path, media_type="text/html", headers={"content-security-policy": REPORT_POLICY})


PAGE = Page(
    "train",
    {
        "state": Method(NoParameters, state),
        "describe": Method(DescribeRequest, describe),
        "start": Method(StartRequest, start),
        "stop": Method(NoParameters, stop),
        "finish": Method(NoParameters, finish),
        "resume": Method(ResumeRequest, resume),
        "runs": Method(NoParameters, runs),
        "traces": Method(TracesRequest, traces),
        "templates": Method(RunRequest, templates),
        "report": Method(RunRequest, report),
        "look": Method(TrainLookRequest, look),
        "forget": Method(ForgetRequest, forget),
    },
    [
        Route("/train/upload", receive, methods=["POST"]),
        Route("/train/report/{run}", show_report, methods=["GET"]),
    ],
    {
        "state": JobShown,
        "reading": Reading,
        "rows": Rows,
        "glimpse": GlimpseMet,
        "templates": Templates,
        "reported": Reported,
        "sources": SourcesChanged,
    },
)
