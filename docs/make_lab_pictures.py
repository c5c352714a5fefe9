"""The pictures of the lab in docs/lab.md: its pages, looked at in Chromium.

    python docs/make_lab_pictures.py CIFAR10_ARCHIVE BROWSER [--out FOLDER]

A lab is served, with runs in a folder that goes with it; what is on show is in the addresses below. Needs Playwright's
Python package; the browser is the path of a Chromium that is there, such as /usr/bin/chromium.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from make_pictures import DOCS, keep
from PIL import Image

from linprobe.lab.protocol import Lab
from linprobe.lab.server import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

WIDTH = 1280
LARGEST = 500_000
"""Bytes, above which a picture is kept in 256 colours."""

ENDED = 120_000
"""Milliseconds that a training may take."""


def opened(browser: Browser, address: str, page: str, state: dict[str, Any], height: int) -> Page:
    """A page of the lab in that state."""
    found = browser.new_context(viewport={"width": WIDTH, "height": height}, reduced_motion="reduce").new_page()
    found.set_default_timeout(ENDED)
    found.goto(f"{address}/#/{page}?{urlencode(state)}")
    return found


def trained(browser: Browser, address: str, state: dict[str, Any], run: str) -> None:
    """Start the training that the state describes, and wait for the report of its run."""
    page = opened(browser, address, "train", state, 900)
    page.get_by_role("button", name="Start training").click()
    page.locator(".live").get_by_role("link", name=f"Report of {run}").wait_for()
    page.context.close()


def packed(picture: bytes) -> bytes:
    """The PNG file, packed as well as it goes without a tint."""
    image, out = Image.open(io.BytesIO(picture)).convert("RGB"), io.BytesIO()
    image.save(out, "png", optimize=True)
    if len(out.getvalue()) > LARGEST:
        out = io.BytesIO()
        image.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "png", optimize=True)
    return out.getvalue()


def draw(browser: Browser, address: str, source: str) -> dict[str, bytes]:
    """The PNG files of the pages, by their names."""
    drawn = {}
    playground = opened(
        browser,
        address,
        "playground",
        {"loss": "softmax", "opt": "sgd", "batch": 4, "epochs": 4, "update": "plain"},
        1000,
    )
    playground.get_by_role("button", name="Run").click()
    playground.get_by_text("all epochs were run").wait_for()
    playground.wait_for_timeout(1000)
    drawn["playground"] = playground.screenshot()

    scores = opened(browser, address, "scores", {}, 1000)
    scores.get_by_role("table", name="hinge terms").wait_for()
    drawn["scores"] = scores.screenshot()

    matrix = opened(browser, address, "matrix", {}, 720)
    matrix.locator("[data-line]").first.wait_for()
    drawn["matrix"] = matrix.screenshot()

    walks = opened(browser, address, "walks", {"ground": "saddle", "x": 0.02, "y": -0.05}, 720)
    walks.locator("[data-walk='3']").wait_for()
    walks.get_by_role("button", name="To the end").click()
    walks.wait_for_timeout(500)
    drawn["walks"] = walks.screenshot()

    lecture = opened(browser, address, "scores", {"i": 2, "step": 7}, 720)
    lecture.get_by_role("table", name="hinge terms").wait_for()
    lecture.get_by_role("button", name="Show the answer").click()
    drawn["lecture"] = lecture.screenshot()

    gradient = opened(browser, address, "gradient", {}, 800)
    gradient.get_by_text("The gradient is right").wait_for()
    gradient.wait_for_timeout(1000)
    drawn["gradient"] = gradient.screenshot()

    sgd = {"source": f"source:{Path(source).name}", "optimizer": "sgd", "reg": 0.01}
    trained(browser, address, {"source": "digits"}, "digits-softmax-1")
    trained(browser, address, {**sgd, "epochs": 12}, "cifar10-softmax-1")
    trained(browser, address, {**sgd, "epochs": 6, "reg": 0.001}, "cifar10-softmax-2")
    compared = {"runs": "cifar10-softmax-1/cifar10-softmax-2"}
    train = opened(browser, address, "train", {**sgd, "epochs": 60, **compared}, 900)
    train.get_by_role("button", name="Start training").click()
    train.get_by_text("of 60").wait_for()
    train.wait_for_function("document.querySelectorAll('.templates canvas').length === 10")
    train.wait_for_timeout(4000)
    drawn["train"] = train.screenshot(full_page=True)
    train.get_by_role("button", name="Stop").click()
    train.get_by_role("status").filter(has_text="Stopped").wait_for()

    state = {"run": "cifar10-softmax-1", "index": 7, "changes": "rotation.3_patch.2"}
    inspect = opened(browser, address, "inspect", state, 900)
    inspect.locator("[data-test=neighbours] li").first.wait_for()
    inspect.wait_for_timeout(1000)
    drawn["inspect"] = inspect.screenshot(full_page=True)
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAR-10, read as linprobe reads it, called cifar10")
    parser.add_argument("browser", help="path of a Chromium")
    parser.add_argument("--out", type=Path, default=DOCS / "images")
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    from linprobe.report.page import write_report

    def report(run: Path, cache: bool) -> object:
        return write_report([run], cache=cache)

    source = str(arguments.archive.resolve())
    out = arguments.out.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=arguments.browser, args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        )
        with served(Lab((source,), Path("runs"), report)) as address:
            drawn = draw(browser, address, source)
        browser.close()
    keep({f"lab-{name}.png": packed(picture) for name, picture in drawn.items()}, out)


if __name__ == "__main__":
    main()
