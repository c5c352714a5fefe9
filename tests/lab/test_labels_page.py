"""What is seen has a name: labels, pictures, and regions that scroll, on every page and at the width of a telephone."""

from __future__ import annotations

import pytest

PAGES = {
    "playground": "table[aria-label=points] tbody tr",
    "scores": "table[aria-label='softmax terms']",
    "gradient": "table[aria-label=coordinates] tbody tr",
    "train": "text=10: 0, 1, 2",
}
"""Page -> what is there when it is drawn."""

UNSAID = """() => {
    const words = (text) => text.replace(/\\s+/g, " ").trim().toLowerCase();
    const found = [];
    for (const one of document.querySelectorAll("button, a, input, select, [role=button], [role=slider]")) {
        if (!one.checkVisibility()) continue;
        const said = one.getAttribute("aria-label");
        const label = [...(one.labels ?? [])].map((each) => each.innerText).join(" ");
        const seen = words(label || (one.tagName === "SELECT" ? "" : one.innerText ?? ""));
        const symbols = !/[a-z0-9]{2}/.test(seen) || seen === "aa";
        if (said && !symbols && !words(said).includes(seen)) found.push(`${seen}: ${said}`);
        if (!said && !seen && !one.hasAttribute("aria-labelledby")) found.push(`no name: ${one.outerHTML}`);
    }
    for (const one of document.querySelectorAll("[role=img]"))
        if (!one.getAttribute("aria-label")) found.push(`no name: ${one.outerHTML}`);
    return found;
}"""
"""Controls whose visible label is not part of their name, and what has no name."""

OUT_OF_REACH = """() => [...document.querySelectorAll("*")].filter((one) => {
    const style = getComputedStyle(one);
    const moves = /auto|scroll/.test(style.overflowX + style.overflowY);
    const larger = one.scrollWidth > one.clientWidth + 1 || one.scrollHeight > one.clientHeight + 1;
    const reached = one.tabIndex >= 0 || one.querySelector("a, button, input, select, [tabindex='0']");
    return one !== document.documentElement && one !== document.body && moves && larger && !reached;
}).map((one) => one.outerHTML.slice(0, 100))"""
"""Regions that scroll, and that no key reaches."""


@pytest.mark.parametrize("name", PAGES)
def test_labels_are_in_the_names_and_regions_that_scroll_are_in_reach(lab_address, open_page, name):
    page = open_page(f"{lab_address}/#/{name}", width=390)
    page.locator(PAGES[name]).first.wait_for()
    page.wait_for_timeout(300)  # the regions measure themselves once they are drawn
    assert page.evaluate(UNSAID) == []
    assert page.evaluate(OUT_OF_REACH) == []


@pytest.mark.parametrize(("theme", "rim"), [("light", "dark rim"), ("dark", "bright rim")])
def test_the_legend_names_the_rim_that_the_theme_draws_and_whose_error_it_is(lab_address, open_page, theme, rim):
    page = open_page(f"{lab_address}/#/playground", theme=theme)
    page.get_by_text(f"{rim}: classified wrong", exact=True).wait_for()
    page.get_by_role("radio", name="nearest neighbours").check()
    page.get_by_text(f"{rim}: classified wrong by 3-NN").wait_for()
    page.get_by_role("radio", name="where they differ").check()
    page.get_by_text(f"{rim}: classified wrong by the linear classifier").wait_for()


def test_a_curve_above_the_chart_is_named(lab_address, open_page):
    page = open_page(f"{lab_address}/#/scores")
    page.get_by_role("button", name="ten classes").click()
    page.get_by_text("Above the chart: squared hinge.").wait_for()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_large_text_fits_a_narrow_screen(lab_address, open_page, name):
    page = open_page(f"{lab_address}/#/{name}", width=390)
    page.locator(PAGES[name]).first.wait_for()
    page.get_by_role("button", name="Larger text").click()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
