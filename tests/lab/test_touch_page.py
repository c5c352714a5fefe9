"""The lab under a finger: a swipe scrolls and changes nothing, and what was tapped can be dragged."""

from __future__ import annotations

import pytest

PHONE = {"width": 390, "height": 844}


@pytest.fixture
def phone(browser):
    """A page with a touch screen: `phone(address)` gives it and its finger."""
    contexts = []

    def open_(address):
        context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.goto(address)
        return page, context.new_cdp_session(page)

    yield open_
    for context in contexts:
        context.close()


def drag(finger, start, end, steps=8):
    """A finger that goes down at `start`, moves to `end`, and leaves."""
    finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": start[0], "y": start[1]}]})
    for step in range(1, steps + 1):
        x, y = (a + (b - a) * step / steps for a, b in zip(start, end, strict=True))
        finger.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": x, "y": y}]})
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def middle(box):
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


@pytest.mark.parametrize(
    ("address", "part"),
    [
        ("playground", ".plane svg"),
        ("playground", "[data-point='25']"),
        ("matrix", "svg.pixel-plane"),
        ("scores", ".bars .bar"),
        ("walks", "svg.walks-plane"),
    ],
)
def test_a_swipe_scrolls_and_changes_nothing(lab_address, phone, address, part):
    page, finger = phone(f"{lab_address}/#/{address}")
    shown = page.locator(part).first
    shown.scroll_into_view_if_needed()
    page.wait_for_timeout(400)  # the address is written when the hand rests
    before, scrolled = page.url, page.evaluate("() => scrollY")
    x, y = middle(shown.bounding_box())
    by = 150 if scrolled > 100 else -150  # towards where there is more of the page
    drag(finger, (x, y), (x, y + by))
    page.wait_for_function(f"() => Math.abs(scrollY - {scrolled}) > 60")
    page.wait_for_timeout(400)
    assert page.url == before


def test_a_point_that_was_tapped_can_be_dragged(lab_address, phone):
    page, finger = phone(f"{lab_address}/#/playground")
    point = page.locator("[data-point='25']")
    point.scroll_into_view_if_needed()
    at = middle(point.bounding_box())
    page.touchscreen.tap(*at)  # it, or one that lies on it
    page.wait_for_function("() => document.querySelector('.point.chosen').dataset.point !== '0'")
    drag(finger, at, (at[0] + 20, at[1] + 15))
    page.wait_for_function("() => location.hash.includes('p=')")


def test_a_bar_that_was_tapped_can_be_dragged(lab_address, phone):
    page, finger = phone(f"{lab_address}/#/scores")
    bar = page.locator(".bars .bar").first
    bar.scroll_into_view_if_needed()
    at = middle(bar.bounding_box())
    page.touchscreen.tap(*at)
    drag(finger, at, (at[0], at[1] - 30))
    page.wait_for_function("() => location.hash.includes('s=')")
