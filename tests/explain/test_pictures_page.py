"""docs/pictures.md names the functions that there are."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "pictures.md").read_text()


def test_every_picture_of_the_table_is_a_function_that_is_there():
    rooms = (DOCS.parent / "src" / "linprobe" / "explain").glob("*.py")
    known = {name for room in rooms for name in re.findall(r"^def (\w+_picture)\(", room.read_text(), re.MULTILINE)}
    table = set(re.findall(r"`(\w+_picture)\(", PAGE.split("\n\n## ")[0]))
    assert len(table) == 20
    assert table <= known
