"""Ctrl-C wherever it arrives: one line, exit code 130, and a command to go on with that can be copied."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from linprobe.errors import FormatError


def test_an_import_that_ctrl_c_broke_is_no_bug(linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as stop:
            raise ImportError("initialization failed") from stop

    def walled(*_: object, **__: object) -> None:
        try:
            stopped()
        except ImportError as error:
            raise FormatError("found what cannot be read") from error

    for raising in (stopped, walled):
        monkeypatch.setattr("linprobe.runs.material.open_dataset", raising)
        answer = linprobe("train", "digits")
        assert (answer.code, answer.err) == (130, "stopped by Ctrl-C\n")


@pytest.mark.parametrize("command", ["train", "sweep"])
def test_the_command_to_resume_with_can_be_copied(linprobe: Any, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("linprobe.cli.progress.estimated_gap", stop)
        patched.setattr("linprobe.cli.progress.TrainingTeller.epoch", stop)
        answer = linprobe(command, "digits", "--out", "my runs/it's", "--max-iter", 3)
    assert answer.code == 130
    assert answer.err.count("\n") == 1
    advised = shlex.split(answer.err.partition("resume with: ")[2])
    assert advised[:3] == ["linprobe", command, "--resume"]
    assert Path(advised[3]).is_dir()
    assert linprobe(*advised[1:]).code == 0


@pytest.mark.parametrize(
    ("optimizer", "said", "key"),
    [
        ("exact", r"stopped after iteration (\d+) \(\S+ passes over the images\); ", "iterations_done"),
        ("gd", r"stopped after iteration (\d+) \(\S+ passes over the images\); ", "iterations_done"),
        ("sgd", r"stopped after epoch (\d+); ", "epochs_done"),
    ],
)
def test_what_a_trace_counts_has_its_own_name(
    linprobe: Any, monkeypatch: pytest.MonkeyPatch, optimizer: str, said: str, key: str
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("linprobe.runs.train.measure", stop)  # after the last row
        answer = linprobe("train", "digits", "--optimizer", optimizer, "--out", "run")
    assert answer.code == 130
    found = re.match(said, answer.err)
    assert found, answer.err
    assert linprobe("info", "run", "--json").record[key] == int(found[1]) > 1


def test_an_unfinished_sweep_counts_its_parts(linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("linprobe.classifiers.selection.Selector.refit", stop)
        linprobe("sweep", "digits", "--reg-grid", "0.1,1", "--folds", 2, "--out", "run")
    assert linprobe("info", "run", "--json").record["parts_done"] == 2
