"""A program that spoils the files of a command.

    LD_PRELOAD=faulty_files.so python fault_trials.py FOLDER COMMAND KIND=N...

It runs the command whole, then N times for each kind of fault, at operations on files that are spread evenly over its
run. Then the fault is mended, and the command is resumed or repeated as its message advises. Each trial has a folder of
its own, and prints a line of JSON: the kind, the exit code, the lines on stderr, and the exit code of the second try.

All modules are imported once, and each trial is a forked child that never sees the threads of another.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import importlib
import json
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tests.runs.fault_commands import log_of, prepare, work

import linprobe

READS, WRITES, REMOVES, CHANGES_NAMES = 1, 2, 4, 8
"""Kinds of operations, as in `faulty_files.c`."""

WRITING = WRITES | REMOVES | CHANGES_NAMES
ENDS_WITHIN = 20.0
"""Seconds in which the processes of a command that was killed end by themselves; they finish one drawing."""


@dataclass(frozen=True)
class Fault:
    """What happens at an operation.

    Attributes:
        counted: the kinds of operations that are counted, and that fail.
        code: the error of that operation and all later ones; 0 for none.
        sent: the signal; 0 for none.
        vanishes: whether the folder that the command makes is renamed.
        later: whether the signal comes at a random moment, not at an operation.
    """

    counted: int
    code: int = 0
    sent: int = 0
    vanishes: bool = False
    later: bool = False


FAULTS = {
    "kill": Fault(WRITING, sent=signal.SIGKILL),
    "full": Fault(WRITES, errno.ENOSPC),
    "quota": Fault(WRITES, errno.EDQUOT),
    "read-only": Fault(CHANGES_NAMES, errno.EROFS),
    "denied": Fault(CHANGES_NAMES, errno.EACCES),
    "failing": Fault(READS | WRITING, errno.EIO),
    "gone": Fault(WRITING, vanishes=True),
    "SIGINT": Fault(READS | WRITING, sent=signal.SIGINT),
    "SIGTERM": Fault(READS | WRITING, sent=signal.SIGTERM),
    "SIGHUP": Fault(READS | WRITING, sent=signal.SIGHUP),
    "SIGINT-later": Fault(0, sent=signal.SIGINT, later=True),
    "SIGTERM-later": Fault(0, sent=signal.SIGTERM, later=True),
}
VANISHING = {"cache": "cache", "upload": "temporary"}
"""The folder that a command makes, where it is not `run`."""

SHIM = ctypes.CDLL(None)


def begin(at: Path, name: str, fault: Fault, last: int) -> None:
    """Count the operations below `at`, and spoil the operation `last`; 0 for none."""
    victim = str(at / VANISHING.get(name, "run")) if fault.vanishes else ""
    sent = 0 if fault.later else int(fault.sent)
    SHIM.faults_begin(f"{at}/".encode(), fault.counted, ctypes.c_long(last), sent, victim.encode(), fault.code)


def forked(at: Path, log: str, body: Callable[[], int], after: tuple[float, int] | None = None) -> int:
    """How a child ends that does it: its exit code, or minus the signal. Its output goes to the files of `log_of`.

    Args:
        at, log: the folder of the trial, and "first" or "again".
        body: what it does.
        after: (seconds, signal) that it is sent.
    """
    ready, begun = os.pipe()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            os.setsid()
            os.environ["FAULT_LOG"] = log
            signal.signal(signal.SIGINT, signal.default_int_handler)
            for stream, name in ((1, "out"), (2, "err")):
                file = os.open(log_of(at, log, name), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
                os.dup2(file, stream)
                os.close(file)
            os.write(begun, b"!")  # a signal that comes earlier is none of the command's
            code = body()
        except KeyboardInterrupt as stop:
            if inside_linprobe(stop):
                traceback.print_exc()
            else:  # it came before the command, or after it
                sys.stderr.write("stopped outside of the command\n")
                code = 130
        except BaseException:
            traceback.print_exc()
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)
    os.close(begun)
    os.read(ready, 1)
    os.close(ready)
    if after is not None:
        time.sleep(after[0])
        os.kill(child, after[1])
    status = os.waitpid(child, 0)[1]
    assert ended(child), f"{log} of {at} left processes"
    return os.waitstatus_to_exitcode(status)


def inside_linprobe(stop: BaseException) -> bool:
    """Whether an exception passed through the code of linprobe."""
    package = str(Path(linprobe.__file__).parent)
    return any(frame.filename.startswith(package) for frame in traceback.extract_tb(stop.__traceback__))


def ended(session: int) -> bool:
    """Whether no process of the session is left, or is within some seconds."""
    until = time.monotonic() + ENDS_WITHIN
    while any(session_of(process) == session for process in os.listdir("/proc") if process.isdecimal()):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def session_of(process: str) -> int:
    """The session of a process; 0 where it has ended, also where nobody has waited for it."""
    with contextlib.suppress(OSError):
        fields = Path("/proc", process, "stat").read_text().rpartition(")")[2].split()
        return 0 if fields[0] == "Z" else int(fields[3])
    return 0


def left_open() -> list[str]:
    """Sockets and shared memory of this process."""
    links = []
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            links.append(os.readlink(f"/proc/self/fd/{descriptor}"))
    mapped = [
        line.split(maxsplit=5)[5] for line in Path("/proc/self/maps").read_text().splitlines() if "/dev/shm" in line
    ]
    return mapped + [link for link in links if link.startswith(("socket:", "/dev/shm"))]


def whole(root: Path, name: str, fault: Fault) -> tuple[int, float]:
    """(operations, seconds) of the command with nothing spoilt."""
    at = root / "whole"
    shutil.rmtree(at, ignore_errors=True)
    shutil.copytree(root / "start", at)

    def body() -> int:
        begin(at, name, fault, 0)
        code = work(name, at, again=False)
        (root / "operations").write_text(str(SHIM.faults_met()))
        (root / "modules").write_text("\n".join(sys.modules))
        assert not left_open(), left_open()
        return code

    begun = time.monotonic()
    assert forked(at, "first", body) == 0, log_of(at, "first", "err").read_text()
    return int((root / "operations").read_text()), time.monotonic() - begun


def trials(root: Path, name: str, kind: str, most: int) -> None:
    """Spoil the command `most` times, or at each of its operations if these are fewer."""
    fault = FAULTS[kind]
    operations, seconds = whole(root, name, fault)
    for module in (root / "modules").read_text().split():  # once, in place of once in each child
        with contextlib.suppress(Exception):
            importlib.import_module(module)
    random = np.random.default_rng(0)
    for last in (
        sorted({1 + i * (operations - 1) // max(1, most - 1) for i in range(most)}) if not fault.later else range(most)
    ):
        at = root / f"{kind}-{last}"
        shutil.copytree(root / "start", at)

        def first(at: Path = at, last: int = last) -> int:
            begin(at, name, fault, last)
            code = work(name, at, again=False)
            begin(at, name, Fault(0), 0)
            return code

        code = forked(at, "first", first, (random.uniform(0, seconds), fault.sent) if fault.later else None)
        if fault.vanishes:
            shutil.rmtree(at / f"{VANISHING.get(name, 'run')}.gone", ignore_errors=True)
            (at / "temporary").mkdir(exist_ok=True)
        again = forked(at, "again", lambda at=at: work(name, at, again=True))  # type: ignore[misc]
        errors = log_of(at, "first", "err").read_text(errors="replace").splitlines()
        print(json.dumps({"kind": kind, "at": at.name, "code": code, "errors": errors, "again": again}), flush=True)


def main_of_trials(root: Path, name: str, *counts: str) -> None:
    """Prepare the folder that each trial copies, then spoil the command."""
    (root / "start").mkdir(parents=True)

    def given() -> int:
        prepare(root / "start")
        return 0

    assert forked(root, "given", given) == 0, log_of(root, "given", "err").read_text()
    for count in counts:
        kind, _, most = count.partition("=")
        trials(root, name, kind, int(most))


if __name__ == "__main__":
    main_of_trials(Path(sys.argv[1]), *sys.argv[2:])
