"""The table at the top of docs/lecture.md leads to sections that are there, and leaves none of them out."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "lecture.md").read_text()
HEADINGS = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", PAGE, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
TABLE = PAGE[PAGE.index("| slide | section |") :].split("\n\n")[0]
OF_OURS = {"three-ways-down-the-same-bowl", "which-classes-it-confuses", "can-we-trust-the-probabilities"}
"""Sections that go beyond the slides."""


def anchor(heading: str) -> str:
    """The anchor of a heading, as GitHub and MyST make it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_every_row_leads_to_a_section_and_every_section_of_the_slides_has_a_row():
    sections = [anchor(heading) for heading in HEADINGS]
    rows = re.findall(r"\]\(#([\w-]+)\) \|$", TABLE, re.MULTILINE)
    assert len(rows) == len(TABLE.splitlines()) - 2
    assert set(rows) <= set(sections)
    after = {"exercises", "answers", "more-complex-regularizers", "recall-the-linear-classifier-three-viewpoints"}
    assert set(sections) - set(rows) == OF_OURS | after


def test_the_regularizers_of_the_slide_have_rows():
    for name in ("L1", "L2", "elastic net", "dropout", "batch normalization", "stochastic depth", "fractional pooling"):
        assert name in TABLE
