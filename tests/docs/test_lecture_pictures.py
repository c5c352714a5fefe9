"""The pictures of the lecture companion are those that its code draws, and small."""

from __future__ import annotations

import re
from pathlib import Path

from blocks import blocks

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "lecture.md").read_text()
SHOWN = set(re.findall(r"!\[[^\]]+\]\(images/(lecture-[\w-]+\.png)\)", PAGE))


def test_every_picture_of_the_lecture_is_saved_by_a_block_of_its_page_and_every_one_saved_is_shown():
    saved = {name for block in blocks(PAGE) for name in re.findall(r'\.save\("([^"]+)"\)', block.code)}
    assert len(saved) > 5
    assert saved == SHOWN


def test_the_pictures_are_there_and_small():
    sizes = {path.name: path.stat().st_size for path in DOCS.glob("images/lecture-*.png")}
    assert set(sizes) == SHOWN
    assert max(sizes.values()) < 120_000
    assert sum(path.stat().st_size for path in DOCS.glob("images/*")) < 2_000_000
