"""How many cores there are to compute on, and work for all of them."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["by_threads", "share_of", "side_by_side", "threads_for", "usable_cores"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Cores that this process may use: a container or `taskset` may leave it fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


PER_CORE, AT_LEAST = 4, 16
"""Threads for each usable core at most, and the least such limit. Threads beyond the cores only help where they wait
for a disk, and the core keeps each thread that it has started. Chosen by argument."""


def threads_for(n_threads: int | None) -> int:
    """Threads that work for a request of `n_threads`: None for one per usable core, and never more than help.

    No result depends on the number.
    """
    cores = usable_cores()
    return min(n_threads or cores, max(AT_LEAST, PER_CORE * cores))


class _SideBySide(threading.local):
    """Whether the thread that asks is one of those that work side by side; and of all of them, how many there are."""

    here = False
    n, lock = 0, threading.Lock()


_SIDES = _SideBySide()


@contextmanager
def side_by_side() -> Iterator[None]:
    """Within, this thread works beside others that say so too, and each takes its share of the cores (`share_of`)."""

    def count(more: int) -> None:
        with _SideBySide.lock:
            _SideBySide.n += more

    before, _SIDES.here = _SIDES.here, True
    count(1)
    try:
        yield
    finally:
        count(-1)
        _SIDES.here = before


def share_of(n_threads: int) -> int:
    """What this thread may use of `n_threads`: all, or its share where it works side by side with others."""
    return max(1, n_threads // max(1, _SideBySide.n)) if _SIDES.here else n_threads


def by_threads(work: Callable[[Item], Result], items: Sequence[Item], n_threads: int | None = None) -> Iterator[Result]:
    """work(item) of each item, in their order, by threads: a sum of the results has the same bits for any number.

    Args:
        work: what lets go of Python's lock, as NumPy does.
        items: what is worked on; all of it only if the results are taken to the end.
        n_threads: None for one per core.
    """
    n_threads = min(threads_for(n_threads), len(items))
    if n_threads < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(work, items)
