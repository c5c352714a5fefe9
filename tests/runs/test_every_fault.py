"""Slow: commands are killed, or find the disk full, at their operations on files; what they advise then works."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load

PROGRAM = Path(__file__).with_name("fault_trials.py")
TRIALS = {"train": 50, "sweep": 50, "report": 30, "challenges": 35, "upload": 35}
"""Kills of each command, spread evenly over its operations on files: 200 in all. A third as many full disks."""

DIFFERENT = {"seconds", "run", "source", "fingerprint", "passes", "sha256"}
"""Keys of JSON files that differ from run to run: times, and what holds the place of the data. A certificate that is
computed again after a kill counts its passes once more or once less, and with them the digest of the model file."""


def steady(value: object) -> object:
    """JSON without times and places."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in DIFFERENT}
    return [steady(item) for item in value] if isinstance(value, list) else value


def result(at: Path) -> dict[str, object]:
    """What a command left in its folder, by name, less times and places: those of a trial equal those of the whole."""
    found: dict[str, object] = {}
    for path in sorted(at.rglob("*")):
        name = path.relative_to(at).as_posix()
        if not path.is_file() or name.split(".")[0] in ("first", "again"):
            continue
        content = path.read_bytes().replace(at.name.encode(), b"PLACE")
        if name.startswith("cache/"):
            found[Path(name).name] = len(content)  # the folder's name is that of the source
        elif path.suffix == ".json":
            found[name] = steady(json.loads(content))
        elif path.name == "trace.csv":
            rows = [line.split(",") for line in content.decode().splitlines()]
            at_seconds = rows[0].index("seconds")
            found[name] = [row[:at_seconds] + row[at_seconds + 1 :] for row in rows]
        elif path.name == "model.safetensors":
            tensors = load(path.read_bytes())
            found[name] = {key: tensors[key].tobytes() for key in tensors}
        elif path.suffix == ".html" or path.name == "checkpoint.safetensors":
            found[name] = "written"  # they hold times
        else:
            found[name] = content
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="each trial is a forked child")
@pytest.mark.parametrize("kind", ["kill", "full"])
@pytest.mark.parametrize("command", TRIALS)
def test_a_command_that_is_cut_off_is_repeated_or_resumed_to_the_same_result(
    tmp_path: Path, command: str, kind: str
) -> None:
    root = tmp_path / "trials"
    most = TRIALS[command] if kind == "kill" else TRIALS[command] // 3
    arguments = [sys.executable, PROGRAM, root, command, kind, str(most)]
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    trials = [json.loads(line) for line in ended.stdout.splitlines()]
    assert trials
    expected = result(root / "whole")
    assert expected
    for trial in trials:
        if kind == "kill":
            assert trial["code"] == -9, trial
        elif trial["code"] != 0:  # 0 where the command does without the file
            assert trial["code"] == 2, trial
            assert len(trial["errors"]) == 1, trial
            assert trial["errors"][0].startswith("error: "), trial
        assert trial["again"] == 0, (trial, (root / trial["at"] / "again.err").read_text())
        assert result(root / trial["at"]) == expected, trial
