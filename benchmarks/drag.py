"""How fluid the playground is: first paint, and frames and fresh numbers a second while a point or a line is dragged.

    python -m benchmarks.drag CHROMIUM [--seconds S] [--repeats R]

The lab runs as a program of its own, the browser is driven by playwright: pointer events are sent sixty times a second
without waiting for one another, as a hand sends them. A frame is one callback of requestAnimationFrame; numbers are
fresh when the total loss that is shown has changed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from benchmarks.record import machine

if TYPE_CHECKING:
    from playwright.async_api import Browser

CASES = {"hinge": "", "softmax": "&loss=softmax", "hinge, with neighbours": "&regions=both"}
HANDLES = {"point": "[data-point='5']", "line": ".handle.grip"}

COUNT = """() => {
    window.frames_ = window.fresh = 0;
    const total = document.querySelector('[data-value="objective"]');
    const every = {characterData: true, subtree: true, childList: true};
    new MutationObserver(() => { window.fresh += 1; }).observe(total, every);
    const frame = () => { window.frames_ += 1; requestAnimationFrame(frame); };
    frame();
}"""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("browser", help="path of a Chromium")
    parser.add_argument("--seconds", type=float, default=4.0, help="of each drag")
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    with lab() as address:
        rows = asyncio.run(measure(given.browser, address, given.seconds, given.repeats))
    print(
        json.dumps({"machine": machine(), "seconds": given.seconds, "repeats": given.repeats, "rows": rows}, indent=2)
    )


@contextlib.contextmanager
def lab() -> Iterator[str]:
    """The address of a lab in a process of its own."""
    program = "from linprobe.cli import main; main(['lab', '--port', '0'])"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://\S+", process.stdout.readline())
        assert found is not None
        try:
            yield found[0]
        finally:
            process.terminate()


async def measure(path: str, address: str, seconds: float, repeats: int) -> list[dict[str, Any]]:
    """A row for each case and handle: medians of the repeats."""
    from playwright.async_api import async_playwright

    rows = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        for case, query in CASES.items():
            for handle in HANDLES:
                found = [
                    await drag(browser, f"{address}#/playground?set=spiral&n=60{query}", handle, seconds)
                    for _ in range(repeats)
                ]
                medians = {name: round(statistics.median(row[name] for row in found), 1) for name in found[0]}
                rows.append({"case": case, "dragged": handle, **medians})
        await browser.close()
    return rows


async def drag(browser: Browser, address: str, handle: str, seconds: float) -> dict[str, float]:
    """Milliseconds to the first contentful paint; frames and fresh numbers a second of one drag in a circle."""
    page = await browser.new_page(viewport={"width": 1280, "height": 900})
    await page.goto(address)
    await page.wait_for_selector("[data-point='59']")
    await page.wait_for_timeout(1500)
    paint = await page.evaluate("() => performance.getEntriesByName('first-contentful-paint')[0].startTime")
    await page.evaluate(COUNT)
    box = await page.locator(HANDLES[handle]).first.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = await page.context.new_cdp_session(page)
    await page.mouse.move(x, y)
    await page.mouse.down()
    await page.evaluate("() => { window.frames_ = window.fresh = 0; }")
    begin, sent = time.perf_counter(), []
    while time.perf_counter() - begin < seconds:
        turn = len(sent) / 9
        event = {"type": "mouseMoved", "button": "left", "buttons": 1}
        event |= {"x": x + 40 * math.sin(turn), "y": y + 40 * (math.cos(turn) - 1)}
        sent.append(asyncio.create_task(session.send("Input.dispatchMouseEvent", event)))
        await asyncio.sleep(1 / 60)
    await asyncio.gather(*sent)
    took = time.perf_counter() - begin
    frames, fresh = await page.evaluate("() => [window.frames_, window.fresh]")
    await page.close()
    return {"first_paint_ms": paint, "frames": frames / took, "fresh": fresh / took}


if __name__ == "__main__":
    main()
