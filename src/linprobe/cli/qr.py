"""A QR code in a terminal: in any encoding and any colours, and in words where it does not fit."""

from __future__ import annotations

import codecs
import shutil
import sys
from collections.abc import Sequence

from linprobe.cli.terminal import is_terminal, write
from linprobe.extras import install_command

__all__ = ["drawn", "show"]

QUIET_ZONE = 4
"""Light modules around a code, which the standard, ISO/IEC 18004, demands."""

HALVES = {"00": " ", "01": "▄", "10": "▀", "11": "█"}
"""A letter for two modules, the upper and the lower; "1" is dark."""

INK, END = "\x1b[30;47m", "\x1b[0m"
"""Black letters on white: a reader needs dark modules on light ground, whatever the colours of the terminal are."""

GROUND = {"0": "\x1b[47m", "1": "\x1b[40m"}
"""The ground of a light and a dark module, where the encoding has no halves of letters."""


def drawn(modules: Sequence[str], encoding: str) -> list[str]:
    """The lines of a QR code: two modules to a letter, or two blanks to a module where `encoding` lacks the letters.

    Args:
        modules: rows of "0" and "1", without the quiet zone.
        encoding: of the terminal.
    """
    side = len(modules) + 2 * QUIET_ZONE
    edge = ["0" * side] * QUIET_ZONE
    rows = [*edge, *("0" * QUIET_ZONE + row + "0" * QUIET_ZONE for row in modules), *edge]
    if not _has_halves(encoding):
        return ["".join(f"{GROUND[module]}  " for module in row) + END for row in rows]
    if len(rows) % 2:
        rows.append("0" * side)
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return [INK + "".join(HALVES[a + b] for a, b in zip(*pair, strict=True)) + END for pair in pairs]


def _has_halves(encoding: str) -> bool:
    try:
        codecs.encode("".join(HALVES.values()), encoding)
    except (UnicodeError, LookupError):
        return False
    return True


def show(modules: Sequence[str]) -> None:
    """Print a QR code where stdout is a terminal that is wide enough; else say what it takes.

    Args:
        modules: as for `drawn`; none where the library that makes them is missing.
    """
    if not is_terminal(sys.stdout):
        return
    if not modules:
        write(f"for a QR code of it, install segno: {install_command('lab')}")
        return
    encoding = sys.stdout.encoding or "ascii"
    needed = (len(modules) + 2 * QUIET_ZONE) * (1 if _has_halves(encoding) else 2)
    columns = shutil.get_terminal_size().columns
    if columns < needed:
        write(f"its QR code takes {needed} columns, and this terminal has {columns}; the lecturer's page shows it, too")
        return
    sys.stdout.write("\n".join(drawn(modules, encoding)) + "\n")
    sys.stdout.flush()
