"""The commands that `fault_trials.py` spoils, and what their user does next."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from linprobe.classifiers.model_file import load_model, save
from linprobe.cli import main
from linprobe.errors import LinprobeError
from linprobe.explain.templates import templates_picture
from linprobe.lab import worker
from linprobe.lab.job import Order
from linprobe.lab.uploads import Uploads
from linprobe.plain import plain
from linprobe.runs import train as training
from linprobe.runs.records import TrainSettings

__all__ = ["WORK", "log_of", "prepare", "work"]

FIRST = ["--no-report", "--quiet"]


def prepare(at: Path) -> None:
    """Twelve pictures of 6 x 6 in two class folders, a zip of them, a run trained on them, and a cache."""
    random = np.random.default_rng(0)
    for name in ("cat", "owl"):
        (at / "pictures" / name).mkdir(parents=True)
        for i in range(6):
            pixels = random.integers(0, 128, (6, 6, 3)) + (127 if name == "owl" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(at / "pictures" / name / f"{i}.png")
    shutil.make_archive(str(at / "pictures"), "zip", at / "pictures")
    assert run(["train", str(at / "pictures"), "--no-cache", *FIRST, "--out", str(at / "given")]) == 0
    (at / "temporary").mkdir()


def log_of(at: Path, log: str, stream: str) -> Path:
    """Where the output of a try goes: beside its folder, as it is never spoilt."""
    return at.with_name(f"{at.name}.{log}.{stream}")


def run(arguments: list[str]) -> int:
    """The exit code of a command of linprobe."""
    try:
        main(arguments, prog_name="linprobe")
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    return 0


Work = Callable[[Path], int]


def command(*words: str) -> Work:
    """A command of linprobe; AT in its words is the folder of the trial."""
    return lambda at: run([word.replace("AT", str(at)) for word in words])


def upload(at: Path) -> int:
    """What the lab does with an archive; the folder of a lab that was killed goes when the next one starts."""
    uploads = Uploads(None)  # type: ignore[arg-type]  # no service is asked
    try:
        path = uploads.place("pictures.zip")
        shutil.copyfile(at / "pictures.zip", path)
        _, kept = uploads.keep(path, "pictures.zip")
        (at / "kept.json").write_text(json.dumps([kept.name, kept.n_files, kept.size]))
    except BaseException:
        (at / "kept.json").unlink(missing_ok=True)
        raise
    finally:
        uploads.close()
    return 0


def in_the_lab(at: Path) -> int:
    """The training process of the lab, on its one order: a new run, or one that can be resumed."""
    begun = (at / "run" / "settings.json").exists()
    settings = None if begun else TrainSettings(str(at / "pictures"), {"optimizer": "sgd", "epochs": 3}, seed=1)
    ours, theirs = os.pipe()
    os.write(theirs, (json.dumps(plain(Order(str(at / "run"), settings, finish=False))) + "\n").encode())
    os.dup2(ours, 0)
    sys.stdin = os.fdopen(0)  # it stays open, as while the lab runs
    worker.main()
    last = json.loads(log_of(at, os.environ["FAULT_LOG"], "out").read_text().splitlines()[-1])
    if last["kind"] == "finished":
        return 0
    with contextlib.suppress(OSError):
        sys.stderr.write(last["message"] if last["phase"] == "stopped" else f"error: {last['message']}\n")
    return 2 if last["phase"] == "failed" else 130


def saved(at: Path) -> int:
    """`save` of a model and of a picture, from Python."""
    model = load_model(at / "given")
    save(model, at / "copy.safetensors")
    templates_picture(model).save(at / "templates.png")
    return 0


PICTURES = "AT/pictures"
WORK: dict[str, Work] = {
    "train": command("train", PICTURES, "--reg", "0.01", *FIRST, "--out", "AT/run"),
    "sgd": command("train", PICTURES, "--optimizer", "sgd", "--epochs", "3", *FIRST, "--out", "AT/run"),
    "features": command("train", PICTURES, "--features", "hog", "--image-size", "8", *FIRST, "--out", "AT/run"),
    "sweep": command("sweep", PICTURES, "--reg-grid", "1e-3:1:4", "--folds", "2", *FIRST, "--out", "AT/run"),
    "rates": command(
        *("sweep", PICTURES, "--optimizer", "sgd", "--learning-rate-grid", "0.01,0.1,0.2,1e9", "--epochs", "4"),
        *("--halving", "--validation", "0.2", *FIRST, "--out", "AT/run"),
    ),
    "report": command("report", "AT/given", "--threads", "2", "--out", "AT/page.html"),
    "challenges": command(
        *("challenges", "AT/given", PICTURES, "--severity", "1:1", "--challenges", "mirror", "--sheet", "AT/sheet.png")
    ),
    "evaluate": command("evaluate", "AT/given", PICTURES, "--confusion", "AT/confusion.csv"),
    "predict": command("predict", "AT/given", PICTURES, "--out", "AT/table.csv"),
    "cache": command("info", PICTURES),
    "upload": upload,
    "lab": in_the_lab,
    "save": saved,
}
"""What is spoilt, by name."""


def work(name: str, at: Path, again: bool) -> int:
    """The exit code of a command in its folder; `again` after a trial, as its user would go on."""
    os.environ["LINPROBE_CACHE_DIR"] = str(at / "cache")
    tempfile.tempdir = str(at / "temporary")
    training.CHECKPOINT_SECONDS = 0.0
    if again and (advised := next_step(at)) is not None:
        return run([*advised, *FIRST]) if advised else 0
    try:
        return WORK[name](at)
    except LinprobeError as error:  # of Python's calls
        sys.stderr.write(f"error: {error}\n")
        return 2
    except OSError as error:
        if name != "upload":
            raise
        sys.stderr.write(f"error: {error.strerror}; the lab says so to the page\n")
        return 2


def next_step(at: Path) -> list[str] | None:
    """The command to continue with, by the words of the first try; none where it was done; None to repeat the first."""
    said = log_of(at, "first", "err").read_text(errors="replace")
    advised = re.search(r"`linprobe (\w+ --resume [^`]+)`|resume with: linprobe (.+)", said)
    if advised:
        return shlex.split(advised[1] or advised[2])
    if (at / "run" / "metrics.json").exists():
        return []
    settings = at / "run" / "settings.json"
    if said or not settings.exists():
        return None
    return [json.loads(settings.read_text()).get("kind", "train"), "--resume", str(at / "run")]  # killed without a word
