"""SIGTERM, SIGHUP and Ctrl-C end every command alike: one line, 128 and the signal's number, and it can be resumed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
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


def test_ctrl_c_while_the_words_are_read_is_one_line(linprobe: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("click.Group.parse_args", stop)
    answer = linprobe("info", "digits")
    assert (answer.code, answer.out, answer.err) == (130, "", "stopped by Ctrl-C\n")
