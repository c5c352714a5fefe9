"""Signals that ask a command to end: SIGTERM and SIGHUP end it as Ctrl-C does, in one line, and it can be resumed."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

__all__ = ["code_of_stop", "leave_quietly", "name_of_stop", "stops_answered"]

NAMES = ("SIGTERM", "SIGHUP")
"""What a scheduler, a service manager or `kill` sends, and what a terminal that closes sends; Windows has no SIGHUP."""

REPEAT_SECONDS = 2.0
"""Seconds after a signal in which another is the same request: a terminal that closes sends two. Chosen by argument."""


class _Stop:
    """The signal that was met last, and when."""

    number: int | None = None
    at = float("-inf")


@contextlib.contextmanager
def stops_answered() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt; those that the caller ignores (nohup) stay ignored."""
    _Stop.number, _Stop.at = None, float("-inf")
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {}
    for name in NAMES:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            before[number] = signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> None:
    """End the command, unless another signal has just begun to."""
    now = time.monotonic()
    if now - _Stop.at < REPEAT_SECONDS:
        return
    _Stop.number, _Stop.at = number, now
    raise KeyboardInterrupt


def name_of_stop() -> str:
    """What ended the command, for its last line."""
    return "Ctrl-C" if _Stop.number is None else signal.Signals(_Stop.number).name


def code_of_stop() -> int:
    """The exit code, as shells count it: 128 and the number of the signal."""
    return 128 + int(signal.SIGINT if _Stop.number is None else _Stop.number)


def leave_quietly() -> None:
    """As Python exits: Ctrl-C from here on ends the process, and prints no traceback of Python's own clean-up."""
    with contextlib.suppress(ValueError):  # not the main thread
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
