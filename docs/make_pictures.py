"""The pictures of the pages on the lecture, on pictures and on training, drawn by the code blocks of these pages.

    python docs/make_pictures.py [--cifar10 ARCHIVE] [--out FOLDER]

The blocks of docs/lecture.md save `lecture-*.png`, and so on; here they run in an empty folder, and what they saved
goes to docs/images/, packed again. Blocks that take CIFAR-10 run when the archive is given; without it the pictures
they made before stay.
"""

from __future__ import annotations

import argparse
import contextlib
import doctest
import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS / "_site"))

from blocks import blocks  # noqa: E402
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


def smaller(picture: Path) -> bytes:
    """The PNG file, packed as well as it goes."""
    image, out = Image.open(picture).convert("RGB"), io.BytesIO()
    image.save(out, "png", optimize=True)
    if len(out.getvalue()) > LARGEST:
        out = io.BytesIO()
        image.quantize(256, method=Image.Quantize.MAXCOVERAGE).save(out, "png", optimize=True)
    return out.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--cifar10", type=Path, help="the archive, read as linprobe reads it")
    parser.add_argument("--out", type=Path, default=DOCS / "images")
    arguments = parser.parse_args()
    for name in PAGES:
        with tempfile.TemporaryDirectory() as folder:
            for picture in draw(name, Path(folder), arguments.cifar10):
                content = smaller(picture)
                write_whole(arguments.out / picture.name, content)
                print(f"{len(content):7,} bytes  {arguments.out / picture.name}")


if __name__ == "__main__":
    main()
