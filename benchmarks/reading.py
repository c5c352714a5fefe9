"""Reading the JPEGs of a zip of class folders: linprobe against a loop over zipfile and Pillow.

    python -m benchmarks.reading [ARCHIVE] [--out FILE] [--repeats R]

Interleaved, in one process, with the cache emptied before each; that all give identical pixels is shown first:

    pillow              zipfile and Pillow, one thread, into one uint8 array that is there already
    linprobe            open_dataset with an empty cache, one thread per core: what a first run waits for,
                        the pixels written to the cache included
    linprobe x1         the same with one thread
    linprobe uncached   one thread per core, and no cache is written

And after them, open_dataset from the warm cache, with every pixel read once.

The archive itself lies in the operating system's page cache all the time.
"""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.record import (
    Watch,
    arguments,
    compared,
    deliver,
    image_archive,
    interleaved,
    say,
    skip,
    spoken,
    spread,
    text_table,
    usable_cores,
    why_absent,
)
from linprobe import open_dataset
from linprobe.data import Dataset, clear_cache

Pixels = npt.NDArray[np.uint8]

OURS = "linprobe"


def picture_names(archive: Path) -> list[str]:
    """The pictures of the archive, in its order."""
    with zipfile.ZipFile(archive) as opened:
        return [name for name in opened.namelist() if name.lower().endswith((".jpg", ".jpeg"))]


def with_pillow(archive: Path, names: list[str], out: Pixels) -> Pixels:
    """The pixels of `names`, one after the other, in `out` (N, height, width, 3)."""
    with zipfile.ZipFile(archive) as opened:
        for i, name in enumerate(names):
            with Image.open(io.BytesIO(opened.read(name))) as picture:
                out[i] = np.asarray(picture.convert("RGB"))
    return out


def sets(dataset: Dataset) -> list[Any]:
    """The splits that are there."""
    return [split for split in (dataset.train, dataset.validation, dataset.test) if split is not None]


def check_same(dataset: Dataset, names: list[str], pixels: Pixels) -> None:
    """Raise SystemExit unless the dataset holds these pictures, each with exactly these pixels."""
    place = {name: i for i, name in enumerate(names)}
    seen = 0
    for part in sets(dataset):
        picked = np.array([place[name] for name in part.names])
        images = part.images if part.rows is None else part.images[part.rows]
        if not np.array_equal(images, pixels[picked]):
            raise SystemExit("error: the pixels of linprobe and Pillow differ: nothing to compare")
        seen += len(picked)
    if seen != len(names):
        raise SystemExit(f"error: linprobe read {seen} pictures of {len(names)}: nothing to compare")


def measure(archive: Path, repeats: int) -> dict[str, Any]:
    """The record, all but the facts of the machine."""
    names = picture_names(archive)
    with zipfile.ZipFile(archive) as opened, Image.open(io.BytesIO(opened.read(names[0]))) as first:
        width, height = first.size
    pixels = np.zeros((len(names), height, width, 3), np.uint8)
    with_pillow(archive, names, pixels)
    for cache in (False, True, True):  # decoded, decoded into the cache, from the cache
        check_same(open_dataset(archive, cache=cache), names, pixels)

    def cold(n_threads: int | None) -> None:
        open_dataset(archive, n_threads=n_threads)

    def warm() -> int:
        return sum(int(part.images.sum(dtype=np.int64)) for part in sets(open_dataset(archive)))

    implementations = {
        "pillow": lambda: with_pillow(archive, names, pixels),
        OURS: lambda: cold(None),
        "linprobe x1": lambda: cold(1),
        "linprobe uncached": lambda: open_dataset(archive, cache=False),
    }
    times = interleaved(implementations, repeats, before=clear_cache)
    open_dataset(archive)
    warm_times = interleaved({"warm": warm}, repeats)["warm"]
    return {
        "source": archive.name,
        "n_images": len(names),
        "image_shape": [height, width, 3],
        "threads": usable_cores(),
        "identical_pixels": True,
        **compared(times, OURS),
        "warm_seconds": spread(warm_times),
    }


def main() -> None:
    """Read the archive in each way, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "reading")
    parser.add_argument("archive", type=Path, nargs="?", default=image_archive(), metavar="ARCHIVE")
    parser.add_argument("--repeats", type=int, default=5, metavar="R")
    given = parser.parse_args()
    reason = why_absent(given.archive)
    if reason:
        return skip("reading", reason, given.out)
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="linprobe-reading-") as cache:
        os.environ["LINPROBE_CACHE_DIR"] = cache
        record = measure(given.archive, given.repeats)
    rows = [
        (name, spoken(about), spoken(record["ratios"][name]) if name in record["ratios"] else "1")
        for name, about in record["seconds"].items()
    ]
    say(f"{record['n_images']} pictures of {record['source']}; pixels are identical")
    rows.append(("linprobe warm", spoken(record["warm_seconds"]), ""))
    say(text_table(("", "seconds", "times linprobe's"), rows))
    deliver({"benchmark": "reading", **watch.facts(("numpy", "pillow", "simplejpeg")), **record}, given.out)


if __name__ == "__main__":
    main()
