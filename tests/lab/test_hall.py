"""A class: who gets in as what, what students may not do, and the step that the lecturer shows to all."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import HTTPException
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from linprobe.errors import ParameterError
from linprobe.lab import server
from linprobe.lab.guard import CODE_LENGTH, new_code
from linprobe.lab.pages import PAGES
from linprobe.lab.protocol import Lab
from linprobe.lab.roles import Attendance, Bucket, Hall
from linprobe.lab.server import make_app, served

from .conftest import Talk
from .test_server import ROW, fetch, socket_status, wait_until

LECTURER, STUDENT = "the-lecturers-own-token", "abcdefghjk"


@contextmanager
def class_(**options: Any) -> Iterator[str]:
    """The address of a lab that serves a class."""
    with served(Lab(hall=Hall(STUDENT, **options)), host="0.0.0.0", token=LECTURER) as address:
        yield address


@contextmanager
def talking_as(address: str, token: str) -> Iterator[Talk]:
    """A WebSocket of the page of someone who has that token."""
    headers = {"Authorization": f"Bearer {token}"}
    at = address.replace("http", "ws", 1) + "/socket"
    with connect(at, origin=address, additional_headers=headers, max_size=2**24) as socket:  # type: ignore[arg-type]
        yield Talk(socket)


def test_students_use_what_only_computes_and_are_refused_the_rest_in_one_line():
    with class_() as address, talking_as(address, STUDENT) as student:
        state = student.event("hall.state")
        assert (state["role"], state["closed"]) == ("student", ["hall", "inspect", "train"])
        assert student("scores.explain", **ROW)["losses"]["hinge"] == pytest.approx([2.9])
        for method in ("train.state", "train.start", "train.runs", "inspect.state", "inspect.grid"):
            assert "closed to students of this class" in student.error(method)
        assert student.error("hall.show", address="#/scores") == "only the lecturer can show a step to all."
        for path in ("/train/upload?name=a.zip", "/inspect/picture"):
            for token in (STUDENT, LECTURER[:-1]):
                status, _, _ = fetch(address + path, method="POST", Origin=address, Authorization=f"Bearer {token}")
                assert status == (404 if token == STUDENT else 403)
        assert fetch(f"{address}/train/report/a", Authorization=f"Bearer {STUDENT}")[0] == 404


def test_where_the_lecturer_allows_it_students_train_but_do_not_lecture():
    with class_(training=True) as address, talking_as(address, STUDENT) as student:
        assert student.event("hall.state")["closed"] == ["hall"]
        assert student("train.state")["job"] is None
        assert "only the lecturer" in student.error("hall.show", address="#/scores")


def test_every_page_that_reads_runs_or_takes_files_is_closed_to_students():
    closed = {page.name for page in PAGES if not page.for_students}
    assert closed == {"hall", "inspect", "train"}  # a new page is closed until someone decides
    assert not [page.name for page in PAGES if page.for_students and (page.routes or page.events)]


def test_a_step_of_the_lecturer_reaches_students_who_are_there_and_those_who_come_later():
    with class_() as address, talking_as(address, LECTURER) as lecturer, talking_as(address, STUDENT) as student:
        assert lecturer.event("hall.state")["role"] == "lecturer"
        assert student.event("hall.state")["shown"] == ""
        lecturer("hall.show", address="#/scores?s=10_9_9")
        state = student.event("hall.state")
        assert (state["shown"], state["turn"], state["students"]) == ("#/scores?s=10_9_9", 1, 0)
        with talking_as(address, STUDENT) as late:
            assert late.event("hall.state")["shown"] == "#/scores?s=10_9_9"
            assert lecturer.event("hall.state")["students"] == 2
        assert "begins with #/" in lecturer.error("hall.show", address="https://evil.example/")


def test_the_events_of_a_closed_page_do_not_reach_students():
    lab = Lab(hall=Hall(STUDENT))
    with served(lab, host="0.0.0.0", token=LECTURER) as address, talking_as(address, STUDENT) as student:
        student.event("hall.state")
        lab.broadcast("train.state", {"run": "secret"})
        assert student.raw(json.dumps({"id": 1, "method": "nothing"}))["id"] == 1


def asked(guard: Any, token: str, client: str, server: str = "192.168.1.2", cookie: str = "") -> tuple[int, str, str]:
    """Status, body and cookie of the answer to a request from an address of the network."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http",
        "path": "/", "raw_path": b"/", "query_string": f"token={token}".encode() if token else b"", "root_path": "",
        "headers": [(b"host", b"192.168.1.2:8421"), (b"cookie", cookie.encode())],
        "client": (client, 2), "server": (server, 8421),
    }  # fmt: skip
    asyncio.run(guard(scope, receive, send))
    headers = dict(sent[0]["headers"])
    body = b"".join(message.get("body", b"") for message in sent[1:]).decode()
    return sent[0]["status"], body, headers.get(b"set-cookie", b"").decode().partition(";")[0]


@pytest.fixture(scope="module")
def guard() -> Any:
    return make_app(Lab(hall=Hall(STUDENT)), host="0.0.0.0", token=LECTURER)


def in_a_thread(*arguments: Any, **named: Any) -> tuple[int, str, str]:
    """`asked`, in a thread of its own: the browser's loop may run in this one."""
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asked, *arguments, **named).result()


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "::ffff:127.0.0.1", "192.168.1.2"])
def test_the_lecturers_token_opens_the_lab_on_its_own_machine(guard, client):
    status, _, cookie = in_a_thread(guard, LECTURER, client)
    assert status == 303
    assert cookie.endswith(f"={LECTURER}")


@pytest.mark.parametrize("client", ["192.168.1.9", "10.0.0.1", "2001:db8::9", "", "127.0.0.1.evil.example"])
def test_a_lecturers_token_that_was_read_off_the_network_opens_nothing(guard, client):
    status, body, cookie = in_a_thread(guard, LECTURER, client)
    assert (status, cookie) == (403, "")
    assert "opens the lab on the machine where it runs" in body


def test_a_student_gets_the_students_cookie_and_never_another(guard):
    status, _, cookie = in_a_thread(guard, STUDENT, "192.168.1.9")
    assert status == 303
    assert cookie.endswith(f"={STUDENT}")
    assert in_a_thread(guard, "", "192.168.1.9", cookie=cookie)[0] == 200
    for wrong in ("x", LECTURER[:-1], STUDENT + "x"):
        assert in_a_thread(guard, wrong, "192.168.1.9", cookie=cookie)[2] == ""
        assert in_a_thread(guard, wrong, "192.168.1.9")[0] == 403


def test_the_socket_of_a_class_is_refused_without_a_token_and_from_other_sites():
    with class_() as address:
        for token in (STUDENT, LECTURER):
            headers = {"Authorization": f"Bearer {token}"}
            assert socket_status(address, origin=address, additional_headers=headers) == 101
            assert socket_status(address, origin="http://evil.example", additional_headers=headers) == 403
        assert socket_status(address, origin=address) == 403


def test_a_class_needs_two_different_tokens():
    for token in (None, STUDENT):
        with pytest.raises(ParameterError, match="a class needs a token of the lecturer's own"):
            make_app(Lab(hall=Hall(STUDENT)), token=token)


def test_a_page_too_many_is_told_why_and_closed_and_a_place_that_is_left_is_free():
    with class_(per_address=1) as address:
        with talking_as(address, STUDENT) as student:
            student.event("hall.state")
            with talking_as(address, STUDENT) as second:
                why = second.event("hall.refused")["why"]
                assert "1 pages are open from your address, 127.0.0.1, already" in why
                with pytest.raises(ConnectionClosed, match="takes no more pages"):
                    second.socket.recv(timeout=20)
            with talking_as(address, LECTURER) as lecturer:
                assert lecturer.event("hall.state")["students"] == 1
        with talking_as(address, LECTURER) as lecturer:
            while lecturer.event("hall.state")["students"]:
                pass
        with talking_as(address, STUDENT) as student:
            assert student.event("hall.state")["role"] == "student"


def test_the_class_is_full_at_its_number_of_students_whatever_their_addresses():
    attendance = Attendance(Hall(STUDENT, students=3, per_address=2))
    for address in ("a", "a", "b"):
        attendance.enter(address)
    with pytest.raises(ParameterError, match="this class takes no more"):
        attendance.enter("c")
    attendance.leave("b")
    with pytest.raises(ParameterError, match="your address, a, already"):
        attendance.enter("a")
    attendance.enter("c")
    assert len(attendance) == 3


def test_one_address_cannot_take_all_connections_and_those_that_end_are_free_again():
    with class_(per_address=1) as address:
        at = tuple(address.removeprefix("http://").split(":"))
        with ExitStack() as held:
            for _ in range(server._most_connections(Hall(STUDENT, per_address=1))):
                held.enter_context(socket.create_connection(at, 20)).sendall(b"G")
            assert not answers(address)  # one too many
        wait_until(lambda: answers(address))
        with talking_as(address, STUDENT) as student:
            assert student("scores.explain", **ROW)["losses"]["hinge"] == pytest.approx([2.9])


def answers(address: str) -> bool:
    """Whether a request gets an answer."""
    try:
        return fetch(address)[0] == 403
    except (OSError, HTTPException):
        return False


def test_messages_beyond_the_rate_wait_as_long_as_the_rate_says():
    now = [0.0]
    bucket = Bucket(rate=10, burst=2, clock=lambda: now[0])
    assert [bucket.wait() for _ in range(4)] == pytest.approx([0, 0, 0.1, 0.2])
    now[0] = 100.0
    assert [bucket.wait() for _ in range(3)] == pytest.approx([0, 0, 0.1])


def test_a_student_who_reads_no_answer_is_closed_before_they_fill_the_memory(monkeypatch):
    monkeypatch.setattr(server, "STUDENT_BYTES", -1)
    with class_() as address:
        with talking_as(address, STUDENT) as student, pytest.raises(ConnectionClosed, match="does not read"):
            student("scores.explain", **ROW)
        with talking_as(address, LECTURER) as lecturer:
            assert lecturer("scores.explain", **ROW)["losses"]["hinge"] == pytest.approx([2.9])


def test_codes_differ_and_hold_no_letters_that_look_alike():
    codes = {new_code() for _ in range(50)}
    assert len(codes) == 50
    assert all(len(code) == CODE_LENGTH and not set(code) & set("0o1li") for code in codes)
