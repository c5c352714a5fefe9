"""No sentence of the pages and of the news notes is long: one that must be read twice is cut in two."""

from __future__ import annotations

from pathlib import Path

import pytest

from sentences import sentences

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("changelog.d/*.md")), *sorted(ROOT.glob("docs/**/*.md"))]
LONGEST = 40
"""Words of a sentence; code, tables, headings and comments are left out, and a piece of code is one word."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_sentence_of_the_page_is_longer_than_forty_words(page):
    counts = {sentence: len(sentence.split()) for sentence in sentences(page.read_text())}
    long = [f"{count} words: {sentence}" for sentence, count in counts.items() if count > LONGEST]
    assert not long, "cut it in two:\n" + "\n".join(long)


def test_sentences_end_at_full_stops_and_items_and_leave_out_code_tables_headings_and_comments():
    page = "# A title\n\nOne `a. b` two.\nlinprobe is [the third. word](x.md). Four\n\n- five, 1.5 x\n- six\n\n| t |\n"
    page += "```sh\ncode here. More\n```\n<!-- a comment -->\n"
    assert sentences(page) == ["One Code two", "linprobe is the third", "word", "Four", "five, 1.5 x", "six"]
