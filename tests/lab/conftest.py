"""A lab that is served, a WebSocket to talk to it, and a browser to look at it.

The browser is Debian's Chromium, found by its path or named by LINPROBE_CHROMIUM; without one the tests that need it
are skipped, and say how to get it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from websockets.sync.client import ClientConnection, connect

from linprobe.lab.protocol import Lab
from linprobe.lab.server import served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]


class Talk:
    """A WebSocket to a lab: `talk(method, **params)` gives the result; `talk.error(...)` the sentence that refuses."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket, self.number = socket, 0

    def raw(self, message: str | bytes) -> dict[str, Any]:
        """The next answer after `message`."""
        self.socket.send(message)
        answer = json.loads(self.socket.recv(timeout=60))
        assert isinstance(answer, dict)
        return answer

    def answer(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """The answer to a request, events left out."""
        self.number += 1
        answer = self.raw(json.dumps({"id": self.number, "method": method, "params": params}))
        while "event" in answer:
            answer = json.loads(self.socket.recv(timeout=60))
        assert answer["id"] == self.number
        return answer

    def event(self, name: str) -> dict[str, Any]:
        """What the next event of that name holds; all messages before it are left out."""
        while (message := json.loads(self.socket.recv(timeout=60))).get("event") != name:
            pass
        data = message["data"]
        assert isinstance(data, dict)
        return data

    def __call__(self, method: str, /, **params: Any) -> Any:
        answer = self.answer(method, params)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def error(self, method: str, /, **params: Any) -> str:
        """The sentence with which the request is refused."""
        answer = self.answer(method, params)
        assert "result" not in answer, answer["result"]
        return str(answer["error"])


@contextmanager
def talking(address: str) -> Iterator[Talk]:
    """A WebSocket to the lab at `address`, from its own page."""
    with connect(address.replace("http", "ws", 1) + "/socket", origin=address, max_size=2**24) as socket:  # type: ignore[arg-type]
        assert json.loads(socket.recv(timeout=60))["event"] == "choices"  # what every page is told first
        yield Talk(socket)


@pytest.fixture(scope="session")
def lab_address() -> Iterator[str]:
    """The address of a lab without sources, one for all tests."""
    with served(Lab()) as address:
        yield address


@pytest.fixture
def talk(lab_address: str) -> Iterator[Talk]:
    """A WebSocket to that lab."""
    with talking(lab_address) as talk:
        yield talk


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, one for all tests."""
    named = os.environ.get("LINPROBE_CHROMIUM")
    path = named or next(filter(None, map(shutil.which, CHROMIUM)), None)
    if path is None:
        pytest.skip("no Chromium for the browser tests: apt-get install chromium, or set LINPROBE_CHROMIUM to its path")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


Open = Callable[..., "Page"]


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """`open_page(address, width=1280, height=900, theme="light")`: a page in a fresh context.

    At the end of the test nothing may stand in its console, and no error may have been thrown in it.
    """
    complaints: list[str] = []
    contexts = []

    def open_(address: str, *, width: int = 1280, height: int = 900, theme: Any = "light") -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=theme, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not complaints


def number(text: str) -> float:
    """The number that a page shows: its minus sign and its infinity are those of the typesetter."""
    found = re.search(r"[-−]?(?:\d+(?:\.\d+)?(?:e[-−]?\d+)?|∞)", text)
    assert found, f"no number in {text!r}"
    return float(found[0].replace("−", "-").replace("∞", "inf"))
