"""Work that holds Python's global lock, on all cores: in forked processes, where forking is safe."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryFile
from typing import IO, NoReturn, TypeVar

from linprobe.cores import threads_for

__all__ = ["each"]

Item = TypeVar("Item")
Result = TypeVar("Result")

MOST_ITEMS = 256
"""Items at most: a byte names one."""


def each(work: Callable[[Item], Result], items: Sequence[Item], n_threads: int | None = None) -> list[Result]:
    """[work(item) for item in items], by this process and others that it forks; each takes the next item.

    Everything runs in this process on systems that cannot fork safely, and where other Python threads run: a forked
    process would wait for their locks forever. Items that another process fails to do are done here, and may raise.

    Args:
        work: must not change shared state, because it may run in another process; its results are pickled.
        items: on several processes 256 at most; the slowest first, if some are much slower.
        n_threads: processes at most; None for a core each.
    """
    n_processes = min(threads_for(n_threads), len(items))
    found: dict[int, Result] = {}
    if n_processes > 1 and len(items) <= MOST_ITEMS and sys.platform == "linux" and threading.active_count() == 1:
        _together(work, items, n_processes, found)
    return [found[number] if number in found else work(item) for number, item in enumerate(items)]


def _together(
    work: Callable[[Item], Result], items: Sequence[Item], n_processes: int, found: dict[int, Result]
) -> None:
    """Put into `found` what this process and n_processes - 1 others have done, by number."""
    left, numbers = os.pipe()  # whoever is free reads the number of the next item
    os.write(numbers, bytes(range(len(items))))
    os.close(numbers)
    others: dict[int, IO[bytes]] = {}
    with ExitStack() as ending:
        ending.callback(os.close, left)
        ending.callback(_end, others)
        for _ in range(n_processes - 1):
            # a file: a pipe holds 64 KB, and would make the process wait until this one reads
            try:
                file = ending.enter_context(TemporaryFile())
            except OSError:  # no temporary folder, or a full one: this process does the work
                break
            with _interrupts_held():  # or Ctrl-C would leave a process that nobody knows
                try:
                    process = _fork()
                except OSError:  # out of memory, or of processes
                    break
                if process == 0:
                    _run(work, items, left, file)
                others[process] = file
        for number in _taken(left):
            found[number] = work(items[number])
        for process, written in others.items():
            os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
            written.seek(0)
            try:
                while True:
                    number, result = pickle.load(written)  # of our own making, in a file without a name
                    found[number] = result
            except (EOFError, pickle.UnpicklingError):  # its end, or where it was killed
                pass


def _end(others: Iterable[int]) -> None:
    """End these processes, if they have not ended, and see them off."""
    for process in others:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Ctrl-C and what ends a command as Ctrl-C does are held back meanwhile."""
    held = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, held)


def _fork() -> int:
    with warnings.catch_warnings():
        # Python 3.12 warns of any thread: those of the core and of the BLAS begin anew in the child
        warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)
        return os.fork()


def _run(work: Callable[[Item], Result], items: Sequence[Item], left: int, file: IO[bytes]) -> NoReturn:
    """The life of a forked process, which puts (number, result) of what it does into `file`.

    It ends without the exit handlers: files and threads belong to its parent.
    """
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all: the parent ends this one
        gc.disable()  # a process of seconds: what it holds goes with it
        for number in _taken(left):
            pickle.dump((number, work(items[number])), file)
            file.flush()
    finally:
        os._exit(0)


def _taken(left: int) -> Iterator[int]:
    """Numbers of items, until there are no more."""
    while byte := os.read(left, 1):
        yield byte[0]
