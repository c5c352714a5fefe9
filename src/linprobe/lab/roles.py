"""A class: the lecturer and the students who open one lab, and what each of them may do."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from linprobe.errors import ParameterError

__all__ = ["Attendance", "Bucket", "Hall", "Role"]


class Role(Enum):
    """Who has opened a page; without a class everyone is the lecturer."""

    LECTURER = "lecturer"
    STUDENT = "student"


@dataclass(frozen=True)
class Hall:
    """What a class is given.

    Args:
        token: the secret of the students; the lecturer has one of their own.
        address: that students open; "" where nobody prints one.
        training: whether students may upload, train, and read the folder of runs.
        students: pages of students that may be connected at a time.
        per_address: of these, from one address of the network.
    """

    token: str
    address: str = ""
    training: bool = False
    students: int = 128
    per_address: int = 8


class Attendance:
    """The pages of students that are connected, counted by their addresses; used from the loop's own thread.

    Args:
        hall: whose limits hold.
    """

    def __init__(self, hall: Hall) -> None:
        self.hall = hall
        self._from: Counter[str] = Counter()

    def __len__(self) -> int:
        return self._from.total()

    def enter(self, address: str) -> None:
        """Count one page more.

        Raises:
            ParameterError: there are too many; it is not counted.
        """
        if len(self) >= self.hall.students:
            raise ParameterError(
                f"{len(self)} pages of students are open, and this class takes no more; the lecturer can raise that "
                "with --students."
            )
        if self._from[address] >= self.hall.per_address:
            raise ParameterError(
                f"{self._from[address]} pages are open from your address, {address}, already; close one, or ask the "
                "lecturer to raise --per-address."
            )
        self._from[address] += 1

    def leave(self, address: str) -> None:
        """Count one page less, of those that entered."""
        self._from[address] -= 1
        if self._from[address] <= 0:
            del self._from[address]


class Bucket:
    """How long the next message has to wait, so that a client has at most `rate` of them a second.

    Args:
        rate: messages a second in the long run.
        burst: messages that come at once without waiting.
        clock: seconds.
    """

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.rate, self.burst, self._clock = rate, burst, clock
        self._left, self._at = float(burst), clock()

    def wait(self) -> float:
        """Take one message; the seconds to wait before it is answered."""
        now = self._clock()
        self._left = min(self.burst, self._left + (now - self._at) * self.rate) - 1
        self._at = now
        return max(0.0, -self._left / self.rate)
