"""What ends commands from outside: signals, a closed terminal or stdout, another command on the same folder or port."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no such signals")

CALL = "from linprobe.cli import main; main(prog_name='linprobe')"
ENDLESS = ["--optimizer", "sgd", "--epochs", "4000", "--validation", "0.2", "--no-report"]


def start(*arguments: str, cwd: Path, before: str = "", **how: Any) -> subprocess.Popen[str]:
    """The program in a process of its own; `before` is run first."""
    piped = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | how
    program = [sys.executable, "-c", f"{before}\n{CALL}", *arguments]
    return subprocess.Popen(program, cwd=cwd, text=True, **piped)


def wait_for(path: Path, child: subprocess.Popen[str]) -> None:
    """Until `path` is there."""
    deadline = time.monotonic() + 60
    while not path.exists():
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_training_that_is_terminated_can_be_resumed(tmp_path: Path, name: str, linprobe: Any) -> None:
    child = start("train", "digits", *ENDLESS, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "trace.csv", child)
    for _ in range(3):  # a terminal that closes sends two: they are one request
        child.send_signal(getattr(signal, name))
    out, err = child.communicate(timeout=30)
    assert (child.returncode, out) == (128 + getattr(signal, name), "")
    assert re.fullmatch(rf"{name}: stopped after epoch \d+; resume with: linprobe train --resume run\n", err)
    assert not (tmp_path / "run" / ".lock").exists()
    assert linprobe("info", tmp_path / "run", "--json").record["finished"] is False


def test_what_the_caller_ignores_is_ignored(tmp_path: Path) -> None:
    ignoring = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"  # as nohup does
    child = start("train", "digits", *ENDLESS, "--out", "run", cwd=tmp_path, before=ignoring)
    wait_for(tmp_path / "run" / "trace.csv", child)
    child.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        child.wait(0.5)
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=30)
    assert child.returncode == 128 + signal.SIGTERM
    assert err.startswith("SIGTERM: stopped after epoch")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_the_lab_says_what_ended_it_and_deletes_its_uploads(tmp_path: Path, name: str) -> None:
    child = start("lab", "--port", "0", cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})
    try:
        assert child.stdout is not None
        address = child.stdout.readline().split()[4]
        refused = urllib.request.Request(
            f"{address}train/upload?name=a.zip", b"no zip", {"Origin": address.rstrip("/")}, method="POST"
        )
        with urllib.request.urlopen(refused, timeout=30) as answer:
            assert b"not a zip" in answer.read()
        assert list(tmp_path.glob("linprobe-lab-*"))
        child.send_signal(getattr(signal, name))
        _, err = child.communicate(timeout=30)
    finally:
        child.kill()
        child.communicate()
    assert (child.returncode, err) == (128 + getattr(signal, name), f"stopped by {name}\n")
    assert not list(tmp_path.iterdir())


def test_a_terminal_that_is_closed_ends_the_training_which_can_be_resumed(tmp_path: Path, linprobe: Any) -> None:
    ours, theirs = pty.openpty()
    opened = f"import fcntl, termios; fcntl.ioctl({theirs}, termios.TIOCSCTTY, 0)"  # its terminal: it gets SIGHUP
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "pass_fds": [theirs], "start_new_session": True}
    child = start("train", "digits", *ENDLESS, "--out", "run", cwd=tmp_path, before=opened, **streams)
    os.close(theirs)
    reader = threading.Thread(target=shown_until_closed, args=(ours, tmp_path / "run" / "trace.csv"))
    reader.start()  # a terminal that nobody reads stops its programs
    wait_for(tmp_path / "run" / "trace.csv", child)
    reader.join(60)
    assert child.wait(30) == 128 + signal.SIGHUP
    assert linprobe("info", tmp_path / "run", "--json").record["finished"] is False
    assert not (tmp_path / "run" / ".lock").exists()


def shown_until_closed(terminal: int, until: Path) -> None:
    """Read what is shown until that file is there, then close the terminal."""
    os.set_blocking(terminal, False)
    while not until.exists():
        with contextlib.suppress(OSError):
            os.read(terminal, 4096)
        time.sleep(0.01)
    os.close(terminal)


@pytest.mark.parametrize("command", [["train", "digits", "--max-iter", "3"], ["sweep", "digits", "--reg-grid", "1,10"]])
def test_a_stdout_that_nobody_reads_costs_the_table_and_not_the_report(tmp_path: Path, command: list[str]) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    child = start(*command, "--out", "run", cwd=tmp_path, stdout=theirs)
    os.close(theirs)
    _, err = child.communicate(timeout=120)
    assert child.returncode == 1
    assert err.splitlines()[-1] == ("stdout was closed: the run is complete; show it with `linprobe info run`")
    assert {"metrics.json", "report.html"} <= set(os.listdir(tmp_path / "run"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
def test_a_full_disk_behind_stdout_names_the_command_that_shows_the_result(tmp_path: Path) -> None:
    with open("/dev/full", "w") as full:
        child = start("train", "digits", "--max-iter", "3", "--no-report", "--out", "run", cwd=tmp_path, stdout=full)
        _, err = child.communicate(timeout=120)
    assert child.returncode == 2
    assert err.splitlines()[-1] == (
        "error: stdout cannot be written (No space left on device); the run is complete; "
        "show it with `linprobe info run`."
    )


def test_two_trainings_into_one_folder_at_the_same_moment_are_one(tmp_path: Path, linprobe: Any) -> None:
    options = ["train", "digits", "--optimizer", "sgd", "--epochs", "2", "--no-report", "--out", "run"]
    children = [start(*options, cwd=tmp_path) for _ in range(3)]
    ends = sorted((child.communicate(timeout=120)[1], child.returncode) for child in children)
    refused = [err for err, code in ends if code == 2]
    assert [code for _, code in ends].count(0) == 1, ends
    assert len(refused) == 2, ends
    for err in refused:
        assert re.fullmatch(
            r"error: run: (another process is training this run|holds a (finished )?run already).*\n", err
        )
    assert linprobe("train", *options[1:-1], "alone").code == 0
    models = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("run", "alone")]
    assert models[0] == models[1]
    assert sorted(os.listdir(tmp_path / "run")) == sorted(os.listdir(tmp_path / "alone"))


def test_a_run_is_not_resumed_while_it_still_runs(tmp_path: Path, linprobe: Any) -> None:
    child = start("train", "digits", *ENDLESS, "--out", "run", cwd=tmp_path)
    wait_for(tmp_path / "run" / "trace.csv", child)
    answer = linprobe("train", "--resume", tmp_path / "run")
    assert answer.code == 2
    assert "another process is training this run; wait until it ends, or stop it" in answer.err
    child.send_signal(signal.SIGTERM)
    _, err = child.communicate(timeout=30)
    assert err.startswith("SIGTERM: stopped after epoch")


def test_a_second_lab_on_the_port_of_the_first_ends_in_one_line(tmp_path: Path, linprobe: Any) -> None:
    first = start("lab", "--port", "0", cwd=tmp_path)
    try:
        assert first.stdout is not None
        port = first.stdout.readline().split()[4].rstrip("/").rpartition(":")[2]
        second = linprobe("lab", "--port", port)
        assert (second.code, second.out) == (2, "")
        assert second.err.startswith(f"error: port {port} is taken; choose another with --port")
    finally:
        first.kill()
        first.communicate()


def test_ctrl_c_while_the_words_are_read_is_one_line(linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.Group.parse_args", stop)
    answer = linprobe("info", "digits")
    assert (answer.code, answer.out, answer.err) == (130, "", "stopped by Ctrl-C\n")
