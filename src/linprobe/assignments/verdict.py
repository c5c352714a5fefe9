"""What a check says of one blank, and how a check says that it is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Outcome", "Verdict", "Wrong"]

Outcome = Literal["right", "wrong", "empty", "error", "slow"]


class Wrong(Exception):
    """The lines of a student are wrong; the message is the hint."""


@dataclass(frozen=True)
class Verdict:
    """On one blank.

    Attributes:
        assignment: its name.
        blank: the function.
        outcome: right; wrong: another result than expected; empty: no line was written; error: an exception of the
            student's lines; slow: no result in time.
        message: what is wrong, and a hint, in one line; empty where the blank is right.
    """

    assignment: str
    blank: str
    outcome: Outcome
    message: str = ""
