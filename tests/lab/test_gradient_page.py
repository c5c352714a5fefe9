"""The page "Gradient check" in the browser."""

from __future__ import annotations

from .conftest import number
from .test_scores_page import wait_for

ROW = {
    "set": "spiral",
    "n": 20,
    "seed": 0,
    "weights_seed": 2,
    "loss": "hinge",
    "delta": 1,
    "penalty": "l2",
    "reg": 0.01,
}
ADDRESS = "#/gradient?set=spiral&w=2&loss=hinge"


def test_the_table_shows_the_librarys_differences_and_marks_kinks(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{ADDRESS}&h=0.1")
    expected = talk("gradient.check", **ROW, h=0.1)
    rows = page.get_by_role("table", name="coordinates").locator("tbody tr")
    page.get_by_text("○ kink: MulticlassHinge").first.wait_for()
    assert rows.count() == len(expected["coordinates"]) == 9
    for i, row in enumerate(expected["coordinates"]):
        cells = rows.nth(i).locator("th, td").all_inner_texts()
        assert cells[0] == row["name"]
        for cell, name in zip(cells[2:5], ("analytic", "forward", "centred"), strict=True):
            assert abs(number(cell) - row[name]) < 1e-8
        assert ("kink" in cells[6]) == (row["kink"] is not None)


def test_the_slider_of_h_goes_from_truncation_to_rounding_by_keys(lab_address, open_page):
    page = open_page(f"{lab_address}/#/gradient")
    page.get_by_text("The gradient is right").wait_for()
    slider = page.get_by_role("slider", name="h", exact=True)
    slider.press("Home")  # 1e-12
    page.get_by_text("h is too small for a verdict").wait_for()
    page.get_by_text("≈ rounding").first.wait_for()
    field = page.get_by_role("textbox", name="h", exact=True)
    assert field.input_value() == "1e-12"
    slider.press("End")
    page.get_by_text("Beyond the tolerance").wait_for()
    assert field.input_value() == "1"
    field.fill("1e-5")
    field.press("Enter")
    page.get_by_text("The gradient is right").wait_for()


def test_a_press_in_the_chart_chooses_h_and_a_row_the_coordinate(lab_address, open_page):
    page = open_page(f"{lab_address}/#/gradient")
    page.get_by_text("The gradient is right").wait_for()
    chart = page.get_by_role("img", name="Error of forward and centred differences of W[0, 0]")
    chart.wait_for()
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 14, box["y"] + 100, steps=5)
    page.mouse.up()
    assert float(page.get_by_role("textbox", name="h", exact=True).input_value()) > 0.05
    page.get_by_role("table", name="coordinates").get_by_role("row", name="b[1]").click()
    page.get_by_role("img", name="differences of b[1]").wait_for()
    page.wait_for_url("**h=*c=5*")


def test_one_weight_shows_the_secant_and_the_next_weight_is_one_press_away(lab_address, open_page, talk):
    page = open_page(f"{lab_address}/{ADDRESS}&h=0.5")
    for c in range(2):
        expected = talk("gradient.move", **ROW, h=0.5, coordinate=c)
        page.get_by_role("heading", name=f"One weight, moved by h: {expected['name']}").wait_for()
        wait_for(page, "quotient", expected["quotient"], 1e-5)
        assert abs(number(page.locator('[data-value="analytic"]').inner_text()) - expected["analytic"]) < 1e-5
        page.get_by_role("button", name="Next weight").click()
    page.get_by_role("button", name="Previous weight").click()
    page.wait_for_url("**c=1*")
