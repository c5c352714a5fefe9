"""The text of --help, in a terminal of any width."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable

import click

__all__ = ["HelpContext"]

LEAST, WIDEST = 40, 80
"""Columns of the narrowest and of the widest terminal that the text is set for. Chosen by argument: options and the
examples take up to 38 columns, and click sets its text for 80 at most."""

FIRST_SHARE = 1 / 3
"""Share of the width that the first column of a list may take. Chosen by argument: options of 30 columns leave their
texts less than half of a terminal of 60."""

NARROW = 70
"""Width of a terminal, in columns, below which that share holds. Chosen by argument: the text beside an option has at
least 36 columns from there on."""

INDENT = 4
"""Columns by which the text below a long term is set in."""


class _Help(click.HelpFormatter):
    """As click does; in a narrow terminal the text of an option stands below it, and long terms go on in a new line."""

    def __init__(self, indent_increment: int = 2, width: int | None = None, max_width: int | None = None) -> None:
        if width is None:  # click takes 50 at least
            width = min(max(shutil.get_terminal_size().columns, LEAST) - 2, max_width or WIDEST - 2)
        super().__init__(indent_increment, width, max_width)

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2) -> None:
        """Write a list of terms and their texts.

        Args:
            rows: (term, text) of each.
            col_max: columns that the terms may take in a wide terminal.
            col_spacing: columns between the two.
        """
        rows = list(rows)
        widest = max((len(term) for term, _ in rows), default=0)
        if self.width < NARROW and widest > FIRST_SHARE * self.width:
            col_max, rows = INDENT - col_spacing, [(self._folded(term), text) for term, text in rows]
        super().write_dl(rows, col_max, col_spacing)

    def _folded(self, term: str) -> str:
        """The term in as many lines as it takes, of which all but the last end with the bar of a list of choices."""
        lines = [""]
        for part in re.split(r"(?<=\|)", term):
            room = self.width - self.current_indent - (INDENT if len(lines) > 1 else 0)
            if len(lines[-1] + part) > room and lines[-1]:
                lines.append("")
            lines[-1] += part
        return ("\n" + " " * (self.current_indent + INDENT)).join(lines)


class HelpContext(click.Context):
    """A context whose help fits a narrow terminal."""

    formatter_class = _Help
