"""A short seeded part of the fuzzer, and that it finds what it looks for; `make fuzz` plays the whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from linprobe.errors import FormatError

from . import run, targets
from .cases import Target

CASES = 12
"""Of each target, after its seeds: some 600 cases in all, in ten seconds."""


@pytest.mark.parametrize("name", targets.names())
def test_mutated_files_and_messages_are_read_or_refused(name, tmp_path):
    n_seeds = len(targets.target(name).seeds)
    assert list(run.cases_of(name, 0, range(n_seeds + CASES), tmp_path)) == []


@pytest.mark.parametrize("name", targets.names())
def test_the_seeds_are_valid_and_the_cases_differ_and_repeat(name, tmp_path):
    target = targets.target(name)
    cases = [target.case(1, number) for number in range(len(target.seeds), len(target.seeds) + 8)]
    assert cases == [target.case(1, number) for number in range(len(target.seeds), len(target.seeds) + 8)]
    assert len({repr(case) for case in cases}) > 4


def refuse(_: Path, content: bytes) -> int:
    raise FormatError(f"refused {content!r}")


def fail(_: Path, content: bytes) -> int:
    raise KeyError("a key")


def fill(_: Path, content: bytes) -> int:
    kept = bytearray(run.BASE_BYTES + 2**26)
    kept[:: 2**12] = b"x" * len(kept[:: 2**12])
    return 0


def spin(_: Path, content: bytes) -> int:
    begun = time.process_time()
    while time.process_time() - begun < 0.2:
        pass
    return 0


@pytest.mark.parametrize(
    ("play", "found"), [(refuse, ""), (fail, "KeyError: 'a key'"), (fill, "MB of memory"), (spin, " s")]
)
def test_what_is_a_fault(play, found, tmp_path, monkeypatch):
    if play is spin:
        monkeypatch.setattr(run, "MOST_SECONDS", 0.1)
    *_, fault = run.outcome(Target("x", (b"a",), lambda content, _: content, play), 0, 0, tmp_path / "case")
    assert (found in fault) if found else (fault == "")


def test_a_process_that_dies_or_stands_still_is_a_fault_and_the_next_case_is_played(monkeypatch):
    script = """
import os, sys, time
from tests.fuzz import run, targets
from tests.fuzz.cases import Target
def play(folder, content):
    number = int(content)
    if number == 2: os.abort()
    if number == 4: time.sleep(60)
    return 0
targets.target = lambda name: Target("x", tuple(b"%d" % i for i in range(6)), None, play)
options = sys.argv[sys.argv.index("--first") + 1]
run._work("x", 0, int(options), 6)
"""
    popen = subprocess.Popen

    def start(command: list[str], **options: object) -> subprocess.Popen[bytes]:
        return popen([sys.executable, "-c", script, *command[3:]], **options)

    monkeypatch.setattr(run, "MOST_WAITED", 3.0)
    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([".", *sys.path]))
    tally = run.play("x", 0, 0, 6)
    assert tally.played == 4
    assert [fault[:6] for fault in tally.faults] == ["case 2", "case 4"]
    assert f"ended with {-signal.SIGABRT}" in tally.faults[0]
    assert "stood still" in tally.faults[1]
