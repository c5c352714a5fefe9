"""The page "W times x" in the browser: every cell can be changed, and numbers, templates and lines move together."""

from __future__ import annotations

import pytest

from .test_scores_page import wait_for


def test_the_examples_of_the_lecture(lab_address, open_page):
    page = open_page(f"{lab_address}/#/matrix")
    wait_for(page, "score-0", -96.8)
    wait_for(page, "score-1", 437.9)
    wait_for(page, "score-2", 60.75)
    page.get_by_role("button", name="SVM 1.58, softmax 1.04").click()
    wait_for(page, "hinge", 1.58)
    wait_for(page, "softmax", 1.04)
    assert page.locator("[data-line]").count() == 3


def test_a_cell_changes_the_score_the_template_and_the_line(lab_address, open_page):
    page = open_page(f"{lab_address}/#/matrix")
    wait_for(page, "score-0", -96.8)
    line = page.locator("[data-line='0']")
    before = line.get_attribute("y1")
    cell = page.get_by_label("weight of cat for pixel 2")
    cell.fill("0,5")
    cell.press("Enter")
    cell.blur()
    wait_for(page, "product-0-1", 115.5)
    wait_for(page, "score-0", 134.2)
    assert line.get_attribute("y1") != before
    bias = page.get_by_label("bias of cat")
    bias.press("Shift+ArrowUp")
    wait_for(page, "score-0", 135.2)
    page.get_by_label("dog is the right class").check()
    page.wait_for_function("() => location.hash.includes('y=1')")


def test_what_is_no_number_changes_nothing(lab_address, open_page):
    page = open_page(f"{lab_address}/#/matrix")
    wait_for(page, "score-0", -96.8)
    cell = page.get_by_label("pixel 1", exact=True)
    cell.fill("many")
    cell.blur()
    assert cell.input_value() == "56"


@pytest.mark.parametrize("key", [False, True])
def test_the_picture_moves_in_the_plane(lab_address, open_page, key):
    page = open_page(f"{lab_address}/#/matrix")
    wait_for(page, "score-0", -96.8)
    ring = page.locator(".picture-point")
    if key:
        ring.press("Shift+ArrowRight")
    else:
        box = ring.bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(*middle)
        page.mouse.down()
        page.mouse.move(middle[0] + 30, middle[1] + 40, steps=4)
        page.mouse.up()
    page.wait_for_function("() => Number(document.querySelector('[aria-label=\"pixel 1\"]').value) > 70")


def test_it_fits_a_telephone_and_the_dark(lab_address, open_page):
    page = open_page(f"{lab_address}/#/matrix?y=2", width=390, height=844, theme="dark")
    wait_for(page, "score-0", -96.8)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
