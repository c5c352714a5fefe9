"""The pages of the lab, in the order of the menu. A new page is a module of this room and a line here."""

from __future__ import annotations

from linprobe.lab import gradient, hall, inspect, matrix, playground, scores, train, walks
from linprobe.lab.protocol import Page

__all__ = ["PAGES"]

PAGES: tuple[Page, ...] = (
    playground.PAGE,
    matrix.PAGE,
    scores.PAGE,
    gradient.PAGE,
    walks.PAGE,
    train.PAGE,
    inspect.PAGE,
    hall.PAGE,
)
"""The pages in the order of the menu, and the class, which is a part of each of them."""
