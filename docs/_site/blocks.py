"""The code blocks of the pages: what the tests run, and what draws the pictures of the lecture."""

from __future__ import annotations

import re
from dataclasses import dataclass

FENCE = re.compile(
    r"(?:^<!-- not run: (?P<reason>[^\n]+) -->\n)?^(?P<indent>[ ]*)```(?P<language>[^\n`]*)\n(?P<code>.*?)^[ ]*```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """One fenced block of a page.

    Attributes:
        line: of the page, of the first line of code.
        language: behind the opening fence.
        code: what stands between the fences.
        reason: why the tests do not run it, None if they do.
    """

    line: int
    language: str
    code: str
    reason: str | None


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(text.count("\n", 0, match.start("code")) + 1, match["language"].strip(), match["code"], match["reason"])
        for match in FENCE.finditer(text)
    ]
