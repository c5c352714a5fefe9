"""How many cores there are to compute on, and work for all of them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["by_threads", "usable_cores"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def usable_cores() -> int:
    """Cores that this process may use: a container or `taskset` may leave it fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def by_threads(work: Callable[[Item], Result], items: Sequence[Item], n_threads: int | None = None) -> Iterator[Result]:
    """work(item) of each item, in their order, by threads: a sum of the results has the same bits for any number.

    Args:
        work: what lets go of Python's lock, as NumPy does.
        items: what is worked on; all of it only if the results are taken to the end.
        n_threads: None for one per core.
    """
    n_threads = min(n_threads or usable_cores(), len(items))
    if n_threads < 2:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(n_threads) as pool:
        yield from pool.map(work, items)
