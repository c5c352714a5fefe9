"""The processes that answer students: the same bits, again after a failure, and none that outlives the lab."""

from __future__ import annotations

import dis
import os
import signal

import pytest

from linprobe.lab import crew
from linprobe.lab.crew import Crew
from linprobe.lab.pages import PAGES
from linprobe.lab.protocol import Lab
from linprobe.lab.roles import Hall
from linprobe.lab.server import served

from .test_hall import LECTURER, STUDENT, talking_as
from .test_server import ROW

OPEN = [page for page in PAGES if page.for_students]


@pytest.fixture
def lab():
    return Lab(hall=Hall(STUDENT))


@pytest.fixture
def address(lab):
    with served(lab, host="0.0.0.0", token=LECTURER) as address:
        yield address


def pids(lab: Lab) -> list[int]:
    return [hand._process.pid for hand in lab.service(Crew)._all if hand._process is not None]


def test_students_get_the_answers_and_the_refusals_that_the_lecturer_gets(address):
    row = {**ROW, "scores": [[0.1, 0.2, 1 / 3]]}
    drawn = {"set": "spiral", "n": 60, "seed": 3}
    with talking_as(address, STUDENT) as student, talking_as(address, LECTURER) as lecturer:
        for method, params in (("scores.explain", row), ("playground.draw", drawn)):
            assert student(method, **params) == lecturer(method, **params)
        wrong = {**ROW, "y": [3]}
        assert student.error("scores.explain", **wrong) == lecturer.error("scores.explain", **wrong)


def test_a_process_that_was_killed_is_a_sentence_and_the_next_request_starts_another(address, lab, monkeypatch):
    monkeypatch.setattr(crew, "usable_cores", lambda: 1)
    with talking_as(address, STUDENT) as student:
        student("scores.explain", **ROW)
        (before,) = pids(lab)
        os.kill(before, signal.SIGKILL)
        assert "has ended" in student.error("scores.explain", **ROW)
        assert student("scores.explain", **ROW)["losses"]["hinge"] == pytest.approx([2.9])
        assert pids(lab) != [before]


def test_an_answer_that_takes_too_long_is_given_up(address, lab, monkeypatch):
    with talking_as(address, STUDENT) as student:
        student("scores.explain", **ROW)
        for pid in pids(lab):
            os.kill(pid, signal.SIGSTOP)
        monkeypatch.setattr(crew, "SECONDS", 0.2)
        assert "took more than" in student.error("scores.explain", **ROW)


def test_the_processes_end_with_the_lab(lab):
    with served(lab, host="0.0.0.0", token=LECTURER) as address, talking_as(address, STUDENT) as student:
        student("scores.explain", **ROW)
        running = pids(lab)
        assert running
    for pid in running:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_process_whose_lab_was_killed_ends_by_itself():
    hand = crew._Hand()
    hand.start()
    process, hand._process = hand._process, None
    hand._socket.close()  # what the end of the lab does
    assert process.wait(30) == 0


def test_a_lab_without_a_class_starts_none():
    lab = Lab()
    with served(lab) as address, talking_as(address, "") as page:
        page.event("choices")
        page("scores.explain", **ROW)
        assert Crew not in lab._services


@pytest.mark.parametrize(
    "method", [m for page in OPEN for m in page.methods.values()], ids=lambda m: m.handler.__name__
)
def test_what_is_open_to_students_needs_no_client(method):
    code = method.handler.__code__
    client = code.co_varnames[0]
    assert not [step for step in dis.get_instructions(code) if step.argval == client and step.opname != "RESUME"]
