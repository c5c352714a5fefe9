"""`linprobe lab`: the address it prints, what it refuses, and how it ends."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.sync.client import connect

from linprobe.extras import install_command

PROGRAM = [sys.executable, "-c", "from linprobe.cli import main; main()", "lab"]


@contextmanager
def started(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, and the address that it printed; it is stopped at the end, if it still runs."""
    process = subprocess.Popen([*PROGRAM, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found, process.communicate(timeout=20)
        yield process, found[0]
    finally:
        process.kill()
        process.communicate()


def test_it_serves_on_a_free_port_of_loopback_until_ctrl_c():
    with started("--port", "0") as (process, address):
        assert re.fullmatch(r"http://127\.0\.0\.1:[1-9]\d*/", address)
        with urllib.request.urlopen(address, timeout=20) as answer:
            assert b"linprobe lab" in answer.read()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")


def test_another_host_is_served_with_a_token_in_its_address():
    with started("--port", "0", "--host", "0.0.0.0") as (_, address):
        port, token = re.fullmatch(r"http://[\w.-]+:(\d+)/\?token=(\S{32})", address).groups()
        assert "0.0.0.0" not in address  # which no other machine can open
        bare = f"http://127.0.0.1:{port}/"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(bare, timeout=20)
        request = urllib.request.Request(bare, headers={"Authorization": f"Bearer {token}"})
        with urllib.request.urlopen(request, timeout=20) as answer:
            assert answer.status == 200


def test_a_class_has_an_address_for_students_and_one_for_this_machine():
    with started("--port", "0", "--class") as (process, students):
        port, code = re.fullmatch(r"http://[\w.-]+:(\d+)/\?token=([a-z2-9]{10})", students).groups()
        assert process.stdout is not None
        own = re.search(rf"http://127\.0\.0\.1:{port}/\?token=(\S{{32}})", process.stdout.readline())
        assert own is not None
        bare = f"http://127.0.0.1:{port}/"
        for token in (code, own[1]):
            request = urllib.request.Request(bare, headers={"Authorization": f"Bearer {token}"})
            with urllib.request.urlopen(request, timeout=20) as answer:
                assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(bare, timeout=20)


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="the system lists no children of a process in /proc")
def test_ctrl_c_ends_a_class_and_the_processes_that_answer_it_without_a_word():
    with started("--port", "0", "--class") as (process, students):
        port, code = re.fullmatch(r"http://[\w.-]+:(\d+)/\?token=(\w+)", students).groups()
        origin = f"http://127.0.0.1:{port}"
        headers = {"Authorization": f"Bearer {code}"}
        with connect(f"ws://127.0.0.1:{port}/socket", origin=origin, additional_headers=headers) as page:
            page.send('{"id": 1, "method": "playground.draw", "params": {"set": "spiral", "n": 5, "seed": 0}}')
            while '"result"' not in page.recv(timeout=60):
                pass
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            assert children
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=20)
        assert (process.returncode, err) == (0, "")
        assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]


def test_a_port_that_is_taken_ends_in_one_line(linprobe):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        answer = linprobe("lab", "--port", taken.getsockname()[1])
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(r"error: port \d+ is taken; choose another with --port, or --port 0 .*\n", answer.err)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "1.2.3.4.5", ""])
def test_a_host_that_is_none_ends_in_one_line(linprobe, host):
    answer = linprobe("lab", "--host", host, "--port", 0)
    assert (answer.code, answer.out) == (2, "")
    assert re.fullmatch(r"error: host .* cannot be listened to .*\n", answer.err)


def test_without_its_libraries_it_says_how_to_get_them(linprobe, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "uvicorn" else object())
    answer = linprobe("lab")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "error: the lab needs uvicorn; install with: " + install_command("lab") + "\n"
