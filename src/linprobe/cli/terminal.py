"""Text for any terminal: in its encoding, without control characters, and whoever has stopped reading."""

from __future__ import annotations

import codecs
import contextlib
import io
import os
import sys
from typing import TextIO

from linprobe.plain import printable

__all__ = ["Lossy", "degraded", "drop_output", "is_terminal", "prepare", "write", "write_error"]

_DEGRADE = "linprobe.degrade"
"""Name of the error handler of `prepare`, among those of `codecs`."""

_PLAINER = str.maketrans(
    {"─": "-", "━": "-", "╸": "-", "╺": "-", "…": "~", "±": "+-", "×": "x", "²": "^2", "–": "-", "—": "-"}
)
"""ASCII for the characters that the commands themselves print."""


def prepare() -> None:
    """Let stdout and stderr take any text: what their encoding lacks is degraded or escaped, and is never an error."""
    codecs.register_error(_DEGRADE, _degrade)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_DEGRADE)


def degraded(text: str) -> str:
    """`text` with ASCII for what the commands themselves print."""
    return text.translate(_PLAINER)


def _degrade(error: UnicodeError) -> tuple[str, int]:
    """What stands for characters that an encoding lacks, and where to go on, as `codecs.register_error` defines."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = degraded(error.object[error.start : error.end])
    return printable(lacking).encode("ascii", "backslashreplace").decode("ascii"), error.end


def write(text: str) -> None:
    """Lines on stdout, with an end of line after the last. Raises OSError where nobody reads, or the disk is full.

    `click.echo` would write UTF-8 where the encoding is ASCII.
    """
    if sys.stdout is not None:  # closed by the shell (>&-)
        sys.stdout.write(printable(text, keep="\n") + "\n")
        sys.stdout.flush()


def write_error(text: str) -> None:
    """Lines on stderr; lost where stderr cannot be written: what a command does never depends on that."""
    with contextlib.suppress(OSError, ValueError):  # ValueError: a closed stream
        if sys.stderr is not None:
            sys.stderr.write(printable(text, keep="\n") + "\n")
            sys.stderr.flush()


class Lossy(io.TextIOBase):
    """A stream of text that loses what cannot be written: a training does not end because its terminal was closed.

    Args:
        stream: the terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override]  # writable there
        """That of the terminal."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """Write and flush, as far as that can be had; the number of letters."""
        with contextlib.suppress(OSError, ValueError):  # ValueError: a closed stream
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The descriptor of the terminal."""
        return self._stream.fileno()


def is_terminal(stream: object) -> bool:
    """Whether `stream` is a terminal that draws what it is sent; TERM=dumb, an editor's, does not."""
    return isinstance(stream, io.TextIOBase) and stream.isatty() and os.environ.get("TERM") != "dumb"


def drop_output() -> None:
    """Discard what stdout still buffers and would write at exit."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
