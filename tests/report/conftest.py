"""Small sources and runs, and a page taken apart."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from linprobe.runs.train import TrainSettings, train

EVIL = "<img src=x onerror=alert(1)>", "a&\"b' $x$ <svg onload=alert(2)>", "plain"
"""Names of classes that a page must show as text."""

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """The elements of a page, and whether each is closed where it should be.

    Attributes:
        elements: (tag, attributes) in the order of the page.
        text: all text of the page outside of its style.
        unbalanced: tags that were closed out of turn, or never.
    """

    def __init__(self, content: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(content)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self._open:
            self.text += " " + data

    @property
    def words(self) -> str:
        """The text on one line."""
        return " ".join(self.text.split())

    def sections(self) -> list[str]:
        """Names of the sections, in order."""
        return [str(attributes.get("id")) for tag, attributes in self.elements if tag == "section"]


@dataclass
class Source:
    """A folder of class folders, and where its runs go."""

    path: Path
    runs: Path
    names: tuple[str, ...] = field(default=EVIL)

    def train(self, name: str, classifier: dict[str, Any] | None = None, **settings: Any) -> Path:
        """A finished run of this source."""
        wanted = TrainSettings(str(self.path), {"tol": 1e-3, **(classifier or {})}, **settings)
        return train(wanted, out=self.runs / name, cache=False).path


def write_source(folder: Path, names: tuple[str, ...] = EVIL, n: int = 14, size: int = 8) -> None:
    """Pictures with more of one colour, which the ground they stand on often hides."""
    random = np.random.default_rng(0)
    for k, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = random.integers(0, 80, (size, size, 3)) + random.integers(0, 100, 3)
            pixels[..., k] += 50
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    """Three classes of 8x8 pictures, two of whose names are an attack."""
    folder = tmp_path_factory.mktemp("made")
    write_source(folder / "pictures")
    return Source(folder / "pictures", folder / "runs")


def check_closed(content: str) -> Page:
    """The page, after a look at all that makes it open anywhere, and run nothing."""
    assert content.startswith("<!DOCTYPE html>")
    page = Page(content)
    assert not page.unbalanced
    policies = [a["content"] for tag, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies
    assert policies[0].startswith("default-src 'none'")
    names = [a["id"] for _, a in page.elements if "id" in a]
    assert len(names) == len(set(names))
    for tag, attributes in page.elements:
        assert tag not in {"script", "iframe", "object", "embed", "link", "base", "form"}
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in ("href", "xlink:href", "src", "srcset", "action"):
                assert value
                assert value.startswith("data:image/png;base64,") or value[1:] in names, (tag, name, value[:60])
    for attributes in (a for _, a in page.elements):
        for text in attributes.values():
            assert "http:" not in (text or "")
            assert "https:" not in (text or "")
    assert "@import" not in content
    assert set(re.findall(r"url\(([^)]*)\)", content)) <= {f"#{name}" for name in names}
    return page


@pytest.fixture(scope="session")
def closed() -> Callable[[Path], Page]:
    """`closed(path)`: the page at a path, which is checked to need nothing else."""
    return lambda path: check_closed(path.read_text())
