"""The pictures of a report in docs/report.md and the README: a sweep on CIFAR-10, its page looked at in Chromium.

    python docs/make_report_pictures.py CIFAR10_ARCHIVE BROWSER [--out FOLDER]

Needs Playwright's Python package; the browser is the path of a Chromium, such as /usr/bin/chromium. The archive is
called cifar10.zip on the page, whatever its name.
"""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from make_lab_pictures import packed
from make_pictures import DOCS, keep

SIZES = {"report-cifar10": (780, 1716), "report-top": (1000, 780)}
"""Width and height in pixels from the top: down to the path over reg for docs/report.md, one screen for the README."""

WITHOUT_SECONDS = """
for (const row of document.querySelectorAll("tr"))
    if (row.cells[0].textContent.trim() === "time") row.remove();
"""
"""Seconds are left out: they say how busy the machine was that the picture was taken on."""


def draw(page: Path, browser_path: str) -> dict[str, bytes]:
    """The PNG files of the report, by their names."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        )
        drawn = {}
        for name, (width, height) in SIZES.items():
            shown = browser.new_context(viewport={"width": width, "height": height}).new_page()
            shown.goto(page.resolve().as_uri())
            shown.evaluate(WITHOUT_SECONDS)
            drawn[name] = shown.screenshot()
        browser.close()
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("archive", type=Path, help="CIFAR-10, read as linprobe reads it")
    parser.add_argument("browser", help="path of a Chromium")
    parser.add_argument("--out", type=Path, default=DOCS / "images")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    archive = arguments.archive.resolve()
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("cifar10.zip").symlink_to(archive)
        linprobe = "from linprobe.cli import main; main()"
        subprocess.run([sys.executable, "-c", linprobe, "sweep", "cifar10.zip"], check=True)
        (page,) = Path("runs").glob("*/report.html")
        drawn = draw(page, arguments.browser)
    keep({f"{name}.png": packed(picture) for name, picture in drawn.items()}, out)


if __name__ == "__main__":
    main()
