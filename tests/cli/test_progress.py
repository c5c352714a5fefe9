"""What a terminal is shown while a command runs: activities that are counted, and the gap so far."""

from __future__ import annotations

import io
import math
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from rich.progress import Progress

from linprobe.cli.progress import TrainingTeller, _Display, busy, progress
from linprobe.optimizers.base import Epoch, Glimpse, State

PROGRAM = "from linprobe.cli import main; main(prog_name='linprobe')"


def row(epoch: int, **numbers: float) -> Epoch:
    """A row of a trace, with the numbers of a state."""
    state = State(epoch, {}, numbers)
    return Epoch(epoch, 0.5, 0.4, 0.1, 0.01, 0.9, math.nan, math.nan, 0.1, float(epoch), 0.1, state)


def shown(calls: list[tuple[str, float, int]]) -> list[tuple[str, float, float | None, str]]:
    """What the display holds after each call: words, done, total, count."""
    found = []
    with Progress(console=Console(file=io.StringIO()), auto_refresh=False) as bars:
        display = _Display(bars)
        for call in calls:
            display(*call)
            (task,) = bars.tasks
            found.append((task.description, task.completed, task.total, task.fields["count"]))
    return found


def test_an_activity_is_counted_by_its_own_total() -> None:
    calls: list[tuple[str, float, int]] = [
        ("reading the source", 0, 0),
        ("decoding pictures", 256, 600),
        ("decoding pictures", 600, 600),
        ("computing features", 100, 600),
        ("iteration 3: objective 1", 3, 0),
    ]
    assert shown(calls) == [
        ("reading the source", 0, None, ""),
        ("decoding pictures", 256, 600, "256 of 600"),
        ("decoding pictures: done; preparing what follows", 0, None, ""),
        ("computing features", 100, 600, "100 of 600"),
        ("iteration 3: objective 1", 3, None, ""),
    ]


def test_the_gap_so_far_and_the_goal_are_shown() -> None:
    lines: list[str] = []
    teller = TrainingTeller(lambda what, done, total: lines.append(f"{what} | {done} {total}"), "exact", 0, 1e-4)
    teller.epoch(row(0))
    teller.epoch(row(1, predicted_gap=2.0))
    teller.epoch(row(2, predicted_gap=0.01))
    teller.glimpse(Glimpse(2.5, 0.25, np.zeros((2, 3)), np.zeros(2)))
    assert lines == [
        "iteration 0: objective 0.5 (goal 0.01%), accuracy 0.900 | 0 0",
        "iteration 1: objective 0.5, gap over 100% (goal 0.01%), accuracy 0.900 | 1 0",
        "iteration 2: objective 0.5, gap about 2% (goal 0.01%), accuracy 0.900 | 2 0",
        "iteration 3: loss 0.25 so far; before, objective 0.5, gap about 2% (goal 0.01%), accuracy 0.900 | 2 0",
    ]


def test_nothing_is_drawn_where_nobody_looks(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    with progress() as report, busy("drawing"):
        report("decoding", 1, 2)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("TERM", "dumb")
    with progress() as report:
        report("decoding", 1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("columns", [20, 100])
def test_a_terminal_sees_each_phase_of_a_training(
    tmp_path: Path, write_pictures: Callable[..., None], columns: int
) -> None:
    write_pictures(tmp_path / "pictures", 8, 0, (16, 16))
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", PROGRAM, "train", "pictures", "--features", "hog+color", "--no-cache"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "NO_COLOR": "1"}
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=theirs, env=environment) as running:
        os.close(theirs)
        seen = b""
        while True:
            try:
                seen += os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
        running.communicate(timeout=60)
    os.close(ours)
    assert running.returncode == 0, seen
    text = seen.decode()
    assert "\x1b[3" not in text  # no colour
    if columns == 100:
        assert re.search(r"computing features.*drawing the report", text, re.DOTALL)
        assert re.search(r"iteration \d+: objective", text)
