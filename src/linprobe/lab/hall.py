"""A class in the lab: who is there, and the step that the lecturer shows to all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from linprobe.errors import ParameterError
from linprobe.lab.protocol import Client, Lab, Method, Page, Request
from linprobe.lab.qr import modules
from linprobe.lab.roles import Attendance, Hall, Role
from linprobe.lab.wire import Text

__all__ = ["PAGE", "Class", "HallState"]

LONGEST = 32_768
"""Characters of the link to a step, at most: 400 points that were moved by hand take about 10,000."""


@dataclass(frozen=True)
class HallState:
    """What a page shows of the class that it is in.

    Attributes:
        role: of this page.
        closed: the pages that it may not use.
        address: that students open.
        students: pages of students that are connected; 0 where this page is a student's.
        shown: the link to the step that the lecturer shows, from "#/" on; "" before the first.
        turn: how often the lecturer has shown one.
        code: of the lecturer: the rows of the QR code of the address, "1" for dark; none where segno is missing.
    """

    role: Literal["lecturer", "student"]
    closed: tuple[str, ...]
    address: str
    students: int
    shown: str
    turn: int
    code: tuple[str, ...]


@dataclass(frozen=True)
class NotAdmitted:
    """Why a student's page was not let in, in a sentence; its connection is closed."""

    why: str


class Class:
    """The class of a lab: a service.

    Args:
        lab: one that has a hall.
    """

    def __init__(self, lab: Lab) -> None:
        assert lab.hall is not None  # else nobody comes here
        self.lab, self.hall = lab, lab.hall
        self.attendance = Attendance(self.hall)
        self.shown, self.turn = "", 0
        self._code = modules(self.hall.address) if self.hall.address else ()

    def greet(self, client: Client) -> None:
        """Send a page the state of the class."""
        student = client.role is Role.STUDENT
        state = HallState(
            client.role.value,
            tuple(sorted(client.closed)),
            self.hall.address,
            0 if student else len(self.attendance),
            self.shown,
            self.turn,
            () if student else self._code,
        )
        client.send("hall.state", state, always=True)

    def count(self) -> None:
        """Send the lecturer how many students there are."""
        for client in tuple(self.lab.clients):
            if client.role is Role.LECTURER:
                self.greet(client)

    def show(self, address: str) -> None:
        """Send all pages to a step."""
        self.shown, self.turn = address, self.turn + 1
        for client in tuple(self.lab.clients):
            self.greet(client)


@dataclass(frozen=True)
class ShowRequest(Request):
    """A step: the part of its link from "#/" on."""

    address: Annotated[str, Text(LONGEST)]

    def __post_init__(self) -> None:
        if not self.address.startswith("#/"):
            raise ParameterError(f"address = {self.address[:60]!r}; expected a link of the lab, which begins with #/.")


def show(client: Client, asked: ShowRequest) -> None:
    """Show a step to all students."""
    class_of(client.lab).show(asked.address)


def class_of(lab: Lab) -> Class:
    """The class of a lab.

    Raises:
        ParameterError: it serves none.
    """
    if lab.hall is None:
        raise ParameterError("this lab serves no class; start one with: linprobe lab --class")
    return lab.service(Class)


def closed_to_students(hall: Hall, pages: tuple[Page, ...]) -> frozenset[str]:
    """The names of the pages that students may not use."""
    return frozenset(page.name for page in pages if not (page.for_students or (hall.training and page.name != "hall")))


PAGE = Page("hall", {"show": Method(ShowRequest, show)}, events={"state": HallState, "refused": NotAdmitted})
