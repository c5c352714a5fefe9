"""The run folders that the lab shows: those that lie in its folder of runs, by their names alone."""

from __future__ import annotations

import math
from pathlib import Path

from linprobe.errors import RunError
from linprobe.runs.folder import RunFolder
from linprobe.runs.records import as_json, finite

__all__ = ["list_runs", "run_at", "trace_of"]

MOST_RUNS = 500
"""The latest ones are listed."""

MOST_ROWS = 600
"""Rows of a trace that the page draws."""

FIGURES = (
    "objective", "train_accuracy", "validation_accuracy", "test_accuracy", "seconds", "passes", "epochs", "status",
    "status_text", "certificate", "n_train", "n_test", "n_classes", "image_shape", "features",
)  # fmt: skip
"""Keys of metrics.json that the list shows."""


def run_at(runs: Path, name: str) -> RunFolder:
    """The run folder called `name` in the folder `runs`.

    Raises:
        RunError: there is none, or the name leads out of the folder.
    """
    inside = name not in ("", ".", "..") and not {"/", "\\", "\0"} & set(name)
    path = runs / name
    if not inside or path.resolve().parent != runs.resolve():
        raise RunError(f"run = {name[:80]!r}; expected the name of a run in {runs}.")
    return RunFolder.open(path)


def list_runs(runs: Path) -> list[dict[str, object]]:
    """What the page shows of each run, the latest first; folders that are no runs are left out."""
    if not runs.is_dir():
        return []
    found = []
    for path in runs.iterdir():
        try:
            found.append((path.joinpath("settings.json").stat().st_mtime_ns, path))
        except OSError:  # no run folder
            continue
    records: list[dict[str, object]] = []
    for _, path in sorted(found, reverse=True)[:MOST_RUNS]:
        try:
            records.append(_record(run_at(runs, path.name)))
        except RunError as error:
            records.append({"run": path.name, "error": str(error)})
    return records


def _record(run: RunFolder) -> dict[str, object]:
    settings = run.settings()
    metrics = as_json(run.metrics()) if run.finished else None
    request = settings.request
    return {
        "run": run.path.name,
        "kind": request.kind,
        "began": (run.path / "settings.json").stat().st_mtime,
        "source": request.source,
        "loss": settings.parameter("loss"),
        "penalty": settings.parameter("penalty"),
        "reg": None if settings.swept else settings.parameter("reg"),
        "optimizer": settings.parameter("optimizer"),
        "features": request.features,
        "finished": run.finished,
        "has_model": run.model_path.exists(),
        "has_report": (run.path / "report.html").is_file(),
        "result": None if metrics is None else {name: metrics.get(name) for name in FIGURES},
    }


def trace_of(run: RunFolder) -> list[dict[str, float | None]]:
    """The rows of trace.csv, evenly thinned, the last one always there; none where there is no trace.

    Raises:
        RunError: the trace is damaged.
    """
    if not (run.path / "trace.csv").exists():
        return []
    table = [{name: finite(value) for name, value in row.items()} for row in run.read_trace()]
    step = max(1, math.ceil(len(table) / MOST_ROWS))
    return table[::step] + (table[-1:] if (len(table) - 1) % step else [])
