"""A class in the browser: the lecturer shows a step to all, students follow or not, and what is closed says so."""

from __future__ import annotations

import re

import pytest

from linprobe.lab.qr import modules

from .test_hall import LECTURER, STUDENT, class_


@pytest.fixture
def hall():
    with class_(per_address=2) as address:
        yield address


def test_students_are_where_the_lecturer_is_and_those_who_do_not_follow_can_catch_up(hall, open_page):
    lecturer = open_page(f"{hall}/?token={LECTURER}#/scores")
    follows = open_page(f"{hall}/?token={STUDENT}#/gradient")
    stays = open_page(f"{hall}/?token={STUDENT}#/gradient")
    stays.get_by_label("Follow the lecturer").uncheck()
    assert lecturer.get_by_role("button", name="Train").count() == 0
    lecturer.get_by_role("link", name="Train").wait_for()
    assert follows.get_by_role("link", name="Train").count() == 0

    lecturer.goto(f"{hall}/#/scores?s=10_9_9")
    lecturer.get_by_role("button", name="Show to 2 students").click()
    lecturer.get_by_role("status").filter(has_text="shown").wait_for()
    follows.wait_for_url(f"{hall}/#/scores?s=10_9_9")
    follows.get_by_role("table", name="hinge terms").wait_for()
    stays.get_by_role("button", name="Open the lecturer's step").wait_for()
    assert stays.url.startswith(f"{hall}/#/gradient")
    stays.get_by_role("button", name="Open the lecturer's step").click()
    stays.wait_for_url(f"{hall}/#/scores?s=10_9_9")

    follows.goto(f"{hall}/#/gradient")  # on their own again; a reload keeps that
    follows.reload()
    follows.get_by_role("heading", name="Gradient check").wait_for()
    follows.get_by_label("Follow the lecturer").wait_for()
    assert follows.url.startswith(f"{hall}/#/gradient")
    follows.go_back()  # to the state before
    lecturer.get_by_role("button", name="Show to 2 students").click()
    follows.wait_for_url(f"{hall}/#/scores?s=10_9_9")


def test_the_lecturer_shows_the_address_as_text_and_as_a_code(open_page):
    students = f"http://192.168.1.20:8421/?token={STUDENT}"
    with class_(address=students) as address:
        page = open_page(f"{address}/?token={LECTURER}#/scores")
        page.get_by_role("button", name="Address").click()
        dialog = page.get_by_role("dialog", name="Address of the class")
        assert dialog.get_by_text(students).is_visible()
        dark = "".join(modules(students)).count("1")  # none without segno
        squares = dialog.locator("svg path").get_attribute("d").count("M") if dark else 0
        assert squares == dark
        dialog.get_by_role("button", name="Close").click()
        dialog.wait_for(state="hidden")
        student = open_page(f"{address}/?token={STUDENT}#/scores")
        student.get_by_label("Follow the lecturer").wait_for()
        assert student.get_by_role("button", name="Address").count() == 0


@pytest.mark.parametrize("page", ["train", "inspect"])
def test_a_page_that_is_closed_to_students_says_so_in_one_line(hall, open_page, page):
    student = open_page(f"{hall}/?token={STUDENT}#/{page}")
    line = student.get_by_role("alert")
    line.wait_for()
    found = line.inner_text()
    assert re.fullmatch(rf"The page {page} is closed to students of this class; .* --allow-training\.", found)


def test_a_page_too_many_shows_why_it_was_not_admitted(hall, open_page):
    for _ in range(2):
        open_page(f"{hall}/?token={STUDENT}#/scores").get_by_label("Follow the lecturer").wait_for()
    third = open_page(f"{hall}/?token={STUDENT}#/scores")
    line = third.get_by_role("alert")
    line.wait_for()
    assert "Not admitted: 2 pages are open from your address" in line.inner_text()
