"""A program that ends commands at their operations on files:  python fault_trials.py FOLDER COMMAND kill|full N

It runs a command whole, then up to N times anew. In each trial the process is killed at one of its operations on files,
or from that operation on every one that writes fails, as on a full disk. Then the command is resumed or repeated. Each
trial has a folder of its own, and prints a line of JSON: the operation, the exit code, the last line of the errors.

All modules are imported once, and each trial is a forked child that never sees the threads of another.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib.figure  # noqa: F401 - loaded once, not in each trial
import numpy as np
from PIL import Image

import linprobe.challenges
import linprobe.report.page  # noqa: F401
from linprobe.cli import main
from linprobe.lab.uploads import Uploads

OPERATIONS = {"open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.truncate", "shutil.rmtree"}
WRITING = {"os.link", "os.mkdir", "os.rename", "os.truncate"}
WRITE_FLAGS = os.O_WRONLY | os.O_RDWR


def pictures(folder: Path) -> Path:
    """Twelve pictures of 6 x 6 in two class folders."""
    random = np.random.default_rng(0)
    for name in ("cat", "owl"):
        (folder / name).mkdir(parents=True)
        for i in range(6):
            pixels = random.integers(0, 128, (6, 6, 3)) + (127 if name == "owl" else 0)
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")
    return folder


def trained(at: Path) -> str:
    """A finished run that a command may read."""
    if not (at / "given").exists():
        run(
            [
                "train",
                str(pictures(at / "pictures")),
                "--no-cache",
                "--no-report",
                "--quiet",
                "--out",
                str(at / "given"),
            ]
        )
    return str(at / "given")


def train(at: Path) -> list[str]:
    return ["train", str(at / "pictures"), "--reg", "0.01", "--no-report", "--quiet", "--out", str(at / "run")]


def sweep(at: Path) -> list[str]:
    grid = ["--reg-grid", "1e-3:1:4", "--folds", "2"]
    return ["sweep", str(at / "pictures"), *grid, "--no-report", "--quiet", "--out", str(at / "run")]


def report(at: Path) -> list[str]:
    return ["report", str(at / "given"), "--threads", "1", "--out", str(at / "page.html")]


def challenges(at: Path) -> list[str]:
    chosen = ["--severity", "1:1", "--challenges", "viewpoint", "--sheet", str(at / "sheet.png")]
    return ["challenges", str(at / "given"), str(at / "pictures"), *chosen]


COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "train": train,
    "sweep": sweep,
    "report": report,
    "challenges": challenges,
}


def upload(at: Path) -> None:
    """What the lab does with an archive; the folder of a lab that was killed goes when the next one starts."""
    tempfile.tempdir = str(at / "temporary")
    os.makedirs(tempfile.tempdir, exist_ok=True)
    uploads = Uploads(None)  # type: ignore[arg-type]  # no service is asked
    path = uploads.place("pictures.zip")
    try:
        shutil.copyfile(at / "pictures.zip", path)
        _, kept = uploads.keep(path, "a.zip")
    except BaseException:
        uploads.close()
        raise
    (at / "kept.json").write_text(json.dumps([kept.name, kept.n_files, kept.size]))
    uploads.close()


def run(arguments: list[str]) -> int:
    """The exit code of a command of linprobe."""
    try:
        main(arguments)
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 0
    return 0


def work(command: str, at: Path, again: bool) -> int:
    """Run the command in its folder; `again` after a trial, as its user would."""
    if command == "upload":
        try:
            upload(at)
        except OSError as error:
            sys.stderr.write(f"error: {error.strerror}; the lab says so to the page\n")
            return 2
        return 0
    arguments = COMMANDS[command](at)
    if again and (advice := next_step(command, at)) is not None:
        if advice == "done":
            return 0
        arguments = [command, "--resume", str(at / "run"), "--no-report", "--quiet"]
    return run(arguments)


def next_step(command: str, at: Path) -> str | None:
    """What the user does: "resume" where the error says so, or a killed run has begun; None to repeat the command."""
    said = (at / "first.err").read_text(errors="replace")
    if said:
        return "resume" if f"linprobe {command} --resume {at / 'run'}" in said else None
    if (at / "run" / "metrics.json").exists():
        return "done"
    return "resume" if (at / "run" / "settings.json").exists() else None


def forked(at: Path, log: str, body: Callable[[], int]) -> int:
    """How a child ends that does it: its exit code, or minus the signal. Its output goes to files of that name."""
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.environ["LINPROBE_CACHE_DIR"] = str(at / "cache")
            for stream, name in ((1, "out"), (2, "err")):
                file = os.open(at / f"{log}.{name}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
                os.dup2(file, stream)
            code = body()
        except BaseException:
            traceback.print_exc()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status)


def spoil(at: Path, kind: str, last: int) -> Callable[[], int]:
    """Count the operations on files in the folder, and begin to spoil them at that one; gives their number."""
    events = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal events
        if event not in OPERATIONS or not any(str(at) in str(argument) for argument in arguments[:2]):
            return
        writes = event in WRITING or (event == "open" and bool((arguments[2] or 0) & WRITE_FLAGS))
        if kind == "full" and not writes:
            return
        events += 1
        if kind == "kill" and events == last:
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "full" and 0 < last <= events:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(arguments[0]))

    sys.addaudithook(hook)
    return lambda: events


def trial(root: Path, command: str, kind: str, last: int) -> tuple[int, int]:
    """(exit code, operations) of the command with the operation `last` spoilt; 0 for none."""
    at = root / (f"{kind}-{last}" if last else "whole")
    shutil.copytree(root / "start", at)

    def body() -> int:
        operations = spoil(at, kind, last)
        code = work(command, at, again=False)
        if not last:
            (root / "operations").write_text(str(operations()))
        return code

    code = forked(at, "first", body)
    return code, int((root / "operations").read_text())


def main_of_trials(root: Path, command: str, kind: str, most: int) -> None:
    start = root / "start"
    start.mkdir(parents=True)
    assert forked(root, "given", lambda: 0 if trained(start) else 1) == 0, (root / "given.err").read_text()
    shutil.make_archive(str(start / "pictures"), "zip", start / "pictures")
    code, operations = trial(root, command, kind, 0)
    assert code == 0, (root / "whole" / "first.err").read_text()
    assert operations > 1
    for last in sorted({1 + i * operations // most for i in range(most)}):
        at = root / f"{kind}-{last}"
        code, _ = trial(root, command, kind, last)
        again = forked(at, "again", lambda at=at: work(command, at, again=True))  # type: ignore[misc]
        errors = (at / "first.err").read_text(errors="replace").splitlines()
        print(json.dumps({"at": at.name, "code": code, "errors": errors, "again": again}), flush=True)


if __name__ == "__main__":
    main_of_trials(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]))
