"""The figures of the README are those of the benchmarks, and its pictures are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
FIGURE = re.compile(r"\d+(?:\.\d+)?(?:%| s| MB)")


def test_every_measured_figure_of_the_first_table_is_one_of_the_benchmarks():
    table = next(block for block in README.split("\n\n") if block.startswith("| what |"))
    figures = FIGURE.findall(table.replace("above 95%", ""))
    results = set(re.findall(r"\d[\d,.]*\d", (ROOT / "docs" / "benchmarks.md").read_text()))
    assert len(figures) >= 10
    assert not [figure for figure in figures if figure.split()[0].rstrip("%") not in results]


def test_the_pictures_that_the_readme_shows_are_there():
    shown = re.findall(r'<img src="([^"]+)"', README)
    assert len(shown) == 2
    assert all((ROOT / path).exists() for path in shown)
