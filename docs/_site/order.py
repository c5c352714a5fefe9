"""The order of the site: that of the links in index.md, so that one plain list serves readers here and there."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

SECTION = re.compile(r"^## (?P<title>.+)$", re.MULTILINE)
PAGE = re.compile(r"^[-*] \[[^\]]+\]\((?P<page>[\w/]+)\.md\)", re.MULTILINE)


def tables_of_contents(text: str) -> str:
    """Hidden toctrees, one per section of `text` that lists pages, each with the title of its section."""
    starts = [*SECTION.finditer(text)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    trees = []
    for start, end in zip(starts, ends, strict=True):
        pages = [match["page"] for match in PAGE.finditer(text, start.end(), end)]
        if pages:
            listed = "\n".join(pages)
            trees.append(f"\n```{{toctree}}\n:hidden:\n:caption: {start['title']}\n\n{listed}\n```\n")
    return "".join(trees)


def add_to(app: Sphinx, docname: str, source: list[str]) -> None:
    """The pages that a list of the index, or of the index of the API reference, links to are made its pages."""
    if docname in ("index", "api/index"):
        source[0] += tables_of_contents(source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", add_to)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
