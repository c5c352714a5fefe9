"""Searches that ask for gradients instead of computing them, so that many of them share the passes over the images."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from linprobe.cores import side_by_side, usable_cores
from linprobe.engines.base import Precision
from linprobe.objective import DataGradient, Evaluation, Objective
from linprobe.shapes import Floats

__all__ = ["Ask", "Asking", "Visited", "answer", "answer_together", "joined", "visit"]

Result = TypeVar("Result")

MOST_TEMPLATES = 4096
"""Templates, L times K, of one shared pass: what it keeps besides is a float64 copy of them for each thread."""


@dataclass(frozen=True)
class Ask:
    """The data gradient at W (K, D) and b (K,) is wanted."""

    W: Floats
    b: Floats
    precision: Precision


Asking: TypeAlias = Generator[Ask, DataGradient, Result]
"""A search: yields `Ask`s, is sent the `DataGradient`s, returns its result."""


def joined(W: Floats, b: Floats) -> Floats:
    """(K, D + 1), W and b side by side."""
    return np.concatenate([W, b[:, None]], axis=1)


@dataclass(frozen=True)
class Visited:
    """(W, b), with what a pass tells of it.

    Attributes:
        W, b: (K, D) and (K,).
        evaluation: of the objective there.
        dW, db: the gradient of all that is smooth.
    """

    W: Floats
    b: Floats
    evaluation: Evaluation
    dW: Floats
    db: Floats

    @property
    def gradient(self) -> Floats:
        """(K, D + 1), dW and db side by side."""
        return joined(self.dW, self.db)

    def step_to(self, other: Visited) -> Floats:
        """(K, D + 1)."""
        return joined(other.W - self.W, other.b - self.b)


def visit(objective: Objective, W: Floats, b: Floats, precision: Precision) -> Asking[Visited]:
    """What a pass tells of (W, b)."""
    gradient = yield Ask(W, b, precision)
    return Visited(W, b, *objective.with_penalty(gradient, W))


def answer(objective: Objective, search: Asking[Result]) -> Result:
    """The result of one search; Ctrl-C during a pass is thrown into it."""
    try:
        ask = next(search)
        while True:
            try:
                gradient = objective.data_gradient(ask.W, ask.b, precision=ask.precision)
            except KeyboardInterrupt as stop:
                ask = search.throw(stop)
            else:
                ask = search.send(gradient)
    except StopIteration as end:
        result: Result = end.value
        return result


def answer_together(objective: Objective, searches: list[Asking[Result]]) -> tuple[list[Result], float]:
    """(the result of each search, passes over the images), all asks of a round being answered in one pass.

    Each precision has passes of its own, and so have asks beyond `MOST_TEMPLATES`. A search that is done drops out.
    Ctrl-C is thrown into all that are not. Between two passes the searches go on side by side, in as many threads
    as the engine has: what one does there takes long, and most of it by itself.
    """
    results: dict[int, Result] = {}
    asks: dict[int, Ask] = {}
    passes = 0.0

    def go_on(i: int, gradient: DataGradient | KeyboardInterrupt | None) -> None:
        try:
            with side_by_side():
                if isinstance(gradient, KeyboardInterrupt):
                    asks[i] = searches[i].throw(gradient)
                else:
                    asks[i] = next(searches[i]) if gradient is None else searches[i].send(gradient)
        except StopIteration as end:
            asks.pop(i, None)
            results[i] = end.value

    size = max(1, MOST_TEMPLATES // objective.n_classes)
    with ThreadPoolExecutor(objective.engine.n_threads or usable_cores()) as pool:

        def all_go_on(sent: dict[int, DataGradient | KeyboardInterrupt | None]) -> None:
            futures = [pool.submit(go_on, i, gradient) for i, gradient in sent.items()]
            try:
                wait(futures)
            finally:  # Ctrl-C comes to this thread: the searches must stand still before it is thrown into them
                wait(futures)
            for future in futures:
                future.result()

        all_go_on(dict.fromkeys(range(len(searches))))
        while asks:
            try:
                for precision in Precision:
                    waiting = sorted(i for i, ask in asks.items() if ask.precision is precision)
                    for members in (waiting[start : start + size] for start in range(0, len(waiting), size)):
                        W, b = (np.stack([getattr(asks[i], name) for i in members]) for name in ("W", "b"))
                        gradients = objective.data_gradients(W, b, precision=precision)
                        passes += 1.0
                        all_go_on(dict(zip(members, gradients, strict=True)))
            except KeyboardInterrupt as stop:
                all_go_on(dict.fromkeys(list(asks), stop))
    return [results[i] for i in range(len(searches))], passes
