"""Slow: a run is killed at each of its operations on files in turn, and always resumes to the same bits."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from linprobe.runs.folder import RunFolder
from linprobe.runs.train import TrainSettings, resume, train

CHOICES = {"optimizer": "sgd", "epochs": 2, "loss": "hinge"}

CHILD = """
import os, signal, sys
from pathlib import Path
from linprobe.runs import train as module
from linprobe.runs.train import TrainSettings, train

out, last, choices = Path(sys.argv[1]), int(sys.argv[2]), eval(sys.argv[3])
module.CHECKPOINT_SECONDS = 0.0
events = 0

def count(event, arguments):
    global events
    if event in {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.truncate"}:
        if any(str(out) in str(argument) for argument in arguments):
            events += 1
            if events == last:
                os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
train(TrainSettings("digits", choices, validation=0.2), out=out)
"""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run that nobody kills."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("linprobe.runs.train.CHECKPOINT_SECONDS", 0.0)
        settings = TrainSettings("digits", CHOICES, validation=0.2)
        return train(settings, out=tmp_path_factory.mktemp("whole") / "run").path


def result(run: Path) -> tuple[bytes, list[str], dict[str, object]]:
    """What a run came to, less its times and its place."""
    metrics = json.loads((run / "metrics.json").read_text())
    rows = [line.split(",") for line in (run / "trace.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    kept = [",".join(row[:seconds] + row[seconds + 1 :]) for row in rows]
    steady = {name: value for name, value in metrics.items() if name not in ("seconds", "run")}
    return (run / "model.safetensors").read_bytes(), kept, steady


@pytest.mark.slow
def test_a_run_killed_at_any_operation_on_its_files_ends_at_the_same_bits(whole: Path, tmp_path: Path) -> None:
    expected, kills = result(whole), 0
    while True:
        out = tmp_path / f"run-{kills}"
        command = [sys.executable, "-c", CHILD, str(out), str(kills + 1), repr(CHOICES)]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode == 0:
            break
        assert ended.returncode == -signal.SIGKILL, ended.stderr
        kills += 1
        if (out / "settings.json").exists():
            folder = RunFolder.open(out)
            folder.lock()  # as whoever writes next does: it sweeps what the killed run left
            folder.close()
            if not (out / "metrics.json").exists():
                resume(out)
            assert result(out) == expected, f"killed at operation {kills}"
            assert not [name for name in os.listdir(out) if "partial" in name]
    assert kills > 20
