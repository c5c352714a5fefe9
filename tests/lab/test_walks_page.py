"""The page "Walks" in the browser."""

from __future__ import annotations

from linprobe.explain.walks import ground, walk_on

from .test_scores_page import wait_for


def test_the_walks_play_to_their_end_and_show_the_librarys_losses(lab_address, open_page):
    page = open_page(f"{lab_address}/#/walks")
    page.locator("[data-walk='3']").wait_for()
    page.get_by_role("button", name="To the end").click()
    of = ground("valley")
    wait_for(page, "loss-0", of.value(walk_on(of, (2.6, -0.8), "plain", 0.1, steps=100).weights[-1]))
    wait_for(page, "loss-3", of.value(walk_on(of, (2.6, -0.8), "adam", 0.1, steps=100).weights[-1]))
    page.get_by_role("button", name="To the start").click()
    wait_for(page, "loss-0", of.value(walk_on(of, (2.6, -0.8), steps=1).weights[0]), 1e-3)
    page.get_by_role("textbox", name="steps a second").fill("200")
    page.get_by_role("textbox", name="steps a second").press("Enter")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => document.querySelector('[aria-label=walks] [data-value=loss-0]').innerText < '0.46'")
    page.get_by_role("button", name="Play").wait_for()


def test_a_press_places_the_start_and_keys_move_it(lab_address, open_page):
    page = open_page(f"{lab_address}/#/walks?ground=saddle")
    plane = page.locator("svg.walks-plane")
    page.locator("[data-walk='0']").wait_for()
    box = plane.bounding_box()
    page.mouse.click(box["x"] + 0.25 * box["width"], box["y"] + 0.25 * box["height"])
    page.wait_for_function("() => location.hash.includes('x=-1.8') && location.hash.includes('y=2.2')")
    start = page.get_by_role("button", name="start at w")
    start.press("Shift+ArrowRight")
    page.wait_for_function("() => location.hash.includes('x=-1.3')")


def test_walks_are_changed_added_and_removed(lab_address, open_page):
    page = open_page(f"{lab_address}/#/walks?w=plain~0.1~constant~0")
    page.get_by_label("update of walk 1").select_option("adam")
    rate = page.get_by_label("rate of walk 1")
    rate.fill("0,3")
    rate.press("Enter")
    page.wait_for_function("() => location.hash.includes('adam~0.3~constant~0')")
    page.get_by_role("button", name="Add a walk").click()
    page.locator("[data-walk='1']").wait_for()
    page.get_by_role("button", name="Remove walk 1").click()
    page.wait_for_function("() => document.querySelectorAll('[data-walk]').length === 1")
    page.get_by_label("batch of walk 1").fill("many")
    page.get_by_label("batch of walk 1").press("Enter")
    assert page.get_by_label("batch of walk 1").input_value() == "0"


def test_it_fits_a_telephone(lab_address, open_page):
    page = open_page(f"{lab_address}/#/walks", width=390, height=844)
    page.locator("[data-walk='3']").wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
