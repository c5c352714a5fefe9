"""What watching costs a training: alone on the command line, in the lab with a socket that looks, with a browser.

    python -m benchmarks.lab SOURCE [--case NAME] [--repeats R] [--browser CHROMIUM]

Seconds are those of the optimisation in metrics.json; the three ways are interleaved. Updates are counted on arrival:
messages at the socket, changes of the figures in the page. SOURCE is read from the cache, which an uncounted first run
fills. Needs the extra `lab`, and playwright for the browser.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import connect

from benchmarks.record import machine, usable_cores
from linprobe.lab.protocol import Lab
from linprobe.lab.server import served

CASES: dict[str, dict[str, Any]] = {
    "softmax, sgd, 20 epochs": {"optimizer": "sgd", "epochs": 20},
    "softmax, exact": {"optimizer": "exact"},
    "hinge, exact": {"optimizer": "exact", "loss": "hinge"},
}

SETTINGS = {
    "loss": "softmax", "penalty": "l2", "reg": 1e-3, "beta": 1.0, "delta": 1.0, "preprocess": "auto", "tol": 1e-3,
    "max_iter": 1000, "batch_size": 32, "epochs": 20, "schedule": "cosine", "update": "momentum", "momentum": 0.9,
    "features": "pixels", "validation": 0.0, "seed": 0,
}  # fmt: skip

COUNT = """() => {
    window.changes = [];
    new MutationObserver(() => window.changes.push(performance.now()))
        .observe(document.querySelector("#main"), {subtree: true, childList: true, characterData: true});
}"""


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--case", default="", help="those whose name holds this")
    parser.add_argument("--browser", help="path of a Chromium; none for no browser")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cases = {name: settings for name, settings in CASES.items() if given.case in name}
        found = measure(given.source, cases, given.repeats, given.browser, Path(folder))
    print(json.dumps({"machine": machine(), "cores": usable_cores(), "cases": found}, indent=2))


def measure(
    source: str, cases: dict[str, dict[str, Any]], repeats: int, browser: str | None, folder: Path
) -> dict[str, Any]:
    """Seconds and updates of every case and way."""
    found: dict[str, Any] = {}
    with served(Lab((source,), folder)) as address, looking_page(address, browser) as page:
        for case, settings in cases.items():
            seconds: dict[str, list[float]] = {}
            updates: dict[str, list[tuple[float, float]]] = {}
            for repeat in range(repeats + 1):
                alone = on_command_line(source, settings, folder / f"alone-{len(found)}-{repeat}")
                ways = [("alone", alone, None), ("socket", *in_lab(address, source, settings, None))]
                if page is not None:
                    ways.append(("browser", *in_lab(address, source, settings, page)))
                for way, took, told in ways if repeat else ():  # the first round warms up
                    seconds.setdefault(way, []).append(took)
                    updates.setdefault(way, []).extend([told] if told else [])
            found[case] = {
                "seconds": {way: summary(all_) for way, all_ in seconds.items()},
                "slower": {
                    way: statistics.median(a / b for a, b in zip(all_, seconds["alone"], strict=True)) - 1
                    for way, all_ in seconds.items()
                },
                "updates_a_second": {
                    way: statistics.median(rate for rate, _ in all_) for way, all_ in updates.items() if all_
                },
                "longest_pause_s": {
                    way: statistics.median(gap for _, gap in all_) for way, all_ in updates.items() if all_
                },
            }
    return found


def summary(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def on_command_line(source: str, settings: dict[str, Any], out: Path) -> float:
    """Seconds of `linprobe train`."""
    named = {**SETTINGS, **settings}
    sgd = named["optimizer"] == "sgd"
    names = ["loss", "optimizer", "reg", "tol"] + (["epochs"] if sgd else [])
    options = [part for name in names for part in (f"--{name}", str(named[name]))]
    program = [sys.executable, "-c", "from linprobe.cli import main; main()"]
    command = [*program, "train", source, *options, "--out", str(out), "--json", "--no-report"]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(ended.stdout)["seconds"])


def in_lab(address: str, source: str, settings: dict[str, Any], page: Any) -> tuple[float, tuple[float, float]]:
    """Seconds of a training in the lab, and (updates a second, longest pause) as a socket or the page saw them."""
    with connect(address.replace("http", "ws", 1) + "/socket", origin=address, max_size=2**26) as socket:  # type: ignore[arg-type]
        if page is not None:
            page.goto(f"{address}/#/train")
            page.get_by_role("button", name="Start training").wait_for()
            page.wait_for_timeout(500)
            page.evaluate(COUNT)
        send(socket, 2, "train.start", {"source": f"source:{Path(source).name}", "settings": {**SETTINGS, **settings}})
        if page is not None:
            send(socket, 3, "train.look", {"on": False})  # starting a training looks at it; the page does that here
        times: list[float] = []
        while True:
            told = json.loads(socket.recv(timeout=600))
            if "error" in told:
                raise SystemExit(told["error"])
            event, data = told.get("event"), told.get("data")
            if event in ("train.rows", "train.glimpse"):
                times.append(time.perf_counter())
            if event == "train.state" and not data["running"]:
                break
    if data["phase"] != "finished":
        raise SystemExit(data["message"])
    if page is not None:
        page.locator("[data-test=test-accuracy]").wait_for()
        span = float(data["metrics"]["seconds"])
        page.wait_for_timeout(300)
        changes = [at / 1000 for at in page.evaluate("window.changes")]
        # those of the optimisation: before it the source is read, after it the test images are classified
        end = changes[-1]
        times = [at for at in changes if end - span - 0.5 <= at]
        frames = [times[0]]
        for at in times:
            if at - frames[-1] > 0.02:  # what changes together is one update
                frames.append(at)
        times = frames
        page.goto("about:blank")
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return float(data["metrics"]["seconds"]), (len(gaps) / max(times[-1] - times[0], 1e-9), max(gaps, default=0.0))


def send(socket: Any, number: int, method: str, params: dict[str, Any]) -> None:
    """A request, whose answer is read with the events."""
    socket.send(json.dumps({"id": number, "method": method, "params": params}))


@contextlib.contextmanager
def looking_page(address: str, browser: str | None) -> Iterator[Any]:
    """A page of a browser; None without one."""
    if browser is None:
        yield None
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox", "--disable-gpu"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        yield page
        chromium.close()


if __name__ == "__main__":
    main()
