"""docs/pictures.md: each picture that it shows is one that its code saves, and all functions are named."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "pictures.md").read_text()


def test_every_picture_of_the_page_is_saved_by_its_code_and_is_small():
    shown = re.findall(r"^!\[[^\]]+\]\(images/([\w-]+\.png)\)$", PAGE, flags=re.MULTILINE)
    assert shown
    assert sorted(shown) == sorted(re.findall(r'\.save\("([\w-]+\.png)"\)', PAGE))
    for name in shown:
        path = DOCS / "images" / name
        assert path.stat().st_size < 150_000
        with Image.open(path) as picture:
            picture.verify()


def test_every_picture_of_the_table_is_a_function_that_is_there():
    rooms = (DOCS.parent / "src" / "linprobe" / "explain").glob("*.py")
    known = {name for room in rooms for name in re.findall(r"^def (\w+_picture)\(", room.read_text(), re.MULTILINE)}
    table = set(re.findall(r"`(\w+_picture)\(", PAGE.split("\n\n## ")[0]))
    assert len(table) == 13
    assert table <= known
