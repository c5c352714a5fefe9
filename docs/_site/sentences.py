"""The sentences of a page, without its code, tables, headings and comments: what the tests count the words of."""

from __future__ import annotations

import re

from blocks import FENCE

COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
LINK = re.compile(r"!?\[(?P<text>[^\]]*)\]\([^)\s]*\)")
CODE = re.compile(r"`[^`]+`")
LEFT_OUT = re.compile(r"^\s*(?:\||#)")
ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
END = re.compile(r"(?<!e\.g)(?<!i\.e)(?<!vs)[.!?][\"*_)]*\s+(?=\S)")


def paragraphs(page: str) -> list[str]:
    """The paragraphs and list items of a page, each on one line, a link as its text and a piece of code as one word."""
    text = COMMENT.sub("", FENCE.sub("\n\n", page))
    found: list[list[str]] = [[]]
    for line in text.splitlines():
        if not line.strip() or LEFT_OUT.match(line):
            found.append([])
        elif ITEM.match(line):
            found.append([ITEM.sub("", line)])
        else:
            found[-1].append(line.strip())
    joined = [" ".join(lines) for lines in found if lines]
    return [LINK.sub(lambda match: match["text"], CODE.sub("Code", text)) for text in joined]


def sentences(page: str) -> list[str]:
    """The sentences of a page, in order. Only `.`, `!` and `?` end one: a colon or a semicolon does not."""
    return [sentence for paragraph in paragraphs(page) for sentence in END.split(paragraph) if sentence.strip()]
