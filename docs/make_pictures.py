"""The pictures of the pages on the lecture, on pictures and on training, drawn by the code blocks of these pages.

    python docs/make_pictures.py [--cifar10 ARCHIVE] [--out FOLDER]

The blocks of docs/lecture.md save `lecture-*.png`, and so on; here they run in an empty folder, and what they saved
goes to docs/images/, packed again. Blocks that take CIFAR-10 run when the archive is given; without it the pictures
they made before stay. The sheet of the challenges is that of a classifier of digits.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_site"))

from blocks import blocks  # noqa: E402
from drawings import record  # noqa: E402
from linprobe.cli import main as linprobe  # noqa: E402
from linprobe.files import write_whole  # noqa: E402

PAGES = ("lecture", "pictures", "training")
LARGEST = 100_000
"""Bytes, above which a picture is kept in 256 colours; shades blend, and text may take on a tint."""


def draw(name: str, folder: Path, cifar10: Path | None) -> list[Path]:
    """The pictures that the blocks of the page `name` save when they run in `folder`."""
    names: dict[str, object] = {"__name__": "__docs__"}
    if cifar10 is not None:
        (folder / "cifar10.zip").symlink_to(cifar10.resolve())
    with contextlib.chdir(folder):
        for block in blocks((DOCS / f"{name}.md").read_text()):
            if block.language == "python" and (block.reason is None or cifar10 is not None):
                shown = [example.source for example in doctest.DocTestParser().get_examples(block.code)]
                with contextlib.redirect_stdout(io.StringIO()):
                    exec("".join(shown) or block.code, names)
    return sorted(folder.glob(f"{name}-*.png"))


def sheet(folder: Path) -> Path:
    """The sheet of the challenges of digits, made in `folder`."""
    with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
        for command in ("train digits --no-report", "challenges runs/digits-softmax-1 digits"):
            linprobe(command.split(), standalone_mode=False)
    return (folder / "runs" / "digits-softmax-1" / "challenges.png").rename(folder / "challenges-digits.png")


def smaller(picture: Path) -> bytes:
    """The PNG file, packed as well as it goes."""
    image, out = Image.open(picture).convert("RGB"), io.BytesIO()
    image.save(out, "png", optimize=True)
    if len(out.getvalue()) > LARGEST:
        out = io.BytesIO()
        image.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(out, "png", optimize=True)
    return out.getvalue()


def keep(pictures: Mapping[str, bytes], out: Path) -> None:
    """Write the PNG files by name into the folder `out`; those of the docs are recorded as made of the present code."""
    for name, content in pictures.items():
        write_whole(out / name, content)
        print(f"{len(content):7,} bytes  {out / name}")
    if out == DOCS / "images":
        record(pictures)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cifar10", type=Path, help="the archive, read as linprobe reads it")
    parser.add_argument("--out", type=Path, default=DOCS / "images")
    arguments = parser.parse_args()
    drawn = {}
    for name in (*PAGES, "challenges"):
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            found = [sheet(place)] if name == "challenges" else draw(name, place, arguments.cifar10)
            drawn |= {picture.name: smaller(picture) for picture in found}
    keep(drawn, arguments.out)


if __name__ == "__main__":
    main()
