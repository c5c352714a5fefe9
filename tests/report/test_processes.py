"""Work in forked processes gives what it gives in turn, and goes on where a process is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from linprobe.report import processes
from linprobe.report.processes import each

ALONE = """
import os, signal, threading
from linprobe.report import processes
from linprobe.report.processes import each
processes.threads_for = lambda n: n or 2
parent = os.getpid()
held = threading.Lock()  # cannot be pickled, and need not be
"""


def alone(code: str, status: int = 0) -> str:
    """What `code` prints in a process without other threads, as this one is not under pytest-xdist."""
    command = [sys.executable, "-W", "error", "-c", ALONE + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_items_are_worked_on_in_other_processes_in_order() -> None:
    code = """
import time
found = each(lambda x: (held and os.getpid(), time.sleep(0.05), x * x), range(9))
print([square for _, _, square in found] == [x * x for x in range(9)], len({process for process, _, _ in found}))
"""
    assert alone(code).split() == ["True", "2"]


def test_without_a_temporary_folder_this_process_does_all() -> None:
    code = """
def full():
    raise FileNotFoundError(2, "No usable temporary directory found")
processes.TemporaryFile = full
print(each(lambda x: (os.getpid() == parent, x * x), range(5)) == [(True, x * x) for x in range(5)])
"""
    assert alone(code) == "True\n"


def test_one_thread_asks_for_no_process() -> None:
    assert alone("print(each(lambda x: os.getpid() == parent, range(3), 1))").strip() == str([True] * 3)


def test_an_error_of_the_work_is_raised_here() -> None:
    assert "ZeroDivisionError: " in alone("each(lambda x: 1 // x, [1, 0])", status=1)


def test_a_process_that_is_killed_costs_time_and_nothing_else() -> None:
    code = """
import time
def work(x):
    if os.getpid() != parent:
        if x > 3:
            os.kill(os.getpid(), signal.SIGKILL)
    else:
        time.sleep(0.1)
    return x
print(each(work, range(9)))
"""
    assert alone(code).strip() == str(list(range(9)))


def test_beside_other_threads_nothing_is_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "threads_for", lambda n: n or 2)
    ended = threading.Event()
    other = threading.Thread(target=ended.wait)
    other.start()
    try:
        assert each(lambda x: (os.getpid(), x), range(3)) == [(os.getpid(), x) for x in range(3)]
    finally:
        ended.set()
        other.join()


def test_ctrl_c_ends_all_of_it() -> None:
    code = "import time\nprint('on', flush=True)\neach(lambda x: time.sleep(30), range(2))"
    with subprocess.Popen(
        [sys.executable, "-c", ALONE + code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as child:
        try:
            assert child.stdout is not None
            child.stdout.readline()
            children = Path(f"/proc/{child.pid}/task/{child.pid}/children")
            until = time.monotonic() + 20
            while time.monotonic() < until:
                forked = children.read_text().split()
                if forked:
                    break
            os.killpg(child.pid, signal.SIGINT)
            _, errors = child.communicate(timeout=25)  # less than the 30 s of the work, and enough on a busy machine
        except BaseException:
            os.killpg(child.pid, signal.SIGKILL)  # or the end of `with` would wait for it
            raise
    assert child.returncode == -signal.SIGINT or b"KeyboardInterrupt" in errors
    assert forked
    assert not any(os.path.exists(f"/proc/{process}") for process in forked)
