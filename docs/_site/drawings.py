"""Whether the pictures of the pages are of the present code.

Most are drawn anew by the tests and compared. Those that need a browser or CIFAR-10 are not: `drawn_from.json` holds
for each of them a digest of the sources that drew it, and `python docs/check_pictures.py` compares the digests.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
from PIL import Image

from blocks import blocks

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs" / "images"
RECORD = IMAGES / "drawn_from.json"

ALIKE = 3.0
"""Grey levels: bound on the mean difference of two pictures of the same code. It was 0.3 at most, from rounding and 256
colours. Changes of the optimizers that gave other curves made it 1.2 to 4.3 (docs/make_pictures.py, November 2026)."""

RESIZED = 2
"""Pixels by which the sides of two pictures of the same code may differ, as text decides the size."""

SOURCES = {
    "lab-*.png": (("src/linprobe/lab/page", "docs/make_lab_pictures.py"), "docs/make_lab_pictures.py"),
    "report-*.png": (("src/linprobe/report", "docs/make_report_pictures.py"), "docs/make_report_pictures.py"),
    "pictures-rates-cifar10.png": (
        ("src/linprobe/explain/learning_rates.py", "src/linprobe/explain/picture.py"),
        "docs/make_pictures.py --cifar10 ARCHIVE",
    ),
    "lecture-templates-cifar10.png": (("docs/lecture.md",), "docs/make_pictures.py --cifar10 ARCHIVE"),
}
"""For each kind of picture that the tests do not draw: what draws it, and the script to run.

The code of templates is left out, as the tests draw those of digits."""


def difference(drawn: Path, kept: Path) -> float:
    """Mean difference of two pictures in grey levels, infinite where they differ in size."""
    one, other = (Image.open(path).convert("RGB") for path in (drawn, kept))
    if max(abs(one.width - other.width), abs(one.height - other.height)) > RESIZED:
        return float("inf")
    pixels = np.asarray(one.resize(other.size), dtype=np.float64)
    return float(np.abs(pixels - np.asarray(other, dtype=np.float64)).mean())


def kind_of(name: str) -> str | None:
    """The pattern of `SOURCES` that a picture belongs to, None for one that the tests draw."""
    return next((pattern for pattern in SOURCES if fnmatch(name, pattern)), None)


def digest(pattern: str) -> str:
    """Of the sources that draw the pictures of that pattern. Comments and docstrings of Python files do not count."""
    found = hashlib.sha256()
    for path in _files(ROOT / name for name in SOURCES[pattern][0]):
        found.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + _content(path))
    return found.hexdigest()


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths` and in the folders among them, in order."""
    for path in paths:
        inside = sorted(path.rglob("*")) if path.is_dir() else [path]
        yield from (file for file in inside if _draws(file))


def _draws(file: Path) -> bool:
    """Whether a file can change a picture: the manifest of the lab holds digests of sources with their comments."""
    return file.is_file() and "__pycache__" not in file.parts and file.name != "manifest.json"


def _content(path: Path) -> bytes:
    """The bytes of a file, of a Python file its syntax tree without docstrings, of a page the blocks not run."""
    if path.suffix == ".md":
        return "".join(block.code for block in blocks(path.read_text()) if block.reason).encode()
    if path.suffix != ".py":
        return path.read_bytes()
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_text(line)]  # type: ignore[attr-defined]
    return ast.dump(tree).encode()


def _is_text(node: ast.AST) -> bool:
    """Whether a line is a docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def recorded() -> dict[str, str]:
    """The digest of the sources of each picture, when it was drawn."""
    found: dict[str, str] = json.loads(RECORD.read_text())
    return found


def record(names: Iterable[str]) -> None:
    """Note that the pictures `names` are of the present code, those that the tests draw left out."""
    kinds = {name: kind for name in names if (kind := kind_of(name)) is not None}
    known = recorded() if RECORD.exists() else {}
    known |= {name: digest(kind) for name, kind in kinds.items()}
    RECORD.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n")


def stale() -> list[str]:
    """A line for each picture whose sources have changed since it was drawn."""
    digests = {pattern: digest(pattern) for pattern in SOURCES}
    known = recorded()
    lines = []
    for path in sorted(IMAGES.glob("*.png")):
        kind = kind_of(path.name)
        if kind is not None and known.get(path.name) != digests[kind]:
            lines.append(f"docs/images/{path.name}: its sources have changed; run {SOURCES[kind][1]}")
    return lines
