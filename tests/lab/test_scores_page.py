"""The page "Scores to loss" in the browser."""

from __future__ import annotations


def test_the_page_shows_the_losses_of_the_lectures_first_column(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores")
    page.get_by_text("2.9", exact=True).wait_for()
    assert page.title() == "Scores to loss - linprobe lab"
