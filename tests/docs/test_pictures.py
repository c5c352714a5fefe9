"""The pictures of a page that draws its own are those that its code saves, and small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from blocks import blocks

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = ("lecture", "pictures")


@pytest.mark.parametrize("page", PAGES)
def test_the_pictures_that_the_page_shows_are_those_that_its_blocks_save(page):
    text = (DOCS / f"{page}.md").read_text()
    shown = set(re.findall(rf"!\[[^\]]+\]\(images/({page}-[\w-]+\.png)\)", text))
    saved = {name for block in blocks(text) for name in re.findall(r'\.save\("([^"]+)"\)', block.code)}
    assert len(saved) > 5
    assert saved == shown == {path.name for path in DOCS.glob(f"images/{page}-*.png")}


def test_the_pictures_are_small():
    sizes = {path.name: path.stat().st_size for name in PAGES for path in DOCS.glob(f"images/{name}-*.png")}
    assert max(sizes.values()) < 120_000
    assert sum(sizes.values()) < 2_000_000
