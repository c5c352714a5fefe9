"""The run folders that the lab shows: those that lie in its folder of runs, by their names alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from linprobe.errors import RunError, walled
from linprobe.lab.job import Result, TraceRow
from linprobe.runs.folder import RunFolder

__all__ = ["BrokenRun", "RunShown", "list_runs", "report_of", "run_at", "trace_of"]

MOST_RUNS = 500
"""The latest ones are listed."""

MOST_ROWS = 600
"""Rows of a trace that the page draws."""


@dataclass(frozen=True)
class RunShown:
    """A run folder in the list.

    Attributes:
        run: its name.
        kind: train or sweep.
        began: seconds since 1970.
        source, loss, penalty, optimizer, features: as requested; source is a path, and reg None of a sweep.
        finished, has_model, has_report: which of its files are there.
        result: what metrics.json holds; None before the end.
    """

    run: str
    kind: Literal["train", "sweep"]
    began: float
    source: str
    loss: str
    penalty: str
    reg: float | None
    optimizer: str
    features: str
    finished: bool
    has_model: bool
    has_report: bool
    result: Result | None


@dataclass(frozen=True)
class BrokenRun:
    """A run folder that cannot be read, and why."""

    run: str
    error: str


def run_at(runs: Path, name: str) -> RunFolder:
    """The run folder called `name` in the folder `runs`.

    Raises:
        RunError: there is none, or the name leads out of the folder.
    """
    inside = name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)
    path = runs / name
    with walled(RunError, f"run = {name[:80]!r}", f"expected the name of a run in {runs}."):  # a link to itself
        if not inside or path.resolve().parent != runs.resolve():
            raise RunError(f"run = {name[:80]!r}; expected the name of a run in {runs}.")
        return RunFolder.open(path)


def list_runs(runs: Path) -> tuple[RunShown | BrokenRun, ...]:
    """What the page shows of each run, the latest first; folders that are no runs are left out.

    Raises:
        RunError: the folder cannot be listed.
    """
    if not runs.is_dir():
        return ()
    found = []
    try:
        paths = list(runs.iterdir())
    except OSError as error:
        raise RunError(f"{runs}: cannot be listed ({error.strerror}); check its permissions.") from error
    for path in paths:
        try:
            found.append((path.joinpath("settings.json").stat().st_mtime_ns, path))
        except OSError:  # no run folder
            continue
    return tuple(_shown(runs, path.name) for _, path in sorted(found, reverse=True)[:MOST_RUNS])


def _shown(runs: Path, name: str) -> RunShown | BrokenRun:
    try:
        run = run_at(runs, name)
        settings = run.settings()
        metrics = run.metrics() if run.finished else None
    except RunError as error:
        return BrokenRun(name, str(error))
    request, reg = settings.request, settings.parameter("reg")
    return RunShown(
        run=run.path.name,
        kind=request.kind,
        began=(run.path / "settings.json").stat().st_mtime,
        source=request.source,
        loss=str(settings.parameter("loss")),
        penalty=str(settings.parameter("penalty")),
        reg=float(reg) if isinstance(reg, int | float) and not settings.swept else None,
        optimizer=str(settings.parameter("optimizer")),
        features=request.features,
        finished=run.finished,
        has_model=run.model_path.exists(),
        has_report=report_of(run) is not None,
        result=None if metrics is None else Result.of(metrics),
    )


def report_of(run: RunFolder) -> Path | None:
    """The report of a run: None where there is none, or a link, which may lead to any file of this machine."""
    path = run.path / "report.html"
    return path if path.is_file() and not path.is_symlink() else None


def trace_of(run: RunFolder) -> tuple[TraceRow, ...]:
    """The rows of trace.csv, evenly thinned, the last one always there; none where there is no trace.

    Raises:
        RunError: the trace is damaged.
    """
    if not (run.path / "trace.csv").exists():
        return ()
    table = tuple(map(TraceRow.of, run.read_trace()))
    step = max(1, math.ceil(len(table) / MOST_ROWS))
    return table[::step] + (table[-1:] if (len(table) - 1) % step else ())
