"""A connection that is lost is shown, nothing is done meanwhile, and the page goes on when it is back."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from linprobe.lab.protocol import Lab
from linprobe.lab.server import served

from .conftest import number
from .pictures import write_source
from .test_playground_page import SMALL, START_W, ZERO, objective_of, wait_for_objective

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, WebSocketRoute


NEWER = """(seen) =>
    Number(/epoch ([0-9.e]+)/.exec(document.querySelector("[data-test=figures]").innerText)[1]) > seen"""


class Wire:
    """The WebSocket of a page, to be cut and mended."""

    def __init__(self, page: Page) -> None:
        self.whole, self.sockets = True, []
        page.route_web_socket("**/socket", self._opened)

    def _opened(self, socket: WebSocketRoute) -> None:
        if not self.whole:
            socket.close()
            return
        socket.connect_to_server()
        self.sockets.append(socket)

    def cut(self) -> None:
        """Lose the connection, and every new one."""
        self.whole = False
        self.sockets.pop().close()

    def mend(self) -> None:
        """Let the page connect again."""
        self.whole = True


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page without an address yet."""
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()


def banner(page: Page):
    return page.get_by_role("alert").filter(has_text="shows the last state")


def test_a_lost_connection_is_shown_and_what_was_chosen_meanwhile_is_computed_when_it_is_back(page, lab_address, talk):
    wire = Wire(page)
    page.goto(f"{lab_address}/{SMALL}")
    before = objective_of(talk).value(START_W, ZERO)
    wait_for_objective(page, before)
    assert banner(page).count() == 0
    wire.cut()
    banner(page).wait_for()
    page.get_by_text("no connection", exact=True).wait_for()
    page.get_by_role("button", name="Step", exact=True).click()
    page.get_by_text("nothing was done").wait_for()
    page.get_by_role("radio", name="softmax").check()
    wire.mend()
    banner(page).wait_for(state="detached")
    wait_for_objective(page, objective_of(talk, loss="softmax").value(START_W, ZERO))
    assert page.get_by_text("nothing was done").count() == 0
    assert np.allclose(
        [number(text) for text in page.locator("[aria-label=weights] td").all_inner_texts()][:2], START_W[0]
    )


def test_a_page_that_could_not_be_loaded_is_tried_again(page, lab_address):
    page.goto(f"{lab_address}/#/scores")
    page.get_by_role("table", name="hinge terms").wait_for()
    page.route("**/gradient.js", lambda route: route.abort())
    page.get_by_role("link", name="Gradient check").click()
    page.get_by_role("alert").filter(has_text="The page cannot be loaded").wait_for()
    page.get_by_role("link", name="Scores to loss").click()
    page.get_by_role("heading", name="Scores to loss").wait_for()
    assert page.get_by_role("alert").count() == 0
    page.unroute("**/gradient.js")
    page.get_by_role("link", name="Gradient check").click()
    page.get_by_role("table", name="coordinates").wait_for()


def test_a_training_is_watched_on_over_a_new_connection(page, tmp_path):
    lab = Lab((str(write_source(tmp_path / "things.zip")),), tmp_path / "runs")
    with served(lab) as address:
        wire = Wire(page)
        page.goto(f"{address}/#/train?optimizer=sgd&epochs=1000000&batch=1")
        page.get_by_text("blue, green, red").wait_for()  # the source that was named, without being asked for
        start = page.get_by_role("button", name="Start training")
        start.click()
        page.locator("[data-test=figures]").wait_for()
        wire.cut()
        banner(page).wait_for()
        seen = number(page.locator("[data-test=figures]").inner_text())
        page.get_by_role("button", name="Stop (can be resumed)").click()
        page.get_by_text("nothing was done").wait_for()
        wire.mend()
        banner(page).wait_for(state="detached")
        for _ in range(2):  # the second time told by events
            page.wait_for_function(NEWER, arg=seen)
            seen = number(page.locator("[data-test=figures]").inner_text())
        page.get_by_role("button", name="Stop (can be resumed)").click()
        page.get_by_role("status").filter(has_text="Stopped").wait_for()
        page.get_by_role("button", name="Resume", exact=True).click()
        page.get_by_role("status").filter(has_text=re.compile("^Training")).wait_for()
        page.locator("[data-test=figures]").filter(has_text="of 1000000").wait_for()  # it knows its settings
