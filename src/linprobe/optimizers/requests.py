"""Searches that request gradients instead of computing them, so that many of them share the passes over the images."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np

from linprobe.cores import side_by_side, threads_for
from linprobe.engines.base import Precision
from linprobe.objective import DataGradient, Evaluation, Objective
from linprobe.shapes import Floats

__all__ = ["GradientRequest", "Point", "Search", "joined", "run_search", "run_searches", "visit"]

Result = TypeVar("Result")

MAX_TEMPLATES = 4096
"""Templates, searches times classes, of one shared pass. It bounds memory: each thread keeps a float64 copy of them.
Chosen by argument: with 3,072 features a copy takes 100 MB."""


@dataclass(frozen=True)
class GradientRequest:
    """A request for the data gradient at W (K, D) and b (K,), computed in `precision` or better."""

    W: Floats
    b: Floats
    precision: Precision


Search: TypeAlias = Generator[GradientRequest, DataGradient, Result]
"""A search, as a generator: it yields `GradientRequest`s, is sent a `DataGradient` for each, and returns its
result."""


def joined(W: Floats, b: Floats) -> Floats:
    """W (K, D) and b (K,) as one array (K, D + 1), the bias in the last column."""
    return np.concatenate([W, b[:, None]], axis=1)


@dataclass(frozen=True)
class Point:
    """(W, b), with the results of a pass over the images there.

    Attributes:
        W, b: (K, D) and (K,).
        evaluation: the objective and its parts.
        dW, db: (K, D) and (K,), the gradient of the smooth part of the objective.
    """

    W: Floats
    b: Floats
    evaluation: Evaluation
    dW: Floats
    db: Floats

    @property
    def value(self) -> float:
        """L(W, b)."""
        return self.evaluation.objective

    @property
    def gradient(self) -> Floats:
        """dW and db as one array (K, D + 1), a new one."""
        return joined(self.dW, self.db)

    def step_to(self, other: Point) -> Floats:
        """The step from here to `other`, (K, D + 1)."""
        return joined(other.W - self.W, other.b - self.b)


def visit(objective: Objective, W: Floats, b: Floats, precision: Precision) -> Search[Point]:
    """The point (W, b), by one request."""
    gradient = yield GradientRequest(W, b, precision)
    return Point(W, b, *objective.with_penalty(gradient, W))


def run_search(objective: Objective, search: Search[Result]) -> Result:
    """The result of one search, each request answered by a pass of its own.

    Ctrl-C during a pass is raised inside the search, which may end with what it has.
    """
    try:
        request = next(search)
        while True:
            try:
                gradient = objective.data_gradient(request.W, request.b, precision=request.precision)
            except KeyboardInterrupt as stop:
                request = search.throw(stop)
            else:
                request = search.send(gradient)
    except StopIteration as end:
        result: Result = end.value
        return result


def run_searches(objective: Objective, searches: list[Search[Result]]) -> tuple[list[Result], float]:
    """(the result of each search, passes over the images); all requests of a round are answered in one pass.

    Requests of different precisions take separate passes, and so do those beyond `MAX_TEMPLATES`. A search that has
    ended requests nothing more. Between two passes the searches run in parallel, in as many threads as the engine has:
    each computes its next step, mostly on one core. Ctrl-C is raised inside all searches that have not ended.
    """
    results: dict[int, Result] = {}
    requests: dict[int, GradientRequest] = {}
    passes = 0.0

    def resume(i: int, gradient: DataGradient | KeyboardInterrupt | None) -> None:
        try:
            with side_by_side():
                if isinstance(gradient, KeyboardInterrupt):
                    requests[i] = searches[i].throw(gradient)
                else:
                    requests[i] = next(searches[i]) if gradient is None else searches[i].send(gradient)
        except StopIteration as end:
            requests.pop(i, None)
            results[i] = end.value

    size = max(1, MAX_TEMPLATES // objective.n_classes)
    with ThreadPoolExecutor(threads_for(objective.engine.n_threads)) as pool:

        def resume_all(sent: dict[int, DataGradient | KeyboardInterrupt | None]) -> None:
            futures = [pool.submit(resume, i, gradient) for i, gradient in sent.items()]
            try:
                wait(futures)
            finally:  # Ctrl-C arrives in this thread: every search must pause before it is raised inside them
                wait(futures)
            for future in futures:
                future.result()

        def answer_all(precision: Precision) -> None:
            nonlocal passes
            waiting = sorted(i for i, request in requests.items() if request.precision is precision)
            for members in (waiting[start : start + size] for start in range(0, len(waiting), size)):
                W, b = (np.stack([getattr(requests[i], name) for i in members]) for name in ("W", "b"))
                gradients = objective.data_gradients(W, b, precision=precision)
                passes += 1.0
                resume_all(dict(zip(members, gradients, strict=True)))

        resume_all(dict.fromkeys(range(len(searches))))
        while requests:
            try:
                for precision in Precision:
                    answer_all(precision)
            except KeyboardInterrupt as stop:
                if not requests:  # nobody is left who could end with what it has
                    raise
                resume_all(dict.fromkeys(list(requests), stop))
    return [results[i] for i in range(len(searches))], passes
