"""The server: what it answers, to whom, and what a bad message gets."""

from __future__ import annotations

import asyncio
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from linprobe.errors import ParameterError
from linprobe.lab import protocol, uploads
from linprobe.lab.guard import HEADERS, is_loopback
from linprobe.lab.protocol import EVENTS_WAITING, Client, Lab
from linprobe.lab.server import MESSAGE_BYTES, make_app, open_port, reachable, served

from .conftest import talking

TOKEN = "a-token-of-the-tests"
ROW = {"scores": [[3.2, 5.1, -1.7]], "y": [0], "row": 0, "moved": 1, "low": -8, "high": 8, "delta": 1, "jiggle": 0.5}


def fetch(address: str, *, method: str = "GET", **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, body and headers of an answer, redirects not followed."""

    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_):
            return None

    names = {name.replace("_", "-"): value for name, value in headers.items()}
    request = urllib.request.Request(address, method=method, headers=names)
    try:
        with urllib.request.build_opener(Stay).open(request, timeout=20) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), dict(error.headers)


def socket_status(address: str, **options) -> int:
    """101 where the WebSocket opens, else the status of the refusal."""
    try:
        with connect(address.replace("http", "ws", 1) + "/socket", **options):
            return 101
    except InvalidStatus as refused:
        return refused.response.status_code


def test_every_answer_carries_the_security_headers(lab_address):
    for path in ("/", "/index.js", "/no-such-file"):
        _, _, headers = fetch(lab_address + path)
        found = {name.lower(): value for name, value in headers.items()}
        assert {name: found.get(name) for name in HEADERS} == HEADERS
    assert "unsafe" not in HEADERS["content-security-policy"]


def test_a_file_that_has_not_changed_is_not_sent_again(lab_address):
    status, body, headers = fetch(f"{lab_address}/index.js")
    assert status == 200
    assert body
    assert fetch(f"{lab_address}/index.js", If_None_Match=headers["etag"])[:2] == (304, "")


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/page/../../server.py", "//etc/passwd"])
def test_nothing_but_the_built_page_is_served(lab_address, path):
    assert fetch(lab_address + path)[0] == 404


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "10.0.0.1"])
def test_a_foreign_host_name_is_refused_on_loopback(lab_address, host):
    status, body, _ = fetch(lab_address, Host=host)
    assert status == 403
    assert "answers to 127.0.0.1" in body


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1", "[::1]:80"])
def test_the_names_of_loopback_are_let_in_on_any_port(lab_address, host):
    assert fetch(lab_address, Host=host)[0] == 200  # through a tunnel the port is another one


@pytest.mark.parametrize("origin", [None, "http://evil.example", "null", "http://127.0.0.1:1", "http://localhost"])
def test_a_socket_from_another_site_is_refused(lab_address, origin):
    assert socket_status(lab_address, origin=origin) == 403
    assert socket_status(lab_address, origin=lab_address) == 101


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_a_request_that_may_start_something_is_refused_from_another_site(lab_address, method):
    for headers in ({}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert fetch(lab_address, method=method, **headers)[0] == 403
    assert fetch(lab_address, method=method, Origin=lab_address)[0] == 405  # let in, and there is nothing to post


def test_a_lab_that_others_can_reach_asks_for_its_token():
    with served(Lab(), host="0.0.0.0", token=TOKEN) as address:
        for wrong in ("", "?token=", "?token=a-token", f"?token={TOKEN}x"):
            status, body, _ = fetch(f"{address}/{wrong}")
            assert (status, "token is missing or wrong" in body) == (403, True)
        status, _, headers = fetch(f"{address}/?token={TOKEN}")
        assert (status, headers["location"]) == (303, "/")
        assert "HttpOnly" in headers["set-cookie"]
        assert "SameSite=lax" in headers["set-cookie"]
        cookie = headers["set-cookie"].partition(";")[0]
        assert fetch(address, Cookie=cookie)[0] == 200
        assert fetch(address, Cookie=cookie + "x")[0] == 403
        assert fetch(address, Authorization=f"Bearer {TOKEN}")[0] == 200
        assert fetch(address, Cookie=cookie, Host="a-name-of-this-machine")[0] == 200
        assert socket_status(address, origin=address) == 403
        assert socket_status(address, origin=address, additional_headers={"Cookie": cookie}) == 101
        assert socket_status(address, origin="http://evil.example", additional_headers={"Cookie": cookie}) == 403


def test_the_page_works_in_a_browser_that_was_shown_the_token_once(open_page):
    with served(Lab(), host="0.0.0.0", token=TOKEN) as address:
        page = open_page(f"{address}/?token={TOKEN}#/scores")
        page.get_by_role("table", name="hinge terms").wait_for()  # the numbers came over the WebSocket
        assert page.url == f"{address}/#/scores"


def test_a_page_that_is_not_the_labs_cannot_open_the_socket(lab_address, browser):
    opens = """(address) => new Promise((done) => {
        const socket = new WebSocket(address);
        socket.onopen = () => done("open");
        socket.onerror = () => done("refused");
    })"""
    context = browser.new_context()
    page = context.new_page()
    socket = lab_address.replace("http", "ws") + "/socket"
    assert page.evaluate(opens, socket) == "refused"  # of about:blank, which no policy of ours restrains
    page.goto(lab_address)
    assert page.evaluate(opens, socket) == "open"
    context.close()


def test_the_token_cannot_lead_to_another_site():
    with served(Lab(), host="0.0.0.0", token=TOKEN) as address:
        assert fetch(f"{address}//evil.example/?token={TOKEN}&a=1")[2]["location"] == "/evil.example/?a=1"


def test_a_lab_on_another_host_is_refused_without_a_token():
    with pytest.raises(ParameterError, match="needs a token"):
        make_app(Lab(), host="0.0.0.0")


def test_loopback_is_what_no_other_machine_can_reach():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.8.8.8", "::1", "[::1]")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.2", "localhost.evil.example", "", "127.0.0.1x")))


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"\x00\x01", "binary"),
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 50_000, "not JSON"),
        ("[1]", "expected"),
        ('{"method": "scores.explain"}', "expected"),
        ('{"id": true, "method": "scores.explain"}', "expected"),
        ('{"id": 1}', "no method"),
        ('{"id": 1, "method": "os.system"}', "expected one of"),
        ('{"id": 1, "method": "scores.explain", "params": [1]}', "params must be an object"),
        ('{"id": 1, "method": "scores.explain", "params": {"scores": [[1e999, 1]]}}', "not finite"),
        ('{"id": 1, "method": "scores.explain", "params": {"scores": {"a": 1}}}', "expected"),
        (json.dumps({"id": 1, "method": "scores.explain", "params": {**ROW, "y": [3]}}), "expected classes 0..2"),
        (json.dumps({"id": 1, "method": "scores.explain", "params": {**ROW, "z": 1}}), "z is no known field"),
        ('{"id": "\\ud800", "method": "os.system"}', "no method"),  # half a character, which UTF-8 cannot write
        ('{"id": 1, "method": "inspect.open", "params": {"run": "\\ud800"}}', "whole characters"),
        ("x" * (MESSAGE_BYTES + 1), "at most"),
    ],
)
def test_a_bad_message_gets_one_clear_sentence_and_the_connection_lives_on(talk, message, why):
    answer = talk.raw(message)
    assert why in answer["error"]
    assert "\n" not in answer["error"]
    assert "Traceback" not in answer["error"]
    assert talk("scores.explain", **ROW)["losses"]["hinge"] == pytest.approx([2.9])


def test_a_page_far_behind_misses_events_but_not_what_is_told_to_all():
    async def told() -> list[str]:
        lab = Lab()
        client = Client(lab)
        lab.clients.add(client)
        for _ in range(EVENTS_WAITING + 10):
            client.send("train.rows", 1)
        lab.broadcast("train.state", 2)
        await asyncio.sleep(0)  # the loop takes in what was sent
        return [json.loads(await client.next())["event"] for _ in range(EVENTS_WAITING + 1)]

    with ThreadPoolExecutor(1) as pool:  # the browser's loop runs in this one
        events = pool.submit(lambda: asyncio.run(told())).result()
    assert events == ["train.rows"] * EVENTS_WAITING + ["train.state"]


def test_requests_beyond_those_in_flight_are_told_to_wait(lab_address):
    with talking(lab_address) as talk:
        request = {"method": "scores.explain", "params": ROW}
        for number in range(200):
            talk.socket.send(json.dumps({"id": number, **request}))
        answers = [json.loads(talk.socket.recv(timeout=20)) for _ in range(200)]
        assert {answer["id"] for answer in answers} == set(range(200))
        assert all("result" in answer or "wait for an answer" in answer["error"] for answer in answers)


def test_a_page_that_reads_no_answer_is_closed_before_they_fill_the_memory(lab_address, monkeypatch):
    monkeypatch.setattr(protocol, "MOST_WAITING", 0)
    with talking(lab_address) as talk, pytest.raises(ConnectionClosed, match="does not read its answers"):
        talk("scores.explain", **ROW)


def test_the_end_of_the_lab_during_an_upload_prints_no_traceback(tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(uploads.tempfile, "tempdir", str(tmp_path))
    with served(Lab()) as address:
        host = address.removeprefix("http://")
        with socket.create_connection(host.split(":"), 20) as half:
            half.sendall(
                f"POST /train/upload?name=a.zip HTTP/1.1\r\nHost: {host}\r\nOrigin: {address}\r\n"
                "Content-Length: 99\r\n\r\nhalf".encode()
            )
            wait_until(lambda: list(tmp_path.rglob("a.zip")))
    assert "Traceback" not in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def wait_until(happens: Callable[[], object]) -> None:
    """Wait for it, 20 seconds at most."""
    end = time.monotonic() + 20
    while not happens():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_the_printed_address_of_all_addresses_is_one_that_others_can_open():
    assert [reachable(host) for host in ("127.0.0.1", "my-machine", "::1")] == ["127.0.0.1", "my-machine", "::1"]
    for host in ("0.0.0.0", "::", "[::]"):
        found = reachable(host)
        assert found
        assert found not in ("0.0.0.0", "::", "[::]")


def test_a_port_that_is_taken_is_told_in_one_sentence():
    with open_port("127.0.0.1", 0) as taken, pytest.raises(ParameterError, match="is taken; choose another"):
        open_port("127.0.0.1", taken.getsockname()[1])


def test_an_unknown_host_is_told_in_one_sentence():
    with pytest.raises(ParameterError, match="cannot be listened to"):
        open_port("no-such-host.invalid", 0)
