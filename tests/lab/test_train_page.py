"""The page "Train" in the browser: from a source to a result, stopped and resumed, with a zip of one's own."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linprobe.lab.protocol import Lab
from linprobe.lab.server import served

from .conftest import number
from .pictures import class_folders, write_source, zip_of


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab with a named source, runs of its own, and reports of a line."""

    def report(run: Path, cache: bool) -> None:
        (run / "report.html").write_text(f"<p>a report of {run.name}</p>")

    return Lab((str(write_source(tmp_path / "things.zip")),), tmp_path / "runs", report)


@pytest.fixture
def address(lab: Lab) -> Iterator[str]:
    """Where it is served."""
    with served(lab) as found:
        yield found


def figure(page, test: str) -> float:
    """The number that stands in that place."""
    return number(page.locator(f"[data-test={test}]").inner_text())


def test_the_digits_are_trained_to_the_end_and_the_result_is_that_of_the_run(lab, address, open_page):
    page = open_page(f"{address}/#/train?source=digits&reg=0.01&validation=0.2")
    page.get_by_text("8 x 8 x 1").wait_for()
    page.get_by_role("button", name="Start training").click()
    page.locator("[data-test=test-accuracy]").wait_for()
    metrics = json.loads((lab.runs / "digits-softmax-1" / "metrics.json").read_text())
    assert figure(page, "test-accuracy") == pytest.approx(100 * metrics["test_accuracy"], abs=0.006)
    assert page.locator("[data-test=test-origin]").inner_text() == metrics["test_origin"] != ""
    row = page.get_by_role("row").filter(has_text="digits-softmax-1")
    assert f"{100 * metrics['validation_accuracy']:.2f}%" in row.inner_text()
    assert "certified" in row.inner_text()
    page.get_by_role("img", name="template of 3").wait_for()
    page.get_by_label("Compare digits-softmax-1").check()
    page.get_by_role("img", name=re.compile("^objective over iterations; at the end: digits-softmax-1")).wait_for()
    page.wait_for_url(re.compile("#/train.*runs=digits-softmax-1"))
    linked = open_page(page.url + "/never-trained")  # what is there is compared all the same
    linked.get_by_role("img", name=re.compile("^objective over iterations; at the end: digits-softmax-1")).wait_for()
    linked.get_by_text("not in this folder: never-trained").wait_for()
    assert linked.get_by_role("alert").count() == 0
    linked.get_by_role("button", name="Leave out", exact=True).click()
    linked.wait_for_url(re.compile("runs=digits-softmax-1$"))
    assert row.get_by_role("link", name="Inspect").get_attribute("href") == "#/inspect?run=digits-softmax-1"
    link = row.get_by_role("link", name="Report of digits-softmax-1")  # made when the run ended
    assert link.get_attribute("href") == "train/report/digits-softmax-1"
    with page.expect_popup() as opened:
        link.click()
    opened.value.get_by_text("a report of digits-softmax-1").wait_for()


def test_a_source_with_a_broken_picture_is_trained_on_without_it_and_inspected(lab, address, open_page):
    page = open_page(f"{address}/#/train?reg=0.1", width=390)
    page.get_by_text("blue, green, red").wait_for()
    entries = class_folders(n=10) | {"things/red/broken.png": b"no picture"}
    upload = {"name": "mine.zip", "mimeType": "application/zip", "buffer": zip_of(entries)}
    page.get_by_label(re.compile("Drop a .zip")).set_input_files([upload])
    page.get_by_role("alert").filter(has_text="broken.png").wait_for()
    start = page.get_by_role("button", name="Start training")
    assert start.is_disabled()
    page.get_by_role("checkbox", name="Leave out broken pictures").check()
    page.get_by_text("1, broken").wait_for()
    start.click()
    page.locator("[data-test=test-accuracy]").wait_for()
    assert page.locator(".panel.live").bounding_box()["y"] < 400  # in view, though it stands below the settings
    page.get_by_role("img", name="template of green").wait_for()
    page.locator(".panel.live").get_by_role("link", name="Inspect").click()
    page.get_by_role("button", name=re.compile("^test image 0")).wait_for()
    assert page.get_by_role("alert").count() == 0


def test_a_training_is_watched_stopped_resumed_and_kept(lab, address, open_page):
    source = "source:things.zip"
    page = open_page(f"{address}/#/train?source={source}&optimizer=sgd&epochs=1000000&batch=1&loss=hinge", width=390)
    page.get_by_text("blue, green, red").wait_for()
    page.get_by_role("button", name="Start training").click()
    page.locator("[data-test=figures]").wait_for()
    page.get_by_role("img", name="template of green").wait_for()  # while it runs
    page.get_by_role("button", name="Stop (can be resumed)").click()
    page.get_by_role("status").filter(has_text="Stopped").wait_for()
    run = lab.runs / "things-hinge-1"
    assert not (run / "metrics.json").exists()
    reached = len((run / "trace.csv").read_text().splitlines()) - 2
    until = time.monotonic() + 10
    while figure(page, "figures") != reached and time.monotonic() < until:  # the last row may follow the status
        page.wait_for_timeout(50)
    assert figure(page, "figures") == reached
    page.get_by_role("button", name="Resume", exact=True).click()
    page.get_by_role("status").filter(has_text=re.compile("^Training")).wait_for()
    assert figure(page, "figures") >= reached
    page.get_by_role("button", name="Keep as it is now").click()
    page.locator("[data-test=test-accuracy]").wait_for()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["status"] == "stopped"
    assert figure(page, "test-accuracy") == pytest.approx(100 * metrics["test_accuracy"], abs=0.006)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_a_zip_of_ones_own_is_dropped_and_trained_on_and_a_bad_one_is_told(lab, address, open_page, tmp_path):
    page = open_page(f"{address}/#/train", theme="dark")
    chooser = page.get_by_label(re.compile("Drop a .zip"))
    bad = {"name": "bad.zip", "mimeType": "application/zip", "buffer": b"not a zip"}
    with page.expect_response("**/train/upload?name=bad.zip"):
        chooser.set_input_files([bad])
    page.get_by_role("alert").filter(has_text="bad.zip: not a zip").wait_for()
    missed = """() => {
        const files = new DataTransfer();
        files.items.add(new File(["x"], "x.zip"));
        const event = new DragEvent("drop", { dataTransfer: files, bubbles: true, cancelable: true });
        document.body.dispatchEvent(event);
        return event.defaultPrevented;
    }"""
    assert page.evaluate(missed)  # else the browser would open the file in place of the page
    leaving = {"../leaves.png": next(iter(class_folders(n=1).values()))}
    chooser.set_input_files(
        [{"name": "leaves.zip", "mimeType": "application/zip", "buffer": zip_of(class_folders(n=2) | leaving)}]
    )
    page.get_by_role("alert").filter(has_text="a path that leaves the archive").wait_for()
    assert not list(tmp_path.rglob("leaves.png"))
    good = zip_of(class_folders(n=8))
    page.evaluate(
        """content => {
            const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
            const data = new DataTransfer();
            data.items.add(new File([bytes], "mine.zip", {type: "application/zip"}));
            document.querySelector(".drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
        }""",
        base64.b64encode(good).decode(),
    )
    page.get_by_text("blue, green, red").wait_for()
    page.get_by_role("button", name="Start training").click()
    page.locator("[data-test=test-accuracy]").wait_for()
    assert (lab.runs / "mine-softmax-1" / "metrics.json").exists()
