"""The page "Scores to loss" in the browser."""

from __future__ import annotations

import numpy as np
import pytest

from linprobe.losses import MulticlassHinge, SoftmaxCrossEntropy

from .conftest import number


def value(page, name):
    return number(page.locator(f'[data-value="{name}"]').first.inner_text())


def wait_for(page, name, expected, tolerance=5e-4):
    """Wait until the page shows the number, which comes from the library a moment after the hand has moved."""
    page.wait_for_function(
        """([name, expected, tolerance]) => {
            const text = document.querySelector(`[data-value="${name}"]`)?.innerText.replace(/−/g, "-");
            return text !== undefined && Math.abs(Number(text) - expected) <= tolerance;
        }""",
        arg=[name, expected, tolerance],
    )


def losses(scores, label, delta=1.0):
    row, y = np.array([scores], np.float64), np.array([label])
    return float(MulticlassHinge(delta).value(row, y)[0]), float(SoftmaxCrossEntropy().value(row, y)[0])


def test_the_first_example_shows_the_numbers_of_the_lecture(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores")
    wait_for(page, "hinge", 2.9)
    wait_for(page, "softmax", 2.0404)
    assert value(page, "mean-hinge") == 5.267
    page.get_by_role("button", name="image 3: frog").click()
    wait_for(page, "hinge", 12.9)
    assert page.title() == "Scores to loss - linprobe lab"


def test_every_example_is_one_click_away(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores")
    for name, scores, label in (
        ("SVM vs. softmax", [-2.85, 0.86, 0.28], 2),
        ("jiggle: 10, −2, 3", [10, -2, 3], 0),
        ("jiggle: 10, 9, 9", [10, 9, 9], 0),
        ("jiggle: 10, −100, −100", [10, -100, -100], 0),
        ("small W: all scores 0", [0, 0, 0], 0),
    ):
        page.get_by_role("button", name=name, exact=True).click()
        hinge, softmax = losses(scores, label)
        wait_for(page, "hinge", hinge)
        wait_for(page, "softmax", softmax)
    page.get_by_role("button", name="ten classes").click()
    wait_for(page, "zero-softmax", np.log(10), 1e-3)
    assert page.get_by_role("table", name="hinge terms").locator("tbody tr").count() == 10


def test_a_bar_follows_the_mouse_and_the_losses_follow_the_bar(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores?s=10_9_9")
    wait_for(page, "hinge", 0.0)
    bar = page.get_by_role("slider", name="score of car, bar")
    box = bar.bounding_box()
    x = box["x"] + box["width"] / 2
    page.mouse.move(x, box["y"] + box["height"] / 4)
    page.mouse.down()
    page.mouse.move(x, box["y"] + box["height"] / 3, steps=4)
    page.mouse.move(x, box["y"] + 2 * box["height"] / 3, steps=4)
    page.mouse.up()
    score = float(bar.get_attribute("aria-valuenow"))
    assert score < 0
    hinge, softmax = losses([10, score, 9], 0)
    wait_for(page, "hinge", hinge)
    wait_for(page, "softmax", softmax)


def test_bars_labels_and_delta_can_be_set_from_the_keyboard(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores?s=10_9_9")
    bar = page.get_by_role("slider", name="score of cat, bar")
    bar.focus()
    for key in ("Shift+ArrowDown", "ArrowDown", "ArrowDown", "ArrowUp"):
        bar.press(key)
    wait_for(page, "hinge", losses([8.9, 9, 9], 0)[0])
    assert float(bar.get_attribute("aria-valuenow")) == 8.9
    page.get_by_role("radio", name="frog is the right class").press("Space")
    wait_for(page, "hinge", losses([8.9, 9, 9], 2)[0])
    field = page.get_by_role("textbox", name="margin Δ")
    field.fill("2")
    field.press("Enter")
    wait_for(page, "hinge", losses([8.9, 9, 9], 2, delta=2.0)[0])
    typed = page.get_by_role("textbox", name="score of car", exact=True)
    typed.fill("-4.5")
    typed.press("Enter")
    wait_for(page, "hinge", losses([8.9, -4.5, 9], 2, delta=2.0)[0])


def test_the_state_is_in_the_address_and_comes_back_from_it(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores")
    page.get_by_role("button", name="jiggle: 10, −2, 3").click()
    page.wait_for_url("**/#/scores?*s=10_-2_3*")
    again = open_page(page.url)
    wait_for(again, "hinge", 0.0)
    assert again.get_by_role("textbox", name="score of 1", exact=True).input_value() == "-2"
    again.evaluate("location.hash = '#/scores?s=1_2~3_4&y=1_0&i=1'")  # a link that is followed in an open page
    wait_for(again, "hinge", losses([3, 4], 0)[0])


def test_an_address_that_makes_no_sense_shows_the_start(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores?s=a_b&y=-7&i=99&d=0&m=12&c=%3Cb%3E")
    wait_for(page, "hinge", 2.9)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_is_that_of_the_system_until_the_button_says_otherwise(lab_address, open_page, theme):
    page = open_page(f"{lab_address}/#/scores", theme=theme)
    other = {"light": "dark", "dark": "light"}[theme]
    root = page.locator("html")
    page.get_by_role("button", name=f"Switch to {other} colours").click()
    assert root.get_attribute("data-theme") == other
    page.reload()
    page.get_by_role("button", name=f"Switch to {theme} colours").wait_for()
    assert root.get_attribute("data-theme") == other


def test_the_largest_scores_are_worked_out_and_their_numbers_stand_clear_of_the_names(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores?s=10000_-10000_0&y=1", width=390)
    page.get_by_role("table", name="hinge terms").wait_for()
    assert number(page.locator("[data-value=hinge]").inner_text()) == 20001 + 10001
    assert page.get_by_role("alert").count() == 0
    bar = page.get_by_role("slider", name="score of car, bar")
    below, named = bar.locator(".value").bounding_box(), bar.locator(".name").bounding_box()
    assert below["y"] + below["height"] <= named["y"] + 2
