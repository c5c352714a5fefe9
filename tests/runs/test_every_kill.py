"""Slow: a run is killed at each of its operations on files in turn, and always resumes to the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = """
import contextlib, importlib, os, signal, sys
from pathlib import Path
from linprobe.runs import train as module
from linprobe.runs.folder import RunFolder
from linprobe.runs.train import TrainSettings, resume, train

root = Path(sys.argv[1])
module.CHECKPOINT_SECONDS = 0.0
OPERATIONS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.truncate"}

def forked(work):
    "How a child ends that does it; no child sees the threads of another."
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitpid(child, 0)[1]

def new_run(out, last=0):
    events = 0
    def count(event, arguments):
        nonlocal events
        if event in OPERATIONS and any(str(out) in str(argument) for argument in arguments):
            events += 1
            if events == last:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)
    train(TrainSettings("digits", {"optimizer": "sgd", "epochs": 2, "loss": "hinge"}, validation=0.2), out=out)

def resumed(out):
    folder = RunFolder.open(out)
    folder.lock()  # as whoever writes next does: it removes what the killed run left
    folder.close()
    if not (out / "metrics.json").exists():
        resume(out)

def whole():
    new_run(root / "whole")
    (root / "imported").write_text("\\n".join(sys.modules))

assert forked(whole) == 0
for name in (root / "imported").read_text().split():  # once, in place of once a child: most of what a child would do
    with contextlib.suppress(ImportError):
        importlib.import_module(name)
kill = 1
while forked(lambda: new_run(root / f"killed-at-{kill}", kill)) == signal.SIGKILL:
    out = root / f"killed-at-{kill}"
    if (out / "settings.json").exists():
        assert forked(lambda: resumed(out)) == 0, kill
    kill += 1
assert (root / f"killed-at-{kill}" / "metrics.json").exists(), kill
"""


def result(run: Path) -> tuple[bytes, list[str], dict[str, object]]:
    """What a run came to, less its times and its place."""
    metrics = json.loads((run / "metrics.json").read_text())
    rows = [line.split(",") for line in (run / "trace.csv").read_text().splitlines()]
    seconds = rows[0].index("seconds")
    kept = [",".join(row[:seconds] + row[seconds + 1 :]) for row in rows]
    steady = {name: value for name, value in metrics.items() if name not in ("seconds", "run")}
    return (run / "model.safetensors").read_bytes(), kept, steady


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="a run is killed in a forked child")
def test_a_run_killed_at_any_operation_on_its_files_ends_at_the_same_bits(tmp_path: Path) -> None:
    ended = subprocess.run([sys.executable, "-c", KILLS, tmp_path], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-3000:]
    runs = [run for run in sorted(tmp_path.iterdir()) if (run / "settings.json").exists()]
    assert len(runs) > 20
    expected = result(tmp_path / "whole")
    for run in runs:
        assert result(run) == expected, run.name
        assert not [name for name in os.listdir(run) if "partial" in name], run.name
