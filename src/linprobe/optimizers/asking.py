"""Searches that ask for gradients instead of computing them, so that many of them share the passes over the images."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from linprobe.objective import DataGradient, Objective
from linprobe.shapes import Floats

__all__ = ["Ask", "Asking", "answer", "answer_together"]

Result = TypeVar("Result")

MOST_TEMPLATES = 4096
"""Templates, L times K, of one shared pass: what it keeps besides is a float64 copy of them for each thread."""


@dataclass(frozen=True)
class Ask:
    """The data gradient at W (K, D) and b (K,) is wanted; in float64 throughout if `precise`."""

    W: Floats
    b: Floats
    precise: bool


Asking: TypeAlias = Generator[Ask, DataGradient, Result]
"""A search: yields `Ask`s, is sent the `DataGradient`s, returns its result."""


def answer(objective: Objective, search: Asking[Result]) -> Result:
    """The result of one search; Ctrl-C during a pass is thrown into it."""
    try:
        ask = next(search)
        while True:
            try:
                gradient = objective.data_gradient(ask.W, ask.b, precise=ask.precise)
            except KeyboardInterrupt as stop:
                ask = search.throw(stop)
            else:
                ask = search.send(gradient)
    except StopIteration as end:
        result: Result = end.value
        return result


def answer_together(objective: Objective, searches: list[Asking[Result]]) -> tuple[list[Result], float]:
    """(the result of each search, passes over the images), all asks of a round being answered in one pass.

    Asks for float64 have a pass of their own, and so do those beyond `MOST_TEMPLATES`. A search that is done drops
    out. Ctrl-C is thrown into all that are not.
    """
    results: dict[int, Result] = {}
    asks: dict[int, Ask] = {}
    passes = 0.0

    def go_on(i: int, gradient: DataGradient | KeyboardInterrupt | None) -> None:
        try:
            if isinstance(gradient, KeyboardInterrupt):
                asks[i] = searches[i].throw(gradient)
            else:
                asks[i] = next(searches[i]) if gradient is None else searches[i].send(gradient)
        except StopIteration as end:
            asks.pop(i, None)
            results[i] = end.value

    for i in range(len(searches)):
        go_on(i, None)
    size = max(1, MOST_TEMPLATES // objective.n_classes)
    while asks:
        try:
            for precise in (False, True):
                waiting = [i for i, ask in asks.items() if ask.precise is precise]
                for members in (waiting[start : start + size] for start in range(0, len(waiting), size)):
                    W, b = (np.stack([getattr(asks[i], name) for i in members]) for name in ("W", "b"))
                    gradients = objective.data_gradients(W, b, precise=precise)
                    passes += 1.0
                    for i, gradient in zip(members, gradients, strict=True):
                        go_on(i, gradient)
        except KeyboardInterrupt as stop:
            for i in list(asks):
                go_on(i, stop)
    return [results[i] for i in range(len(searches))], passes
