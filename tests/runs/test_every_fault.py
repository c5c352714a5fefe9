"""Slow: commands that are killed, stopped, or refused by the disk at an operation on files; what they advise works."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load

PROGRAM = Path(__file__).with_name("fault_trials.py")
SHIM = Path(__file__).with_name("faulty_files.c")

KILLS = {
    "train": 42,
    "sgd": 25,
    "features": 20,
    "sweep": 40,
    "rates": 20,
    "report": 8,
    "challenges": 15,
    "evaluate": 5,
    "predict": 6,
    "cache": 12,
    "upload": 10,
    "lab": 12,
    "save": 8,
}
"""Kills of each command, spread evenly over its operations on files: 200 in all."""

OTHERS = {
    "full": 4, "quota": 2, "read-only": 4, "denied": 2, "failing": 4, "gone": 2,
    "SIGINT": 4, "SIGTERM": 2, "SIGHUP": 1, "SIGINT-later": 2, "SIGTERM-later": 1,
}  # fmt: skip
"""Other faults, for each 12 kills or fewer."""

NOT_OF = {
    **{name: {"gone"} for name in ("report", "challenges", "evaluate", "predict", "save")},  # they make no folder
    "lab": {"SIGTERM", "SIGHUP", "SIGTERM-later"},  # the lab sends its process SIGINT, whatever it got itself
    "upload": {"SIGTERM", "SIGHUP", "SIGTERM-later", "SIGINT", "SIGINT-later"},  # the server meets them
    "save": {
        "SIGTERM",
        "SIGHUP",
        "SIGTERM-later",
        "SIGINT",
        "SIGINT-later",
    },  # a call of Python raises KeyboardInterrupt
}
"""Faults that mean nothing to a command."""

SAYS = {
    "full": "Free some space|free some space|No space left",
    "quota": "Free some space|free some space|quota",
    "read-only": "Make it writable|read-only",
    "denied": "Change its permissions|Permission denied",
    "failing": "Input/output error",
    "gone": "does not exist|No such file|gone|is missing|no such",
}
"""What the one line of an error holds."""

STOPPED = {"SIGINT": 130, "SIGTERM": 143, "SIGHUP": 129}

DIFFERENT = {"seconds", "run", "source", "fingerprint", "sha256", "pixel_file_time", "feature_seconds"}
"""Keys of JSON files that differ from run to run: times, what holds the place of the data, and digests of both."""


def trials_of(command: str) -> list[str]:
    """KIND=N for each fault of a command."""
    times = max(1, KILLS[command] // 12)
    others = [f"{kind}={times * n}" for kind, n in OTHERS.items() if kind not in NOT_OF.get(command, ())]
    return [f"kill={KILLS[command]}", *others]


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The library that spoils files."""
    compiler = shutil.which("cc")
    if sys.platform != "linux" or compiler is None:
        pytest.skip("the operations on files are spoilt by a library for Linux, which a C compiler makes")
    built = tmp_path_factory.mktemp("shim") / "faulty_files.so"
    subprocess.run([compiler, "-O1", "-shared", "-fPIC", "-o", built, SHIM, "-ldl"], check=True)
    return built


def steady(value: object) -> object:
    """JSON without times and places."""
    if isinstance(value, dict):
        return {key: steady(item) for key, item in value.items() if key not in DIFFERENT}
    return [steady(item) for item in value] if isinstance(value, list) else value


def result(at: Path) -> dict[str, object]:
    """What a command left in its folder, by name, less times and places: those of a trial equal those of the whole.

    Hidden files, temporary files and empty folders are part of it.
    """
    found: dict[str, object] = {}
    for path in sorted(at.rglob("*")):
        name = path.relative_to(at).as_posix()
        # the name of an entry of the cache holds the place of its source: its kind of name remains
        name = re.sub("^cache/[0-9a-f]{64}(?=/|$)", "cache/KEY", name)
        if path.is_dir():
            found[name] = "folder"
        else:
            held = content_of(path, at)
            found[name] = [*found[name], held] if name.startswith("cache/") and name in found else [held]
    for name, held in found.items():
        if isinstance(held, list):
            found[name] = sorted(held, key=repr)
    return found


def content_of(path: Path, at: Path) -> object:
    """The content of a file as it can be compared."""
    content = path.read_bytes().replace(at.name.encode(), b"PLACE")
    if path.suffix == ".json":
        return steady(json.loads(content))
    if path.name == "trace.csv":
        rows = [line.split(",") for line in content.decode().splitlines()]
        at_seconds = rows[0].index("seconds")
        return [row[:at_seconds] + row[at_seconds + 1 :] for row in rows]
    if path.name == "model.safetensors":
        tensors = load(path.read_bytes())
        return {key: tensors[key].tobytes() for key in tensors}
    if path.suffix == ".html" or path.name == "checkpoint.safetensors":
        return "written"  # they hold times
    return content


def check_words(trial: dict[str, object]) -> None:
    """One line, which names the fault, and the exit code that belongs to it."""
    kind, code, errors = str(trial["kind"]), trial["code"], trial["errors"]
    assert isinstance(errors, list)
    said = [line for line in errors if not line.startswith("warning: ")]
    stopped = STOPPED.get(kind.removesuffix("-later"))
    if kind == "kill":
        assert code == -9, trial
    elif code == 0:  # the command does without the file, or the signal came too late
        assert not said, trial
    elif stopped is not None:
        assert code == stopped, trial
        assert len(said) == 1, trial
        assert said[0].startswith(("stopped", "SIGTERM: stopped", "SIGHUP: stopped")), trial
    else:
        assert code == 2, trial
        assert len(said) == 1, trial
        assert said[0].startswith("error: "), trial
        assert re.search(SAYS[kind], said[0], re.IGNORECASE), trial


@pytest.mark.slow
@pytest.mark.parametrize("command", KILLS)
def test_a_command_that_is_cut_off_is_repeated_or_resumed_to_the_same_result(
    tmp_path: Path, command: str, shim: Path
) -> None:
    root = tmp_path / "trials"
    here = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "LD_PRELOAD": str(shim),
        "PYTHONPATH": os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]),
    }
    program = [sys.executable, PROGRAM, root, command, *trials_of(command)]
    ended = subprocess.run(program, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr[-3000:]
    trials = [json.loads(line) for line in ended.stdout.splitlines()]
    assert {trial["kind"] for trial in trials} == {count.partition("=")[0] for count in trials_of(command)}
    expected = result(root / "whole")
    assert expected
    for trial in trials:
        check_words(trial)
        at = root / trial["at"]
        assert trial["again"] == 0, (trial, (root / f"{at.name}.again.err").read_text())
        found = result(at)
        if (at / "run" / "metrics.json").exists():
            found.pop("run/.lock", None)  # the run is finished: nobody locks it again, who could remove the lock
        assert found == expected, (trial, {name for name in found | expected if found.get(name) != expected.get(name)})
