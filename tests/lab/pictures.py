"""Small sources of pictures for the tests of the lab."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("blue", "green", "red")


def picture(label: int, number: int, side: int = 8) -> np.ndarray:
    """(side, side, 3) uint8: mostly of the colour of its class, with noise of its own."""
    random = np.random.default_rng([label, number])
    pixels = random.integers(40, 160, (side, side, 3))
    pixels[:, :, 2 - label] += 60
    return pixels.astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    """The picture as a PNG file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def zip_of(entries: dict[str, bytes]) -> bytes:
    """A zip with these entries."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return file.getvalue()


def class_folders(n: int = 20, side: int = 8) -> dict[str, bytes]:
    """`n` pictures of each class, by the names that they have in a zip of class folders."""
    return {
        f"things/{name}/{i:02}.png": png(picture(label, i, side))
        for label, name in enumerate(CLASSES)
        for i in range(n)
    }


def write_source(path: Path, n: int = 20) -> Path:
    """A zip of class folders at `path`."""
    path.write_bytes(zip_of(class_folders(n)))
    return path
