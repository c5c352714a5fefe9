"""Accuracy against seconds of a linear classifier on features of several sizes, from `linprobe train` itself.

    python -m benchmarks.features [ARCHIVE] [--out FILE] [--sizes P ...] [--epochs E ...] [--quick]

CIFAR-10, softmax with L2, the exact optimizer, every command in a process of its own with a warm cache of pixels and
none of features. reg of pixels and hog+color is the one that did best on held-out training pictures, in rough steps,
before this was run; that of 500 and 2,000 patches is guessed from 15,000 of the training pictures, 400 patches, where
2e-2, 3e-2 and 5e-2 differ by 0.4 points of held-out accuracy. With 2,000 patches `linprobe sweep` finds 2e-2 to be the
best of 1e-2, 2e-2, 4e-2, ... 0.32 on held-out training pictures, whence that of 3,200. Rate, widths and reg of the
trained network were chosen on 5,000 held-out training pictures. Peak memory is what the kernel
reports of the process; the features lie in a memory map, whose pages count while they are resident.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.record import (
    Watch,
    arguments,
    deliver,
    image_archive,
    say,
    skip,
    text_table,
    usable_cores,
    why_absent,
)
from benchmarks.train import train

REGS = {"pixels": "1e-3", "hog+color": "1e-2"}
"""reg by features."""

PATCHES = "patches+patches/2+hog+color"
"""The features of each size."""

PATCHES_FIT = {500: ("2e-2", "1e-3"), 2000: ("2e-2", "1e-3"), 4000: ("3e-2", "1e-2")}
"""reg and tol by the number of patches; those of the nearest number for others."""


NET_REG = "1e-3"
"""reg of the features of the trained network."""


def settings(sizes: list[int], epochs: list[int]) -> list[tuple[str, list[str]]]:
    """(name, options of the command line) of each line of the table."""
    lines = [("pixels", ["--reg", REGS["pixels"]])]
    lines += [("hog+color, flips", ["--features", "hog+color", "--flips", "--reg", REGS["hog+color"]])]
    for size in sizes:
        reg, tol = PATCHES_FIT[min(PATCHES_FIT, key=lambda known: abs(known - size))]
        options = ["--features", PATCHES, "--patches", str(size), "--flips", "--reg", reg, "--tol", tol]
        lines.append((f"{PATCHES}, {size} patches, flips", options))
    for count in epochs:
        options = ["--features", "net", "--net-epochs", str(count), "--flips", "--reg", NET_REG]
        lines.append((f"net, {count} epochs, flips", options))
    return lines


def measure(source: str, lines_of: list[tuple[str, list[str]]], pixels: Path) -> dict[str, Any]:
    """The record, all but the facts of the machine."""
    train(source, "--max-iter", "0", cache=pixels)  # fills the cache of pixels
    lines = []
    for name, options in lines_of:
        with tempfile.TemporaryDirectory(prefix="linprobe-features-") as cache:
            shutil.copytree(pixels, cache, dirs_exist_ok=True)
            run = train(source, *options, cache=Path(cache))
        metrics = run["metrics"]
        lines.append(
            {
                "name": name,
                "options": options,
                "n_features": metrics["n_features"],
                "test_accuracy": metrics["test_accuracy"],
                "train_accuracy": metrics["train_accuracy"],
                "feature_seconds": metrics["feature_seconds"],
                "seconds": metrics["seconds"],
                "wall_seconds": run["wall_seconds"],
                "peak_resident": run["peak_resident"],
                "status": metrics["status"],
                "relative_gap": metrics["certificate"]["relative_gap"],
            }
        )
        say(f"{name}: {100 * metrics['test_accuracy']:.2f}% in {run['wall_seconds']:.0f} s")
    return {"threads": usable_cores(), "n_train": metrics["n_train"], "n_test": metrics["n_test"], "lines": lines}


def main() -> None:
    """Train each, show a table on stderr, deliver the record."""
    parser = arguments(__doc__, "features")
    parser.add_argument("archive", type=Path, nargs="?", default=image_archive(), metavar="ARCHIVE")
    parser.add_argument("--sizes", type=int, nargs="*", default=[500, 2000, 4000], metavar="P")
    parser.add_argument("--epochs", type=int, nargs="*", default=[3, 14], metavar="E", help="of the trained network")
    given = parser.parse_args()
    reason = why_absent(given.archive)
    if reason:
        return skip("features", reason, given.out)
    watch = Watch()
    with tempfile.TemporaryDirectory(prefix="linprobe-pixels-") as pixels:
        record = measure(str(given.archive.resolve()), settings(given.sizes, given.epochs), Path(pixels))
    rows = [
        (line["name"], f"{line['n_features']:,}", f"{100 * line['test_accuracy']:.2f}%", f"{line['wall_seconds']:.0f}")
        for line in record["lines"]
    ]
    say(text_table(("features", "numbers", "test", "seconds"), rows))
    deliver(
        {"benchmark": "features", **watch.facts(["numpy", "linprobe"]), "source": "cifar10.zip", **record}, given.out
    )
    return None


if __name__ == "__main__":
    main()
