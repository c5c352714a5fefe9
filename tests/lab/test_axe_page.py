"""Every page of the lab under axe-core, which looks for what keeps people out: contrast, labels, roles, order."""

from __future__ import annotations

from pathlib import Path

import pytest

AXE = Path(__file__).resolve().parents[2] / "web" / "node_modules" / "axe-core" / "axe.min.js"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not AXE.exists(), reason="axe-core is not installed: run `make web-check` first"),
]

PAGES = {
    "playground": "#/playground?beside=1",
    "matrix": "#/matrix",
    "scores": "#/scores",
    "gradient": "#/gradient",
    "walks": "#/walks",
    "train": "#/train",
    "inspect": "#/inspect",
    "lesson": "#/scores?i=2&step=7",
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(lab_address, open_page, name, theme):
    page = open_page(f"{lab_address}/{PAGES[name]}", theme=theme)
    page.locator("main h1").first.wait_for()
    page.wait_for_timeout(700)  # what the library answers is there, too
    page.evaluate(AXE.read_text())  # the page's own rules would refuse a script
    found = page.evaluate("() => axe.run()")
    said = [
        f"{one['id']} ({one['impact']}): {one['help']}: {one['nodes'][0]['html'][:200]}" for one in found["violations"]
    ]
    assert said == []
