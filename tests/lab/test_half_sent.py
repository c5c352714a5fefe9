"""Requests that stop half-way: the lab closes their connections, and no others."""

from __future__ import annotations

import socket
import time
from urllib.parse import urlsplit

import pytest

pytest.importorskip("uvicorn", reason="the lab's libraries are missing: pip install '.[lab]'")

from linprobe.lab import half_sent
from linprobe.lab.protocol import Lab
from linprobe.lab.server import served


@pytest.fixture
def address(monkeypatch, tmp_path):
    monkeypatch.setattr(half_sent, "SECONDS", 0.4)
    monkeypatch.chdir(tmp_path)
    with served(Lab()) as found:
        parts = urlsplit(found)
        yield parts.hostname, parts.port


def connected(address):
    client = socket.create_connection(address)
    client.settimeout(10.0)
    return client


@pytest.mark.parametrize(
    "start", [b"", b"GET / HTTP/1.1\r\nHost: 127", b"POST /upload HTTP/1.1\r\nContent-Length: 99\r\n"]
)
def test_the_head_of_a_request_has_to_come_in_time(address, start):
    with connected(address) as client:
        begun = time.monotonic()
        client.sendall(start)
        assert client.recv(1) == b""
        assert 0.2 < time.monotonic() - begun < 5.0


def test_a_head_that_drips_is_not_waited_for(address):
    with connected(address) as client:
        client.setblocking(False)
        for piece in b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX: " + b"x" * 1000:
            try:
                client.sendall(bytes([piece]))
            except OSError:
                return
            time.sleep(0.02)
        pytest.fail("the connection stays open")


def test_the_rest_of_a_body_has_to_come_in_time(address):
    host, port = address
    origin = f"Host: {host}:{port}\r\nOrigin: http://{host}:{port}"
    head = f"POST /train/upload?name=a.zip HTTP/1.1\r\n{origin}\r\nContent-Length: 99\r\n\r\n"
    with connected(address) as client:
        begun = time.monotonic()
        client.sendall(head.encode() + b"PK")
        while client.recv(65536):
            pass
        assert time.monotonic() - begun < 5.0


def test_whole_requests_are_answered_over_one_connection(address):
    host, port = address
    request = f"GET / HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode()
    with connected(address) as client:
        for _ in range(2):
            client.sendall(request)
            answer = b""
            while b"</html>" not in answer:
                piece = client.recv(65536)
                assert piece
                answer += piece
            assert answer.startswith(b"HTTP/1.1 200")
            time.sleep(0.1)
