"""The process that runs a student's file: `python -m linprobe.assignments.trial FILE NAME BLANK...`.

It writes a line of JSON for each blank: {"blank": ..., "outcome": ..., "message": ...}, or one line {"file": ...} for a
file that cannot be imported. What the student's lines print goes nowhere.
"""

from __future__ import annotations

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import IO

from linprobe.assignments.checks_losses import HINGE, SOFTMAX
from linprobe.assignments.checks_neighbors import NEIGHBORS
from linprobe.assignments.checks_training import TRAINING
from linprobe.assignments.verdict import Outcome, Wrong

CHECKS: dict[str, dict[str, Callable[[ModuleType], None]]] = {
    "hinge": HINGE,
    "softmax": SOFTMAX,
    "training": TRAINING,
    "neighbors": NEIGHBORS,
}
"""The check of each blank of each assignment."""


def main(path: Path, name: str, blanks: list[str]) -> None:
    """Check the blanks one after the other."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    try:
        student = _imported(path, name)
    except BaseException as error:  # whatever the lines of the student raise, SystemExit too
        _write(answers, {"file": f"{_place(error, path)}; mend it, and check again."})
        return
    missing = [blank for blank in blanks if not callable(getattr(student, blank, None))]
    if missing:
        _write(answers, {"file": f"has no function {missing[0]}; `linprobe assignment make {name}` writes it."})
        return
    for blank in blanks:
        outcome, message = _tried(CHECKS[name][blank], student, path)
        _write(answers, {"blank": blank, "outcome": outcome, "message": message})


def _imported(path: Path, name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _tried(check: Callable[[ModuleType], None], student: ModuleType, path: Path) -> tuple[Outcome, str]:
    try:
        check(student)
    except Wrong as wrong:
        return "wrong", str(wrong)
    except NotImplementedError:
        return "empty", ""
    except BaseException as error:  # of the student's lines
        return "error", _place(error, path)
    return "right", ""


def _place(error: BaseException, path: Path) -> str:
    """An exception in one line, with the line of the student's file in which it arose."""
    what = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, SyntaxError):
        return f"line {error.lineno}: {error.msg}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"line {lines[-1]}: {what}" if lines else what


def _write(answers: IO[str], record: dict[str, str]) -> None:
    answers.write(json.dumps(record) + "\n")
    answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])
