"""The pictures of a page that draws its own are those that its code saves, small, and of the present code."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import drawings
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


def test_the_sheet_of_the_challenges_is_of_the_present_code(tmp_path):
    made = runpy.run_path(str(DOCS / "make_pictures.py"), run_name="make_pictures")
    kept = DOCS / "images" / "challenges-digits.png"
    assert drawings.difference(made["sheet"](tmp_path), kept) < drawings.ALIKE, "run `python docs/make_pictures.py`"


def test_a_picture_that_no_test_draws_is_recorded_with_its_sources():
    names = {path.name for path in DOCS.glob("images/*.png")}
    assert set(drawings.recorded()) == {name for name in names if drawings.kind_of(name) is not None}


def test_other_pictures_differ_and_the_same_one_does_not(tmp_path):
    pixels = np.full((20, 30, 3), 255, dtype=np.uint8)
    for name, value in (("one", 255), ("other", 0)):
        pixels[:10] = value
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.fromarray(pixels[:15]).save(tmp_path / "smaller.png")
    one, other, smaller = (tmp_path / f"{name}.png" for name in ("one", "other", "smaller"))
    assert drawings.difference(one, one) == 0
    assert drawings.difference(one, other) == 127.5
    assert drawings.difference(smaller, other) == float("inf")


def test_a_change_of_the_code_makes_a_picture_stale_and_one_of_its_words_does_not(tmp_path, monkeypatch):
    source = tmp_path / "draws.py"
    monkeypatch.setattr(drawings, "ROOT", tmp_path)
    monkeypatch.setattr(drawings, "IMAGES", tmp_path)
    monkeypatch.setattr(drawings, "RECORD", tmp_path / "drawn_from.json")
    monkeypatch.setattr(drawings, "SOURCES", {"a-*.png": (("draws.py",), "draw.py")})
    (tmp_path / "a-b.png").touch()
    source.write_text('"""Draws."""\nx = 1\n')
    drawings.record(["a-b.png", "drawn-by-tests.png"])
    assert drawings.stale() == []
    source.write_text('"""Draws a thing."""\nx = 1  # one\n')
    assert drawings.stale() == []
    source.write_text('"""Draws."""\nx = 2\n')
    assert drawings.stale() == ["docs/images/a-b.png: its sources have changed; run draw.py"]
