"""The run folders that the lab shows: those that lie in its folder of runs, by their names alone."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from linprobe.errors import RunError
from linprobe.runs.folder import TRACE_COLUMNS, RunFolder

__all__ = ["list_runs", "run_at", "trace_of"]

MOST_RUNS = 500
"""The latest ones are listed."""

MOST_ROWS = 600
"""Rows of a trace that the page draws."""

FIGURES = (
    "objective", "train_accuracy", "validation_accuracy", "test_accuracy", "seconds", "passes", "epochs", "status",
    "status_text", "certificate", "n_train", "n_test", "n_classes", "image_shape", "features",
)  # fmt: skip
"""What is told of the result of a run."""


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


def list_runs(runs: Path) -> list[dict[str, Any]]:
    """What there is to tell of each run, the latest first; folders that are no runs are left out."""
    if not runs.is_dir():
        return []
    found = []
    for path in runs.iterdir():
        try:
            found.append((path.joinpath("settings.json").stat().st_mtime_ns, path))
        except OSError:  # no run folder
            continue
    records = []
    for _, path in sorted(found, reverse=True)[:MOST_RUNS]:
        try:
            records.append(_record(run_at(runs, path.name)))
        except RunError as error:
            records.append({"run": path.name, "error": str(error)})
    return records


def _record(run: RunFolder) -> dict[str, Any]:
    settings, metrics = run.settings(), run.metrics() if run.finished else None
    classifier = settings.get("classifier", {})
    return {
        "run": run.path.name,
        "kind": settings.get("kind", "train"),
        "began": (run.path / "settings.json").stat().st_mtime,
        "source": settings.get("source"),
        "loss": classifier.get("loss", "softmax"),
        "penalty": classifier.get("penalty", "l2"),
        "reg": classifier.get("reg"),
        "optimizer": classifier.get("optimizer", "exact"),
        "features": settings.get("features", "pixels"),
        "finished": run.finished,
        "has_model": run.model_path.exists(),
        "has_report": (run.path / "report.html").is_file(),
        "result": None if metrics is None else {name: metrics.get(name) for name in FIGURES},
    }


def trace_of(run: RunFolder) -> list[dict[str, float | None]]:
    """The rows of trace.csv as numbers, evenly thinned, the last one always there; none where there is no trace."""
    path = run.path / "trace.csv"
    try:
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        table = [{name: float(row[name]) if row[name] else None for name in TRACE_COLUMNS} for row in rows]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: the trace cannot be read ({error!r}); train the run anew.") from error
    step = max(1, math.ceil(len(table) / MOST_ROWS))
    return table[::step] + (table[-1:] if (len(table) - 1) % step else [])
